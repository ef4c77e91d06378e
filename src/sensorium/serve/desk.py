"""A line of things that wait, and threads that work on what waits together."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

from sensorium.serve.bounds import Refused
from sensorium.serve.crowd import FEW, Pace, again

T = TypeVar("T")
R = TypeVar("R")


class Desk(Generic[T, R]):
    """`work(things)` gives as many results, or an exception in the place of one; at most `batch` things at once.

    More than `waiting` things in the line are `Refused` with 503, as is what would have to wait longer than `seconds` at the pace
    of late: at once, so that a server with too much to do says so instead of growing. What nobody waits for any more is not
    worked on.
    """

    def __init__(
        self,
        work: Callable[[list[T]], Sequence[R | Exception]],
        batch: int = 1,
        threads: int = 1,
        waiting: int = 256,
        seconds: float = 30.0,
        told: Callable[[int], None] = lambda size: None,
    ):
        self._work, self._batch, self._most, self._seconds, self._told = work, batch, waiting, seconds, told
        self._line: deque[tuple[T, Future[R]]] = deque()
        self._change, self._open, self._pace = Condition(), True, Pace(0.9)
        self._threads = [Thread(target=self._run, daemon=True) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        return len(self._line)

    @property
    def wait(self) -> float:
        """Seconds that one more thing would wait, at the pace of late."""
        return self._pace.seconds * (len(self._line) + 1)

    async def ask(self, thing: T) -> R:
        """The result for a thing; its exception is raised here."""
        future = self._enter(thing)
        result = asyncio.wrap_future(future)
        try:
            done, _ = await asyncio.wait([result], timeout=self._seconds)
            if not done and future.cancel():  # else it is being worked on
                raise self._too_much()
            return await result
        except asyncio.CancelledError:
            future.cancel()
            raise

    def close(self) -> None:
        """Ends the threads, after what they are working on; who still waits is sent away."""
        with self._change:
            self._open = False
            rest, self._line = self._line, deque()
            self._change.notify_all()
        for _, future in rest:
            future.cancel()
        for thread in self._threads:
            thread.join(timeout=5)

    def _enter(self, thing: T) -> "Future[R]":
        with self._change:
            if not self._open:
                raise Refused(503, "the server is closing")
            if len(self._line) >= self._most or (len(self._line) >= FEW and self.wait > self._seconds):
                raise self._too_much()
            future: Future[R] = Future()
            self._line.append((thing, future))
            self._change.notify()
        return future

    def _too_much(self) -> Refused:
        seconds = again(self.wait)
        return Refused(503, f"{len(self._line)} others wait already: come again in {seconds} s", seconds)

    def _run(self) -> None:
        while True:
            with self._change:
                while not self._line and self._open:
                    self._change.wait()
                if not self._open:
                    return
                taken = [self._line.popleft() for _ in range(min(self._batch, len(self._line)))]
            taken = [(thing, future) for thing, future in taken if future.set_running_or_notify_cancel()]
            if taken:
                self._serve(taken)

    def _serve(self, taken: "list[tuple[T, Future[R]]]") -> None:
        began = time.perf_counter()
        results: Sequence[Any]
        try:
            results = self._work([thing for thing, _ in taken])
            if len(results) != len(taken):
                raise RuntimeError(f"{len(results)} results for {len(taken)} things")
        except Exception as error:
            results = [error] * len(taken)
        self._told(len(taken))
        self._pace.tell((time.perf_counter() - began) / len(self._threads), len(taken))
        for (_, future), result in zip(taken, results, strict=True):
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
