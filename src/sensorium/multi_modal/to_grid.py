"""What all generators of pictures and sounds share: read the source, decode a grid, and learn the mean that fits."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float

from sensorium.core.batch import Batch
from sensorium.core.protocols import Source
from sensorium.decoders.grid import QUIET, GridDecoder
from sensorium.losses.reconstruct import squared
from sensorium.losses.reduce import mean
from sensorium.multi_modal import fitting
from sensorium.multi_modal.arrays import arrayed, blanked, flags
from sensorium.multi_modal.readers import PictureReader, SoundReader, TextReader
from sensorium.nn.norms import rms_norm
from sensorium.training.course import Record

Reader = TextReader | PictureReader | SoundReader


class ToGrid(nnx.Module):
    """Abstract: a reader, a residual layer and a grid decoder. `reads` names the source and the target of a training batch.

    It is deterministic and trained on squared error, so that what it gives is the mean of the targets that go with a source
    (as far as it has learned it): of what the source leaves open it draws the average, not a sample.
    """

    def __init__(self, reads: tuple[str, str], reader: Reader, hidden: int, decoder: GridDecoder, *, rngs: nnx.Rngs):
        self.reads, self.reader, self.decoder = reads, reader, decoder
        self.up = nnx.Linear(hidden, hidden, rngs=rngs)
        initial = nnx.initializers.variance_scaling(QUIET, "fan_in", "truncated_normal")
        self.down = nnx.Linear(hidden, hidden, kernel_init=initial, rngs=rngs)

    @abstractmethod
    def finish(self, grid: Float[jax.Array, "B *grid C"]) -> Float[jax.Array, "B ..."]:
        """The decoder's unbounded values in the form and range of the target."""

    @abstractmethod
    def target(self, x: jax.Array) -> Float[jax.Array, "B ..."]:
        """The targets of a batch in the form that `finish` gives; a `ValueError` where they are none."""

    def generate(self, x: jax.Array | np.ndarray, mask: jax.Array | np.ndarray | None = None) -> Float[jax.Array, "..."]:
        """One target from one source, or a batch of them from a batch; no row hears of another."""
        rows, mask, one = self.reader.as_rows(x, mask)
        made = _compiled(*nnx.split(self), rows, mask)
        return made[0] if one else made

    def make(self, rows: jax.Array, mask: jax.Array | None) -> Float[jax.Array, "B ..."]:
        """Targets from a batch of sources in the form that the reader's `as_rows` gives."""
        vector = self.reader(rows, mask)
        vector = vector + self.down(jax.nn.gelu(self.up(rms_norm(vector))))
        return self.finish(self.decoder(vector))

    def loss(self, batch: Any, key: jax.Array | None = None) -> Float[jax.Array, ""]:
        """The mean squared error over the rows that have both source and target (`<field>/here`), 0 where none has.

        `batch` is a dict of the fields in `reads`, with their `<field>/mask` where there is one: what a mask leaves out is not
        read, and not aimed at. Nothing is drawn: `key` is not needed.
        """
        source, target = self.reads
        batch = fitting.only(batch, self.reads)
        here = fitting.rows_here(batch, self.reads)
        rows, mask, _ = self.reader.as_rows(blanked(batch[source], here), batch.get(f"{source}/mask"))
        real = here
        if f"{target}/mask" in batch:
            aimed = arrayed(f"{target}/mask", batch[f"{target}/mask"])
            aimed = flags(f"{target}/mask", aimed, batch[target].shape[: aimed.ndim])
            real = here.reshape(len(here), *(1,) * (aimed.ndim - 1)) & aimed
        goal = self.target(blanked(batch[target], real))
        return mean(squared(goal, self.make(rows, mask), real))

    def fit(
        self,
        data: Source | Iterable[Batch],
        steps: int,
        batch_size: int = 64,
        lr: float = 3e-3,
        seed: int = 0,
        tell: Callable[[Record], None] | None = None,
    ) -> list[Record]:
        """Trains in place on a source or on batches of your own; gives the history. See `multi_modal.fitting.fit`."""
        return fitting.fit(self, data, steps, batch_size, lr, seed, tell)


@partial(jax.jit, static_argnums=0)
def _compiled(graph, state, rows: jax.Array, mask: jax.Array | None) -> jax.Array:
    """One program for each shape of source: op by op, compiling each would take a new generator seconds."""
    return nnx.merge(graph, state).make(rows, mask)
