"""A source as a stream of batches, read ahead in threads or processes. Its position is one number: the step.

Which rows a batch holds, and how each is drawn, is a pure function of (order, step): so threads, workers and hosts change
nothing, and any step can be gone on from. Grain reads ahead; it never filters, shuffles or batches (see `orders`), and a
thing that cannot be read is an absent row, as an exception would cost Grain's workers the rest of their share.
"""

import json
import os
import pickle
import signal
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sensorium.core.batch import Batch
from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Reject, Source, Taken, Taking
from sensorium.data.orders import Endless, Order

WINDOW = 1000
"""Raw things over which the share of rejects is watched."""
THREADS = 2
PATIENCE = 2.0
"""Seconds that a worker has to end by itself. Grain gives it 25, which one that writes a large batch always takes in full."""
AHEAD = 4
"""Batches that are read ahead, by each worker where there are some."""


class TooManyRejects(SensoriumError):
    """More of what was read is broken than `max_bad` allows. The text lists the last of it."""


class OtherData(SensoriumError, ValueError):
    """A position that was saved over other data, or in another order."""


class WorkerLost(SensoriumError, RuntimeError):
    """A process that reads ahead has ended: killed from outside, or for want of memory."""


@runtime_checkable
class Ordered(Protocol):
    """A source that says in which order it is to be read."""

    def order(self, batch_size: int, seed: int = 0) -> Order: ...


@runtime_checkable
class Naming(Protocol):
    """A source that knows what its items are called."""

    def name(self, row: int) -> str: ...


@dataclass(frozen=True)
class Counts:
    """Raw things so far: asked for, read, and not readable. `asked == used + rejected`, always."""

    asked: int = 0
    used: int = 0
    rejected: int = 0


class Stream(AbstractContextManager["Stream"]):
    """Batches `start` … `stop` − 1 of a source in an order.

    `position` is the number of the next batch; `state()` saves it, `restore(state)` goes on from it, with any number of
    workers and hosts. `workers` processes read (0: `threads` threads of this one); all end with `close()`, or with the `with`
    block. `host`: (number, count), where each of several machines reads its own part of every batch. Each thing that cannot be
    read is written to `rejects` (JSON lines) once; where they are more than `max_bad` of the last `WINDOW` things,
    `TooManyRejects` ends the stream.
    """

    def __init__(
        self,
        source: Source,
        order: Order,
        *,
        start: int = 0,
        stop: int | None = None,
        workers: int = 0,
        host: tuple[int, int] = (0, 1),
        rejects: Path | None = None,
        max_bad: float = 0.05,
    ):
        if workers < 0 or not 0 <= host[0] < host[1]:
            raise ValueError(f"workers={workers}, host={host}: expected 0 or more, and (number, count) with number < count")
        self._source, self._order, self._workers, self._host = source, order, workers, host
        self._stop = np.iinfo(np.int64).max if stop is None else stop
        self.position = start
        self.counts = Counts()
        self._window: deque[tuple[int, int]] = deque()
        self._ledger = Ledger(rejects)
        self._max_bad = max_bad
        self._ahead: Any = None

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Batch:
        if self.position >= self._stop:
            self.close()
            raise StopIteration
        if self._ahead is None:
            self._ahead = self._read_ahead()
        try:
            taken = _unpacked(next(self._ahead))
        except RuntimeError as error:
            self.close()
            if "terminated unexpectedly" not in str(error):
                raise
            raise WorkerLost(
                f"batch {self.position}: a worker process has ended ({error}). Where it ran out of memory, take fewer workers "
                "or a smaller batch; the stream can go on from here"
            ) from error
        except BaseException:
            self.close()
            raise
        self.position += 1
        self._account(taken)
        return taken.batch

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the threads or processes that read ahead; the stream can be gone on with, from where it is."""
        if self._ahead is not None:
            self._ahead.close()
            self._ahead = None

    def names(self, position: int) -> list[str]:
        """What the rows of a batch are called, those of all hosts, also of one that was read long ago."""
        return [called(self._source, int(row)) for row in self._order.rows(position)]

    def state(self) -> dict[str, Any]:
        """The position with what it is a position in, as JSON: a few hundred bytes, and at most `WINDOW` short pairs."""
        return {
            "position": self.position,
            "counts": [self.counts.asked, self.counts.used, self.counts.rejected],
            "window": [list(pair) for pair in self._window],
            "data": fingerprint(self._source),
            "order": self._order.fingerprint,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken; `OtherData` names what differs: the data, the seed, the size of a batch."""
        own = {"data": fingerprint(self._source), **self._order.fingerprint}
        saved = {"data": state.get("data"), **(state.get("order") or {})}
        if other := sorted(key for key in own.keys() | saved.keys() if own.get(key) != saved.get(key)):
            told = ", ".join(f"{key} {saved.get(key)!r}, and not {own.get(key)!r}" for key in other)
            raise OtherData(f"the position was saved with {told}. Read the same data in the same order, or start anew")
        position = state.get("position")
        if type(position) is not int or not 0 <= position <= self._stop:
            raise OtherData(f"the position {position!r} is none of the batches 0 to {self._stop}")
        self.close()
        self.position, self.counts = position, Counts(*state["counts"])
        self._window = deque((asked, bad) for asked, bad in state["window"])

    def _read_ahead(self) -> Any:
        """Grain's iterator over the batches from `position` on."""
        import grain  # with JAX and Orbax: whoever only lists files does without

        take = _Take(self._source, self._order, self._host, packed=self._workers > 0)
        data = grain.MapDataset.range(self.position, self._stop).map(take)
        ahead = data.to_iter_dataset(grain.ReadOptions(num_threads=THREADS, prefetch_buffer_size=AHEAD))
        if self._workers:
            from absl import flags
            from grain._src.python.dataset.transformations import process_prefetch

            process_prefetch._PROCESS_KILL_TIMEOUT_S = PATIENCE

            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()  # else Grain's worker processes end with UnparsedFlagAccessError
            processes = grain.MultiprocessingOptions(num_workers=self._workers, per_worker_buffer_size=AHEAD)
            ahead = ahead.mp_prefetch(processes, worker_init_fn=partial(_begin, os.getpid()))
        return iter(ahead)

    def _account(self, taken: Taken) -> None:
        """Counts, writes what is new among the rejects, and stops where they are too many."""
        asked, bad = taken.asked, len(taken.rejects)
        self.counts = Counts(self.counts.asked + asked, self.counts.used + asked - bad, self.counts.rejected + bad)
        for reject in taken.rejects:
            self._ledger.add(reject)
        if asked:
            self._window.append((asked, bad))
        while len(self._window) > 1 and sum(a for a, _ in self._window) - self._window[0][0] >= WINDOW:
            self._window.popleft()
        if bad and sum(b for _, b in self._window) > self._max_bad * WINDOW:
            self.close()
            raise TooManyRejects(self._ledger.told(sum(b for _, b in self._window), self._max_bad))


