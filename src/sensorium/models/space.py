"""A shared space: one encoder a field, each projected to unit vectors of the same width (Radford et al. 2021, CLIP)."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from sensorium.core.encoding import Encoder
from sensorium.encoders import ENCODERS
from sensorium.nn.norms import unit

Outputs = dict[str, jax.Array]


class Space(nnx.Module):
    """Batch -> `"<field>/unit"` f32[B D] of length 1 for every field that the batch holds, and `"scale"` f32[].

    `scale` is what cosines are multiplied by before a softmax: exp of a learned parameter, at most 100.
    """

    def __init__(self, encoders: Mapping[str, Encoder], width: int = 256, temperature: float = 0.07, *, rngs: nnx.Rngs):
        self.encoders = nnx.Dict(dict(encoders))
        self.projections = nnx.Dict(
            {name: nnx.Linear(e.pooled_width, width, use_bias=False, rngs=rngs) for name, e in encoders.items()}
        )
        self.log_scale = nnx.Param(jnp.asarray(math.log(1 / temperature), jnp.float32))
        self.width = width

    @classmethod
    def build(cls, encoders: Mapping[str, Mapping[str, Any]], *, rngs: nnx.Rngs, **dials: Any) -> "Space":
        """The space that JSON describes: `encoders[field]` names an encoder of `ENCODERS` and holds its arguments."""
        made = {}
        for name, arguments in encoders.items():
            rest = {key: value for key, value in arguments.items() if key != "encoder"}
            made[name] = ENCODERS[arguments["encoder"]](**rest, rngs=rngs)
        return cls(made, **dials, rngs=rngs)

    def settle(self) -> None:
        """Called after every update: holds the scale at 100 or below (as a clip in the loss, it would lose its gradient)."""
        self.log_scale[...] = jnp.minimum(self.log_scale[...], math.log(100))

    def __call__(self, batch: dict[str, jax.Array], key: jax.Array | None = None) -> Outputs:
        out: Outputs = {"scale": jnp.exp(self.log_scale[...])}
        for name, encoder in self.encoders.items():
            if name in batch:
                pooled = encoder(batch[name], batch.get(f"{name}/mask")).pooled
                out[f"{name}/unit"] = unit(self.projections[name](pooled))
        return out
