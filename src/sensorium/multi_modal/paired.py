"""Arrays of several modalities whose rows belong together: checked, batched, and weighed by how well they are aligned."""

import operator
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import dtypes
from jaxtyping import Bool, Float, Shaped

from sensorium.core.errors import UnknownName, nearest
from sensorium.core.randomness import key_of
from sensorium.data.orders import OnePerGroup, Order, Shuffled, Stratified
from sensorium.data.shuffle import Rows
from sensorium.modalities.raw import described
from sensorium.multi_modal.sampling import Epochs, Sampler

Data = Mapping[str, Any]
BANDS = 10
"""Strata of alignment: scores are told apart by tenths."""
MOST = 2**31 - 1


@jax.tree_util.register_pytree_node_class
class Pairs(list):
    """A list of pairs of names that compiled functions take for a part of the form, not of the data: it has no leaves."""

    def tree_flatten(self) -> tuple[tuple, tuple]:
        return (), tuple(self)

    @classmethod
    def tree_unflatten(cls, pairs: tuple, leaves: Sequence) -> "Pairs":
        return cls(pairs)


class MultiModalPairedDataset:
    """Rows of several modalities, of which some pairs are to be learned from.

    Args:
        pairs: Names of two modalities each.
        data: An array of N rows for each modality, and what is known of them: `<modality>/here` bool[N], False where a row lacks
            that modality (what the array holds there counts for nothing: it is given as zeros); `<modality>/mask` bool[N L];
            `group` i32[N], equal where rows are of one item (without it, every row is its own).
        alignments: How well the modalities of a row agree, f32[N], or f32[N P] with one score a pair; 1 everywhere without it.
        seed: Of the walk that `get_batch` takes.

    `dataset[i]` is a dict of one row; `get_batch`, `epoch` and `read` give many, with `<modality>/here` and `group` always.
    """

    def __init__(self, pairs: Sequence[Sequence[str]], data: Data, alignments: Any = None, *, seed: int = 0):
        self._data = {name: _array(name, value) for name, value in data.items()}
        self.modalities = tuple(name for name in self._data if "/" not in name and name != "group")
        n = _rows(self._data, self.modalities)
        _check_parts(self._data, self.modalities, n)
        self.pairs = _pairs(pairs, self.modalities)
        self.alignments = _scores(alignments, n, len(self.pairs))
        self._seed = seed
        self._take(np.arange(n))

    def __len__(self) -> int:
        return len(self._index)

    def __getitem__(self, i: SupportsIndex) -> dict[str, Any]:
        """One row: its arrays, `alignment_scores` (a float, or f32[P]) and `pairs`. It can be given to a compiled function."""
        number = operator.index(i)
        if not -len(self) <= number < len(self):
            raise IndexError(f"row {number} of a data set of {len(self)}")
        row = self._arrays(np.array([number % len(self)]))
        scores = row.pop("alignment_scores")[0]
        sample: dict[str, Any] = {name: jnp.asarray(value[0]) for name, value in row.items()}
        return sample | {"alignment_scores": float(scores) if scores.ndim == 0 else jnp.asarray(scores), "pairs": self.pairs}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    def get_batch(self, batch_size: int, rngs: nnx.Rngs | jax.Array | int | None = None) -> dict[str, jax.Array]:
        """The next rows of a shuffled walk through the data, epoch after epoch; with `rngs`, rows drawn by its next key, none
        twice in the batch."""
        rows = self._sampler.next(batch_size) if rngs is None else self._sampler.draw(batch_size, key_of(rngs))
        return {name: jnp.asarray(value) for name, value in self.read(rows).items()}

    def read(self, rows: Rows | Sequence[int] | range, draw: int = 0) -> dict[str, Shaped[np.ndarray, "..."]]:
        """The batch of some rows: a `Source` for the trainer. A row has no alternatives, so `draw` changes nothing."""
        numbers = np.asarray(rows)
        if len(numbers) == 0 or numbers.min() < 0 or numbers.max() >= len(self):
            raise IndexError(f"rows {numbers[:8].tolist()} … of a data set of {len(self)}")
        batch = self._arrays(numbers)
        for name in self.modalities:
            batch.setdefault(f"{name}/here", np.ones(len(numbers), bool))
        batch.setdefault("group", self._index[numbers].astype(np.int32))
        return batch

    def epoch(
        self,
        batch_size: int,
        seed: int = 0,
        start: int = 0,
        drop_remainder: bool = True,
        *,
        repeat: int | None = 1,
        by_alignment: bool = False,
        one_per_group: bool = False,
    ) -> Epochs:
        """Shuffled epochs as an iterator of batches, whose position can be saved and restored (see `multi_modal.sampling`).

        `by_alignment`: the scores of one batch are in one tenth (0.8 to 0.9, …), and rows without a whole pair stand alone.
        `one_per_group`: an epoch takes one row of each group, drawn anew, so that no two rows of a batch are of one item.
        """
        if by_alignment and one_per_group:
            raise ValueError("by_alignment and one_per_group: batches are made by one of them, not by both")
        order: Order
        if by_alignment:
            order = Stratified(self._bands(), batch_size, seed, drop_remainder)
        elif one_per_group:
            order = OnePerGroup(self._groups(), batch_size, seed, drop_remainder)
        else:
            order = Shuffled(len(self), batch_size, seed, drop_remainder)
        return Epochs(lambda rows, epoch: self.read(rows), order, start, repeat)

    # What is known of the alignment

    @property
    def complete(self) -> dict[tuple[str, str], int]:
        """For each pair, in how many rows both of its modalities are there."""
        return {(a, b): int(n) for (a, b), n in zip(self.pairs, self._complete().sum(0), strict=True)}

    @property
    def unpaired(self) -> int:
        """Rows without any whole pair: they are read like others, and weigh nothing."""
        return int((~self._complete().any(1)).sum())

    def weights(self, batch: Mapping[str, Any]) -> Float[jax.Array, "B P"]:
        """What each pair of each row should weigh in a loss: its score (0 where that is negative), and 0 where the pair is not
        whole. Works in compiled functions."""
        scores = jnp.asarray(batch["alignment_scores"], jnp.float32)
        scores = scores[:, None] if scores.ndim == 1 else scores
        columns = []
        for p, (a, b) in enumerate(self.pairs):
            score = jnp.maximum(scores[:, min(p, scores.shape[1] - 1)], 0.0)
            both = [batch[f"{name}/here"] for name in (a, b) if f"{name}/here" in batch]
            columns.append(jnp.where(jnp.all(jnp.stack(both), axis=0), score, 0.0) if both else score)
        return jnp.stack(columns, axis=1)

    def where(self, min_score: float) -> "MultiModalPairedDataset":
        """The rows whose score is `min_score` or more (with a score a pair: the mean over the pairs that are whole)."""
        scores = self._row_scores()
        kept = np.flatnonzero(scores >= min_score)  # false where there is no whole pair
        if not len(kept):
            highest = max((float(s) for s in scores if not np.isnan(s)), default=None)
            told = "no row has a whole pair" if highest is None else f"the highest is {highest:g}"
            raise ValueError(f"no row has a score of {min_score} or more: {told}")
        part = copy(self)
        part._take(self._index[kept])
        return part

    def _take(self, index: Rows) -> None:
        self._index = index
        self._sampler = Sampler(len(index), self._seed)

    def _arrays(self, rows: Rows) -> dict[str, np.ndarray]:
        places = self._index[rows]
        out = {name: value[places].astype(dtypes.canonicalize_dtype(value.dtype)) for name, value in self._data.items()}
        for name in self.modalities:
            if f"{name}/here" in out:
                out[name][~out[f"{name}/here"]] = 0  # nobody knows what was there: a NaN would outlive every mask
        return out | {"alignment_scores": self.alignments[places]}

    def _complete(self) -> Bool[np.ndarray, "N P"]:
        everywhere = np.ones(len(self.alignments), bool)
        here = {name: self._data.get(f"{name}/here", everywhere)[self._index] for name in self.modalities}
        return np.stack([here[a] & here[b] for a, b in self.pairs], axis=1)

    def _row_scores(self) -> Float[np.ndarray, " N"]:
        """The mean score over the pairs that are whole; NaN where none is."""
        complete = self._complete()
        scores = self.alignments[self._index]
        scores = np.broadcast_to(scores[:, None] if scores.ndim == 1 else scores, complete.shape)
        count = complete.sum(1)
        return np.where(count, np.where(complete, scores, 0).sum(1) / np.maximum(count, 1), np.nan).astype(np.float32)

    def _bands(self) -> np.ndarray:
        scores = self._row_scores()
        nowhere = np.iinfo(np.int64).min
        return np.array([nowhere if np.isnan(s) else int(np.floor(s * BANDS + 1e-4)) for s in scores.tolist()], np.int64)

    def _groups(self) -> np.ndarray:
        return self._data["group"][self._index] if "group" in self._data else self._index


