"""The gradient of a large batch with the activations of a small one (Gao et al. 2021, gradient cache).

A contrastive loss needs the vectors of all rows at once; the encoders, whose activations are what fills the memory, do not.
So the rows are encoded part by part, only their vectors are kept, and in the backward pass each part is encoded once more,
with the same key (so the same dropout), when its gradient is asked for. It costs one more forward pass.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from sensorium.core.batch import size


def in_parts(model: Any, batch: dict[str, jax.Array], key: jax.Array, rows: int) -> dict[str, jax.Array]:
    """`model(batch, key)`, `rows` rows at a time: what it gives for each row, and its scalars (the scale, a bias).

    Part i of n holds the rows i, i + n, i + 2n … and has the key `fold_in(key, i)`: of a batch that is sharded over devices, each
    device so encodes its own rows in every part, and none travels. A `ValueError` where `rows` does not divide the batch. What
    the model changes of itself while it encodes (statistics of batch norms) is not kept.
    """
    whole = size(batch)
    if whole % rows:
        raise ValueError(f"micro_batch={rows} of a batch of {whole} rows: expected a divisor of it")
    graph, state = nnx.split(model)

    @jax.checkpoint
    def encode(state: Any, part: dict[str, jax.Array], number: jax.Array) -> dict[str, jax.Array]:
        return nnx.merge(graph, state)(part, jax.random.fold_in(key, number))

    number = whole // rows
    parts = {name: jnp.swapaxes(jnp.reshape(x, (rows, number, *x.shape[1:])), 0, 1) for name, x in batch.items()}
    numbers = jnp.arange(number)
    outputs = jax.lax.map(lambda each: encode(state, *each), (parts, numbers))
    return {
        name: x[0] if x.ndim == 1 else jnp.reshape(jnp.swapaxes(x, 0, 1), (whole, *x.shape[2:])) for name, x in outputs.items()
    }
