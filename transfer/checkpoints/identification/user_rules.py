"""Plan by a user's own renaming rules, from a TOML file, for a network that no family knows.

`docs/rules.md` has the format with an example.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from transfer.backbones.building import KINDS
from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.declared import declared_contract
from transfer.checkpoints.keys.family import Plan
from transfer.checkpoints.keys.matching import AllowedMissing
from transfer.checkpoints.keys.rules import Drop, Join, Permute, RemovePrefix, Rename, Reshape, Rule, Split
from transfer.errors import BadOption, UnknownName, UnreadableCheckpoint

KEYS = {"kind", "path", "arch", "heads", "input", "options", "rules", "allowed_missing"}
OLD_KEYS = {"may_init": "allowed_missing"}
"""Former spelling → present one: both are read for one release."""

FORMS: dict[str, tuple[tuple[str, ...], Callable[..., Rule]]] = {
    "remove_prefix": ((), RemovePrefix),
    "rename": (("to",), Rename),
    "drop": (("reason",), Drop),
    "transpose": (("dims",), lambda pattern, dims: Permute(pattern, tuple(dims))),
    "reshape": (("shape",), lambda pattern, shape: Reshape(pattern, tuple(shape))),
    "join": (("parts", "to", "dim"), lambda pattern, parts, to, dim=0: Join(pattern, tuple(parts), to, dim)),
    "split": (("to", "dim"), lambda pattern, to, dim=0: Split(pattern, tuple(to), dim)),
}
"""Key that names a rule → its other keys, and the rule that the values make."""

OLD_FORMS = {"strip": "remove_prefix"}

OPTIONAL = {"dim"}


def plan_by_rules(contents: Contents, path: Path) -> Plan:
    """Plan to take the file apart as the rules in `path` say. Raises BadOption for rules that cannot work."""
    data = _read(path)
    kind = data.get("kind")
    if kind not in {known.name for known in KINDS}:
        raise UnknownName.among(f"kind of network (`kind` in {path.name})", str(kind), (k.name for k in KINDS))
    return Plan(
        which="rules",
        kind=kind,
        state_dict=_state_dict(contents, data.get("path", ""), path),
        rules=tuple(_rule(entry, index, path) for index, entry in enumerate(data.get("rules", []), 1)),
        input=_contract(data, path),
        allowed_missing=tuple(
            AllowedMissing(entry["pattern"], entry["reason"]) for entry in data.get("allowed_missing", [])
        ),
        options=data.get("options", {}),
        arch=data.get("arch"),
        heads=data.get("heads"),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadOption(f"--rules {path}: the file cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadOption(f"--rules {path}: no valid TOML: {error}.") from error
    data = {OLD_KEYS.get(key, key): value for key, value in data.items()}
    if unknown := sorted(data.keys() - KEYS):
        raise UnknownName.among(f"key of a rules file ({path.name})", unknown[0], KEYS)
    return data


def _state_dict(contents: Contents, wanted: str, path: Path) -> StateDict:
    if wanted not in contents.state_dicts:
        raise UnknownName.among(
            f"state dict (`path` in {path.name}) in {contents.raw.path.name}", wanted, contents.state_dicts
        )
    return contents.state_dicts[wanted]


def _contract(data: Mapping[str, Any], path: Path) -> Any:
    try:
        return declared_contract(data.get("input"), path, source="user")
    except UnreadableCheckpoint as error:
        raise BadOption(f"--rules {path}: {error}") from error


def _rule(entry: Any, index: int, path: Path) -> Rule:
    if isinstance(entry, dict):
        entry = {OLD_FORMS.get(key, key): value for key, value in entry.items()}
    form = next((form for form in FORMS if isinstance(entry, dict) and form in entry), None)
    if form is None:
        raise BadOption(f"--rules {path}: rule {index} should have one of {', '.join(FORMS)}; got {entry!r:.100}.")
    keys, make = FORMS[form]
    values = {key: value for key, value in entry.items() if key != form}
    missing = [key for key in keys if key not in values and key not in OPTIONAL]
    if missing or not values.keys() <= set(keys):
        raise BadOption(
            f"--rules {path}: rule {index} ({form}) takes {', '.join(keys) or 'nothing else'}; got "
            f"{', '.join(values) or 'nothing'}."
        )
    _refuse_bad_pattern(form, entry[form], index, path)
    return make(entry[form], *(values[key] for key in keys if key in values))


def _refuse_bad_pattern(form: str, pattern: Any, index: int, path: Path) -> None:
    try:
        compiled = re.compile(pattern)
    except (re.error, TypeError) as error:
        raise BadOption(
            f"--rules {path}: rule {index} ({form}): {pattern!r} is no regular expression: {error}."
        ) from error
    if form == "join" and "part" not in compiled.groupindex:
        raise BadOption(f"--rules {path}: rule {index} (join): the pattern needs a group (?P<part>...).")
