"""What heads are for: how each task type is fitted to a backbone, pointed at data, resized and written."""

from __future__ import annotations

from transfer.errors import UnknownName
from transfer.openmmlab.tasks.detection import DETECTION, INSTANCES
from transfer.openmmlab.tasks.pose import POSE
from transfer.openmmlab.tasks.segmentation import SEGMENTATION
from transfer.openmmlab.tasks.task_type import TaskType

TASKS = (DETECTION, INSTANCES, POSE, SEGMENTATION)


def task_type(name: str) -> TaskType:
    """Return the task type called `name`; raises UnknownName with the nearest names."""
    for task in TASKS:
        if task.name == name:
            return task
    raise UnknownName.among("task type", name, [task.name for task in TASKS])
