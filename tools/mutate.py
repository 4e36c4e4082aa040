"""Mutate a package and count the mutants that its tests kill: mutmut's operators, a seeded sample, a fork for each.

mutmut's own runner draws no sample and leaves out what stands outside of functions or below a decorator. Here a parent
imports everything but `transfer`; each mutant is a fork of it in which one module has another source, and runs the
tests that reach the changed statement, quick ones first. tools/mutate.sh installs mutmut beside .venv and starts this.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import importlib
import os
import pickle
import random
import re
import signal
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

import coverage
import hypothesis
import libcst
import pytest
from mutmut.mutation.mutators import mutation_operators

TESTS = {
    "transfer/checkpoints/keys": ["tests/checkpoints/keys"],
    "transfer/datasets": ["tests/datasets"],
    "transfer/metrics": ["tests/metrics"],
    "transfer/results": ["tests/results"],
}
CHECKS = ("annotations", "derived", "masks", "preflight", "problems", "voc_xml")
"""Modules of `datasets` that check data; the others find, open and draw them."""

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


class Sites(libcst.CSTVisitor):
    """Pairs of a node and what it may become. Neither types nor texts are touched.

    A text is a formatted string or a literal with a space: tests fix what a message names, not how it is worded.
    """

    def __init__(self) -> None:
        self.found: list[tuple[libcst.CSTNode, libcst.CSTNode]] = []

    def on_visit(self, node: libcst.CSTNode) -> bool:
        """Collect the mutants of `node`, and say whether to go on inside of it."""
        if isinstance(node, (libcst.Annotation, libcst.Decorator, libcst.FormattedString)) or (
            isinstance(node, libcst.SimpleString) and " " in node.value
        ):
            return False
        if isinstance(node, libcst.Call) and isinstance(node.func, libcst.Name) and node.func.value == "isinstance":
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                self.found += ((node, mutated) for mutated in operator(node))
        return True


@dataclass(frozen=True)
class Mutant:
    """A change of one module: the `lines` that differ, the whole new `source`, and the difference for people."""

    path: Path
    lines: tuple[int, ...]
    source: str
    diff: str


def makers(path: Path) -> list[Callable[[], Mutant]]:
    """What makes each mutant of a module."""
    text = path.read_text(encoding="utf-8")
    module, sites = libcst.parse_module(text), Sites()
    module.visit(sites)

    def make(old: libcst.CSTNode, new: libcst.CSTNode) -> Mutant:
        source = module.deep_replace(old, new).code  # type: ignore[union-attr]
        diff = list(difflib.unified_diff(text.splitlines(), source.splitlines(), lineterm="", n=0))[2:]
        spans = [re.match(r"@@ -(\d+)(?:,(\d+))?", line) for line in diff if line.startswith("@@")]
        lines = tuple(int(span[1]) + n for span in spans if span for n in range(int(span[2] or 1) or 1))
        return Mutant(path, lines, source, "\n".join(diff))

    return [lambda old=old, new=new: make(old, new) for old, new in sites.found]  # type: ignore[misc]


def statement(source: str, line: int) -> range:
    """The lines of the innermost statement around `line`, without the body of a compound one."""
    found = range(line, line + 1)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and node.lineno <= line <= (node.end_lineno or 0):
            inner = getattr(node, "body", None)
            found = range(node.lineno, max(inner[0].lineno, node.lineno + 1) if inner else (node.end_lineno or 0) + 1)
    return found


def tests_for(mutant: Mutant, reached: Reached) -> list[str]:
    """Tests that reach the changed statement, and after them, if it is imported, those of the module; within BUDGET."""
    by_line = reached.tests.get(str(mutant.path.resolve()), {})
    original = mutant.path.read_text(encoding="utf-8")
    near = {test for line in mutant.lines for at in statement(original, line) for test in by_line.get(at, ())}
    whole = {test for tests in by_line.values() for test in tests} if "" in near or not near else set[str]()
    chosen, total = list[str](), 0.0
    for tests in (near, whole - near):
        for test in sorted(tests - {""}, key=lambda test: reached.seconds.get(test, 0.0)):
            total += reached.seconds.get(test, 0.0)
            if total < BUDGET or not chosen:
                chosen.append(test)
    return chosen


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


class Mutated(SourceFileLoader):
    """Finds the module of a mutant, and loads the mutant."""

    def __init__(self, mutant: Mutant) -> None:
        super().__init__(".".join(mutant.path.with_suffix("").parts), str(mutant.path.resolve()))
        self.mutant = mutant

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The spec of this module only."""
        return spec_from_file_location(name, self.path, loader=self) if name == self.name else None

    def get_code(self, fullname: str) -> Any:
        """The mutant's code: no bytecode is read or written."""
        return compile(self.mutant.source, self.path, "exec")


