"""Convert input contracts to other libraries' units, and stems to the order of channels that they read."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from transfer.checkpoints.export.library import ConvertedBackbone
from transfer.schemas.checkpoint import InputContract

Triple = tuple[float, float, float]
BYTE = 255.0


def unit_statistics(contract: InputContract) -> tuple[Triple, Triple]:
    """Return mean and standard deviation of pixels between 0 and 1, in the contract's order of channels."""
    factor = 1.0 if contract.range == "0-1" else 1 / BYTE
    return _times(contract.mean, factor), _times(contract.std, factor)


def byte_statistics(contract: InputContract) -> tuple[Triple, Triple]:
    """Return mean and standard deviation of pixels between 0 and 255, in the contract's order of channels."""
    factor = BYTE if contract.range == "0-1" else 1.0
    return _times(contract.mean, factor), _times(contract.std, factor)


def _times(values: Triple, factor: float) -> Triple:
    # twelve digits: 0.485 * 255 is 123.675, not 123.67499999999998
    first, second, third = (float(f"{value * factor:.12g}") for value in values)
    return first, second, third


def seeing_rgb(backbone: ConvertedBackbone) -> ConvertedBackbone:
    """Return the backbone for RGB images: a stem that saw BGR has its input channels reversed, which is exact."""
    contract = backbone.input
    if contract.channel_order == "RGB":
        return backbone
    stem = next(name for name, value in backbone.values.items() if len(value.shape) == 4)
    flipped = backbone.values[stem].then(_reversed_channels, "reversing channels")
    contract = replace(contract, channel_order="RGB", mean=contract.mean[::-1], std=contract.std[::-1])
    note = f"the network saw BGR images: the input channels of its stem, {stem}, are reversed, so that it sees RGB"
    return replace(backbone, input=contract).with_values({**backbone.values, stem: flipped}, note)


def _reversed_channels(kernel: Tensor) -> Tensor:
    return kernel.flip(1)


def scaled_range_note(contract: InputContract) -> tuple[str, ...]:
    """Return a note if the network saw values up to 255, for libraries whose images have values up to 1."""
    if contract.range == "0-1":
        return ()
    return ("the network saw pixels between 0 and 255: mean and standard deviation are divided by 255, which is exact",)
