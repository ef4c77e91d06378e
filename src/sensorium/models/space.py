"""A shared space: one encoder a field, each projected to unit vectors of the same width (Radford et al. 2021, CLIP)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoder, Labelled, Prompting, encoded
from sensorium.encoders import ENCODERS
from sensorium.nn.norms import unit
from sensorium.nn.standard import Perceptron

Outputs = dict[str, jax.Array]
MOST, MOST_BIASED = 100.0, 1000.0
"""The largest scale (Radford et al. 2021, §2.5), which is also how far a bias may go; and that of a sigmoid."""


class Space(nnx.Module):
    """Batch -> `"<field>/unit"` f32[B D] of length 1 for every field that the batch holds, and `"scale"` f32[].

    `scale` is what cosines are multiplied by before a softmax: exp of a learned parameter (see `settle`). With a `bias` there is
    `"bias"` f32[], learned from this start and between −100 and 100, which the sigmoid loss adds (Zhai et al. 2023 start at a
    temperature of 0.1 and a bias of −10). Each pair (a, b) of `own_scales` learns its own `"scale/<a>-<b>"`, and `"bias/<a>-<b>"`
    where there is a bias; the others share. The fields of `bare` have no projection: their encoders give vectors of `width`.
    Projections are linear; with `between`, an activation of `nn.standard`, they are two layers with it between them (CLAP).
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        width: int = 256,
        temperature: float = 0.07,
        bias: float | None = None,
        own_scales: Sequence[Sequence[str]] = (),
        bare: Sequence[str] = (),
        between: str | None = None,
        *,
        rngs: nnx.Rngs,
    ):
        pairs = [_pair(pair, encoders) for pair in own_scales]
        if temperature < 0.01:
            raise ValueError(f"temperature={temperature}: the scale is its inverse, and at most {MOST:g}")
        if other := [name for name in bare if name not in encoders or encoders[name].pooled_width != width]:
            raise ValueError(f"bare={list(bare)}: {other[0]!r} is no field whose encoder gives vectors of the width, {width}")
        self.encoders = nnx.Dict(dict(encoders))
        self.projections = nnx.Dict(
            {
                name: nnx.Linear(encoder.pooled_width, width, use_bias=False, rngs=rngs)
                if between is None
                else Perceptron(encoder.pooled_width, width, width, between, rngs=rngs)
                for name, encoder in encoders.items()
                if name not in bare
            }
        )
        start = jnp.asarray(math.log(1 / temperature), jnp.float32)
        self.log_scale = nnx.Param(start)
        self.own_log_scales = nnx.Dict({pair: nnx.Param(start) for pair in pairs})
        self.bias = None if bias is None else nnx.Param(jnp.asarray(bias, jnp.float32))
        self.own_biases = nnx.Dict({} if bias is None else {pair: nnx.Param(jnp.asarray(bias, jnp.float32)) for pair in pairs})
        self.width = width

    @classmethod
    def build(cls, encoders: Mapping[str, Mapping[str, Any]], *, rngs: nnx.Rngs, **dials: Any) -> "Space":
        """The space that JSON describes: `encoders[field]` names an encoder of `ENCODERS` and holds its arguments."""
        made = {}
        for name, arguments in encoders.items():
            rest = {key: value for key, value in arguments.items() if key != "encoder"}
            made[name] = ENCODERS[arguments["encoder"]](**rest, rngs=rngs)
        return cls(made, **dials, rngs=rngs)

    @property
    def largest_scale(self) -> float:
        return MOST if self.bias is None else MOST_BIASED

    def settle(self) -> None:
        """Called after every update: holds scales at 100 or below, at 1,000 where there is a bias (a published SigLIP whose
        scale is above 100 stays as it is), and biases within ±100 (as a clip in the loss, either would lose its gradient)."""
        for scale in (self.log_scale, *self.own_log_scales.values()):
            scale[...] = jnp.minimum(scale[...], math.log(self.largest_scale))
        for bias in (*([] if self.bias is None else [self.bias]), *self.own_biases.values()):
            bias[...] = jnp.clip(bias[...], -MOST, MOST)

    def __call__(self, batch: dict[str, jax.Array], key: jax.Array | None = None) -> Outputs:
        out = self._scales()
        for name, encoder in self.encoders.items():
            if name in batch:
                pooled = encoded(encoder, batch, name).pooled
                out[f"{name}/unit"] = unit(self.projected(name, pooled).astype(jnp.float32))
        return out

    def all_outputs(self, batch: dict[str, jax.Array]) -> Outputs:
        """For those who compare: beside what a call gives, of each field `"<field>/tokens"` [B L D], `"<field>/pooled"` [B P],
        `"<field>/features"` [B D] (projected, not normed), and `"<field>/logits"` where its encoder has labels; and of a model
        of two fields `"similarity"` [B C], scale × cosine + bias of every row of the first (by name) with every row of the
        other, and where a pair has its own scale `"similarity/<a>-<b>"`, of every row of a with every row of b. The fields may
        differ in rows. An encoder that is `Prompting` (X-CLIP's) sees the other's vectors in the light of each thing before."""
        out, made = self._scales(), {}
        for name, encoder in self.encoders.items():
            if name in batch:
                made[name] = tokens, _, pooled = encoded(encoder, batch, name)
                features = self.projected(name, pooled)
                out |= {f"{name}/tokens": tokens, f"{name}/pooled": pooled, f"{name}/features": features}
                out[f"{name}/unit"] = unit(features.astype(jnp.float32))
                if isinstance(encoder, Labelled) and encoder.labels:
                    out[f"{name}/logits"] = encoder.logits(pooled)
        known = [name for name in self.encoders if f"{name}/unit" in out]
        if len(known) == len(self.encoders) == 2:
            first, second = sorted(known)
            out["similarity"] = _similarity(out, first, second, "")
            for a, b in ((first, second), (second, first)):
                if isinstance(encoder := self.encoders[a], Prompting) and encoder.prompts is not None:
                    directions = unit(encoder.prompted(out[f"{b}/features"], made[a]).astype(jnp.float32))
                    scores = jnp.einsum("bd,bcd->bc", out[f"{a}/unit"], directions, precision="highest") * out["scale"]
                    out["similarity"] = scores if a == first else scores.T
            for a, b in ((first, second), (second, first)):
                if f"scale/{a}-{b}" in out:
                    out[f"similarity/{a}-{b}"] = _similarity(out, a, b, f"/{a}-{b}")
        return out

    def _scales(self) -> Outputs:
        out: Outputs = {"scale": jnp.exp(self.log_scale[...])}
        out |= {f"scale/{pair}": jnp.exp(log_scale[...]) for pair, log_scale in self.own_log_scales.items()}
        out |= {} if self.bias is None else {"bias": self.bias[...]}
        return out | {f"bias/{pair}": bias[...] for pair, bias in self.own_biases.items()}

    def projected(self, name: str, pooled: Float[jax.Array, "B P"]) -> Float[jax.Array, "B D"]:
        return self.projections[name](pooled) if name in self.projections else pooled


def _similarity(out: Outputs, a: str, b: str, pair: str) -> Float[jax.Array, "B C"]:
    cosines = jnp.matmul(out[f"{a}/unit"], out[f"{b}/unit"].T, precision="highest")
    return cosines * out[f"scale{pair}"] + out.get(f"bias{pair}", jnp.zeros(()))


def _pair(pair: Sequence[str], fields: Mapping[str, Encoder]) -> str:
    """The name of a pair of fields, as the losses look for it."""
    if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= fields.keys():
        raise ValueError(f"own_scales holds {list(pair)}: expected two of the fields {sorted(fields)}")
    return f"{pair[0]}-{pair[1]}"
