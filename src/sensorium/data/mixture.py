"""Several sources as one: pools in which different things exist, drawn from by weight."""

import hashlib
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import lcm
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int

from sensorium.core.batch import Batch, size
from sensorium.core.protocols import Modality, Reject, Source, Taken
from sensorium.data.pipeline import called, fingerprint, take
from sensorium.data.shuffle import Rows, Shuffle, seed_of

FINEST = 1000
"""Shares of the sources are kept exactly as fractions with denominators up to this."""
LONGEST = 2**20
"""Rows of a period, over which the shares are exact."""
OPEN = 2**31 - 1


@runtime_checkable
class Fielded(Source, Protocol):
    """A source that says its fields, as `Folder` and `World` do."""

    @property
    def fields(self) -> Sequence[Modality]: ...


class Mixture:
    """The rows of several sources one after the other: a `Source`. `order` draws from them by `weights` (their sizes unless
    given).

    A row lacks the fields that its source lacks: they are blank, and `here` is False. Rows of different sources are of
    different groups. Fields of one name have to be equal in all sources; give the sources the fields of one of them.
    """

    def __init__(self, sources: Mapping[str, Fielded], weights: Sequence[float] | Mapping[str, float] | None = None):
        if not sources or not all(len(source) for source in sources.values()):
            raise ValueError(f"sources {[f'{name}: {len(source)} rows' for name, source in sources.items()]}: each needs rows")
        self.sources = dict(sources)
        self.fields = _fields(self.sources)
        self.weights = _weights(self.sources, weights)
        self._starts = np.concatenate([[0], np.cumsum([len(source) for source in sources.values()])])
        if self._starts[-1] >= OPEN:
            raise ValueError(f"{self._starts[-1]} rows: more than there are numbers for their groups")

    def __len__(self) -> int:
        return int(self._starts[-1])

    def order(self, batch_size: int, seed: int = 0) -> "Mixed":
        """Batches with rows of all sources by weight, endlessly."""
        return Mixed([len(source) for source in self.sources.values()], self.weights, batch_size, seed)

    def source_of(self, row: int) -> tuple[str, int]:
        """The name of the source that a row is of, and its number there."""
        if not 0 <= row < len(self):
            raise IndexError(f"row {row} of a mixture of {len(self)} rows")
        which = int(np.searchsorted(self._starts, row, side="right")) - 1
        return list(self.sources)[which], row - int(self._starts[which])

    def name(self, row: int) -> str:
        which, own = self.source_of(row)
        return f"{which}/{called(self.sources[which], own)}"

    def read(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Batch:
        """The batch of some rows, in their order, as if they were of one source."""
        return self.take(rows, draw).batch

    def take(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Taken:
        """`read`, with how many raw things were asked for and those that could not be read."""
        numbers = np.asarray(rows, np.int64)
        if not len(numbers):
            raise ValueError("no rows to read")
        if numbers.min() < 0 or numbers.max() >= len(self):
            raise IndexError(f"rows {numbers.min()} to {numbers.max()} of a mixture of {len(self)} rows")
        which = np.searchsorted(self._starts, numbers, side="right") - 1
        parts: list[tuple[np.ndarray, Batch]] = []
        asked, rejects = 0, list[Reject]()
        for i, source in enumerate(self.sources.values()):
            places = np.flatnonzero(which == i)
            if len(places):
                taken = take(source, numbers[places] - self._starts[i], draw)
                parts.append((places, self._whole(taken.batch, i, len(source))))
                asked += taken.asked
                rejects += taken.rejects
        return Taken(_together(parts, len(numbers)), asked, tuple(rejects))

    def fingerprint(self) -> str:
        """A hash of the sources: equal ones, equal batches."""
        text = "\n".join(f"{name}: {fingerprint(source)}" for name, source in self.sources.items())
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    def _whole(self, batch: Batch, which: int, rows: int) -> Batch:
        """A batch of one source with the fields that it lacks, and groups that no other source has."""
        n = size(batch)
        out = dict(batch)
        for field in self.fields:
            if field.name not in batch:
                out |= {key: np.stack([blank] * n) for key, blank in field.blank().items()}
                out[f"{field.name}/here"] = np.zeros(n, bool)
            else:
                out.setdefault(f"{field.name}/here", np.ones(n, bool))
        out["group"] = _groups(batch["group"], which, rows, int(self._starts[which]))
        return out


class Mixed:
    """Batches drawn from several sources by weight: an `Order` of the rows of a `Mixture`.

    Rows come in periods in which each source has exactly its share, shuffled; each source goes through epochs of its own, in
    its own order, so that a small one comes again while a large one goes on. An epoch has as many rows as there are in all.
    """

    def __init__(self, lengths: Sequence[int], weights: Sequence[float], batch_size: int, seed: int = 0):
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: expected at least 1")
        self._counts = _counts(weights)
        self._slots = np.repeat(np.arange(len(lengths)), self._counts)
        self._orders = [Shuffle(length, seed_of(seed, 1 + i)) for i, length in enumerate(lengths)]
        self._starts = np.concatenate([[0], np.cumsum(lengths)])
        self._size, self._seed = batch_size, seed
        self._held: tuple[int, Rows, Rows] | None = None
        self.per_epoch = max(1, sum(lengths) // batch_size)
        self.fingerprint = {
            **{"sources": [int(length) for length in lengths], "shares": self._counts.tolist()},
            **{"batch_size": batch_size, "seed": seed},
        }

    def rows(self, position: int) -> Rows:
        """The rows of batch `position`, a pure function of it."""
        return np.array([self._row(place) for place in range(position * self._size, (position + 1) * self._size)], np.int64)

    def _row(self, place: int) -> int:
        period, slot = divmod(place, len(self._slots))
        which, before = self._period(period)
        source = int(which[slot])
        nth = period * int(self._counts[source]) + int(before[slot])  # of this source's rows since the beginning
        return int(self._starts[source]) + self._orders[source].at(nth)

    def _period(self, period: int) -> tuple[Rows, Rows]:
        """For each slot of a period its source, and how often that came before in this period."""
        held = self._held
        if held is None or held[0] != period:
            which = np.random.default_rng([seed_of(self._seed), period]).permutation(self._slots)
            before = np.empty(len(which), np.int64)
            for source in range(len(self._counts)):
                places = np.flatnonzero(which == source)
                before[places] = np.arange(len(places))
            self._held = held = (period, which, before)
        return held[1], held[2]


def _fields(sources: Mapping[str, Fielded]) -> tuple[Modality, ...]:
    """The fields of all sources, by name."""
    fields: dict[str, tuple[Modality, str]] = {}
    for name, source in sources.items():
        for field in source.fields:
            other, first = fields.setdefault(field.name, (field, name))
            if other != field:
                raise ValueError(
                    f"the field {field.name!r} differs between the sources {first!r} ({other}) and {name!r} ({field}): "
                    f"open {name!r} with fields=sources[{first!r}].fields"
                )
    return tuple(field for field, _ in fields.values())


def _weights(sources: Mapping[str, Fielded], given: Sequence[float] | Mapping[str, float] | None) -> tuple[float, ...]:
    if given is None:
        return tuple(float(len(source)) for source in sources.values())
    if isinstance(given, Mapping):
        if set(given) != set(sources):
            raise ValueError(f"weights for {sorted(given)}, and the sources are {sorted(sources)}")
        given = [given[name] for name in sources]
    if len(given) != len(sources):
        raise ValueError(f"{len(given)} weights for {len(sources)} sources")
    return tuple(float(weight) for weight in given)


def _counts(weights: Sequence[float]) -> Int[np.ndarray, " sources"]:
    """Whole numbers of rows a period in the proportions of the weights."""
    if not all(np.isfinite(weight) and weight > 0 for weight in weights):
        raise ValueError(f"weights {list(weights)}: expected positive numbers")
    whole = all(float(weight).is_integer() for weight in weights) and sum(weights) <= FINEST
    shares = [Fraction(weight) if whole else Fraction(weight / max(weights)).limit_denominator(FINEST) for weight in weights]
    shares = [share or Fraction(1, FINEST) for share in shares]
    common = lcm(*(share.denominator for share in shares))
    counts = np.array([int(share * common) for share in shares])
    counts //= np.gcd.reduce(counts)
    if counts.sum() > LONGEST:  # many sources with weights that share no denominator
        counts = np.maximum(1, np.round(counts / counts.sum() * LONGEST).astype(np.int64))
    return counts


def _groups(groups: Int[np.ndarray, " B"], which: int, rows: int, start: int) -> Int[np.ndarray, " B"]:
    """Groups that no other source has. Those that number the rows of their source go on counting from the rows before it; any
    other number (the identity of a scene) becomes a negative one, different for every source."""
    wide = groups.astype(np.int64)
    factor, shift = (1, 0) if not which else (2 * seed_of(which, 1) % OPEN or 1, seed_of(which, 2) % OPEN)
    other = -1 - (np.array([int(g) * factor % OPEN for g in wide], np.int64) + shift) % OPEN
    return np.where((wide >= 0) & (wide < rows), wide + start, other).astype(np.int32)


def _together(parts: Sequence[tuple[np.ndarray, Batch]], n: int) -> Batch:
    """Batches of parts of the rows as one, each row in its place."""
    keys = parts[0][1].keys()
    if odd := [sorted(keys ^ part.keys()) for _, part in parts if part.keys() != keys]:
        raise ValueError(f"sources differ in what they say of a row: {odd[0]}")
    out: Batch = {}
    for key in keys:
        shape, dtype = parts[0][1][key].shape[1:], parts[0][1][key].dtype
        out[key] = np.empty((n, *shape), dtype)
        for places, part in parts:
            if part[key].shape[1:] != shape or part[key].dtype != dtype:
                raise ValueError(f"{key}: {part[key].shape[1:]} {part[key].dtype} and {shape} {dtype} in two sources")
            out[key][places] = part[key]
    return out