class Ledger:
    """The rejects of a run, each once, in memory and (where there is a path) as JSON lines, also over interruptions."""

    def __init__(self, path: Path | None):
        self._path = path
        self.rejects: dict[tuple[str, str], Reject] = {}
        if path is not None and path.is_file():
            written = path.read_text(encoding="utf-8")
            for line in written.splitlines():
                try:
                    reject = Reject(**json.loads(line))
                except (ValueError, TypeError):  # torn: the last line of a run that was killed
                    continue
                self.rejects[reject.file, reject.kind] = reject
            if written and not written.endswith("\n"):
                self._write("\n")

    def add(self, reject: Reject) -> None:
        if (reject.file, reject.kind) in self.rejects:
            return
        self.rejects[reject.file, reject.kind] = reject
        self._write(json.dumps(reject._asdict()) + "\n")

    def _write(self, text: str) -> None:
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as lines:
                lines.write(text)

    def told(self, bad: int, most: float) -> str:
        last = "; ".join(f"{r.file}: {r.cause}" for r in list(self.rejects.values())[-5:])
        where = f" All of them: {self._path}." if self._path else ""
        return (
            f"{bad} of the last {WINDOW} things could not be read, more than {most:.0%} (max_bad): {last}.{where} "
            "Mend or remove them (sensorium data check), or allow more"
        )


def batches(
    source: Source, size: int, steps: int | None = None, seed: int = 0, shuffle: bool = True, start: int = 0, **dials: Any
) -> Stream:
    """Batches `start` … `steps` − 1 of `size` rows each, equal in every run with the same source, size and seed.

    Every epoch has its own order, and of an item's alternatives (its captions) every batch draws anew. With
    `shuffle=False` rows come in their order, which keeps the twins of the built-in world together. A source with an order of
    its own (a `Mixture` with its weights) is read in that. `dials`: see `Stream`.
    """
    if not len(source):
        raise ValueError("a source without items: nothing to read")
    order = source.order(size, seed) if shuffle and isinstance(source, Ordered) else None
    return Stream(source, order or Endless(len(source), size, seed, shuffle), start=start, stop=steps, **dials)


def take(source: Source, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Taken:
    """`source.take`; of a source that cannot tell what it could not read, everything that is here was asked for."""
    if isinstance(source, Taking):
        return source.take(rows, draw)
    batch = source.read(rows, draw)
    return Taken(batch, int(sum(value.sum() for key, value in batch.items() if key.endswith("/here"))), ())


def called(source: Source, row: int) -> str:
    """What an item is called; its row where the source does not say."""
    return source.name(row) if isinstance(source, Naming) else f"row {row}"


def fingerprint(source: Source) -> str:
    """Who a source is; of one that does not say, its type and its length are all that is known."""
    return source.fingerprint() if isinstance(source, Taking) else f"{type(source).__name__} of {len(source)}"


class _Take:
    """Step -> the batch of it; goes to the worker processes as it is.

    `packed`: as bytes, which come through a pipe. Arrays would come through shared memory, which Grain 0.2.18 loses: it closes
    it in a thread while the array still holds it, so it is never freed (64 blocks after 15 batches).
    """

    def __init__(self, source: Source, order: Order, host: tuple[int, int], packed: bool):
        self._source, self._order, self._host, self._packed = source, order, host, packed

    def __call__(self, step: int) -> tuple[Taken] | tuple[bytes]:
        rows = self._order.rows(int(step))
        number, count = self._host
        if len(rows) % count:
            raise ValueError(f"batches of {len(rows)} rows cannot be shared by {count} hosts: take a multiple")
        part = len(rows) // count
        taken = take(self._source, rows[number * part : (number + 1) * part], int(step))
        return (pickle.dumps(taken, protocol=pickle.HIGHEST_PROTOCOL),) if self._packed else (taken,)


def _begin(parent: int, number: int, count: int) -> None:
    """In a worker: Ctrl-C is the parent's to answer, which ends its workers in order; where it is killed, they end too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _unpacked(element: tuple[Taken] | tuple[bytes]) -> Taken:
    (taken,) = element
    return pickle.loads(taken) if isinstance(taken, bytes) else taken
