"""Search between modalities with any model that embeds them: index databases, ask in one, find in another, measure it.

For items that have several modalities, paths and metadata, there is `sensorium.search.Collection`.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.errors import SensoriumError, UnknownName, nearest
from sensorium.metrics import average_precision, chance, measured, ndcg, ranks, reciprocal
from sensorium.multi_modal.vector_index import Index, checksum, read, write
from sensorium.search.embed import Model
from sensorium.search.exact import top

Encoders = Mapping[str, Callable[[Any], Any]]
Asked = Sequence[tuple[Any, Sequence[int | str]]]
_CELLS = 1 << 22  # scores held at a time while measuring


class Hit(NamedTuple):
    """A thing that was found: its id in its database, and the cosine of its vector and the query's."""

    id: int | str
    score: float


@runtime_checkable
class Embedder(Protocol):
    """A batch by modality -> its vectors by modality: `encode(image=batch) -> {"image": f32[B D]}`."""

    def encode(self, **raws: Any) -> Mapping[str, Any]: ...


@runtime_checkable
class TwoTowers(Protocol):
    """A model of pictures and texts, such as `CLIPModel`: a batch -> its vectors f32[B D]."""

    def encode_image(self, images: Any, /) -> Any: ...

    def encode_text(self, text: Any, /) -> Any: ...


