"""Render the leaderboard for a terminal: the same text with its tables aligned and its links left out."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from textwrap import wrap

PLAIN = (
    (r" ?<sup>.*?</sup>", ""),
    (r"\[([^\]]*)\]\([^)]*\)", r"\1"),
    (r"\*{1,2}([^*]+)\*{1,2}", r"\1"),
    (r"`([^`]*)`", r"\1"),
)


def as_text(markdown: str) -> str:
    """Return `markdown` without links and emphasis, table columns padded to one width."""
    blocks = groupby(markdown.splitlines(), key=lambda line: line.startswith("|"))
    lines = [line for table, block in blocks for line in (_aligned(list(block)) if table else map(_plain, block))]
    return "\n".join(lines) + "\n"


def _aligned(block: Sequence[str]) -> list[str]:
    """Return lines of a table: the header wrapped to what its column needs, a rule, the rows."""
    header, rule, *body = ([_plain(cell.strip()) for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in block)
    widths = [max(map(len, [*title.split(), *cells])) for title, *cells in zip(header, *body, strict=True)]
    right = [cell.endswith(":") for cell in rule]
    lines = [*_wrapped(header, widths), ["-" * width for width in widths], *body]
    return ["  ".join(map(_padded, line, widths, right)).rstrip() for line in lines]


def _wrapped(header: Sequence[str], widths: Sequence[int]) -> list[list[str]]:
    """Return header lines of at most `widths` characters per column, filled from below."""
    titles = [wrap(title, width, break_on_hyphens=False) for title, width in zip(header, widths, strict=True)]
    height = max(map(len, titles))
    return [list(line) for line in zip(*([""] * (height - len(title)) + title for title in titles), strict=True)]


def _padded(text: str, width: int, right: bool) -> str:
    return text.rjust(width) if right else text.ljust(width)


def _plain(line: str) -> str:
    for pattern, replacement in PLAIN:
        line = re.sub(pattern, replacement, line)
    return line.replace("\\|", "|")
