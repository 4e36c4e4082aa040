"""Mutants of a module by mutmut's operators, and the modules that become them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from typing import Any

import libcst
from mutmut.mutation.mutators import mutation_operators


@dataclass(frozen=True)
class Mutant:
    """A change of one module: the `lines` that differ, the whole new `source`, and the difference for people."""

    path: Path
    lines: tuple[int, ...]
    source: str
    diff: str


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
