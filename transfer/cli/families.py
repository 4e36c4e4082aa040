"""`transfer families`: whose checkpoints are recognised. Works without torch, which every family's code imports."""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from transfer.cli.parsing import add_verb

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs

PACKAGE = "transfer.checkpoints.families"


def add(verbs: Verbs) -> None:
    """Add the verb."""
    add_verb(verbs, "families", run, "list the checkpoint families that are recognised", "transfer families")


def run(options: argparse.Namespace) -> None:
    """List the families."""
    for name, aliases, description in declared():
        also = f" (also {', '.join(aliases)})" if aliases else ""
        print(f"{name}{also}: {description}")


def declared() -> Iterator[tuple[str, tuple[str, ...], str]]:
    """Yield name, aliases and description of every family in the order of FAMILIES, read from source, not imported."""
    spec = find_spec(PACKAGE)
    assert spec is not None and spec.submodule_search_locations
    folder = Path(spec.submodule_search_locations[0])
    for entry in ast.walk(_assigned(folder / "__init__.py", "FAMILIES")):
        if isinstance(entry, ast.Attribute) and isinstance(entry.value, ast.Name):
            family = _assigned(folder / f"{entry.value.id}.py", entry.attr)
            assert isinstance(family, ast.Call)
            said = {keyword.arg: keyword.value for keyword in family.keywords}
            name, aliases, description = (ast.literal_eval(said[key]) for key in ("name", "aliases", "description"))
            yield name, aliases, description


def _assigned(file: Path, name: str) -> ast.expr:
    """Return what a module assigns to `name`."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None
            return node.value
    raise LookupError(f"{file} assigns nothing to {name}.")
