"""How a generator is trained: on a source of items or on batches of your own, reading only the fields that it needs."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from sensorium.core.batch import Batch
from sensorium.core.errors import UnknownName, nearest
from sensorium.core.protocols import Source
from sensorium.data.pipeline import batches
from sensorium.multi_modal.arrays import arrayed, flags
from sensorium.multi_modal.folder import NAMES
from sensorium.nn.sizes import whole
from sensorium.training import adamw, minimise
from sensorium.training.course import Record

PARTS = ("mask", "here")


@runtime_checkable
class Fittable(Protocol):
    """An nnx.Module that says what it reads, and what it loses on a batch of that."""

    @property
    def reads(self) -> tuple[str, ...]: ...

    def loss(self, batch: Any, key: Any = None) -> Float[jax.Array, ""]: ...


def fit(
    generator: Fittable,
    data: Source | Iterable[Batch],
    steps: int,
    batch_size: int = 64,
    lr: float = 1e-3,
    seed: int = 0,
    tell: Callable[[Record], None] | None = None,
) -> list[Record]:
    """Trains `generator` in place with AdamW, a warm-up and a cosine decay; gives the history (see `training.minimise`).

    `data` is a source (`len(data)`, `data.read(rows)`), read in shuffled batches of `batch_size`, epoch after epoch, or an
    iterable of batches, taken as they come (`batch_size` says nothing then; too few of them are a `ValueError`). Of a batch
    only the fields in `generator.reads` are used, with their `<field>/mask` and `<field>/here`; a field that is not there is
    an `UnknownName`. One `seed`, one result.
    """
    whole("steps", steps)
    if isinstance(data, Mapping):
        names = ", ".join(map(str, data))
        raise ValueError(f"one batch, of {names}: give a source or a list of batches, as in [batch] * {steps}")
    stream = batches(data, batch_size, steps, seed) if isinstance(data, Source) else _counted(data, steps)
    needed = (only(batch, generator.reads) for batch in stream)
    return minimise(generator, _objective, needed, adamw(lr, steps), steps, seed=seed, tell=tell)  # type: ignore[arg-type]


def only(batch: Mapping[str, Any], reads: tuple[str, ...]) -> dict[str, Any]:
    """The entries of `batch` that a generator reads: its fields, and their masks where the batch has any.

    The guide's names that `MultiModalDataset` gives (`input_ids`, `attention_mask`) are read as `text` and `text/mask`.
    """
    if "text" not in batch:
        batch = {**batch, **{name: batch[given] for name, given in NAMES.items() if given in batch}}
    for name in reads:
        if name not in batch:
            raise UnknownName(f"the batch has no {name!r}, which this generator reads.{nearest(name, batch)}")
    parts = [f"{name}/{part}" for name in reads for part in PARTS]
    return {name: batch[name] for name in (*reads, *parts) if name in batch}


def rows_here(batch: Mapping[str, Any], fields: tuple[str, ...]) -> Bool[jax.Array, " B"]:
    """The rows that have every one of these fields (`<field>/here`); a `ValueError` where their numbers of rows differ."""
    shapes = {name: arrayed(name, batch[name]).shape for name in fields}
    rows = {shape[:1] for shape in shapes.values()}
    if len(rows) > 1 or rows == {()}:
        listed = " and ".join(f"{name!r} {shape}" for name, shape in shapes.items())
        raise ValueError(f"a batch of {listed}: expected rows first, as many of each")
    here = jnp.ones(rows.pop(), bool)
    for name in fields:
        if f"{name}/here" in batch:
            here = here & flags(f"{name}/here", batch[f"{name}/here"], here.shape)
    return here


def _objective(generator: Fittable, batch: dict[str, jax.Array], key: jax.Array, updates: jax.Array):
    return generator.loss(batch, key), {}


def _counted(data: Iterable[Batch], steps: int) -> Iterator[Batch]:
    number = 0
    for batch in data:
        yield batch
        number += 1
    raise ValueError(f"{number} batches, where {steps} steps need as many: give more of them, or a source that is read anew")
