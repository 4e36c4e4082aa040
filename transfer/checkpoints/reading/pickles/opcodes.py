"""The instructions of a pickle: what each does to the machine. Every one accepts only the types it was made for."""

from __future__ import annotations

import codecs
import pickle
import struct
from collections.abc import Callable, Iterable
from typing import Any

import torch

from transfer.checkpoints.reading.pickles.arrays import ArrayType, Shell
from transfer.checkpoints.reading.pickles.inert import BareDict, Inert, InertClass
from transfer.checkpoints.reading.pickles.machine import Machine

LONGEST_NUMBER = 100
"""Most bytes or digits of a number."""
INLINE = 4096
"""Most bytes that are copied; longer data stay where they are."""

Handler = Callable[[Machine], None]


def _skip(size: int) -> Handler:
    def skip(machine: Machine) -> None:
        machine.take(size)

    return skip


def _constant(value: Any) -> Handler:
    return lambda machine: machine.stack.append(value)


def _new(kind: Callable[[], Any]) -> Handler:
    return lambda machine: machine.push_new(kind())


def _number(form: str) -> Handler:
    code = struct.Struct(form)

    def push(machine: Machine) -> None:
        machine.stack.append(code.unpack(machine.take(code.size))[0])

    return push


def _sized(form: str, convert: Callable[[memoryview], Any]) -> Handler:
    """Push an operand that stands behind its length."""
    code = struct.Struct(form)

    def push(machine: Machine) -> None:
        machine.stack.append(convert(machine.take(code.unpack(machine.take(code.size))[0])))

    return push


def _line(convert: Callable[[bytes], Any]) -> Handler:
    return lambda machine: machine.stack.append(convert(machine.line()))


def _text(data: memoryview) -> str:
    return str(data, "utf-8", "surrogatepass")


def _bytes(data: memoryview) -> bytes | memoryview:
    return bytes(data) if len(data) <= INLINE else data


def _old_string(data: memoryview) -> str | memoryview:
    """Read a string of Python 2, text or bytes: latin-1 loses nothing, and long ones are arrays."""
    return str(data, "latin-1") if len(data) <= INLINE else data


def _quoted(line: bytes) -> str:
    if len(line) < 2 or line[:1] != line[-1:] or line[:1] not in (b"'", b'"'):
        raise pickle.UnpicklingError("a string without quotes")
    return codecs.escape_decode(line[1:-1])[0].decode("latin-1")


def _long(data: memoryview) -> int:
    if len(data) > LONGEST_NUMBER:
        raise pickle.UnpicklingError(f"a number of {len(data):,} bytes")
    return int.from_bytes(data, "little", signed=True)


def _int_line(line: bytes) -> int | bool:
    if line in (b"00", b"01"):
        return line == b"01"
    if len(line) > LONGEST_NUMBER:
        raise pickle.UnpicklingError(f"a number of {len(line):,} digits")
    return int(line.removesuffix(b"L"), 0)


def _float_line(line: bytes) -> float:
    return float(line[:LONGEST_NUMBER])


def _tuple(count: int) -> Handler:
    def push(machine: Machine) -> None:
        if len(machine.stack) < count:
            raise pickle.UnpicklingError("a tuple of more than there is")
        items = tuple(machine.stack[-count:])
        del machine.stack[-count:]
        machine.push_new(items)

    return push


def _marked_tuple(machine: Machine) -> None:
    items = tuple(machine.since_mark())
    machine.push_new(items)


def _marked_list(machine: Machine) -> None:
    items = machine.since_mark()
    machine.push_new(items)


def _marked_dict(machine: Machine) -> None:
    items = machine.since_mark()
    machine.push_new({})
    _set(machine, machine.stack[-1], items)


def _marked_frozenset(machine: Machine) -> None:
    items = machine.since_mark()
    machine.check_keys(items)
    machine.push_new(frozenset(items))


def _set_item(machine: Machine) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    _set(machine, machine.stack[-1], [key, value])


