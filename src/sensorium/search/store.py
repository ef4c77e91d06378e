"""What a store of rows and vectors does for a collection. A driver is anything that fits the protocol."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, Protocol, TypeVar, cast, runtime_checkable

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from sensorium.core.errors import SensoriumError, UnknownName, nearest
from sensorium.search.precision import of_column, width
from sensorium.search.where import Where, comparisons

P = ParamSpec("P")
T = TypeVar("T")
KEY = "id"
"""The column that tells rows apart."""


class Found(NamedTuple):
    """A row that is near to a query: its key, and the dot product of the two vectors."""

    id: str
    score: float


class Index(NamedTuple):
    """How the vectors of a column are searched. `recall`: the share of the 10 nearest of 100 queries that it finds."""

    kind: str
    rows: int
    recall: float
    seconds: float


@runtime_checkable
class Store(Protocol):
    """Rows as Arrow tables, keyed by the text column `id`; columns of fixed-size lists of f32, f16, i8 or u8 are vectors, any of
    them null (see `precision`: of i8 and u8, which are bits, the direction alone counts).

    A row that is written replaces the one of its key whole: a column that it lacks is null then. Columns come into being as rows
    bring them. What a verb has done is seen by every other, in other processes too, once it returns, and not half before;
    whoever dies in the middle of one has done all of it or nothing.
    """

    @property
    def about(self) -> dict[str, Any]:
        """What was last said of the whole by `describe`: a dict that JSON can hold; {} at first."""
        ...

    @property
    def schema(self) -> pa.Schema:
        """The columns that there are; none before the first row."""
        ...

    @property
    def version(self) -> int:
        """A number that grows with every change of the rows."""
        ...

    def describe(self, about: dict[str, Any]) -> None: ...

    def upsert(self, rows: pa.Table, instead_of: Where | None = None) -> None:
        """Adds rows, or replaces those of their keys; rows that are not among them and meet `instead_of` go in the same step.
        `SensoriumError` where a key is there twice, a vector holds NaN, or a column has another type than before."""
        ...

    def delete(self, where: Where) -> int:
        """Removes the rows that meet the filter, and says how many they were."""
        ...

    def search(self, name: str, queries: Float[np.ndarray, "Q D"], k: int, where: Where | None = None) -> list[list[Found]]:
        """For each query the `k` rows (that meet the filter) with the largest dot products of their vectors `name` with it, best
        first, equal ones by key; fewer where fewer rows have that vector. Of binary ones those are compared that have the
        fewest bits other than the query's (`exact.candidates`)."""
        ...

    def get(self, ids: Sequence[str], columns: Sequence[str] | None = None) -> pa.Table:
        """The rows of some keys, in their order. `UnknownName` where one is not there."""
        ...

    def scan(
        self,
        columns: Sequence[str] | None = None,
        where: Where | None = None,
        after: str | None = None,
        rows: int = 1024,
        most: int | None = None,
    ) -> Iterator[pa.Table]:
        """All rows, or the first `most`, (that meet the filter, and whose keys come after `after`) in the order of the bytes of
        their keys, at most `rows` at once, as they were when the scan began."""
        ...

    def count(self, where: Where | None = None) -> int: ...

    def optimize(self) -> dict[str, Index]:
        """Tidies up, and makes searching fast where the rows are many: how each column of vectors is searched from now on."""
        ...

    def snapshot(self) -> "Store":
        """The rows as they are now, for reading; whoever writes meanwhile does not move them."""
        ...

    def steady(self) -> AbstractContextManager[None]:
        """Verbs inside may look once, and not each for itself, for what others have written (see `Lance`, whose looks cost)."""
        ...

    def close(self) -> None: ...


def steadily(verb: Callable[P, T]) -> Callable[P, T]:
    """A verb of a store all of which is `steady`."""

    @wraps(verb)
    def steady(*args: P.args, **kwargs: P.kwargs) -> T:
        with cast(Store, args[0]).steady():
            return verb(*args, **kwargs)

    return steady


