"""Rules that are read backwards lead to the file's own names, or to the canonical ones where that cannot be told."""

from __future__ import annotations

import pytest

from transfer.checkpoints.keys.reverse import name_in_file
from transfer.checkpoints.keys.rules import Drop, Join, Permute, RemovePrefix, Rename, Rule

QKV = Join(r"(.*)\.(?P<part>q|k|v)\.(weight|bias)", ("q", "k", "v"), r"\1.qkv.\3")


@pytest.mark.parametrize(
    ("rules", "name", "expected"),
    [
        ((), "a", "a"),
        ((RemovePrefix("net."),), "a", "net.a"),
        ((Rename(r"layer_(\d+)\.(?:0|linear)\.(.*)", r"blocks.\1.fc.\2"),), "blocks.3.fc.weight", "layer_3.0.weight"),
        ((Rename(r"a\.(.*)", r"b.\1"), Rename(r"b\.(w)", r"c.\1")), "c.w", "a.w"),
        ((RemovePrefix("net."), QKV), "attn.qkv.bias", "net.attn.q.bias + net.attn.k.bias + net.attn.v.bias"),
        ((Rename(r"kernel(_a|_b)", "weight"), Permute("weight", (1, 0))), "weight", "kernel_a"),
        ((Rename(r"other\.(.*)", r"else.\1"),), "blocks.weight", "blocks.weight"),
    ],
)
def test_the_name_in_the_file(rules: tuple[Rule, ...], name: str, expected: str) -> None:
    assert name_in_file(name, rules) == expected


@pytest.mark.parametrize(
    "rules",
    [
        (Rename(r"old\.(.*)", r"new.\1"), Rename(r"(?:old|first)\.(.*)", r"a.\1")),
        (Drop(r"net\..*", "another network"), RemovePrefix("net.")),
    ],
    ids=["renamed before", "dropped"],
)
def test_a_guess_that_leads_elsewhere_is_not_shown(rules: tuple[Rule, ...]) -> None:
    assert name_in_file("a.w", rules) == "a.w"
