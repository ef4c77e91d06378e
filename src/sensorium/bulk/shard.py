"""One shard of a job: read, decoded, embedded, written; whole or absent, and the same whoever makes it, however often.

A shard is a Parquet file and a report beside it, which is written last and holds the size and SHA-256 of the file. Its rows are
those that a collection holds (`search.rows`), of every item of which something could be embedded, in the order of the listing.
"""

import faulthandler
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sensorium.bulk.job import Job
from sensorium.bulk.spec import Spec
from sensorium.bulk.trail import Piece, Trail
from sensorium.checkpoints.lock import RunLock
from sensorium.core.errors import BadFile, SensoriumError
from sensorium.core.files import read_json, replacing, sha256, write_json
from sensorium.data.folder import is_fault
from sensorium.data.listing import Problem
from sensorium.search.embed import embed
from sensorium.search.rows import Entry, table
from sensorium.search.stamps import stamp

ROWS = 4096
"""Rows of a group of the Parquet file."""
Step = Callable[[int], None]


def _unheard(items: int) -> None: ...


@dataclass(frozen=True)
class Report:
    """What became of a shard. `items` were dealt to it, `rows` came of them (one a piece); `fields`: the width of each field's
    vectors.

    `quarantined`: records at which the process died, or an error stopped it; `problems`: what else could not be read.
    `job`: the hash of the job; `bytes` and `sha256`: of the Parquet file.
    """

    shard: int
    items: int
    rows: int
    fields: dict[str, int]
    problems: tuple[Problem, ...]
    quarantined: tuple[Problem, ...]
    job: str
    bytes: int
    sha256: str
    seconds: float


def run_shard(spec: Spec, i: int, job: Job | None = None, step: Step = _unheard) -> Report:
    """Makes shard `i` of a job, or finds that it is whole. `job`: what `Job(spec)` opened, where it is open already; `step` is
    told how many items were embedded since its last call.

    The rows depend on nothing but `spec` and what it names. `InUse` where another process makes this shard at the moment,
    `GivenUp` where too many of its records fail; where the process dies, the next call goes on (see `trail`).
    """
    job = job or Job(spec)
    numbers = job.numbers(i)
    with RunLock(_work(spec.out, i)):
        return whole(spec.out, i, job.hash) or _make(job, i, numbers, step)


def whole(out: Path | str, i: int, job: str, bytes_too: bool = True) -> Report | None:
    """The report of a shard that is there as it was written, else None. Without `bytes_too` only its size is looked at."""
    data, about = files_of(out, i)
    try:
        told = read_json(about)
        problems = {name: tuple(Problem(**one) for one in told[name]) for name in ("problems", "quarantined")}
        report = Report(**{**told, **problems})
        good = report.job == job and data.stat().st_size == report.bytes
        return report if good and (not bytes_too or sha256(data) == report.sha256) else None
    except (BadFile, OSError, TypeError, KeyError):  # absent, or torn
        return None


def files_of(out: Path | str, i: int) -> tuple[Path, Path]:
    """The Parquet file of a shard, and its report."""
    return Path(out) / f"shard-{i:06d}.parquet", Path(out) / f"shard-{i:06d}.json"


def trail_of(out: Path | str, i: int) -> Path:
    """Where it stands while the shard is made how far it has come."""
    return _work(out, i) / "trail.json"


def _work(out: Path | str, i: int) -> Path:
    return Path(out) / "work" / f"{i:06d}"


def _make(job: Job, i: int, numbers: range, step: Step) -> Report:
    start = time.perf_counter()
    trail = Trail.open(trail_of(job.spec.out, i), len(numbers))
    done: dict[Piece, list[Entry]] = {}
    try:
        while rest := [piece for piece in trail.pieces if piece not in done]:
            trail.at(rest[0])
            with _ended_after(job.spec.patience):
                _attempt(job, numbers, rest[0], trail, done)
            step(rest[0][1] - rest[0][0] if rest[0] in done else 0)
    finally:
        trail.at(None)  # an exception is no death
    entries = [_finite(entry) for piece in sorted(done) for entry in done[piece]]
    problems = [problem for entry in entries for problem in entry.problems]
    bad = tuple(Problem(_name(job, numbers[k]), "record", trail.bad[k]) for k in sorted(trail.bad))
    fields = _widths(entries)
    rows = table([entry for entry in entries if entry.fields])
    data, about = files_of(job.spec.out, i)
    about.unlink(missing_ok=True)  # until the new one is there the shard counts as missing
    size, digest = _write(rows, data)
    seconds = round(time.perf_counter() - start, 2)
    report = Report(i, len(numbers), len(rows), fields, tuple(problems), bad, job.hash, size, digest, seconds)
    write_json(about, asdict(report))
    trail.path.unlink()
    return report


def _attempt(job: Job, numbers: range, piece: Piece, trail: Trail, done: dict[Piece, list[Entry]]) -> None:
    """Embeds a piece. Stamps come first: what is changed while it is embedded is then found changed by the next index, and not
    taken for what was embedded. An error that is not about one file, as `embed` knows them, is found out by halves like a
    death."""
    try:
        items = job.items(numbers[slice(*piece)])
        stamps = [stamp(item, job.root).to_json() for item in items]
        made = [entry for block in embed(job.model, items, job.root) for entry in block]
        done[piece] = [replace(entry, stamp=told) for entry, told in zip(made, stamps, strict=True)]
    except Exception as error:
        if not is_fault(error):
            raise
        trail.failed(piece, " ".join(f"{type(error).__name__}: {error}".split()))


@contextmanager
def _ended_after(patience: float | None) -> Iterator[None]:
    """Ends this process if what is inside takes more seconds, saying on stderr where it hung, be it in C."""
    if patience is None:
        yield
        return
    faulthandler.dump_traceback_later(patience, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _finite(entry: Entry) -> Entry:
    """Vectors that are not of numbers are left out, and told."""
    pieces, problems = [], list(entry.problems)
    for piece in entry.pieces:
        good = {name: vector for name, vector in piece.vectors.items() if np.isfinite(vector).all()}
        lost = sorted(piece.vectors.keys() - good.keys())
        problems += [Problem(entry.row.id, name, "its vector holds NaN or infinity and is left out") for name in lost]
        pieces.append(piece._replace(vectors=good))
    return replace(entry, pieces=tuple(pieces), problems=tuple(problems))


def _widths(entries: list[Entry]) -> dict[str, int]:
    """Of the vectors of each field."""
    widths: dict[str, int] = {}
    for name, vector in (pair for entry in entries for piece in entry.pieces for pair in piece.vectors.items()):
        if widths.setdefault(name, len(vector)) != len(vector):
            raise SensoriumError(f"vectors of {name!r} have different lengths: {widths[name]} and {len(vector)}")
    return dict(sorted(widths.items()))


def _name(job: Job, number: int) -> str:
    """The record by its id, and by its first file where it has one."""
    (item,) = job.items([number])
    raws = [str(raw) for raws in item.raws.values() for raw in raws if not isinstance(raw, str | np.ndarray)]
    return f"{item.id} ({raws[0]})" if raws else item.id


def _write(rows: pa.Table, path: Path) -> tuple[int, str]:
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        how: dict[str, Any] = {"compression": "zstd", "use_dictionary": False, "use_compliant_nested_type": False}
        pq.write_table(rows, temporary, row_group_size=ROWS, **how)  # not compliant: lists keep the names of Arrow
        return temporary.stat().st_size, sha256(temporary)
