r"""Read rules backwards: the name that a tensor of the backbone would have in the file, for error messages.

A rule is a regular expression and a replacement, so its inverse is not defined: `(?:0|linear)` forgets which of the two
it was. The inverse here is a guess that is then checked. From the last rule to the first, pattern and replacement swap
sides (`_undo`); the name that comes out is sent forward through all rules, and is shown only if it arrives where it
should.

    rule     encoder\.layer_(\d+)\.(?:0|linear)\.(.*)  →  blocks.\1.fc.\2
    asked    blocks.3.fc.weight
    1.       blocks\.(?P<g1>\d+)\.fc\.(?P<g2>.*)      the replacement as a pattern, with the groups in it
    2.       g1 = 3, g2 = weight                       what these groups match
    3.       encoder.layer_3.0.weight                  the rule's pattern, filled with them and first alternatives
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from transfer.checkpoints.keys.rules import Drop, Join, RemovePrefix, Rename, Rule

CAPTURE = r"\((?:\?P<part>|(?!\?))[^()]*\)"
"""A group that a replacement may refer to. One with groups inside is missed, and the guess fails its check."""


def name_in_file(name: str, rules: Sequence[Rule]) -> str:
    """Return what a tensor with this canonical name is called in the file, as far as the rules can be read backwards.

    The parts of a tensor that was joined stand with ` + ` between them. The canonical name where the guess is wrong.
    """
    sources = [name]
    for rule in reversed(rules):
        if isinstance(rule, RemovePrefix):
            sources = [rule.prefix + source for source in sources]
        elif isinstance(rule, Rename):
            sources = [_undo(source, rule.pattern, rule.replacement) for source in sources]
        elif isinstance(rule, Join):
            sources = [part for source in sources for part in _parts(source, rule)]
    return " + ".join(sources) if all(_follow(source, rules) == name for source in sources) else name


def _follow(name: str, rules: Sequence[Rule]) -> str | None:
    """Return where one name leads by itself, None if it is left out."""
    for rule in rules:
        if isinstance(rule, RemovePrefix):
            if not name.startswith(rule.prefix):
                return None
            name = name.removeprefix(rule.prefix)
        elif found := re.fullmatch(rule.pattern, name):
            if isinstance(rule, Drop):
                return None
            if isinstance(rule, (Rename, Join)):
                name = found.expand(rule.replacement)
    return name


def _parts(name: str, rule: Join) -> list[str]:
    """Return the names of a joined tensor's parts, one for each value of the group `part`; `name` if not joined."""
    patterns = [re.sub(r"\(\?P<part>[^()]*\)", f"(?P<part>{part})", rule.pattern) for part in rule.parts]
    return list(dict.fromkeys(_undo(name, pattern, rule.replacement) for pattern in patterns))


def _undo(name: str, pattern: str, replacement: str) -> str:
    """Return a name that the rule would turn into `name`; `name` itself where the rule cannot have made it."""
    groups = re.findall(CAPTURE, pattern)
    backward = re.escape(replacement)
    for number, group in enumerate(groups, 1):
        # re.escape has doubled the backslash of \1
        backward = backward.replace(rf"\\{number}", f"(?P<g{number}>{group[1:-1].removeprefix('?P<part>')})")
    match = re.fullmatch(backward, name)
    if match is None:
        return name
    # groups that capture nothing, (?:0|linear), stand for their first alternative
    forward = re.sub(r"\(\?:([^|()]*)[^()]*\)", r"\1", pattern)
    for number, group in enumerate(groups, 1):
        # a group that the replacement does not repeat left no trace in `name`
        forward = forward.replace(group, match.groupdict().get(f"g{number}", _first_alternative(group)), 1)
    return forward.replace("\\.", ".")


def _first_alternative(group: str) -> str:
    """Return `q` for `(q|k|v)` and `(?P<part>q|k|v)`."""
    return group[1:-1].removeprefix("?P<part>").split("|")[0]
