"""What a folder really holds: every file is decoded to its end, and what is wrong with it is told with its cause."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import median
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sensorium.core.errors import BadFile, MissingExtra, SensoriumError
from sensorium.core.files import sha256
from sensorium.core.protocols import Item, Modality, Raw
from sensorium.data.columns import Given
from sensorium.data.fields import fields_for
from sensorium.data.folder import opened
from sensorium.data.layout import scan
from sensorium.data.listing import Listing, Problem, problem
from sensorium.data.several import scan_all
from sensorium.modalities.text import identity

THREADS = 2
EXAMPLES = 5


@runtime_checkable
class Measured(Protocol):
    """A modality whose raw things may be longer than what `prepare` keeps of them."""

    def measure(self, raw: Raw) -> tuple[float, float]:
        """(the length of the whole thing, the length that is kept), in one unit."""
        ...


@dataclass(frozen=True)
class Lengths:
    """How long the things of a field are beside its window (seconds of a sound, tokens of a text)."""

    window: float
    median: float
    longest: float
    longer: int
    """So many are cut."""
    shorter: int
    """So many are padded."""


@dataclass(frozen=True)
class Seen:
    """A raw thing that was decoded whole. `data`: what was decoded, the path or the bytes; `length`: of `Measured.measure`."""

    field: Modality
    raw: Raw
    data: Raw
    arrays: dict[str, np.ndarray]
    length: tuple[float, float] | None


@dataclass(frozen=True)
class Health:
    """The report on a folder. Everything is counted without the broken files; `good` are the items that are left."""

    listing: Listing
    fields: tuple[Modality, ...]
    good: tuple[Item, ...]
    broken: tuple[Problem, ...]
    lengths: dict[str, Lengths]
    """By field name."""
    duplicates: tuple[tuple[str, ...], ...]
    """Groups of files with the same bytes."""

    def to_json(self) -> dict[str, Any]:
        """The whole report in numbers, strings, lists and dicts."""
        kinds = sorted({kind for item in self.listing.items for kind in item.raws})
        here = {kind: sum(kind in item.raws for item in self.good) for kind in kinds}
        pairs = {f"{a}+{b}": sum(a in item.raws and b in item.raws for item in self.good) for a, b in combinations(kinds, 2)}
        return {
            "root": str(self.listing.root),
            "layout": self.listing.layout,
            "items": len(self.good),
            "items_lost": len(self.listing.items) - len(self.good),
            "counts": here,
            "missing": {kind: len(self.good) - n for kind, n in here.items()},
            "pairs": pairs,
            "complete": sum(all(kind in item.raws for kind in kinds) for item in self.good),
            "broken": [{"path": p.path, "kind": p.kind, "cause": p.cause} for p in self.broken],
            "captions": _captions(self.good),
            "lengths": {name: vars(lengths) for name, lengths in self.lengths.items()},
            "duplicates": [list(group) for group in self.duplicates],
            "unused": [str(path) for path in self.listing.unused],
        }


def check(
    path: Path | str | Sequence[Path | str],
    fields: Sequence[Modality] | None = None,
    progress: Callable[[int, int], None] | None = None,
    watch: Callable[[Seen], None] | None = None,
    columns: Given | None = None,
) -> Health:
    """Decodes every file of the folder or manifest at `path`, as `fields` (those that suit its files unless given) would.

    Of several paths all is looked at together (see `several.scan_all`). `columns`: which column of a table holds what.

    `progress(done, total)` is called from this thread; `watch(seen)` with each whole thing, from several threads. `BadFile`
    where there is nothing to look at.
    """
    listing = scan(path, columns) if isinstance(path, Path | str) else scan_all(path, columns)
    fields = fields_for(listing.items) if fields is None else tuple(fields)
    rows = enumerate(listing.items)
    jobs = [(field, row, raw, watch) for row, item in rows for field in fields for raw in item.raws.get(field.kind, ())]
    measured: dict[str, list[tuple[float, float]]] = defaultdict(list)
    bad: dict[tuple[int, str], list[Raw]] = defaultdict(list)
    broken = list(listing.problems)
    with ThreadPoolExecutor(THREADS) as pool:
        for done, ((field, row, raw, _), outcome) in enumerate(zip(jobs, pool.map(_examine, jobs), strict=True), 1):
            if isinstance(outcome, Problem):
                broken += [outcome] if outcome not in broken else []
                bad[row, field.kind].append(raw)
            elif outcome is not None:
                measured[field.name].append(outcome)
            if progress:
                progress(done, len(jobs))
    good = _without(listing.items, bad)
    lengths = {name: _lengths(values) for name, values in measured.items()}
    return Health(listing, fields, good, tuple(broken), lengths, duplicates(_files(good)))


def duplicates(files: Iterable[Path]) -> tuple[tuple[str, ...], ...]:
    """Groups of files that have the same bytes; only those of one size are read."""
    by_size: dict[int, list[Path]] = defaultdict(list)
    for file in sorted(file for file in set(files) if file.is_file()):  # a video may be a folder of frames
        by_size[file.stat().st_size].append(file)
    by_bytes: dict[str, list[str]] = defaultdict(list)
    for group in by_size.values():
        for file in group if len(group) > 1 else ():
            by_bytes[sha256(file)].append(str(file))
    return tuple(sorted(tuple(group) for group in by_bytes.values() if len(group) > 1))


def _examine(job: tuple[Modality, int, Raw, Callable[[Seen], None] | None]) -> Problem | tuple[float, float] | None:
    """Decodes one raw thing: what is wrong with it, or how long it is."""
    field, _, raw, watch = job
    try:
        data = opened(raw)
        length = field.measure(data) if isinstance(field, Measured) else None
        arrays = field.prepare(data)
        if watch:
            watch(Seen(field, raw, data, arrays, length))
        return length
    except MissingExtra:
        raise
    except SensoriumError as error:
        return problem(error, str(raw), field.kind)
    except Exception as error:  # a user's own modality and its libraries raise what they like; the others are still looked at
        cause = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return problem(BadFile(cause), str(raw), field.kind)


def _without(items: Sequence[Item], bad: dict[tuple[int, str], list[Raw]]) -> tuple[Item, ...]:
    """The items without the raw things that are broken, and without those that have nothing left."""
    out = []
    for row, item in enumerate(items):
        raws = {
            kind: tuple(raw for raw in alternatives if raw not in bad.get((row, kind), ()))
            for kind, alternatives in item.raws.items()
        }
        raws = {kind: alternatives for kind, alternatives in raws.items() if alternatives}
        if raws:
            out.append(replace(item, raws=raws))
    return tuple(out)


def _files(items: Iterable[Item]) -> list[Path]:
    return [raw for item in items for raws in item.raws.values() for raw in raws if isinstance(raw, Path)]


def _lengths(values: list[tuple[float, float]]) -> Lengths:
    lengths, window = [length for length, _ in values], values[0][1]
    near = 1e-3 * window  # a sound that misses the window by a sample is neither
    return Lengths(
        window, median(lengths), max(lengths), sum(n > window + near for n in lengths), sum(n < window - near for n in lengths)
    )


def _captions(items: Sequence[Item]) -> dict[str, Any]:
    """Captions an item, and those that several items share."""
    each = [len(item.raws["text"]) for item in items if "text" in item.raws]
    if not each:
        return {}
    said = [{identity(caption): caption for caption in item.raws.get("text", ())} for item in items]
    times = Counter(number for numbers in said for number in numbers)
    shared = {number: caption for numbers in said for number, caption in numbers.items() if times[number] > 1}
    return {
        "total": sum(each),
        "fewest": min(each),
        "most": max(each),
        "shared": len(shared),
        "items_with_shared": sum(any(number in shared for number in numbers) for numbers in said),
        "examples": sorted(shared.values())[:EXAMPLES],
    }
