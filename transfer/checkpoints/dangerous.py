"""Globals that weights have no use for: a pickle that names one is an attack or a program."""

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
    "sqlite3", "msvcrt", "winreg", "_winapi",
))
DANGEROUS_BUILTINS = frozenset((
    "eval", "exec", "execfile", "compile", "open", "__import__", "getattr", "setattr", "delattr", "hasattr",
    "input", "raw_input", "breakpoint", "vars", "globals", "locals", "dir", "apply", "reload", "file", "map",
    "filter", "reduce", "exit", "quit", "help", "memoryview", "type", "super", "property", "callable", "print",
))
# fmt: on
BUILTINS = ("builtins", "__builtin__", "__builtins__")
DANGEROUS_NAMES = (
    "torch.hub",
    "torch.jit",
    "torch.utils.cpp_extension",
    "torch.package",
    "torch.load",
    "types.CodeType",
    "types.FunctionType",
    "numpy.load",
    "numpy.fromfile",
    "numpy.memmap",
    "numpy.testing",
    "dill.load",
    "dill.loads",
    "cloudpickle.load",
    "cloudpickle.loads",
)


def refuse_dangerous(module: str, name: str) -> None:
    """Raise UnsafeCheckpoint for a global that weights have no use for."""
    dotted = f"{module}.{name}"
    harmful = (
        module.split(".")[0] in DANGEROUS_MODULES
        or (module in BUILTINS and name.split(".")[0] in DANGEROUS_BUILTINS)
        or any(dotted == prefix or dotted.startswith(prefix + ".") for prefix in DANGEROUS_NAMES)
        or (module != "copyreg" and any(re.fullmatch("__.*__", part) for part in name.split(".")))
    )
    if harmful:
        raise UnsafeCheckpoint(
            f"the file's pickle asks for {dotted}, which weights never need: reading it elsewhere would run code that "
            "the file brings. Do not load it with torch.load; ask its author for a .safetensors file or a plain state "
            "dict."
        )
