"""The transformer that looks at a context, as published checkpoints have it: the layers of decoders (BLIP, Whisper), and of
encoders of a text about a picture. `sensorium.nn.standard` has the layers without a context."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.core.encoding import Encoding
from sensorium.nn.attention import KeysValues, looked_up
from sensorium.nn.sizes import check_heads
from sensorium.nn.standard import ACTIVATIONS, LayerNorm
from sensorium.nn.transformer import look_up


class Looked(NamedTuple):
    """A context as the layers look at it: keys and values, a layer each, and which of its tokens count."""

    layers: tuple[KeysValues, ...]
    mask: Bool[jax.Array, "B K"]


class ContextLayer(nnx.Module):
    """Attention, attention to a context, a perceptron of `hidden` units: each with its LayerNorm, before it (`norm_first`) or
    after the sum (Vaswani et al. 2017, section 3.1)."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        context_width: int,
        activation: str = "gelu",
        eps: float = 1e-5,
        norm_first: bool = True,
        key_bias: bool = True,
        *,
        rngs: nnx.Rngs,
    ):
        check_heads(width, heads)
        self.heads, self.norm_first, self.activation = heads, norm_first, ACTIVATIONS[activation]
        self.norm_attention = LayerNorm(width, eps)
        self.query = nnx.Linear(width, width, rngs=rngs)
        self.key = nnx.Linear(width, width, use_bias=key_bias, rngs=rngs)
        self.value = nnx.Linear(width, width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.norm_context = LayerNorm(width, eps)
        self.context_query = nnx.Linear(width, width, rngs=rngs)
        self.context_key = nnx.Linear(context_width, width, use_bias=key_bias, rngs=rngs)
        self.context_value = nnx.Linear(context_width, width, rngs=rngs)
        self.context_out = nnx.Linear(width, width, rngs=rngs)
        self.norm_perceptron = LayerNorm(width, eps)
        self.up = nnx.Linear(width, hidden, rngs=rngs)
        self.down = nnx.Linear(hidden, width, rngs=rngs)

    def look(self, context: Float[jax.Array, "B K E"]) -> KeysValues:
        """What this layer keeps of a context; it is the same for every token."""
        return KeysValues.of(self._split(self.context_key(context)), self._split(self.context_value(context)))

    def __call__(
        self,
        x: Float[jax.Array, "B L D"],
        seen: Bool[jax.Array, "#B 1 #L K"],
        context: KeysValues,
        mask: Bool[jax.Array, "B M"],
        words: KeysValues | None = None,
        start: int | Int[jax.Array, ""] = 0,
    ) -> tuple[Float[jax.Array, "B L D"], KeysValues]:
        """The tokens at `start`, `start` + 1, …, and the keys and values of all `words` with these put in (of these alone,
        where there are none). `seen[b, 0, i, j]`: token i of these may look at token j of the words; `mask`: of the context."""

        def attend(x: jax.Array) -> tuple[jax.Array, KeysValues]:
            kept = KeysValues.of(self._split(self.key(x)), self._split(self.value(x)))
            kept = kept if words is None else words.put(kept, start)
            return self.out(_joined(looked_up(self._split(self.query(x)), kept, seen))), kept

        def look(x: jax.Array) -> jax.Array:
            return self.context_out(_joined(looked_up(self._split(self.context_query(x)), context, mask[:, None, None, :])))

        if self.norm_first:
            told, kept = attend(self.norm_attention(x))
            x = x + told
            x = x + look(self.norm_context(x))
            return x + self._perceive(self.norm_perceptron(x)), kept
        told, kept = attend(x)
        x = self.norm_attention(x + told)
        x = self.norm_context(x + look(x))
        return self.norm_perceptron(x + self._perceive(x)), kept

    def _perceive(self, x: Float[jax.Array, "B L D"]) -> Float[jax.Array, "B L D"]:
        return self.down(self.activation(self.up(x)))

    def _split(self, x: Float[jax.Array, "B L D"]) -> Float[jax.Array, "B L heads d"]:
        return x.reshape(*x.shape[:2], self.heads, -1)


def _joined(x: Float[jax.Array, "B L heads d"]) -> Float[jax.Array, "B L D"]:
    return x.reshape(*x.shape[:2], -1)


class ContextTransformer(nnx.Module):
    """Token ids about a context -> what each layer makes of them. `layers`: arguments of `ContextLayer`, and "depth".

    `length`: how many learned positions there are. `norm_before` the layers (BERT), `norm_after` the last (GPT-2, Whisper).
    """

    def __init__(
        self,
        vocabulary: int,
        length: int,
        layers: Mapping[str, Any],
        norm_before: bool = False,
        norm_after: bool = False,
        *,
        rngs: nnx.Rngs,
    ):
        said = dict(layers)
        depth, width, eps = said.pop("depth"), said["width"], said.get("eps", 1e-5)
        self.width, self.length, self.heads = width, length, said["heads"]
        draw = lambda rows: nnx.Param(0.02 * jax.random.normal(rngs.params(), (rows, width)))  # noqa: E731
        self.table, self.positions = draw(vocabulary), draw(length)
        self.norm_before = LayerNorm(width, eps) if norm_before else None
        self.layers = nnx.List([ContextLayer(**said, rngs=rngs) for _ in range(depth)])
        self.norm_after = LayerNorm(width, eps) if norm_after else None

    def look(self, context: Encoding) -> Looked:
        """What the layers keep of a context."""
        return Looked(tuple(layer.look(context.tokens) for layer in self.layers), context.mask)

    def room(self, rows: int, places: int) -> tuple[KeysValues, ...]:
        """Keys and values of so many places, where nothing stands yet."""
        empty = jnp.zeros((rows, self.heads, places, self.width // self.heads), self.table.dtype)
        return tuple(KeysValues(empty, empty) for _ in self.layers)

    def __call__(
        self,
        ids: Int[jax.Array, "B L"],
        seen: Bool[jax.Array, "#B 1 #L K"],
        context: Looked,
        words: tuple[KeysValues, ...] | None = None,
        start: int | Int[jax.Array, ""] = 0,
    ) -> tuple[list[jax.Array], tuple[KeysValues, ...]]:
        """What goes into the first layer and what comes out of each, f32[B L D], the last one normed where it is; and the keys
        and values of all `words` with these tokens put in at `start`."""
        positions = jax.lax.dynamic_slice_in_dim(self.positions[...], start, ids.shape[1])
        x = look_up(self.table[...], ids) + positions[None]
        out, kept = [x if self.norm_before is None else self.norm_before(x)], []
        for i, (layer, looked) in enumerate(zip(self.layers, context.layers, strict=True)):
            x, held = layer(out[-1], seen, looked, context.mask, None if words is None else words[i], start)
            out.append(x)
            kept.append(held)
        if self.norm_after is not None:
            out.append(self.norm_after(out.pop()))
        return out, tuple(kept)
