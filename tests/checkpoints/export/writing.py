"""Exports on disk without a checkpoint file."""

from __future__ import annotations

from pathlib import Path

from transfer.checkpoints.export.exporting import express, world_called
from transfer.checkpoints.export.library import Export, Trunk
from transfer.schemas.checkpoint import Certificate


def certificate(trunk: Trunk) -> Certificate:
    return Certificate(
        family="none", arch=trunk.spec.arch, which="model", coverage=1.0, input=trunk.input, dropped={}, initialised={},
        resized={}, warnings=(), backbone=trunk.spec, checkpoint="none.pth", sha256="0" * 64,
    )  # fmt: skip


def exported(world: str, trunk: Trunk, path: Path) -> Export:
    """Express and write."""
    chosen = world_called(world)
    export = express(chosen, trunk, path)
    chosen.write(path, export, certificate(trunk))
    return export


def written(world: str, trunk: Trunk, path: Path) -> Path:
    exported(world, trunk, path)
    return path
