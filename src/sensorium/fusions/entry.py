"""The way into a fusion: every field normed, so that none is louder than another, and projected to one width."""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.encoding import Encoding
from sensorium.fusions.fusion import Encodings, present
from sensorium.nn.norms import rms_norm
from sensorium.nn.sizes import whole


class Stream(NamedTuple):
    """The tokens of one field, or of several, at the width of the fusion."""

    tokens: Float[jax.Array, "B L D"]
    mask: Bool[jax.Array, "B L"]


class TokenEntry(nnx.Module):
    """Encodings -> a `Stream` for *each* field: an absent one is a single masked token, so that absence has one form only."""

    def __init__(self, widths: Mapping[str, int], width: int, *, rngs: nnx.Rngs):
        self.fields = tuple(widths)
        self.width = width
        self.project = nnx.Dict(_projections(widths, width, rngs))

    def __call__(self, encodings: Encodings) -> dict[str, Stream]:
        found = present(self.fields, encodings)
        rows = len(next(iter(found.values())).mask)
        absent = Stream(jnp.zeros((rows, 1, self.width)), jnp.zeros((rows, 1), bool))
        return {name: self._stream(name, found[name]) if name in found else absent for name in self.fields}

    def _stream(self, name: str, x: Encoding) -> Stream:
        # What is masked may be anything, a NaN too: it goes before the first operation that could spread it.
        clean = jnp.where(x.mask[:, :, None], x.tokens, 0.0)
        _check(name, clean.shape[-1], self.project[name])
        return Stream(self.project[name](rms_norm(clean)), x.mask)


class VectorEntry(nnx.Module):
    """Encodings -> the pooled vectors of all fields side by side, and which of them are there; absent ones are zeros."""

    def __init__(self, widths: Mapping[str, int], width: int, *, rngs: nnx.Rngs):
        self.fields = tuple(widths)
        self.width = width
        self.project = nnx.Dict(_projections(widths, width, rngs))

    def __call__(self, encodings: Encodings) -> tuple[Float[jax.Array, "B M D"], Bool[jax.Array, "B M"]]:
        found = present(self.fields, encodings)
        rows = len(next(iter(found.values())).mask)
        here = [found[name].mask.any(axis=1) if name in found else jnp.zeros(rows, bool) for name in self.fields]
        vectors = [
            self._vector(name, found[name].pooled, here[i]) if name in found else jnp.zeros((rows, self.width))
            for i, name in enumerate(self.fields)
        ]
        return jnp.stack(vectors, axis=1), jnp.stack(here, axis=1)

    def _vector(self, name: str, pooled: Float[jax.Array, "B P"], here: Bool[jax.Array, " B"]) -> Float[jax.Array, "B D"]:
        _check(name, pooled.shape[-1], self.project[name])
        clean = jnp.where(here[:, None], pooled, 0.0)
        return jnp.where(here[:, None], self.project[name](rms_norm(clean)), 0.0)


def join(streams: Mapping[str, Stream]) -> Stream:
    """The streams one after the other, in one sequence."""
    tokens, masks = zip(*streams.values(), strict=True)
    return Stream(jnp.concatenate(tokens, axis=1), jnp.concatenate(masks, axis=1))


def part(joined: Stream, streams: Mapping[str, Stream]) -> dict[str, Stream]:
    """The inverse of `join`: the tokens of `joined` under the names and masks of the streams that it was made of."""
    parts, start = {}, 0
    for name, (_, mask) in streams.items():
        parts[name] = Stream(joined.tokens[:, start : start + mask.shape[1]], mask)
        start += mask.shape[1]
    return parts


def _projections(widths: Mapping[str, int], width: int, rngs: nnx.Rngs) -> dict[str, nnx.Linear]:
    if not widths:
        raise ValueError("a fusion of no fields: give the width of each, as in {'image': 256, 'text': 128}")
    # The bias is the embedding that tells a token's field. It starts apart from zero, or at first two fields would differ little.
    bias = nnx.initializers.normal(0.5)
    return {
        name: nnx.Linear(whole(f"the width of {name}", size), whole("width", width), bias_init=bias, rngs=rngs)
        for name, size in widths.items()
    }


def _check(name: str, got: int, project: nnx.Linear) -> None:
    if got != project.in_features:
        raise ValueError(f"{name!r} is {got} wide, where this fusion was built for {project.in_features}")
