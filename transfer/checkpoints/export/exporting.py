"""Export a checkpoint file as what another library loads strictly."""

from __future__ import annotations

from pathlib import Path

from transfer.checkpoints.export.detectron2 import DETECTRON2
from transfer.checkpoints.export.huggingface import HUGGINGFACE
from transfer.checkpoints.export.library import ConvertedBackbone, Export, Library
from transfer.checkpoints.export.openmmlab import OPENMMLAB
from transfer.checkpoints.export.timm import TIMM
from transfer.checkpoints.export.torchvision import TORCHVISION
from transfer.checkpoints.identification.filling import UNSAID, Choice
from transfer.checkpoints.loading import backbone_values, certified
from transfer.errors import Inexpressible, UnknownName
from transfer.schemas.checkpoint import Certificate

LIBRARIES: tuple[Library, ...] = (TIMM, TORCHVISION, OPENMMLAB, DETECTRON2, HUGGINGFACE)


def export_checkpoint(
    path: str | Path, output: Path, library: str, choice: Choice = UNSAID
) -> tuple[Certificate, Export]:
    """Write the backbone of a checkpoint file as the library `library` loads it, atomically.

    Raises Inexpressible where that library's networks cannot be this one, UnknownName for another library.
    """
    chosen = library_called(library)
    certificate, filled = certified(path, choice)
    export = export_for(
        chosen, ConvertedBackbone(certificate.backbone, certificate.input, backbone_values(filled)), output
    )
    chosen.write(output, export, certificate)
    return certificate, export


def library_called(name: str) -> Library:
    """Return the library of that name. Raises UnknownName."""
    found = next((library for library in LIBRARIES if library.name == name), None)
    if found is None:
        raise UnknownName.among("library to convert for", name, (library.name for library in LIBRARIES))
    return found


def export_for(library: Library, network: ConvertedBackbone, output: Path) -> Export:
    """Return the backbone as `library` has it, to be written to `output`. Raises Inexpressible."""
    if network.spec.kind not in library.kinds:
        others = [other.name for other in LIBRARIES if network.spec.kind in other.kinds]
        raise Inexpressible(
            f"{library.name} has no networks of the kind {network.spec.kind} ({network.spec.arch}). "
            f"Libraries that may: {', '.join(others) or 'none'}. Without --to the canonical file is written."
        )
    return library.kinds[network.spec.kind](network, output)


def describe_export(export: Export) -> str:
    """Say what the user of the other library must know, and the lines that load the result."""
    return "\n".join([*(f"note        {note}" for note in export.notes), "", export.snippet])