def pytest_exit(paths: list[str], plugin: object, scratch: Path) -> int:
    """Run tests. hypothesis draws the same examples each time, shrinks none and remembers none."""
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", derandomize=True, database=None, phases=phases)
    hypothesis.settings.load_profile("mutants")
    options = [
        "-x",
        "-q",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        f"--basetemp={scratch / 'tmp'}",
    ]
    return int(pytest.main([*options, "-W", "ignore::pytest.PytestAssertRewriteWarning", *paths], plugins=[plugin]))


def forked(work: Callable[[], int], limit: float) -> int | None:
    """The exit code of `work` in a fork; None if it took longer than `limit` seconds, or died of a signal."""
    child = os.fork()
    if not child:
        os.setpgrp()
        if "MUTATE_LOUD" not in os.environ:
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


def measure(package: str, scratch: Path) -> Reached:
    """Run all tests of a package once, unchanged. Exits if one fails."""

    def work() -> int:
        measured = coverage.Coverage(data_file=None, include=[f"{package}/*"], config_file=False)
        recorder = Recorder(measured)
        measured.start()
        code = pytest_exit(TESTS[package], recorder, scratch)
        measured.stop()
        data = measured.get_data()
        tests = {path: data.contexts_by_lineno(path) for path in data.measured_files()}
        modules = [name for name in sys.modules if not PLUGINS.match(name)]
        (scratch / "reached").write_bytes(pickle.dumps(Reached(tests, dict(recorder.seconds), modules)))
        return code

    if forked(work, 1800) != 0:
        sys.exit(f"The tests in {', '.join(TESTS[package])} fail without any change; MUTATE_LOUD=1 shows how.")
    return pickle.loads((scratch / "reached").read_bytes())  # type: ignore[no-any-return]


def outcome(mutant: Mutant, reached: Reached, scratch: Path) -> str:
    """`killed`, `survived`, or `uncovered` where no test reaches the change."""
    tests = tests_for(mutant, reached)
    if not tests:
        return "uncovered"

    def work() -> int:
        sys.meta_path.insert(0, Mutated(mutant))
        return pytest_exit(list(dict.fromkeys(test.partition("::")[0] for test in tests)), Chosen(tests), scratch)

    limit = 20 + 4 * sum(reached.seconds.get(test, 0.0) for test in tests)
    return "survived" if forked(work, limit) == 0 else "killed"


def main() -> None:
    """Print every survivor, and last how many were killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", choices=TESTS)
    parser.add_argument("--seed", type=int, default=0, help="of the sample (default: 0)")
    parser.add_argument("--sample", type=int, default=250, help="how many mutants (default: 250)")
    parser.add_argument("--numbers", type=int, nargs="+", help="only these mutants of the sample")
    options = parser.parse_args()
    paths = [p for p in sorted(Path(options.package).glob("*.py")) if "datasets" not in p.parts or p.stem in CHECKS]
    makes = [make for path in paths for make in makers(path)]
    chosen = random.Random(options.seed).sample(makes, min(options.sample, len(makes)))
    print(f"{options.package}: {len(chosen)} of {len(makes)} mutants, seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as scratch:
        reached = measure(options.package, Path(scratch))
        for name in reached.modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        if forked(lambda: pytest_exit(TESTS[options.package], object(), Path(scratch)), 1800) != 0:
            sys.exit("The tests fail in a fork of a parent that has imported what they need: no outcome would count.")
        counts = defaultdict[str, int](int)
        for number, make in enumerate(chosen):
            if options.numbers and number not in options.numbers:
                continue
            mutant, start = make(), time.monotonic()
            counts[found := outcome(mutant, reached, Path(scratch))] += 1
            if found != "killed":
                print(f"\n{number}: {found}: {mutant.path}\n{mutant.diff}", flush=True)
            if "MUTATE_TIMES" in os.environ:
                print(number, time.monotonic() - start, found, flush=True)
    total = sum(counts.values())
    print(f"\n{options.package}: {counts['killed']} of {total} killed ({counts['killed'] / total:.1%}), {dict(counts)}")


if __name__ == "__main__":
    main()
