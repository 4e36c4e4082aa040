"""Exports on disk without a checkpoint file."""

from __future__ import annotations

from pathlib import Path

from transfer.checkpoints.export.exporting import export_for, library_called
from transfer.checkpoints.export.library import ConvertedBackbone, Export
from transfer.schemas.checkpoint import Certificate


def certificate(network: ConvertedBackbone) -> Certificate:
    return Certificate(
        family="none", arch=network.spec.arch, which="model", coverage=1.0, input=network.input, dropped={},
        initialised={}, resized={}, warnings=(), backbone=network.spec, checkpoint="none.pth", sha256="0" * 64,
    )  # fmt: skip


def exported(library: str, network: ConvertedBackbone, path: Path) -> Export:
    """Export and write."""
    chosen = library_called(library)
    export = export_for(chosen, network, path)
    chosen.write(path, export, certificate(network))
    return export


def written(library: str, network: ConvertedBackbone, path: Path) -> Path:
    exported(library, network, path)
    return path