def _set_items(machine: Machine) -> None:
    items = machine.since_mark()
    _set(machine, machine.stack[-1], items)


def _set(machine: Machine, target: Any, items: list[Any]) -> None:
    if not isinstance(target, dict | Inert) or len(items) % 2:
        raise pickle.UnpicklingError(f"items for a {type(target).__name__}")
    machine.check_keys(items[::2])
    for key, value in zip(items[::2], items[1::2], strict=True):
        target[key] = value


def _append(machine: Machine) -> None:
    value = machine.stack.pop()
    _extend(machine.stack[-1], [value])


def _appends(machine: Machine) -> None:
    items = machine.since_mark()
    _extend(machine.stack[-1], items)


def _extend(target: Any, items: Iterable[Any]) -> None:
    if isinstance(target, list):
        target.extend(items)
    elif isinstance(target, Inert):
        for item in items:
            target.append(item)
    else:
        raise pickle.UnpicklingError(f"items for a {type(target).__name__}")


def _add_items(machine: Machine) -> None:
    items = machine.since_mark()
    target = machine.stack[-1]
    if isinstance(target, set):
        machine.check_keys(items)
        target.update(items)
    else:
        _extend(target, items)


def _global(machine: Machine) -> None:
    machine.stack.append(machine.find(machine.line().decode(), machine.line().decode()))


def _stack_global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise pickle.UnpicklingError("a name that is no text")
    machine.stack.append(machine.find(module, name))


def _extension(machine: Machine) -> None:
    raise pickle.UnpicklingError("an object registered in another program")


def _inst(machine: Machine) -> None:
    kind = machine.find(machine.line().decode(), machine.line().decode())
    args = tuple(machine.since_mark())
    machine.push_new(machine.call(kind, args))


def _obj(machine: Machine) -> None:
    kind, *args = machine.since_mark()
    machine.push_new(machine.call(kind, tuple(args)))


def _call(machine: Machine) -> None:
    args, function = machine.stack.pop(), machine.stack.pop()
    machine.push_new(machine.call(function, args))


def _call_with_options(machine: Machine) -> None:
    options, args, kind = machine.stack.pop(), machine.stack.pop(), machine.stack.pop()
    if not isinstance(kind, InertClass) or not isinstance(options, dict):
        raise pickle.UnpicklingError("a construction with options of what is no class")
    machine.charge([options])
    machine.push_new(machine.call(kind, args, options))


def _build(machine: Machine) -> None:
    """Give an object its state. Tensors and dicts keep their contents only."""
    state = machine.stack.pop()
    target = machine.stack[-1]
    machine.charge(state if isinstance(state, tuple) else (state,))
    if isinstance(target, Inert | ArrayType):
        target.fill(state)
    elif isinstance(target, Shell):
        machine.stack[-1] = target.filled(state)
        machine.memo.update(dict.fromkeys(target.remembered, machine.stack[-1]))
    elif not isinstance(target, BareDict | torch.Tensor | InertClass):
        raise pickle.UnpicklingError(f"a state for a {type(target).__name__}, which a pickle may not alter")


def _pop(machine: Machine) -> None:
    if machine.stack:
        machine.stack.pop()
    else:
        machine.since_mark()


def _pop_mark(machine: Machine) -> None:
    machine.since_mark()


def _refuse_reference(line: bytes) -> Any:
    raise pickle.UnpicklingError(f"a reference of unknown form {line!r:.80}")


def _line_index(machine: Machine) -> int:
    return int(machine.line()[:20])


def _byte(machine: Machine) -> int:
    position = machine.position
    machine.position += 1
    return machine.data[position]


def _long_index(machine: Machine) -> int:
    return int.from_bytes(machine.take(4), "little")


def _get(index: Callable[[Machine], int]) -> Handler:
    return lambda machine: machine.stack.append(machine.memo[index(machine)])


