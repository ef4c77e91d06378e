"""A decoder of a few hundred numbers with opinions of its own, and something to write about."""

from functools import cache

import jax
from flax import nnx

from sensorium.decoders import Context, TokenDecoder

VOCABULARY, LENGTH, WIDTH = 7, 5, 8


@cache
def decoder(seed: int = 0, vocabulary: int = VOCABULARY, length: int = LENGTH) -> TokenDecoder:
    model = TokenDecoder(vocabulary, length, WIDTH, depth=2, heads=2, rngs=nnx.Rngs(seed))
    for number, block in enumerate(model.blocks):
        block.distance[...] = 0.2 * jax.random.normal(jax.random.key(number), block.distance[...].shape)
    assert model.head.bias is not None
    model.head.kernel[...] *= 10.0
    model.head.bias[...] = jax.random.normal(jax.random.key(seed), (vocabulary,)).at[1].set(0.0)
    return model


def about(rows: int, seed: int = 0) -> Context:
    tokens, gist = (
        jax.random.normal(jax.random.key(seed + i), shape) for i, shape in enumerate([(rows, 3, WIDTH), (rows, WIDTH)])
    )
    return Context(tokens, gist)
