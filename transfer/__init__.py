"""Does this pretrained checkpoint transfer?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transfer.checkpoints.loading import load_backbone

__all__ = ["__version__", "load_backbone"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import torch only when `load_backbone` is asked for, so that `transfer --help` stays instant."""
    if name == "load_backbone":
        from transfer.checkpoints.loading import load_backbone

        return load_backbone
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
