"""The containers that checkpoints come in. Every reader returns what was saved; none runs the file's code."""

from __future__ import annotations

from transfer.checkpoints.reading.containers.safetensors import read_safetensors

__all__ = ["read_safetensors"]
