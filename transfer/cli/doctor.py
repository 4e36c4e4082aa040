"""`transfer doctor`: whether this machine is ready."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from transfer.cli.parsing import add_verb

if TYPE_CHECKING:
    from transfer.cli.parsing import Verbs


def add(verbs: Verbs) -> None:
    """Add the verb."""
    text = "is this machine ready: packages, operators, data, GPUs"
    add_verb(verbs, "doctor", run, text, "transfer doctor")


def run(options: argparse.Namespace) -> int:
    """Check this machine; status 1 when something needed is missing."""
    from transfer.workflows.doctor import examine

    findings = examine()
    for finding in findings:
        state = "ok" if finding.ok else "missing" if finding.needed else "none"
        print(f"{state:8} {finding.subject}: {finding.text}")
    return int(any(finding.needed and not finding.ok for finding in findings))
