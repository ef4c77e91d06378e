"""Where a vision transformer looks, and which patches of a picture make it like a text.

Attention says where a vector was taken from; relevance says what a score would change with. Neither is a proof of why.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float

from sensorium.core.batch import Batch, pad, size
from sensorium.encoders.probed import Probed
from sensorium.encoders.published import PublishedViT
from sensorium.models.space import Space
from sensorium.nn.norms import unit

ROWS = 8
"""Pictures at a time: all weights of all layers are held at once, which a call of the model never does."""


def viewer(model: Any) -> str:
    """The name of the field whose encoder is a published vision transformer; a `ValueError` where there is none, or more."""
    found = [name for name, encoder in model.encoders.items() if isinstance(_inner(encoder), PublishedViT)]
    if len(found) != 1:
        kinds = ", ".join(f"{name}: {type(encoder).__name__}" for name, encoder in model.encoders.items())
        raise ValueError(
            f"maps are made of one vision transformer, and this model has {len(found)} ({kinds}): load one of a published "
            "family, such as CLIP, SigLIP, ViT or DINOv2, or train one with the encoder published_vit"
        )
    return found[0]


def attention(model: Any, batch: Batch, rollout: bool = False) -> Float[np.ndarray, "B heads h w"]:
    """With which weights the pooled vector takes the patches in the last layer, or where a question is asked of all tokens, in
    that: a map a head. A map sums to at most 1: the rest goes to the first token and the registers, where there are any.

    `rollout`: one map, of all layers: attention of attention, where each layer keeps half of what it had (Abnar & Zuidema 2020).
    """
    return _in_parts(partial(_attention, rollout=rollout), model, batch)


def relevance(model: Any, batch: Batch, other: str, layers: int | None = None) -> Float[np.ndarray, "B h w"]:
    """Which patches of picture i make it like row i of the field `other`: attention, weighted by the gradient of scale × cosine
    in it, from layer to layer (Chefer et al. 2021, "Generic attention-model explainability", equations 5 and 6). At least 0.

    `layers`: of how many layers, from the last one back; all, where it is None. The authors take one for CLIP.
    """
    if not isinstance(model, Space):
        raise ValueError("relevance is that of a text in the same space, and this model writes texts instead: load a CLIP")
    count = len(encoder_of(model).layers) + (encoder_of(model).question is not None)
    if layers is not None and not 1 <= layers <= count:
        raise ValueError(f"layers={layers}: this encoder has {count}")
    return _in_parts(partial(_relevance, other=other, layers=layers or count), model, batch)


def encoder_of(model: Any) -> PublishedViT:
    encoder = _inner(model.encoders[viewer(model)])
    assert isinstance(encoder, PublishedViT)
    return encoder


def _inner(encoder: Any) -> Any:
    """The encoder whose classes a probe has learned."""
    return encoder.inner if isinstance(encoder, Probed) else encoder


@partial(jax.jit, static_argnames=("graph", "rollout"))
def _attention(graph: Any, state: Any, batch: dict[str, jax.Array], rollout: bool) -> Float[jax.Array, "B heads h w"]:
    model = nnx.merge(graph, state)
    encoder, x = encoder_of(model), batch[viewer(model)]
    _, weights = encoder.watched(x)
    if not rollout:
        return _patches(encoder, weights[-1][:, :, 0], x)
    rolled = _chained([(jnp.mean(one, axis=1) + _same(one)) / 2 for one in weights[: len(encoder.layers)]], weights)
    asked = rolled if encoder.question is None else jnp.mean(weights[-1], axis=1) @ rolled
    return _patches(encoder, asked[:, None, 0], x)


@partial(jax.jit, static_argnames=("graph", "other", "layers"))
def _relevance(graph: Any, state: Any, batch: dict[str, jax.Array], other: str, layers: int) -> Float[jax.Array, "B h w"]:
    model = nnx.merge(graph, state)
    encoder, field = encoder_of(model), viewer(model)
    target = model({key: x for key, x in batch.items() if key.partition("/")[0] == other})
    against, scale = target[f"{other}/unit"], target["scale"]

    def scores(shifts: Sequence[jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
        pooled, weights = encoder.watched(batch[field], shifts)
        own = unit(model.projected(field, pooled).astype(jnp.float32))
        return scale * jnp.sum(own * against), weights  # a row's score is its own: the sum has the gradients of all

    shapes = jax.eval_shape(lambda: encoder.watched(batch[field])[1])
    gradients, weights = jax.grad(scores, has_aux=True)([jnp.zeros(one.shape, jnp.float32) for one in shapes])
    helped = [jnp.mean(jax.nn.relu(g * w), axis=1) for g, w in zip(gradients, weights, strict=True)]
    depth, first = len(encoder.layers), len(helped) - layers
    chained = _chained([one + _same(one) for one in helped[first:depth]], weights)
    asked = chained if encoder.question is None else helped[-1] @ chained
    return _patches(encoder, asked[:, None, 0], batch[field])[:, 0]


def _chained(steps: list[jax.Array], weights: list[jax.Array]) -> Float[jax.Array, "B L L"]:
    """The product of what the layers do, the last one first; nothing is changed by none."""
    tokens = weights[0].shape[-1]
    out = jnp.broadcast_to(jnp.eye(tokens, dtype=jnp.float32)[None], (len(weights[0]), tokens, tokens))
    for step in steps:
        out = jnp.matmul(step, out, precision="highest")
    return out


def _same(one: jax.Array) -> Float[jax.Array, "1 L L"]:
    return jnp.eye(one.shape[-1], dtype=jnp.float32)[None]


def _patches(encoder: PublishedViT, x: Float[jax.Array, "B heads L"], pictures: jax.Array) -> Float[jax.Array, "B heads h w"]:
    """What tokens have, as maps: what stands before the patches is left out."""
    h, w = (side // encoder.patch for side in pictures.shape[1:3])
    return x[:, :, x.shape[2] - h * w :].reshape(*x.shape[:2], h, w)


def _in_parts(compute: Any, model: Any, batch: Batch) -> Float[np.ndarray, "..."]:
    graph, state = nnx.split(model)
    if not size(batch):
        one = {key: np.zeros((1, *x.shape[1:]), x.dtype) for key, x in batch.items()}
        return np.zeros((0, *jax.eval_shape(lambda: compute(graph, state, one)).shape[1:]), np.float32)
    return np.concatenate([np.asarray(compute(graph, state, part))[:count] for part, count in _parts(batch)])


def _parts(batch: Batch) -> Iterator[tuple[Batch, int]]:
    """Parts of a batch, each filled up to one number of rows, with how many of them are its own."""
    total = size(batch)
    rows = 1 if total == 1 else ROWS
    for start in range(0, total, rows):
        part = {key: x[start : start + rows] for key, x in batch.items()}
        yield pad(part, rows), size(part)