def _array(name: str, value: Any) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"data[{name!r}]: rows of different shapes; pad them, and give a {name}/mask: {error}") from error
    if array.ndim < 1 or array.dtype == object:
        raise ValueError(f"data[{name!r}] is a {described(value)}: expected an array of N rows")
    if array.dtype in (np.int64, np.uint64, np.uint32) and array.size and np.abs(array).max() > MOST:
        raise ValueError(f"data[{name!r}] holds whole numbers beyond {MOST}, and would become i32: number them anew, from 0")
    return array


def _rows(data: Mapping[str, np.ndarray], modalities: Sequence[str]) -> int:
    if len(modalities) < 2:
        raise ValueError(f"data holds {', '.join(modalities) or 'no modality'}: expected two modalities or more")
    lengths = {name: len(value) for name, value in data.items()}
    if len(set(lengths.values())) != 1:
        told = ", ".join(f"{name} {n}" for name, n in lengths.items())
        raise ValueError(
            f"rows differ in number: {told}. Row i of all is one thing; what is missing is told by <name>/here, not left out"
        )
    if not next(iter(lengths.values())):
        raise ValueError(f"no rows in data: {', '.join(lengths)} are empty")
    return next(iter(lengths.values()))


def _check_parts(data: Mapping[str, np.ndarray], modalities: Sequence[str], n: int) -> None:
    for name, value in data.items():
        owner, _, part = name.partition("/")
        if owner not in data:
            raise UnknownName(f"data[{name!r}] tells of {owner!r}, which is not there.{nearest(owner, modalities)}")
        if part == "here" and (value.dtype != bool or value.shape != (n,)):
            raise ValueError(f"data[{name!r}] is {value.dtype}{list(value.shape)}: expected bool[{n}], one flag a row")
        if part == "mask" and (value.dtype != bool or value.ndim != 2 or value.shape != data[owner].shape[:2]):
            expected = f"bool{list(data[owner].shape[:2])}, one flag a token"
            raise ValueError(f"data[{name!r}] is {value.dtype}{list(value.shape)}: expected {expected}")
    if "group" in data and (data["group"].shape != (n,) or not np.issubdtype(data["group"].dtype, np.integer)):
        raise ValueError(f"data['group'] is {described(data['group'])}: expected whole numbers, one a row")


