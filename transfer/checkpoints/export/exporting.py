"""From a checkpoint file to what another library loads strictly."""

from __future__ import annotations

from pathlib import Path

from transfer.checkpoints.export.detectron2 import DETECTRON2
from transfer.checkpoints.export.huggingface import HUGGINGFACE
from transfer.checkpoints.export.library import Export, Trunk, World
from transfer.checkpoints.export.openmmlab import OPENMMLAB
from transfer.checkpoints.export.timm import TIMM
from transfer.checkpoints.export.torchvision import TORCHVISION
from transfer.checkpoints.identification.filling import UNSAID, Choice
from transfer.checkpoints.loading import certified, trunk_values
from transfer.errors import Inexpressible, UnknownName
from transfer.schemas.checkpoint import Certificate

WORLDS: tuple[World, ...] = (TIMM, TORCHVISION, OPENMMLAB, DETECTRON2, HUGGINGFACE)


def export_checkpoint(
    path: str | Path, output: Path, world: str, choice: Choice = UNSAID
) -> tuple[Certificate, Export]:
    """Write the trunk of a checkpoint file as the library `world` loads it, whole or not at all.

    Raises Inexpressible where that library's networks cannot be this one, UnknownName for another library.
    """
    chosen = world_called(world)
    certificate, filled = certified(path, choice)
    export = express(chosen, Trunk(certificate.backbone, certificate.input, trunk_values(filled)), output)
    chosen.write(output, export, certificate)
    return certificate, export


def world_called(name: str) -> World:
    """The library of that name. Raises UnknownName."""
    found = next((world for world in WORLDS if world.name == name), None)
    if found is None:
        raise UnknownName.among("library to convert for", name, (world.name for world in WORLDS))
    return found


def express(world: World, trunk: Trunk, output: Path) -> Export:
    """The trunk in the words of `world`, to be written to `output`. Raises Inexpressible."""
    if trunk.spec.kind not in world.kinds:
        others = [other.name for other in WORLDS if trunk.spec.kind in other.kinds]
        raise Inexpressible(
            f"{world.name} has no networks of the kind {trunk.spec.kind} ({trunk.spec.arch}). "
            f"Libraries that may: {', '.join(others) or 'none'}. Without --to the canonical file is written."
        )
    return world.kinds[trunk.spec.kind](trunk, output)


def describe_export(export: Export) -> str:
    """What the user of the other library must know, and the lines that load the result."""
    return "\n".join([*(f"note        {note}" for note in export.notes), "", export.snippet])