class MultiModalRetrieval:
    """Databases by modality, their vectors, and queries from any modality to any other.

    A database is an array of items `[N …]` or a sequence of raw things (paths, strings, arrays): `image_db`, `text_db`, and any
    other as `audio_db=…`, `depth_db=…`. What embeds it is a `Sensorium`, which is given lists of raw things, or a model with
    `encode_image` and `encode_text`, or one with `encode(image=batch)`, or `encoders`: a function a modality, from a batch to
    vectors. A batch is an array where the items are arrays (of one shape), else a list. A query goes through the very function
    that made the database's vectors.

    `ids[modality]`: ints or strings, each once; 0 … N − 1 if not given. `fingerprint` names the encoders in a saved index; it is
    known by itself where `model` is a `Sensorium` or an nnx.Module, whose weights are then watched.
    """

    def __init__(
        self,
        model: Any,
        image_db: Any = None,
        text_db: Any = None,
        *,
        encoders: Encoders | None = None,
        ids: Mapping[str, Sequence[int | str]] | None = None,
        fingerprint: str | None = None,
        **more_db: Any,
    ):
        for name in more_db:
            if not name.endswith("_db"):
                raise TypeError(f"MultiModalRetrieval takes no {name!r}; databases are called <modality>_db: {name}_db=…")
        databases = {"image_db": image_db, "text_db": text_db, **more_db}
        self.model, self.encoders = model, _encoders(model, encoders)
        self.databases = {name.removesuffix("_db"): _database(name, db) for name, db in databases.items() if db is not None}
        for name in self.databases if self.encoders is not None else ():
            self._embeds(name)
        for name in ids or {}:
            if name not in self.databases:
                raise UnknownName(f"ids for {name!r}, of which there is no database.{nearest(name, self.databases)}")
        self._ids = {name: _ids(name, database, ids or {}) for name, database in self.databases.items()}
        self._index: dict[str, Index] = {}
        self._made_by: str | None = None
        self._named = fingerprint
        self._weights: tuple[str, list[tuple[str, jax.Array]]] = "", []

    def index_database(self, batch_size: int = 32) -> dict[str, int]:
        """Embeds every item of every database that is not embedded yet; gives how many were, by modality.

        An item is known by its content (of a file, what is in it), so a second call embeds what is new or was changed. Where
        the model's weights were changed, all is embedded anew. An item without a direction (0, NaN) is an error.
        """
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: give 1 or more")
        if not self.databases:
            raise SensoriumError("nothing to index: no database was given")
        fingerprint = self._fingerprint()
        made, counts = dict(self._index) if fingerprint == self._made_by else {}, {}
        for name, database in self.databases.items():
            old = made.get(name)
            known = {} if old is None else dict(zip(old.checksums, old.vectors, strict=True))
            checksums, counts[name] = self._embed_new(name, database, known, batch_size)
            made[name] = Index(self._ids[name], checksums, np.stack([known[key] for key in checksums]))
        widths = {name: index.vectors.shape[1] for name, index in made.items()}
        if len(set(widths.values())) > 1:
            raise SensoriumError(f"the encoders give vectors of unlike widths, which share no space: {widths}")
        self._index, self._made_by = made, fingerprint
        return counts

    def retrieve_text_to_image(self, query: Any, k: int = 5) -> list[Any]:
        """`retrieve("text", "image", query, k)`."""
        return self.retrieve("text", "image", query, k)

    def retrieve_image_to_text(self, query: Any, k: int = 5) -> list[Any]:
        """`retrieve("image", "text", query, k)`."""
        return self.retrieve("image", "text", query, k)

    def retrieve(self, source: str, target: str, query: Any, k: int = 5) -> list[Any]:
        """The `k` things of the modality `target` nearest to a query of the modality `source`, best first, equal ones in order.

        A list, or an array with as many axes as the database of `source`, is several queries: a list of hits for each.
        """
        index = self._ready(target)
        if not 1 <= k <= len(index.ids):
            raise ValueError(f"k is {k}: {len(index.ids)} items of {target!r} are indexed, ask for 1 to {len(index.ids)}")
        queries, several = self._queries(source, query)
        scores = self._scores(source, queries, target)
        hits = [[Hit(index.ids[at], float(row[at])) for at in top(row, k)] for row in scores]
        return hits if several else hits[0]

    def evaluate_retrieval(
        self, ground_truth: Mapping[str, Asked], k: Sequence[int] | int = (1, 5, 10)
    ) -> dict[str, dict[str, float]]:
        """How well queries with known answers find them: `{"text_to_image": [(query, [id, …]), …], …}` -> numbers by direction.

        "R@k", the share of queries with a right answer among the first k; "MedR" and "MRR" of the rank of the first right one;
        "mAP" and "nDCG@<largest k>" of all right ones; each with "/low" and "/high" (95 %, bootstrap over queries), and
        "R@k/chance". Ties count against the model. An empty list, of queries or answers, is an error that names it.
        """
        ks = (k,) if isinstance(k, int) else tuple(k)
        if not ground_truth or not ks or min(ks) < 1:
            raise ValueError(f"nothing to measure: {len(ground_truth)} directions, k = {ks}")
        return {direction: self._evaluate(direction, asked, ks) for direction, asked in ground_truth.items()}

    def save(self, path: Path | str) -> None:
        """Writes the vectors, ids and checksums into the folder `path`; what was there stays valid until all is written."""
        if not self._index:
            raise SensoriumError("nothing to save: call index_database() first")
        if self._made_by is None:
            raise SensoriumError("what made these vectors is not known, so a reader could not check it: give fingerprint=…")
        write(Path(path), self._made_by, self._index)

    def load(self, path: Path | str) -> "MultiModalRetrieval":
        """Takes over the index that `save` wrote, with its ids, and gives itself: queries need no databases. Where there are
        some, `index_database` embeds what is new in them.

        `BadFile` where there is none or it is damaged; `SensoriumError` if another model made it.
        """
        made_by, index = read(Path(path))
        if self._fingerprint() != made_by:
            raise SensoriumError(
                f"{path}: these vectors were made by a model of the fingerprint {made_by}, this one has "
                f"{self._fingerprint()}: they cannot be compared. Load it with that model, or index anew"
            )
        self._index, self._made_by = index, made_by
        return self

    def _embeds(self, name: str) -> None:
        if self.encoders is not None and name not in self.encoders:
            raise UnknownName(f"there is no encoder for {name!r}.{nearest(name, self.encoders)}")

    def _embed_new(self, name: str, database: Any, known: dict[str, np.ndarray], size: int) -> tuple[tuple[str, ...], int]:
        """Adds to `known` the vectors of the items that it lacks; gives the checksums of all, and how many were embedded."""
        checksums, pending, before = [], {}, len(known)
        for at in range(len(database)):
            checksums.append(checksum(database[at]))
            if checksums[-1] not in known:
                pending.setdefault(checksums[-1], (at, database[at]))
            if pending and (len(pending) == size or at == len(database) - 1):
                places = [f"item {at} of {name}_db" for at, _ in pending.values()]
                vectors = self._vectors(name, [item for _, item in pending.values()], places)
                known.update(zip(pending, vectors, strict=True))
                pending = {}
        return tuple(checksums), len(known) - before

    def _vectors(self, name: str, items: list[Any], places: list[str]) -> Float[np.ndarray, "N D"]:
        """Unit vectors of items: the one road that databases and queries take."""
        batch = items if isinstance(self.model, Model) and self.encoders is None else _stacked(items)
        vectors = self.model.encode(**{name: batch})[name] if self.encoders is None else self.encoders[name](batch)
        vectors = np.asarray(vectors).astype(np.float32)
        if vectors.ndim != 2 or len(vectors) != len(items):
            raise SensoriumError(
                f"the encoder of {name!r} gave {list(vectors.shape)} for {len(items)} items: expected [items, width]"
            )
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        lost = np.flatnonzero(~((lengths > 1e-6) & np.isfinite(lengths)))
        if len(lost):
            raise SensoriumError(f"{places[lost[0]]}: its vector has no direction (its length is {float(lengths[lost[0], 0])})")
        return vectors / lengths

    def _queries(self, source: str, query: Any) -> tuple[list[Any], bool]:
        """The queries as a list, and whether they were several."""
        self._embeds(source)
        database = self.databases.get(source)
        array = isinstance(query, np.ndarray | jax.Array)
        several = isinstance(query, list) or (array and isinstance(database, np.ndarray) and query.ndim == database.ndim)
        queries = list(query) if several else [query]
        if not queries:
            raise ValueError(f"an empty list of queries of {source!r}")
        if isinstance(database, np.ndarray):
            queries = [_like(database, np.asarray(x), source) for x in queries]
        return queries, several

    def _scores(self, source: str, queries: list[Any], target: str) -> Float[np.ndarray, "Q N"]:
        index = self._ready(target)
        vectors = self._vectors(source, queries, [f"query {at}" for at in range(len(queries))])
        if vectors.shape[1] != index.vectors.shape[1]:
            widths = f"{vectors.shape[1]} for {source!r} and {index.vectors.shape[1]} for {target!r}"
            raise SensoriumError(f"vectors of unlike widths share no space: {widths}")
        return vectors @ index.vectors.T

    def _ready(self, target: str) -> Index:
        """The index of a modality, of the weights that the model has now."""
        if target not in self._index and target not in self.databases:
            raise UnknownName(f"there is no database of {target!r}.{nearest(target, {*self.databases, *self._index})}")
        if target not in self._index:
            raise SensoriumError(f"the database of {target!r} is not indexed yet: call index_database() first")
        if self._fingerprint() != self._made_by:
            raise SensoriumError("the model was changed since its databases were indexed: call index_database() again")
        return self._index[target]

    def _evaluate(self, direction: str, asked: Asked, ks: tuple[int, ...]) -> dict[str, float]:
        source, target = self._direction(direction)
        index = self._ready(target)
        right = _right(direction, asked, index.ids)
        found = {name: [] for name in ("rank", "mAP", f"nDCG@{max(ks)}")}
        rows = max(1, _CELLS // len(index.ids))
        for start in range(0, len(asked), rows):
            queries = [self._queries(source, [query])[0][0] for query, _ in asked[start : start + rows]]
            scores, positives = self._scores(source, queries, target), right[start : start + rows]
            found["rank"].append(ranks(scores, positives))
            found["mAP"].append(average_precision(scores, positives))
            found[f"nDCG@{max(ks)}"].append(ndcg(scores, positives, max(ks)))
        values = {name: np.concatenate(parts) for name, parts in found.items()}
        rank = values.pop("rank")
        result = measured("MedR", rank, np.median) | measured("MRR", reciprocal(rank))
        for k in ks:
            result |= measured(f"R@{k}", rank <= k) | {f"R@{k}/chance": chance(right, k)}
        for name, each in values.items():
            result |= measured(name, each)
        return result | {"queries": len(asked), "gallery": len(index.ids)}

    def _direction(self, direction: str) -> tuple[str, str]:
        names = {*self.databases, *self._index, *(self.encoders or ())}
        known = [f"{source}_to_{target}" for source, target in permutations(sorted(names), 2)]
        source, _, target = direction.partition("_to_")
        if direction not in known and not (source == target and source in names):
            raise UnknownName(f"{direction!r} is no direction of this index.{nearest(direction, known)}")
        return source, target

    def _fingerprint(self) -> str | None:
        """What the vectors depend on; None where that cannot be known."""
        if self._named is not None:
            return self._named
        if isinstance(self.model, nnx.Module):
            leaves = [(str(path), x) for path, x in jax.tree.leaves_with_path(nnx.state(self.model, nnx.Not(nnx.RngState)))]
            name, seen = self._weights  # arrays never change: the same ones are the same weights
            if not name or len(seen) != len(leaves) or any(a is not b for (_, a), (_, b) in zip(seen, leaves, strict=True)):
                name = _hash(leaves)
                self._weights = name, leaves
            return name
        return self.model.fingerprint if isinstance(self.model, Model) else None


def _encoders(model: Any, encoders: Encoders | None) -> dict[str, Callable[[Any], Any]] | None:
    """A function a modality; None where the model's own `encode` knows its modalities."""
    if encoders is not None:
        return dict(encoders)
    if isinstance(model, nnx.Module) and isinstance(model, TwoTowers):
        towers = {"image": nnx.jit(lambda m, x: m.encode_image(x)), "text": nnx.jit(lambda m, x: m.encode_text(x))}
        return {name: partial(_filled, partial(tower, model)) for name, tower in towers.items()}
    if isinstance(model, TwoTowers):
        return {"image": model.encode_image, "text": model.encode_text}
    if isinstance(model, Embedder):
        return None
    raise ValueError(
        f"a {type(model).__name__} has neither encode(…) nor encode_image and encode_text: give encoders={{'image': function, …}}"
    )


def _filled(tower: Callable[[jax.Array], jax.Array], batch: Any) -> jax.Array:
    """The vectors of a batch, which is filled up to a power of two, so that few sizes are compiled."""
    if isinstance(batch, list):
        raise ValueError(f"this model embeds arrays; an item is a {type(batch[0]).__name__}")
    rows = len(batch)
    copies = jnp.repeat(batch[:1], (1 << (rows - 1).bit_length()) - rows, axis=0)
    return tower(jnp.concatenate([batch, copies]))[:rows]


def _database(name: str, database: Any) -> Any:
    if isinstance(database, np.ndarray | jax.Array):
        database = np.asarray(database)
    elif isinstance(database, str | bytes | Mapping) or not isinstance(database, Sequence):
        raise ValueError(f"{name} is a {type(database).__name__}: give an array of items, or a list of them")
    if (isinstance(database, np.ndarray) and not database.ndim) or not len(database):
        raise ValueError(f"{name} is empty: leave it out, or give items")
    return database


def _ids(name: str, database: Any, ids: Mapping[str, Sequence[int | str]]) -> tuple[int | str, ...]:
    given = [x.item() if isinstance(x, np.generic) else x for x in ids.get(name, range(len(database)))]
    if len(given) != len(database):
        raise ValueError(f"{len(given)} ids for the {len(database)} items of {name}_db")
    if len(set(given)) != len(given):
        twice = next(x for at, x in enumerate(given) if x in given[:at])
        raise ValueError(f"two items of {name}_db have the id {twice!r}: each needs its own")
    return tuple(given)


def _like(database: np.ndarray, query: np.ndarray, source: str) -> np.ndarray:
    if query.ndim != database.ndim - 1 or query.dtype.kind != database.dtype.kind:
        expected = f"{database.dtype}{list(database.shape[1:])}"
        raise ValueError(f"a query of {source!r} is {query.dtype}{list(query.shape)}; the database holds items {expected}")
    return query.astype(database.dtype)


def _stacked(items: list[Any]) -> Any:
    """A batch as an array, where the items are arrays; else the items."""
    if not all(isinstance(x, np.ndarray | jax.Array | np.generic) for x in items):
        return items
    shapes = {np.shape(x) for x in items}
    if len(shapes) > 1:
        raise ValueError(f"arrays of one batch have unlike shapes: {sorted(shapes)}; make them of one shape first")
    return jnp.asarray(np.stack([np.asarray(x) for x in items]))


def _right(direction: str, asked: Asked, ids: tuple[int | str, ...]) -> Bool[np.ndarray, "Q N"]:
    """Which indexed items are right for each query."""
    if not len(asked):
        raise ValueError(f"ground truth of {direction!r}: no queries")
    places, right = {key: at for at, key in enumerate(ids)}, np.zeros((len(asked), len(ids)), bool)
    for at, (_, answers) in enumerate(asked):
        if not len(answers):
            raise ValueError(f"ground truth of {direction!r}: query {at} has no relevant ids; leave it out")
        unknown = [x for x in answers if x not in places]
        if unknown:
            raise ValueError(
                f"ground truth of {direction!r}: query {at} names {unknown[0]!r}, which is no id of the {len(ids)} indexed"
            )
        right[at, [places[x] for x in answers]] = True
    return right


def _hash(leaves: list[tuple[str, jax.Array]]) -> str:
    digest = hashlib.sha256()
    for path, x in sorted(leaves, key=lambda leaf: leaf[0]):
        digest.update(f"{path}{x.dtype}{x.shape}".encode() + np.asarray(x).tobytes())
    return digest.hexdigest()[:16]
