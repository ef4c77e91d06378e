"""Texts in the forms of published checkpoints: CLIP, SigLIP, BERT, RoBERTa, MPNet. Equal parameters, equal numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.core.encoding import Encoding, Grid
from sensorium.core.table import Table
from sensorium.nn.norms import unit
from sensorium.nn.pooling import at_end, masked_mean, one_by_one
from sensorium.nn.relative import steps
from sensorium.nn.stack import Seen, Stack
from sensorium.nn.standard import ACTIVATIONS, LayerNorm, Shifted, StandardLayer
from sensorium.nn.transformer import look_up


@dataclass(frozen=True)
class TextForm:
    """How a published text transformer differs from the next one.

    `causal`: a token looks at itself and those before it. `norm_before` the layers, `norm_after` the last. `masks`: pads are
    not looked at; SigLIP was trained looking at them, and a mask then says of a row only whether it has any text.
    `pooling`: "end" (the token at the first end mark), "largest" (at the largest id: OpenAI's CLIP, whose end mark it is),
    "last" place, "first" token, "mean" or "maximum" of the tokens; `dense`: it then goes through tanh of a linear layer.
    """

    causal: bool = False
    norm_before: bool = False
    norm_after: bool = False
    masks: bool = True
    pooling: str = "first"
    dense: bool = False


TEXT_FORMS = Table(
    "form of a text transformer",
    {
        "clip": TextForm(causal=True, norm_after=True, pooling="end"),
        "clip_openai": TextForm(causal=True, norm_after=True, pooling="largest"),
        "siglip": TextForm(norm_after=True, masks=False, pooling="last"),
        "bert": TextForm(norm_before=True, dense=True),
        "bert_first": TextForm(norm_before=True),
        "bert_mean": TextForm(norm_before=True, pooling="mean"),
        "bert_maximum": TextForm(norm_before=True, pooling="maximum"),
    },
)


class PublishedText(Stack):
    """Token ids i32[B L], L at most `length`, and their mask -> Encoding. The tokens are the last hidden state, zero where
    masked.

    `layers`: arguments of `StandardLayer`, and "depth". `end`: the id of the end mark, for forms that pool there; where a text
    has none, its last token counts. `head`: the width of a linear layer after the pooling, none where it is 0. `types`: how
    many kinds of token there are vectors for, of which kind 0 is read (BERT's first sentence). `pad`: the id of pads, which
    fairseq's models (RoBERTa) count positions from: the first token is at pad + 1, so that L is at most `length` − pad − 1.
    `distances`: for how many kinds of distance between two tokens (see `nn.relative`) there are learned numbers, one a head,
    which are added to the scores of all layers (MPNet). `head_activation` comes after the head; `normed`: what is pooled is
    brought to length 1, as sentence-transformers' module Normalize does it.
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        layers: Mapping[str, Any],
        form: str = "clip",
        end: int = 1,
        head: int = 0,
        types: int = 0,
        pad: int | None = None,
        distances: int = 0,
        head_activation: str = "none",
        normed: bool = False,
        *,
        rngs: nnx.Rngs,
    ):
        said = dict(layers)
        depth, width, eps = said.pop("depth"), said["width"], said.get("eps", 1e-5)
        self.form, self.length, self.end, self.pad = TEXT_FORMS[form], length, end, pad
        draw = lambda rows: nnx.Param(0.02 * jax.random.normal(rngs.params(), (rows, width)))  # noqa: E731
        self.table, self.positions = draw(vocabulary), draw(length)
        self.types = draw(types) if types else None
        self.distances = nnx.Param(0.02 * jax.random.normal(rngs.params(), (distances, said["heads"]))) if distances else None
        self.norm_before = LayerNorm(width, eps) if self.form.norm_before else None
        self.layers = nnx.List([StandardLayer(**said, rngs=rngs) for _ in range(depth)])
        self.norm = LayerNorm(width, eps) if self.form.norm_after else None
        self.dense = nnx.Linear(width, width, rngs=rngs) if self.form.dense else None
        self.head = nnx.Linear(width, head, rngs=rngs) if head else None
        self.head_activation, self.normed = ACTIVATIONS[head_activation], normed
        self.pooled_width = head or width

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        layers = {"width": 128, "depth": 2, "heads": 4, "hidden": 512, "activation": "gelu"}
        return {"vocabulary": field.vocabulary_size, "length": field.length, "layers": layers, "end": field.end}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["PublishedText", jax.Array]:
        layers = {"width": 8, "depth": 1, "heads": 2, "hidden": 16, "activation": "gelu"}
        return cls(11, 6, layers, "bert_mean", rngs=rngs), jax.random.randint(rngs.data(), (3, 6), 0, 11)

    def __call__(self, x: Int[jax.Array, "B L"], mask: Bool[jax.Array, "B L"] | None = None) -> Encoding:
        mask = self._mask(x, mask)
        tokens = self.through(*self._start(x, mask))
        tokens = jnp.where(mask[:, :, None], tokens if self.norm is None else self.norm(tokens), 0.0)
        pooled = self._after(self._pooled(tokens, mask, x))
        return Encoding(tokens, mask, jnp.where(jnp.any(mask, axis=1)[:, None], pooled, 0.0))

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]:
        return one_by_one(lambda one, kept: self._after(one[:, 0]), encoding.tokens)

    def grid(self, shape: Sequence[int]) -> Grid:
        return ((shape[0], 1),)

    def _after(self, pooled: Float[jax.Array, "B D"]) -> Float[jax.Array, "B P"]:
        """What becomes of a token that was pooled."""
        if self.dense is not None:
            pooled = jnp.tanh(self.dense(pooled))
        if self.head is not None:
            pooled = self.head_activation(self.head(pooled))
        return unit(pooled).astype(pooled.dtype) if self.normed else pooled

    def states(self, x: Int[jax.Array, "B L"], mask: Bool[jax.Array, "B L"] | None = None) -> list[jax.Array]:
        """What goes into the first layer, and what comes out of each, before the last norm: f32[B L D]."""
        return self.each(*self._start(x, self._mask(x, mask)))

    def _start(self, x: Int[jax.Array, "B L"], mask: Bool[jax.Array, "B L"]) -> tuple[Float[jax.Array, "B L D"], Seen]:
        """What goes into the first layer, and which token may look at which."""
        if x.shape[1] > (most := self.length if self.pad is None else self.length - self.pad - 1):
            raise ValueError(f"a text of {x.shape[1]} tokens, where this encoder was built for at most {most}: cut the text")
        tokens = look_up(self.table[...], x) + self._positions(x, mask)
        if self.types is not None:
            tokens = tokens + self.types[0][None, None]
        seen = mask[:, None, None, :]
        if self.form.causal:
            seen = seen & jnp.tri(x.shape[1], dtype=bool)[None, None]
        tokens = tokens if self.norm_before is None else self.norm_before(tokens)
        if self.distances is None:
            return tokens, seen
        apart = self.distances[...][steps(x.shape[1], len(self.distances))]
        return tokens, Shifted(seen, apart.transpose(2, 0, 1)[None])

    def _positions(self, x: Int[jax.Array, "B L"], mask: Bool[jax.Array, "B L"]) -> Float[jax.Array, "#B L D"]:
        if self.pad is None:
            return self.positions[: x.shape[1]][None]
        there = mask & (x != self.pad)
        return look_up(self.positions[...], jnp.where(there, jnp.cumsum(there, axis=1, dtype=jnp.int32), 0) + self.pad)

    def _mask(self, x: Int[jax.Array, "B L"], mask: Bool[jax.Array, "B L"] | None) -> Bool[jax.Array, "B L"]:
        if mask is None:
            return jnp.ones(x.shape, bool)
        return mask if self.form.masks else jnp.broadcast_to(jnp.any(mask, axis=1, keepdims=True), mask.shape)

    def _pooled(
        self, tokens: Float[jax.Array, "B L D"], mask: Bool[jax.Array, "B L"], ids: Int[jax.Array, "B L"]
    ) -> Float[jax.Array, "B D"]:
        kind = self.form.pooling
        if kind == "mean":
            return masked_mean(tokens, mask)
        if kind == "maximum":
            return jnp.max(jnp.where(mask[:, :, None], tokens, -jnp.inf), axis=1)
        if kind == "end":
            return at_end(tokens, mask, ids, self.end)
        if kind == "largest":
            place = jnp.argmax(jnp.where(mask, ids, -1), axis=1)
            return jnp.take_along_axis(tokens, place[:, None, None], axis=1)[:, 0]
        return tokens[:, -1 if kind == "last" else 0]
