"""Read files of the DINO line: a student and a teacher in one file, saved as their training wraps them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from transfer.checkpoints.keys.contents import Contents, StateDict
from transfer.checkpoints.keys.layouts import SWIN, VIT, Layout
from transfer.errors import WeightMismatch

LABELS = ("teacher", "student")
"""Keys of the two networks; the teacher is what is evaluated."""


def teacher_and_student(contents: Contents, accepts: Callable[[StateDict], bool]) -> dict[str, StateDict]:
    """Return the two networks' state dicts, as far as the file has them; none if it `accepts` neither.

    A teacher that is not accepted, next to a student that is, stays: it is damaged, and the match says where.
    """
    found = {label: contents.state_dicts[label] for label in LABELS if label in contents.state_dicts}
    return found if any(accepts(state_dict) for state_dict in found.values()) else {}


def refuse_swapped(contents: Contents, project: str, masked: str | None = None) -> None:
    """Raise WeightMismatch if the teacher looks like the student.

    Training wraps the student for several processes, and the teacher only where it has batch norms; only a student
    has the token `masked` that stands in for hidden patches.
    """
    state_dicts = contents.state_dicts
    if not {*LABELS} <= state_dicts.keys():
        return
    teacher, student = (state_dicts[label] for label in LABELS)
    if teacher.wrapper and not student.wrapper:
        raise WeightMismatch(_swapped(contents, f"the teacher's names begin with {teacher.wrapper}", project))
    if masked and _has(teacher, masked) and not _has(student, masked):
        raise WeightMismatch(_swapped(contents, f"the teacher has {masked}", project))


def _has(state_dict: StateDict, last: str) -> bool:
    return any(name.rpartition(".")[2] == last for name in state_dict.tensors)


def _swapped(contents: Contents, difference: str, project: str) -> str:
    return (
        f"{contents.raw.path.name}: {difference} and the student's do not; {project} writes them the other way round. "
        "The two were swapped: put each under its own key, or name the weights' keys teacher and student as training "
        "saved them."
    )


def trained_arch(contents: Contents) -> str | None:
    """Return `vit_small_patch8_224` for `vit_small` with `patch_size` 8 in the training options."""
    arch, patch = contents.arch, contents.args.get("patch_size")
    if arch and re.fullmatch(r"(vit|deit)_(tiny|small|base|large)", arch):
        return f"{arch}_patch{patch}_224" if isinstance(patch, int) else None
    return arch


def trained_options(layout: Layout | None) -> Mapping[str, Any]:
    """Return the options of DINO's ViTs, and of iBOT's and EsViT's Swins, that leave no trace in weights."""
    if layout == VIT:
        return {"position_interpolation": "dino"}
    return {"eps": 1e-6, "padding": "ibot"} if layout == SWIN else {}
