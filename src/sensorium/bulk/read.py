"""What a bulk job has made: how far it is, and its rows as Arrow batches that are as they were written."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sensorium.bulk.shard import Report, files_of, whole
from sensorium.bulk.spec import read_told
from sensorium.core.errors import BadFile
from sensorium.search.about import described, fill, finish
from sensorium.search.store import Store


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
    """The rows of all shards, in the order of the listing, all batches with the columns of the whole (see `search.rows`).

    `BadFile` where a shard is missing, or has other bytes than were written; before anything of it is given.
    """
    found = status(out)
    if found.missing:
        some = ", ".join(map(str, found.missing[:5])) + (" …" if len(found.missing) > 5 else "")
        raise BadFile(f"{out}: shards are missing, {len(found.missing)} of them ({some}): run the same sensorium embed again")
    schema = _schema(out, found.done)
    for i, report in found.done.items():
        yield from _batches(out, i, report, schema)


def gather(out: Path | str, store: Store) -> int:
    """All shards of a job as a collection, in a store that is empty; how many rows there are. It can be searched, and be kept up
    to date by `sensorium index`, as if that had made it."""
    told = about(out)
    of = described(told["identity"]["model"], told["spec"]["model"], told["kinds"], told["root"])
    fill(store, of)
    count = 0
    for batch in shards(out):
        store.upsert(pa.Table.from_batches([batch]))
        count += len(batch)
    finish(store, of)
    return count


def _schema(out: Path | str, done: dict[int, Report]) -> pa.Schema:
    """All columns of all shards."""
    found: dict[str, pa.Field] = {}
    for i in done:
        path = files_of(out, i)[0]
        try:
            own = pq.read_schema(path)
        except (pa.ArrowInvalid, OSError) as error:
            raise _changed(out, i) from error
        for field in own:
            if found.setdefault(field.name, field).type != field.type:
                raise BadFile(f"{path}: {field.name!r} holds {field.type}, and before it {found[field.name].type}")
    return pa.schema(list(found.values()))


def _batches(out: Path | str, i: int, report: Report, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    data = files_of(out, i)[0].read_bytes()  # once: what is checked is what is read
    if hashlib.sha256(data).hexdigest() != report.sha256:
        raise _changed(out, i)
    for batch in pq.ParquetFile(io.BytesIO(data)).iter_batches():
        there = batch.schema.names
        columns = [batch[field.name] if field.name in there else pa.nulls(len(batch), field.type) for field in schema]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _changed(out: Path | str, i: int) -> BadFile:
    path = files_of(out, i)[0]
    return BadFile(f"{path}: its bytes have changed since they were written: run sensorium embed again, which makes it anew")
