"""Refuse globals that weights have no use for: a pickle that names one is an attack or a program."""

from __future__ import annotations

import re

from transfer.errors import UnsafeCheckpoint

# fmt: off
DANGEROUS_MODULES = frozenset((
    "os", "posix", "nt", "posixpath", "ntpath", "subprocess", "sys", "shutil", "socket", "runpy", "importlib",
    "ctypes", "pty", "webbrowser", "commands", "popen2", "io", "_io", "code", "codeop", "pdb", "bdb", "timeit",
    "profile", "cProfile", "trace", "pickle", "_pickle", "marshal", "operator", "_operator", "inspect", "gc",
    "threading", "_thread", "multiprocessing", "concurrent", "asyncio", "tempfile", "urllib", "http", "ftplib",
    "smtplib", "telnetlib", "ssl", "requests", "zipimport", "pkgutil", "site", "sysconfig", "platform", "pip",
    "setuptools", "distutils", "resource", "pydoc", "doctest", "cffi", "atexit", "linecache", "tarfile", "zipfile",
    "sqlite3", "msvcrt", "winreg", "_winapi", "imp", "shelve", "dbm", "ensurepip", "venv", "idlelib", "lib2to3",
    "_osx_support", "_aix_support", "_pyrepl", "xmlrpc", "socketserver", "pexpect", "paramiko", "IPython", "_pytest",
))
DANGEROUS_BUILTINS = frozenset((
    "eval", "exec", "execfile", "compile", "open", "__import__", "setattr", "delattr", "hasattr",
    "input", "raw_input", "breakpoint", "vars", "globals", "locals", "dir", "apply", "reload", "file", "map",
    "filter", "reduce", "exit", "quit", "help", "memoryview", "type", "super", "property", "callable", "print",
))
# fmt: on
BUILTINS = ("builtins", "__builtin__", "__builtins__")
DANGEROUS_NAMES = (
    "torch.hub",
    "torch.jit",
    "torch.fx",
    "torch.load",
    "torch.serialization.load",
    "torch.package",
    "torch.distributed.rpc",
    "torch.multiprocessing",
    "torch._dynamo",
    "torch._inductor",
    "torch.utils.bottleneck",
    "torch.utils.collect_env",
    "torch.utils.cpp_extension",
    "torch.utils.show_pickle",
    "torch.utils._config_module",
    "types.CodeType",
    "types.FunctionType",
    "codecs.open",
    "logging.config",
    "uuid._get_command_stdout",
    "numpy.load",
    "numpy.fromfile",
    "numpy.memmap",
    "numpy.testing",
    "numpy.f2py",
    "numpy.distutils",
    "numpy.lib.npyio",
    "pandas.read_pickle",
    "pandas.io",
    "joblib.load",
    "yaml.load",
    "yaml.unsafe_load",
    "dill.load",
    "dill.loads",
    "dill._dill.load",
    "dill._dill.loads",
    "dill._dill._create_code",
    "dill._dill._create_function",
    "dill._dill._eval_repr",
    "dill._dill._get_attr",
    "dill._dill._import_module",
    "cloudpickle.load",
    "cloudpickle.loads",
    "cloudpickle.cloudpickle",
)
HARMLESS = ("torch.jit._pickle", "torch.fx.immutable_collections")
"""Exceptions: TorchScript's marks of the types of lists, and ordinary containers."""


def refuse_dangerous(module: str, name: str) -> None:
    """Raise UnsafeCheckpoint for a global that weights have no use for."""
    dotted = f"{module}.{name}"
    *path, _ = name.split(".")
    harmful = (
        module.split(".")[0] in DANGEROUS_MODULES
        or not DANGEROUS_MODULES.isdisjoint(path)
        or (module in BUILTINS and name.split(".")[0] in DANGEROUS_BUILTINS)
        or (_within(dotted, DANGEROUS_NAMES) and not _within(dotted, HARMLESS))
        or (module != "copyreg" and any(re.fullmatch("__.*__", part) for part in name.split(".")))
    )
    if harmful:
        raise UnsafeCheckpoint(
            f"the file's pickle asks for {dotted}, which weights never need: reading it elsewhere would run code that "
            "the file brings. Do not load it with torch.load; ask its author for a .safetensors file or a plain state "
            "dict."
        )


def _within(dotted: str, names: tuple[str, ...]) -> bool:
    return any(dotted == name or dotted.startswith(name + ".") for name in names)
