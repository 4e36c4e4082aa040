"""Read pickles without execution: nothing that a pickle names is imported or called.

A pickle is a program for a stack machine (Python's `pickletools` documents its instructions). Python's own unpickler
runs it and calls whatever it names, so loading a checkpoint of unknown origin with it means running its author's code.
Here the program is interpreted instead:

- `unpickling` is the loop: one instruction at a time, at most so many.
- `opcodes` is a table from the instruction's byte to what it does to the `machine`, whose state is the stack, the marks
  in it and the memo of objects that were built before.
- A global is looked up in `rebuilding`, which stands in for the few functions that checkpoints call (how torch and
  NumPy rebuild arrays, ordered dicts, ...). Names in `dangerous` are refused, since weights never need them. Any other
  name gives an `inert` class, which takes every argument and state and does nothing, so that an optimiser's or an
  argparse object in the file harms nobody and its attributes can still be read.

Not running code is not enough, because a few bytes can also exhaust the machine. Every way to do so has a budget:

- Instructions, containers, tensors, memo entries and open marks are counted (`machine`).
- Copies are paid from a budget that is proportional to the length of the pickle: one long string in the memo could else
  be copied by thousands of short calls.
- Keys that are neither texts nor small numbers are counted and measured (`keys`): hashes can be chosen to collide, and
  hashing a tuple of tuples visits everything in it.
- A value may hold itself many times over, two references at each of forty levels: it costs nothing to build, and for
  ever to print, compare or hash. `extent` measures, in one pass over the distinct objects, how long the value would be
  if it were written out, and refuses what is far longer than what it holds. After that check every value can be handled
  without care.
- Tensors must stay within their storage, and repeated values (strides of 0) are bounded.

Damage shows as any exception at all (a stack that is empty, a type that does not fit); `containers.files` turns it into
UnreadableCheckpoint.
"""
