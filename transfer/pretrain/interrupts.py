"""Let an interrupted training end at a step's end instead of in its middle."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def deferred_interrupts() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set; on leaving, the signal takes its usual effect.

    Outside the main thread, where Python delivers no signals, the event is never set.
    """
    asked, received = threading.Event(), list[int]()

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.signal(number, note) for number in SIGNALS}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if received:
        signal.raise_signal(received[0])