def _put(index: Callable[[Machine], int]) -> Handler:
    return lambda machine: machine.remember(index(machine))


HANDLERS: dict[bytes, Handler] = {
    pickle.PROTO: _skip(1),
    pickle.FRAME: _skip(8),
    pickle.NONE: _constant(None),
    pickle.NEWTRUE: _constant(True),
    pickle.NEWFALSE: _constant(False),
    pickle.INT: _line(_int_line),
    pickle.LONG: _line(_int_line),
    pickle.FLOAT: _line(_float_line),
    pickle.BININT: _number("<i"),
    pickle.BININT1: lambda machine: machine.stack.append(_byte(machine)),
    pickle.BININT2: _number("<H"),
    pickle.BINFLOAT: _number(">d"),
    pickle.LONG1: _sized("<B", _long),
    pickle.LONG4: _sized("<i", _long),
    pickle.STRING: _line(_quoted),
    pickle.BINSTRING: _sized("<i", _old_string),
    pickle.SHORT_BINSTRING: _sized("<B", _old_string),
    pickle.UNICODE: _line(lambda line: str(line, "raw-unicode-escape")),
    pickle.SHORT_BINUNICODE: _sized("<B", _text),
    pickle.BINUNICODE: _sized("<I", _text),
    pickle.BINUNICODE8: _sized("<Q", _text),
    pickle.SHORT_BINBYTES: _sized("<B", _bytes),
    pickle.BINBYTES: _sized("<I", _bytes),
    pickle.BINBYTES8: _sized("<Q", _bytes),
    pickle.BYTEARRAY8: _sized("<Q", _bytes),
    pickle.EMPTY_TUPLE: _constant(()),
    pickle.TUPLE1: _tuple(1),
    pickle.TUPLE2: _tuple(2),
    pickle.TUPLE3: _tuple(3),
    pickle.TUPLE: _marked_tuple,
    pickle.EMPTY_LIST: _new(list),
    pickle.LIST: _marked_list,
    pickle.EMPTY_DICT: _new(dict),
    pickle.DICT: _marked_dict,
    pickle.EMPTY_SET: _new(set),
    pickle.FROZENSET: _marked_frozenset,
    pickle.SETITEM: _set_item,
    pickle.SETITEMS: _set_items,
    pickle.APPEND: _append,
    pickle.APPENDS: _appends,
    pickle.ADDITEMS: _add_items,
    pickle.GLOBAL: _global,
    pickle.STACK_GLOBAL: _stack_global,
    pickle.EXT1: _extension,
    pickle.EXT2: _extension,
    pickle.EXT4: _extension,
    pickle.INST: _inst,
    pickle.OBJ: _obj,
    pickle.NEWOBJ: _call,
    pickle.NEWOBJ_EX: _call_with_options,
    pickle.REDUCE: _call,
    pickle.BUILD: _build,
    pickle.PERSID: _line(_refuse_reference),
    pickle.BINPERSID: lambda machine: machine.stack.append(machine.reference(machine.stack.pop())),
    pickle.MARK: Machine.mark,
    pickle.POP: _pop,
    pickle.POP_MARK: _pop_mark,
    pickle.DUP: lambda machine: machine.stack.append(machine.stack[-1]),
    pickle.GET: _get(_line_index),
    pickle.BINGET: _get(_byte),
    pickle.LONG_BINGET: _get(_long_index),
    pickle.PUT: _put(_line_index),
    pickle.BINPUT: _put(_byte),
    pickle.LONG_BINPUT: _put(_long_index),
    pickle.MEMOIZE: lambda machine: machine.remember(len(machine.memo)),
}


def _unknown(machine: Machine) -> None:
    raise pickle.UnpicklingError(f"unknown instruction {machine.data[machine.position - 1]:#x}")


OPCODES: tuple[Handler, ...] = tuple(HANDLERS.get(bytes([code]), _unknown) for code in range(256))
"""What to do, by the instruction's byte; STOP belongs to the loop."""
