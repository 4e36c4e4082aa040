"""Former spellings of options, and messages about values."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from transfer import cli
from transfer.cli.parsing import Parser, add_former

PREDICTIONS = ["predictions.json", "-o", "out.zip"]


def parsed(*arguments: str) -> argparse.Namespace:
    return cli.parser().parse_args(arguments)


@pytest.mark.parametrize(
    ("arguments", "former", "today", "value"),
    [
        (["eval", "c", "mini"], ["--iterations", "3"], "--steps", 3),
        (["curve", "c", "mini"], ["--iterations=3"], "--steps", 3),
        (["score", "a", "b"], ["--kind", "voc"], "--metric", "voc"),
        (["data", "check", "mini"], ["--kind", "bbox", "--kind", "segm"], "--annotations", ["bbox", "segm"]),
        (["data", "submission", *PREDICTIONS], ["--kind", "segm"], "--metric", "segm"),
        (["dedup", "index", "images", "-o", "i"], ["--parts"], "--local-features", True),
    ],
)
def test_a_former_spelling_works_and_says_so(
    arguments: list[str], former: list[str], today: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    dest = today.strip("-").replace("-", "_")
    assert getattr(parsed(*arguments, *former), dest) == value
    spelled = former[0].partition("=")[0]
    assert f": {spelled} is now {today}; the next release forgets it.\n" in capsys.readouterr().err
    now = [part.replace(spelled, today) for part in former]
    assert getattr(parsed(*arguments, *now), dest) == value
    assert not capsys.readouterr().err


def test_only_one_process_of_a_run_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "1")
    assert parsed("eval", "c", "mini", "--iterations", "3").steps == 3
    assert not capsys.readouterr().err


def test_a_former_spelling_changes_no_default() -> None:
    parser = Parser()
    add_former(parser, "--old", parser.add_argument("--new", default=4))
    assert parser.parse_args([]).new == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("eval", "transfer eval: the following arguments are required: CKPT, SUITE"),
        ("eval c mini --steps 0", "argument --steps: expected a whole number from 1 on, got '0'."),
        ("eval c mini --steps", "argument --steps: expected one argument"),
        ("eval c mini --tune fool", "there is no --tune 'fool'. Did you mean full? Available: full, last-stage, none."),
        ("eval c mini --trunk half", "there is no --trunk 'half'. Available: before-conv5, frozen, full."),
        ("eval c mini --seeds a", "argument --seeds: expected whole numbers, as 0,1; got 'a'."),
        ("eval c mini --snapshots -1", "argument --snapshots: expected a whole number from 0 on, got '-1'."),
        ("eval c mini --processes two", "argument --processes: expected a whole number, got 'two'."),
        ("score a b", "the following arguments are required: --metric"),
        ("score a b --metrci bbox", "there is no option '--metrci'. Did you mean --metric?"),
        ("pretrain rcdbb -o c.pth", "there is no method 'rcdbb'. Did you mean rcdb?"),
        ("pretrain rcdb -o c.pth --minutes x", "argument --minutes: expected a number, got 'x'."),
        ("inspect c -json", "there is no option '-json'. Did you mean --json?"),
        ("--verison", "transfer: there is no option '--verison'. Did you mean --version?"),
        ("eval c mini more", "unrecognized arguments: more"),
    ],
)
def test_a_wrong_argument_is_one_message(arguments: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments.split())
    printed = capsys.readouterr().err
    assert ended.value.code == 2 and message in printed
    assert printed.count("\n") == 2 and printed.endswith(" --help\n")


def test_what_looks_like_an_option_and_is_none(tmp_path: Path) -> None:
    options = parsed("score", "a", "b", "--metric", "miou", "--ignore", "-1", "--classes=-sky,road")
    assert (options.ignore, options.classes) == (-1, "-sky,road")
    assert parsed("inspect", "--", "--odd.pth").checkpoint == "--odd.pth"
    assert parsed("inspect", "--js", "c").json
    assert parsed("convert", "c", "-oout.pth").output == Path("out.pth")
