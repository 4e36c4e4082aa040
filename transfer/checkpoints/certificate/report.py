"""Describe a certificate to people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from transfer.schemas.checkpoint import Certificate


def describe(certificate: Certificate) -> str:
    """Return a screen of text: what the file is, what the backbone expects, and what became of every tensor."""
    contract = certificate.input
    values = (f"{name} {', '.join(f'{value:g}' for value in contract[name])}" for name in ("mean", "std"))
    lines = [
        f"{certificate.checkpoint}  sha256 {certificate.sha256[:16]}",
        f"family      {certificate.family} ({certificate.which})",
        f"arch        {certificate.arch}",
        f"coverage    {100 * certificate.coverage:.2f}% of the backbone's values come from the file",
        f"input       {contract.channel_order}, {contract.range}, {', '.join(values)} ({certificate.confidence})",
    ]
    if contract.patch is not None:
        lines.append(f"patch       {contract.patch} px, trained at {contract.size}")
    if certificate.stages:
        lines.append(
            "stages      " + ", ".join(f"{name} {100 * part:.2f}%" for name, part in certificate.stages.items())
        )
    if certificate.assumptions:
        lines.append("assumed     " + "; ".join(f"{name}: {value}" for name, value in certificate.assumptions.items()))
    if certificate.probe:
        lines.append(f"probe       {certificate.probe['verdict']}")
    for title in ("dropped", "initialised", "resized"):
        lines += _grouped(title, certificate[title])
    return "\n".join([*lines, *(f"warning     {warning}" for warning in certificate.warnings)])


def _grouped(title: str, entries: Mapping[str, str]) -> list[str]:
    """Return a line for each reason, with the number of tensors it covers and one of their names."""
    counts = Counter(entries.values())
    examples = {reason: name for name, reason in reversed(list(entries.items()))}
    return [
        f"{title:11} {count} ({examples[reason]}{', ...' * (count > 1)}): {reason}" for reason, count in counts.items()
    ]
