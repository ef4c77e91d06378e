"""Collections as files that everybody reads, so that nobody is locked in: Parquet, NPZ and JSONL, or indexes of FAISS."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from sensorium.core.errors import BadFile, SensoriumError, need
from sensorium.core.files import read_json, replacing, write_json
from sensorium.search.about import FILLING, fill, indexed
from sensorium.search.npz import Growing, mapped
from sensorium.search.precision import numbers, of_column, rounded, stored, width
from sensorium.search.store import KEY, Store, vectors

_TYPES = {str(kind): kind for kind in (pa.string(), pa.float64(), pa.int32(), pa.bool_(), pa.large_binary())}
_ABOUT = b"sensorium"
_ROWS = 1024
_NO_FOLDERS = (".csv", ".tsv", ".json", ".jsonl", ".npz", ".npy", ".zip", ".txt", ".feather", ".arrow")


def export(store: Store, out: Path) -> int:
    """Writes all rows into a file `….parquet`, or else into a folder: `rows.jsonl`, `vectors.npz` (of each column `c` of vectors
    `c` [M D] as they are kept, and `c.rows`, the numbers of the lines that they belong to; of pictures `c.bytes`, one after
    another, of `c.sizes` each, -1 for none) and `about.json`. In a folder `….faiss` the vectors are in an index of FAISS each
    instead: `c.faiss`, of exact inner products, and `c.json`, the keys of its rows. Says how many rows there were.
    `SensoriumError` where `out` exists."""
    if out.exists():
        raise SensoriumError(f"{out} exists: give a new name, so that nothing is lost")
    frozen = store.snapshot()
    if out.suffix in _NO_FOLDERS:
        raise SensoriumError(f"{out}: no collection is written as {out.suffix}: name a .parquet, a .faiss, or a folder")
    return (_to_parquet if out.suffix == ".parquet" else _to_folder)(frozen, out)


def load(path: Path, store: Store) -> int:
    """Writes what `export` wrote into an empty store, and makes it fast to search there. `BadFile` where it is something else."""
    about, tables = _read(path)
    about = {name: value for name, value in about.items() if name not in ("indexes", FILLING)}
    fill(store, about)
    count = 0
    for table in tables:
        store.upsert(table)
        count += len(table)
    store.describe(about | {"indexes": indexed(store)})
    return count


def _read(path: Path) -> tuple[dict[str, Any], Iterator[pa.Table]]:
    """What is told of an exported collection, and its rows."""
    if path.suffix == ".faiss" and path.is_file():
        raise BadFile(f"{path}: one index of FAISS, which does not say what its vectors are of: give the folder that it is in")
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


def _to_folder(store: Store, out: Path) -> int:
    out.mkdir(parents=True)
    schema, count = store.schema, 0
    names = vectors(schema)
    blobs = [field.name for field in schema if pa.types.is_large_binary(field.type)]
    indexes = {name: _Index(width(schema.field(name).type)) for name in names} if out.suffix == ".faiss" else {}
    with (
        Growing(out / "vectors.npz") as arrays,
        replacing(out / "rows.jsonl") as path,
        path.open("w", encoding="utf-8") as file,
    ):
        for rows in store.scan(rows=_ROWS):
            for line in rows.drop_columns([*names, *blobs]).to_pylist():
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
            for name in names:
                there, x = np.flatnonzero(rows[name].is_valid()), stored(rows[name])
                arrays.add(f"{name}.rows", count + there)
                if name in indexes:
                    indexes[name].add(numbers(x), rows[KEY].take(there).to_pylist())
                else:
                    arrays.add(name, x)
            for name in blobs:
                parts = rows[name].to_pylist()
                arrays.add(f"{name}.bytes", np.frombuffer(b"".join(part or b"" for part in parts), np.uint8))
                arrays.add(f"{name}.sizes", np.array([-1 if p is None else len(p) for p in parts], np.int64))
            count += len(rows)
    for name, index in indexes.items():
        index.write(out / name)
    columns = {field.name: str(field.type) for field in schema if field.name not in names}
    kept = {name: of_column(schema.field(name).type) for name in names}
    write_json(out / "about.json", {"rows": count, "columns": columns, "vectors": kept, "about": store.about})
    return count


class _Index:
    """An exact index of inner products in FAISS, with the keys of its vectors."""

    def __init__(self, width: int):
        self._faiss = need("faiss", "faiss", "writing indexes of FAISS")
        self._index, self._keys = self._faiss.IndexFlatIP(width), []

    def add(self, x: Float[np.ndarray, "N D"], keys: list[str]) -> None:
        self._index.add(x)
        self._keys += keys

    def write(self, path: Path) -> None:
        with replacing(path.with_name(f"{path.name}.faiss")) as place:
            self._faiss.write_index(self._index, str(place))
        write_json(path.with_name(f"{path.name}.json"), self._keys)


def _from_folder(path: Path) -> tuple[dict[str, Any], Iterator[pa.Table]]:
    said = read_json(path / "about.json")
    try:
        kinds = {name: _TYPES[kind] for name, kind in said["columns"].items()}
        return said["about"], _lines(path, kinds, said["vectors"], said["rows"])
    except (KeyError, TypeError, AttributeError) as error:
        raise BadFile(f"{path / 'about.json'}: not what `sensorium collection export` writes: {error!r}") from error


def _lines(path: Path, kinds: dict[str, pa.DataType], kept: dict[str, str], count: int) -> Iterator[pa.Table]:
    x, at = mapped(path / "vectors.npz"), 0
    ends = {name: np.cumsum(np.maximum(x[f"{name}.sizes"], 0)) for name in kinds if f"{name}.sizes" in x}
    for name in kept if count else ():
        if (index := path / f"{name}.faiss").is_file():
            x[name] = _of_faiss(index, kept[name])
        if name not in x or len(x[name]) != len(x.get(f"{name}.rows", ())):
            raise BadFile(f"{path}: {len(x.get(name, ()))} vectors {name}, expected {len(x.get(f'{name}.rows', ()))}")
    with (path / "rows.jsonl").open(encoding="utf-8") as file:
        while lines := [json.loads(line) for _, line in zip(range(_ROWS), file, strict=False)]:
            columns = {}
            for name, kind in kinds.items():
                values = [line.get(name) for line in lines]
                if name in ends:
                    values = _parts(x[f"{name}.bytes"], x[f"{name}.sizes"], ends[name], at, len(lines))
                columns[name] = pa.array(values, kind)
            for name in kept:
                columns[name] = _vectors(x[name], x[f"{name}.rows"], at, len(lines))
            at += len(lines)
            yield pa.table(columns).select([KEY, *(name for name in columns if name != KEY)])
    if at != count:
        raise BadFile(f"{path / 'rows.jsonl'}: {at} lines, expected {count}")


def _of_faiss(path: Path, precision: str) -> np.ndarray:
    """All vectors of an index, kept as they were."""
    faiss = need("faiss", "faiss", "reading indexes of FAISS")
    try:
        index = faiss.read_index(str(path))
        return rounded(index.reconstruct_n(0, index.ntotal), precision)
    except RuntimeError as error:
        raise BadFile(f"{path}: not an index of FAISS that holds its vectors: {error}") from error


def _parts(whole: np.ndarray, sizes: np.ndarray, ends: np.ndarray, at: int, count: int) -> list[bytes | None]:
    return [None if sizes[i] < 0 else whole[ends[i] - sizes[i] : ends[i]].tobytes() for i in range(at, at + count)]


def _vectors(x: np.ndarray, rows: np.ndarray, at: int, count: int) -> pa.Array:
    """Those of some lines, null where a line has none."""
    first, last = np.searchsorted(rows, [at, at + count])
    values = np.zeros((count, x.shape[1]), x.dtype)
    missing = np.ones(count, bool)
    values[rows[first:last] - at], missing[rows[first:last] - at] = x[first:last], False
    flat = pa.array(values.ravel())
    return pa.FixedSizeListArray.from_arrays(flat, x.shape[1], mask=pa.array(missing))
