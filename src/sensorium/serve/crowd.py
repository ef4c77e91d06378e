"""How long one more would have to wait: told before anything of a request is read."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil

from sensorium.serve.bounds import Refused

LONGEST = 60
"""Seconds after which at the latest somebody who was sent away is told to come again."""
FEW = 8
"""So many may always wait: one that took long, as the first of its kind does, says little of those to come."""


class Pace:
    """Seconds a thing, lately: the mean of what was told, in which a thing counts `keep` times as much as the next."""

    def __init__(self, keep: float):
        self._keep, self._spent, self._done = keep, 0.0, 0.0

    def tell(self, seconds: float, things: int = 1) -> None:
        self._spent, self._done = self._keep * self._spent + seconds, self._keep * self._done + things

    @property
    def seconds(self) -> float:
        return self._spent / self._done if self._done else 0.0


class Crowd:
    """Those who are being answered, at most `most`. One more would wait for about as many of the times that lie between two
    answers as there are others; who would wait longer than `patience` seconds is sent away. Of one thread (the event loop)."""

    def __init__(self, most: int, patience: float, clock: Callable[[], float] = time.perf_counter):
        self._most, self._patience, self._clock = most, patience, clock
        self._pace, self._last = Pace(0.99), 0.0  # answers come in clumps, as what waits together is encoded together
        self.inside = 0

    @property
    def wait(self) -> float:
        """Seconds that one more would wait, as far as is known."""
        return self.inside * self._pace.seconds

    def check(self) -> None:
        """`Refused` with 503 where one more is too many."""
        if self.inside >= self._most or (self.inside >= FEW and self.wait > self._patience):
            told = f"{self.inside} others are being answered, which takes about {self.wait:.0f} s: come again then"
            raise Refused(503, told, again(self.wait))

    @contextmanager
    def one(self) -> Iterator[None]:
        """While one more is inside; `Refused` as by `check`."""
        self.check()
        came, self.inside = self._clock(), self.inside + 1
        try:
            yield
        finally:
            now = self._clock()
            self._pace.tell(now - max(self._last, came))  # not the time in which nobody was here
            self.inside, self._last = self.inside - 1, now


def again(wait: float) -> int:
    """After how many seconds somebody is told to come again who would wait so long."""
    return min(LONGEST, max(1, ceil(wait)))
