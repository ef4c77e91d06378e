"""What a caller of a fusion gives, one sample or a batch, with or without masks, as encodings by field; and back to its form."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.encoding import Encoding
from sensorium.core.errors import UnknownName, nearest
from sensorium.core.randomness import key_of
from sensorium.multi_modal.fuse_arguments import Masks
from sensorium.nn.pooling import masked_mean

Randomness = nnx.Rngs | jax.Array | int | None


class Inputs(NamedTuple):
    """Encodings of B rows by field, and whether they stand for one sample that came without a row axis."""

    encodings: dict[str, Encoding]
    one: bool


def encodings(widths: Mapping[str, int], given: Mapping[str, Any], masks: Masks = None, tokens: bool = False) -> Inputs:
    """Arrays by field as encodings: `(D,)` is one sample, `(B, D)` a vector a row, `(B, L, D)` a token sequence a row.

    With `tokens` one sample is a sequence `(L, D)`, and a batch `(B, L, D)`. The pooled vector of a sequence is the mean of its
    tokens. A width, a rank or a number of rows that does not fit is a `ValueError`.
    """
    ranks = (2, 3) if tokens else (1, 2, 3)
    arrays = {name: _checked(name, x, widths[name], ranks) for name, x in given.items()}
    lone = {name: x.ndim == ranks[0] for name, x in arrays.items()}
    if len(set(lone.values())) > 1:
        raise ValueError(
            f"one sample beside a batch: the shapes are {_shapes(arrays)}. One sample with tokens takes a row axis: x[None]"
        )
    one = next(iter(lone.values()))
    arrays = {name: x[None] if one else x for name, x in arrays.items()}
    if len({len(x) for x in arrays.values()}) > 1:
        hint = ". If that is one sample, and these are its tokens, give each with a row axis: x[None]"
        lone = all(x.ndim == 2 for x in arrays.values())
        raise ValueError(f"the numbers of rows differ: the shapes are {_shapes(arrays)}{hint if lone else ''}")
    masks = masks or {}
    if unknown := [name for name in masks if name not in widths]:
        raise UnknownName(f"a mask for {unknown[0]!r}, which is no modality here.{nearest(unknown[0], widths)}")
    return Inputs({name: _encoding(name, x, masks.get(name), one) for name, x in arrays.items()}, one)


def dropout_key(rate: float, deterministic: bool | None, key: Randomness) -> jax.Array | None:
    """The key to drop out with, or none. `deterministic=None` is: drop out where a key is given."""
    if deterministic or rate == 0 or (deterministic is None and key is None):
        return None
    if key is None:
        raise ValueError(
            f"a dropout of {rate} needs randomness: pass key=… (a key, a seed or an nnx.Rngs), or deterministic=True"
        )
    return key_of(key)


def formed(x: Any, one: bool) -> Any:
    """Arrays of rows in the form that the inputs had: without the row axis where it was one sample."""
    return jax.tree.map(lambda leaf: leaf[0], x) if one else x


def row_mask(name: str, mask: Any, shape: tuple[int, ...], one: bool) -> Bool[jax.Array, "..."]:
    """A caller's mask as Bool `(B,)` or `(B, L)`, where `shape` is `(B, L)`."""
    mask = jnp.asarray(mask)
    if mask.dtype != bool:
        raise ValueError(f"the mask of {name!r} is {mask.dtype}, where a bool is needed: compare, as in ids != 0")
    mask = mask[None] if one else mask
    if mask.shape not in (shape[:1], shape):
        raise ValueError(f"the mask of {name!r} has the shape {mask.shape}, where {shape[:1]} or {shape} is needed")
    return mask


def _checked(name: str, x: Any, width: int, ranks: tuple[int, ...]) -> jax.Array:
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"{name!r} is {x.dtype}: a fusion takes the embeddings of an encoder, not ids or pixels")
    if x.ndim not in ranks or x.shape[-1] != width:
        forms = ["(D,)", "(B, D)", "(B, L, D)"] if len(ranks) == 3 else ["(L, D)", "(B, L, D)"]
        raise ValueError(f"{name!r} has the shape {x.shape}, where {' or '.join(forms)} with D = {width} is needed")
    if 0 in x.shape[1:] or (x.ndim == ranks[0] == 2 and not len(x)):
        raise ValueError(f"{name!r} has the shape {x.shape}, a sequence of 0 tokens: give None, or one token that is masked")
    return x


def _encoding(name: str, x: Float[jax.Array, "B ... D"], mask: Any, one: bool) -> Encoding:
    tokens = x[:, None] if x.ndim == 2 else x
    real = jnp.ones(tokens.shape[:2], bool)
    if mask is not None:
        mask = row_mask(name, mask, tokens.shape[:2], one)
        real = jnp.broadcast_to(mask[:, None], real.shape) if mask.ndim == 1 else mask
    return Encoding(tokens, real, masked_mean(tokens, real))


def _shapes(arrays: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {x.shape}" for name, x in arrays.items())
