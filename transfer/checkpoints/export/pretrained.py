"""What a Hugging Face network is besides its tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Pretrained:
    """The class, its `config.json`, and what `from_pretrained` must be told beside the folder."""

    model: str
    config: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
