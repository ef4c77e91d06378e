"""Ctrl-C and SIGTERM end a run between two steps, with everything saved."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sensorium.core.errors import SensoriumError


class Interrupted(SensoriumError):
    """A run that was asked to stop, and has. The text says where it is saved."""


@dataclass
class Request:
    """Whether somebody has asked to stop: the name of the signal, or nothing."""

    by: str = ""


@contextmanager
def requests(listen: bool = True) -> Iterator[Request]:
    """Within it the first Ctrl-C or SIGTERM (which a machine gets that is to be taken away) is noted in the request; a second
    one ends the process at once, as ever. Python hears signals in its main thread only: elsewhere nothing is listened to."""
    request = Request()
    if not listen or threading.current_thread() is not threading.main_thread():
        yield request
        return
    heard = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in heard}

    def note(number: int, frame: object) -> None:
        request.by = signal.Signals(number).name
        for each in heard:
            signal.signal(each, before[each])

    for number in heard:
        if before[number] is not signal.SIG_IGN:
            signal.signal(number, note)
    try:
        yield request
    finally:
        for number in heard:
            signal.signal(number, before[number])
