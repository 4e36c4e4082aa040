"""Name the variables that TensorFlow 2 has numbered after the objects that own them.

A checkpoint keeps a variable under the shortest path through the objects, which a SavedModel's lists of variables make
`variables/17`. The graph of the objects (tensorflow/core/protobuf/trackable_object_graph.proto) has the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from transfer.checkpoints.reading.tensorflow.protobuf import Message, parse
from transfer.errors import UnreadableCheckpoint

GRAPH = b"_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
NUMBERED = re.compile(r".*/\d+" + re.escape(VALUE))
BOOKKEEPING = "keras_api"
"""Under this name Keras keeps further lists of what has its place elsewhere."""

LONGEST = 1000
"""Characters of a path that is followed further: names of names must not outgrow the file."""


@dataclass(frozen=True)
class Node:
    """An object: its children by name, and the key under which a variable is stored."""

    children: tuple[tuple[str, int], ...]
    key: str


def own_names(keys: Iterable[str], graph: memoryview) -> dict[str, str]:
    """Map numbered keys to the shortest path on which the variable is no number in a list, if there is one.

    Raises UnreadableCheckpoint for a damaged graph, and if two variables would get one name.
    """
    numbered = {key for key in keys if NUMBERED.fullmatch(key)}
    nodes = [_node(message) for message in parse(graph).messages(1)] if numbered else []
    names = {nodes[number].key: path + VALUE for number, path in _paths(nodes).items()}
    own = {key: names[key] for key in numbered if key in names}
    if len(set(own.values())) < len(own):
        raise UnreadableCheckpoint("its graph of objects gives two variables one name")
    return own


def _node(message: Message) -> Node:
    children = tuple((child.text(2), child.integer(1)) for child in message.messages(1))
    return Node(children, next((attribute.text(3) for attribute in message.messages(2)), ""))


def _paths(nodes: list[Node]) -> dict[int, str]:
    """Return the shortest path by names to each variable's node, by its number, breadth first from the root."""
    paths = {0: ""} if nodes else {}
    queue = list(paths)
    for number in queue:
        for name, child in nodes[number].children if len(paths[number]) < LONGEST else ():
            if child >= len(nodes):
                raise UnreadableCheckpoint(f"its graph of {len(nodes)} objects mentions number {child}")
            in_list = name.isdigit() and nodes[child].key
            if child not in paths and not in_list and name != BOOKKEEPING:
                paths[child] = f"{paths[number]}/{name}".lstrip("/")
                queue.append(child)
    return {number: path for number, path in paths.items() if nodes[number].key}