def _pairs(pairs: Sequence[Sequence[str]], modalities: Sequence[str]) -> Pairs:
    out = Pairs()
    for pair in pairs:
        if isinstance(pair, str) or len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(f"the pair {pair!r}: expected two different modalities, as in ('image', 'text')")
        for name in pair:
            if name not in modalities:
                raise UnknownName(f"the pair {tuple(pair)} names {name!r}, which data does not hold.{nearest(name, modalities)}")
        if any(set(pair) == set(other) for other in out):
            raise ValueError(f"the pair {tuple(pair)} is there twice in {list(pairs)}: the order of its two makes no difference")
        out.append((pair[0], pair[1]))
    if not out:
        raise ValueError(f"no pairs: give at least one, as in {[tuple(modalities[:2])]}")
    return out


def _scores(alignments: Any, n: int, pairs: int) -> Float[np.ndarray, "..."]:
    if alignments is None:
        return np.ones(n, np.float32)
    scores = np.asarray(alignments).astype(np.float32)
    if scores.shape not in ((n,), (n, pairs)):
        raise ValueError(f"alignments of shape {scores.shape}: expected ({n},), or ({n}, {pairs}) with a score for each pair")
    if len(bad := np.argwhere(~np.isfinite(scores))):
        raise ValueError(f"{len(bad)} alignment scores are NaN or infinite, the first in row {bad[0][0]}")
    return scores
