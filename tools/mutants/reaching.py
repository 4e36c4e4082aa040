"""Which tests reach a statement, and runs of chosen tests in a fork."""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import pickle
import re
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import coverage
import hypothesis
import pytest

from tools.mutants.making import Mutant

BUDGET = 20.0
"""Seconds of tests for one mutant, by what they take without it; one that takes four times as long is killed."""

PLUGINS = re.compile(r"transfer|tests|_?pytest|_?hypothesis|conftest|__main__|__mp_main__|coverage|mm|onedl")
"""Modules that a fork imports itself."""


@dataclass
class Reached:
    """Which tests reach a line of a file (`""` is the import), and how long each takes."""

    tests: dict[str, dict[int, list[str]]]
    seconds: dict[str, float]
    modules: list[str]


def statement(source: str, line: int) -> range:
    """The lines of the innermost statement around `line`, without the body of a compound one."""
    found = range(line, line + 1)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            inner = getattr(node, "body", None)
            found = range(node.lineno, max(inner[0].lineno, node.lineno + 1) if inner else (node.end_lineno or 0) + 1)
    return found


def tests_for(mutant: Mutant, reached: Reached) -> list[str]:
    """Tests that reach the changed statement; if it is imported, then those of the module, then all; within BUDGET."""
    by_line = reached.tests.get(str(mutant.path.resolve()), {})
    original = mutant.path.read_text(encoding="utf-8")
    near = {test for line in mutant.lines for at in statement(original, line) for test in by_line.get(at, ())}
    groups = [near]
    if "" in near or not near:
        groups += [{test for tests in by_line.values() for test in tests}, set(reached.seconds)]
    chosen, total = dict[str, None](), 0.0
    for tests in groups:
        for test in sorted(tests - {""} - chosen.keys(), key=lambda test: reached.seconds.get(test, 0.0)):
            total += reached.seconds.get(test, 0.0)
            if total < BUDGET or not chosen:
                chosen[test] = None
    return list(chosen)


class Recorder:
    """A plugin of pytest that tells coverage which test runs, and how long each takes."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self.measured, self.seconds = measured, defaultdict[str, float](float)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Run one test in a context of its own."""
        self.measured.switch_context(item.nodeid)
        start = time.monotonic()
        try:
            return (yield)
        finally:
            self.seconds[item.nodeid] = time.monotonic() - start
            self.measured.switch_context("")


@dataclass
class Chosen:
    """A plugin of pytest that runs only `tests`, in this order."""

    tests: list[str]
    rank: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.rank = {test: number for number, test in enumerate(self.tests)}

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Choose and sort."""
        items[:] = sorted((i for i in items if i.nodeid in self.rank), key=lambda item: self.rank[item.nodeid])


def pytest_exit(paths: list[str], plugin: object, scratch: Path) -> int:
    """Run tests. hypothesis draws the same examples each time, shrinks none and remembers none."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None, phases=phases)
    hypothesis.settings.load_profile("mutants")
    quiet = ["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*quiet, "-m", "not slow", f"--basetemp={scratch / 'tmp'}", *paths], plugins=[plugin]))


def forked(work: Callable[[], int], limit: float) -> int | None:
    """The exit code of `work` in a fork; None if it took longer than `limit` seconds, or died of a signal."""
    child = os.fork()
    if not child:
        os.setpgrp()
        if "MUTANTS_LOUD" not in os.environ:
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_RDWR), stream)
        code = 70
        with contextlib.suppress(BaseException):
            code = work()
        os._exit(code)
    end, status = time.monotonic() + limit, None
    while status is None and time.monotonic() < end:
        done, found = os.waitpid(child, os.WNOHANG)
        status = found if done else time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if status is not None and os.WIFEXITED(status) else None


def measure(package: str, paths: list[str], scratch: Path) -> Reached:
    """Run the tests in `paths` once, unchanged, and once more in a fork that finds their modules imported.

    Exits if one fails: no outcome would count.
    """

    def work() -> int:
        measured = coverage.Coverage(data_file=None, include=[f"{package}/*"], config_file=False)
        recorder = Recorder(measured)
        measured.start()
        code = pytest_exit(paths, recorder, scratch)
        measured.stop()
        data = measured.get_data()
        tests = {path: data.contexts_by_lineno(path) for path in data.measured_files()}
        modules = [name for name in sys.modules if not PLUGINS.match(name)]
        (scratch / "reached").write_bytes(pickle.dumps(Reached(tests, dict(recorder.seconds), modules)))
        return code

    if forked(work, 1800) != 0:
        sys.exit(f"The tests in {', '.join(paths)} fail without any change; MUTANTS_LOUD=1 shows how.")
    reached: Reached = pickle.loads((scratch / "reached").read_bytes())
    for name in reached.modules:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    if forked(lambda: pytest_exit(paths, Chosen(list(reached.seconds)), scratch), 1800) != 0:
        sys.exit(
            f"The tests in {', '.join(paths)} fail in a fork that finds modules imported; MUTANTS_LOUD=1 shows how."
        )
    return reached
