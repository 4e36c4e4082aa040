"""A checkpoint to start processes with."""

from tests.workflows.conftest import checkpoint

__all__ = ["checkpoint"]
