"""What a bulk job has made: how far it is, and its rows as Arrow batches that are as they were written."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from sensorium.bulk.shard import UNIT, Report, files_of, whole
from sensorium.bulk.spec import read_told
from sensorium.core.errors import BadFile


@dataclass(frozen=True)
class Status:
    """`done`: the reports of the shards that are whole, by their numbers; `missing`: the numbers of the others."""

    done: dict[int, Report]
    missing: tuple[int, ...]


def status(out: Path | str, bytes_too: bool = False, numbers: Sequence[int] | None = None) -> Status:
    """How far the job in a folder is; of all shards, or of those with these numbers. Of their files the sizes are looked at, and
    with `bytes_too` every byte."""
    told = about(out)
    numbers = range(told["identity"]["shards"]) if numbers is None else numbers
    found = {i: report for i in numbers if (report := whole(out, i, told["hash"], bytes_too))}
    return Status(found, tuple(i for i in numbers if i not in found))


def about(out: Path | str) -> dict[str, Any]:
    """What holds for all shards: `identity` (with the `model`'s fingerprint), the `spec`, the `root` that paths are relative
    to, `kinds` by field, and the `problems` of the listing. `BadFile` where there is no bulk job."""
    told = read_told(out)
    if told is None:
        raise BadFile(f"{out}: no bulk job is here (it has no spec.json); make one with: sensorium embed")
    return told


def shards(out: Path | str) -> Iterator[pa.RecordBatch]:
    """The rows of all shards, in the order of the listing, all batches with the columns of the whole (see `shard`).

    `BadFile` where a shard is missing, or has other bytes than were written; before anything of it is given.
    """
    found = status(out)
    if found.missing:
        some = ", ".join(map(str, found.missing[:5]))
        raise BadFile(f"{out}: {len(found.missing)} shards are missing ({some} …): run the same sensorium embed again")
    widths = _widths(out, found.done)
    for i, report in found.done.items():
        yield from _batches(out, i, report, widths)


def _widths(out: Path | str, done: dict[int, Report]) -> dict[str, int]:
    widths: dict[str, int] = {}
    for i, report in done.items():
        for name, width in report.fields.items():
            if widths.setdefault(name, width) != width:
                raise BadFile(f"{files_of(out, i)[0]}: vectors of {name!r} of {width} numbers, and before it of {widths[name]}")
    return widths


def _batches(out: Path | str, i: int, report: Report, widths: dict[str, int]) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    path, about = files_of(out, i)
    data = path.read_bytes()  # once: what is checked is what is read
    if hashlib.sha256(data).hexdigest() != report.sha256:
        raise BadFile(f"{path}: its bytes have changed since they were written: remove {about} and run sensorium embed again")
    for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches():
        for name in sorted(widths.keys() - report.fields.keys()):
            batch = batch.append_column(name + UNIT, pa.nulls(len(batch), pa.list_(pa.float32(), widths[name])))
        own = [column for column in batch.schema.names if not column.endswith(UNIT)]
        yield batch.select([*own, *(name + UNIT for name in sorted(widths))])