def vectors(schema: pa.Schema) -> tuple[str, ...]:
    """The columns that hold vectors."""
    return tuple(field.name for field in schema if of_column(field.type))


def checked(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows that may be written into columns of `schema`: with all of its columns, the key first and never null."""
    if KEY not in rows.column_names or not pa.types.is_string(rows.schema.field(KEY).type) or rows[KEY].null_count:
        raise SensoriumError(f"rows without a key: expected a column {KEY!r} of texts, none of them null")
    keys = rows[KEY].to_pylist()
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        raise SensoriumError(f"the key {twice!r} is there twice among rows that are written at once")
    for name in rows.column_names:
        if not re.fullmatch("[a-z][a-z0-9_]*", name):
            raise SensoriumError(f"a column called {name!r}: expected small letters, digits and _, a letter first")
    for name in vectors(rows.schema):
        numbers = rows[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        if not np.isfinite(numbers).all():
            raise SensoriumError(f"item {_not_finite(rows, name)!r}: its vector for {name!r} holds NaN or infinity")
    for field in rows.schema:
        if field.name in schema.names and schema.field(field.name).type != field.type:
            was = schema.field(field.name).type
            raise SensoriumError(f"the column {field.name!r} holds {was}, and {field.type} cannot be written into it")
    names = [KEY, *(name for name in [*schema.names, *rows.column_names] if name != KEY)]
    columns, fields = [], []
    for name in dict.fromkeys(names):
        kind = (schema if name in schema.names else rows.schema).field(name).type
        columns.append(rows[name] if name in rows.column_names else pa.nulls(len(rows), kind))
        fields.append(pa.field(name, kind, nullable=name != KEY))
    return pa.table(columns, schema=pa.schema(fields))


def checked_query(schema: pa.Schema, name: str, queries: Float[np.ndarray, "Q D"], k: int) -> None:
    """`UnknownName` where no column of vectors is so called, `SensoriumError` where the queries do not fit it."""
    if name not in vectors(schema):
        raise UnknownName(f"no vectors {name!r} are here.{nearest(name, vectors(schema))}")
    if queries.shape[1] != (has := width(schema.field(name).type)):
        raise SensoriumError(f"a query of {queries.shape[1]} numbers; the vectors of {name!r} have {has}")
    if k < 1:
        raise SensoriumError(f"k is {k}: ask for at least one row")


def checked_filter(schema: pa.Schema, where: Where) -> None:
    """`UnknownName` where a column of the filter is not there, `SensoriumError` where it holds things of another kind."""
    for one in comparisons(where):
        if one.name not in schema.names:
            raise UnknownName(f"a filter by {one.name!r}, which no row has.{nearest(one.name, schema.names)}")
        kind = schema.field(one.name).type
        for value in one.value if isinstance(one.value, tuple) else () if one.op == "known" else (one.value,):
            fits = (
                pa.types.is_boolean(kind) and isinstance(value, bool),
                pa.types.is_string(kind) and isinstance(value, str),
                (pa.types.is_floating(kind) or pa.types.is_integer(kind))
                and isinstance(value, int | float)
                and not isinstance(value, bool),
            )
            if not any(fits):
                raise SensoriumError(f"a filter {one.name} {one.op} {value!r}: the column holds {kind}")


def places_of(places: Mapping[str, int], keys: Sequence[str]) -> list[int]:
    """Where the rows of some keys are. `UnknownName` where one is not there."""
    for key in keys:
        if key not in places:
            raise UnknownName(f"no row has the key {key!r}")
    return [places[key] for key in keys]


def _not_finite(rows: pa.Table, name: str) -> str:
    pairs = zip(rows[KEY].to_pylist(), rows[name].to_pylist(), strict=True)
    return next(key for key, vector in pairs if vector is not None and not np.isfinite(vector).all())
