"""Collections as files that everybody reads, so that nobody is locked in: Parquet, NPZ and JSONL, or indexes of FAISS."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from sensorium.core.errors import BadFile, SensoriumError, need
from sensorium.core.files import read_json, replacing, write_json
from sensorium.search.about import indexed
from sensorium.search.exact import of_table
from sensorium.search.precision import stored, width
from sensorium.search.store import KEY, Store, vectors
from sensorium.search.where import Compare

_TYPES = {str(kind): kind for kind in (pa.string(), pa.float64(), pa.int32(), pa.bool_(), pa.large_binary())}
_ABOUT = b"sensorium"
_ROWS = 1024


def export(store: Store, out: Path) -> int:
    """Writes all rows into a file `….parquet`; their vectors alone into a folder `….faiss`, of each column an exact index of
    inner products and the keys of its rows; or else all into a folder: `rows.jsonl`, `vectors.npz` (of each column `c` of vectors
    `c` [M D] as they are kept, and `c.rows`, the numbers of the lines that they belong to; of pictures `c.bytes`, one after
    another, of `c.sizes` each, -1 for none) and `about.json`. Says how many rows there were.
    `SensoriumError` where `out` exists."""
    if out.exists():
        raise SensoriumError(f"{out} exists: give a new name, so that nothing is lost")
    frozen = store.snapshot()
    return {".parquet": _to_parquet, ".faiss": _to_faiss}.get(out.suffix, _to_folder)(frozen, out)


def load(path: Path, store: Store) -> int:
    """Writes what `export` wrote into an empty store, and makes it fast to search there. `BadFile` where it is something else."""
    about, tables = _read(path)
    if store.count():
        raise SensoriumError("the collection to fill holds rows already: give a new place")
    about = {name: value for name, value in about.items() if name != "indexes"}
    store.describe(about | {"complete": False})
    count = 0
    for table in tables:
        store.upsert(table)
        count += len(table)
    store.describe(about | {"indexes": indexed(store)})
    return count


def _read(path: Path) -> tuple[dict[str, Any], Iterator[pa.Table]]:
    """What is told of an exported collection, and its rows."""
    if ".faiss" in (path.suffix, path.parent.suffix):
        raise BadFile(
            f"{path}: indexes of FAISS hold vectors alone, without the items that they are of, so that no collection can be made "
            "of them: import what was exported as Parquet (….parquet), or as a folder of NPZ and JSONL"
        )
    return _from_folder(path) if path.is_dir() else _from_parquet(path)


def _to_parquet(store: Store, out: Path) -> int:
    import pyarrow.parquet as pq

    schema = pa.schema([pa.field(field.name, field.type) for field in store.schema])
    about = {_ABOUT: json.dumps(store.about).encode()}
    with replacing(out) as path, pq.ParquetWriter(path, schema.with_metadata(about)) as writer:
        for rows in store.scan(rows=_ROWS):
            writer.write_table(pa.table(rows.columns, schema=schema))
    return store.count()


def _from_parquet(path: Path) -> tuple[dict[str, Any], Iterator[pa.Table]]:
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
        about = json.loads((file.schema_arrow.metadata or {})[_ABOUT])
    except FileNotFoundError as error:
        raise BadFile(f"{path}: no such file") from error
    except (pa.ArrowInvalid, KeyError, ValueError) as error:
        raise BadFile(f"{path}: not a collection that `sensorium collection export` wrote: {error}") from error
    return about, (pa.Table.from_batches([batch]).replace_schema_metadata(None) for batch in file.iter_batches(_ROWS))


def _to_faiss(store: Store, out: Path) -> int:
    faiss = need("faiss", "faiss", "writing indexes of FAISS")
    out.mkdir(parents=True)
    for name in vectors(store.schema):
        index, keys = faiss.IndexFlatIP(width(store.schema.field(name).type)), []
        for rows in store.scan([KEY, name], Compare(name, "known"), rows=_ROWS):
            index.add(of_table(rows, name).numbers())
            keys += rows[KEY].to_pylist()
        with replacing(out / f"{name}.faiss") as path:
            faiss.write_index(index, str(path))
        write_json(out / f"{name}.json", keys)
    return store.count()


def _to_folder(store: Store, out: Path) -> int:
    out.mkdir(parents=True)
    schema, count = store.schema, 0
    names = vectors(schema)
    blobs = [field.name for field in schema if pa.types.is_large_binary(field.type)]
    held: dict[str, list[np.ndarray]] = {}
    with replacing(out / "rows.jsonl") as path, path.open("w", encoding="utf-8") as file:
        for rows in store.scan(rows=_ROWS):
            for line in rows.drop_columns([*names, *blobs]).to_pylist():
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            for name in names:
                held.setdefault(name, []).append(stored(rows[name]))
                held.setdefault(f"{name}.rows", []).append(count + np.flatnonzero(rows[name].is_valid()))
            for name in blobs:
                parts = rows[name].to_pylist()
                held.setdefault(f"{name}.bytes", []).append(np.frombuffer(b"".join(part or b"" for part in parts), np.uint8))
                held.setdefault(f"{name}.sizes", []).append(np.array([-1 if p is None else len(p) for p in parts], np.int64))
            count += len(rows)
    with replacing(out / "vectors.npz") as path, path.open("wb") as file:
        arrays: dict[str, Any] = {name: np.concatenate(parts) for name, parts in held.items()}
        np.savez(file, **arrays)
    columns = {field.name: str(field.type) for field in schema if field.name not in names}
    write_json(out / "about.json", {"rows": count, "columns": columns, "vectors": list(names), "about": store.about})
    return count


def _from_folder(path: Path) -> tuple[dict[str, Any], Iterator[pa.Table]]:
    said = read_json(path / "about.json")
    try:
        kinds = {name: _TYPES[kind] for name, kind in said["columns"].items()}
        return said["about"], _lines(path, kinds, said["vectors"], said["rows"])
    except (KeyError, TypeError, AttributeError) as error:
        raise BadFile(f"{path / 'about.json'}: not what `sensorium collection export` writes: {error!r}") from error


def _lines(path: Path, kinds: dict[str, pa.DataType], names: list[str], count: int) -> Iterator[pa.Table]:
    with np.load(path / "vectors.npz") as arrays, (path / "rows.jsonl").open(encoding="utf-8") as file:
        x = {name: arrays[name] for name in arrays.files}
        at = 0
        while lines := [json.loads(line) for _, line in zip(range(_ROWS), file, strict=False)]:
            columns = {}
            for name, kind in kinds.items():
                values = _parts(x, name, at, len(lines)) if f"{name}.sizes" in x else [line.get(name) for line in lines]
                columns[name] = pa.array(values, kind)
            for name in names:
                columns[name] = _vectors(x[name], x[f"{name}.rows"], at, len(lines))
            at += len(lines)
            yield pa.table(columns).select([KEY, *(name for name in columns if name != KEY)])
        if at != count:
            raise BadFile(f"{path / 'rows.jsonl'}: {at} lines, expected {count}")


def _parts(x: dict[str, np.ndarray], name: str, at: int, count: int) -> list[bytes | None]:
    sizes = x[f"{name}.sizes"]
    ends = np.cumsum(np.maximum(sizes, 0))
    whole = x[f"{name}.bytes"]
    return [None if sizes[i] < 0 else whole[ends[i] - sizes[i] : ends[i]].tobytes() for i in range(at, at + count)]


def _vectors(x: np.ndarray, rows: np.ndarray, at: int, count: int) -> pa.Array:
    """Those of some lines, null where a line has none."""
    first, last = np.searchsorted(rows, [at, at + count])
    values = np.zeros((count, x.shape[1]), x.dtype)
    missing = np.ones(count, bool)
    values[rows[first:last] - at], missing[rows[first:last] - at] = x[first:last], False
    flat = pa.array(values.ravel())
    return pa.FixedSizeListArray.from_arrays(flat, x.shape[1], mask=pa.array(missing))
