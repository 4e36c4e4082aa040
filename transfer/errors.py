"""Every error a user can meet, as one tree.

    TransferError
    ├── CheckpointError         the file that was handed in
    │   ├── UnreadableCheckpoint    truncated, empty, not a checkpoint
    │   ├── UnsafeCheckpoint        reading it would need to run its code
    │   ├── UnknownFamily           no family recognises the names
    │   ├── AmbiguousFamily         several families recognise them
    │   ├── WeightMismatch          a tensor without a source, or a source without a place
    │   ├── UnsupportedNetwork      a network without a canonical form, or that cannot do what is asked of it
    │   └── Inexpressible           a network that another library's networks cannot be
    ├── DataError               the images and annotations
    │   ├── MissingData             a folder or file that should be there is not
    │   ├── CorruptImage            an image that cannot be decoded
    │   ├── BrokenAnnotation        an annotation that contradicts the data set
    │   ├── BrokenPredictions       saved predictions that contradict the data set
    │   ├── UnusableIndex           a corpus index that is unfinished, damaged or of another hash version
    │   └── BrokenOverlap           a list of near-duplicates that is damaged or of other images
    ├── UnknownName             a suite, head, task, family or option that does not exist
    ├── BadOption               a value that cannot work
    ├── RunError                a run directory or a launch
    │   ├── FingerprintMismatch     work of another configuration stands where this one would go
    │   ├── StageFailed             a stage ended without its output
    │   ├── BrokenRecord            a record that is damaged or contradicts itself
    │   ├── BrokenConfig            a run's config that is missing, damaged or an earlier version's
    │   ├── UnsafeConfig            a config that names more than this package's parts
    │   └── FailedElsewhere         another process met the error and reports it
    ├── BrokenInstallation      files that belong to this package are not there
    └── MissingOp               a compiled operator that nothing here can replace

A message says what was expected, what came, the nearest valid name and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TransferError(Exception):
    """Base of all errors that are answered with a message instead of a traceback."""


class CheckpointError(TransferError):
    """The checkpoint file cannot be used."""


class UnreadableCheckpoint(CheckpointError):
    """The file is truncated, empty or of another type."""


class UnsafeCheckpoint(CheckpointError):
    """Reading the file would need to execute code that it brings."""


class UnknownFamily(CheckpointError):
    """No registered family recognises the file."""


class AmbiguousFamily(CheckpointError):
    """Several registered families recognise the file."""


class WeightMismatch(CheckpointError):
    """A tensor of the network has no source, or a tensor of the file has no place."""


class UnsupportedNetwork(CheckpointError):
    """The network has no canonical form here, or cannot do what is asked of it."""


class Inexpressible(CheckpointError):
    """The network has a property that the networks of the wanted library cannot have."""


class DataError(TransferError):
    """The data set cannot be used."""


class MissingData(DataError):
    """A folder or file of the data set is missing."""


class CorruptImage(DataError):
    """An image cannot be decoded."""


class BrokenAnnotation(DataError):
    """An annotation contradicts the images or itself."""


class BrokenPredictions(DataError):
    """Saved predictions are damaged or contradict the data set."""


class UnusableIndex(DataError):
    """A corpus index is unfinished, damaged or of another hash version."""


class BrokenOverlap(DataError):
    """A list of near-duplicates is damaged, or was made for other images."""


class UnknownName(TransferError):
    """A name that nothing here answers to."""

    @classmethod
    def among(cls, kind: str, name: str, known: Iterable[str]) -> UnknownName:
        """Say which `kind` was asked for, the closest known names, and all of them."""
        available = sorted(known)
        close = difflib.get_close_matches(name, available, n=3, cutoff=0.5)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        return cls(f"there is no {kind} {name!r}.{hint} Available: {', '.join(available)}.")


class BadOption(TransferError):
    """An option's value cannot work."""


class RunError(TransferError):
    """A run cannot start or go on."""


class FingerprintMismatch(RunError):
    """The run directory holds work of another configuration."""


class StageFailed(RunError):
    """A stage ended without its output."""


class BrokenRecord(RunError):
    """A record is damaged or contradicts itself."""


class BrokenConfig(RunError):
    """A run's config is missing, damaged, or the program that an earlier version wrote."""


class UnsafeConfig(RunError):
    """A config names code or files that are no part of a run."""


class FailedElsewhere(RunError):
    """The first process met an error and reports it; this one only ends."""


class BrokenInstallation(TransferError):
    """Files that belong to this package are not there."""


class MissingOp(TransferError, NotImplementedError):
    """A compiled operator of mmcv that the bridge does not replace."""
