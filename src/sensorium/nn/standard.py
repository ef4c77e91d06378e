"""The transformer layer as published checkpoints have it: LayerNorm with parameters, biases everywhere, queries, keys and values
apart. What the house trains itself is leaner (see `transformer`); this one exists to compute the same numbers as others do."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.table import Table
from sensorium.nn.attention import mixed_by
from sensorium.nn.sizes import check_heads


def quick_gelu(x: Float[jax.Array, "*B D"]) -> Float[jax.Array, "*B D"]:
    """x·σ(1.702 x), an approximation of GELU that CLIP was trained with (Hendrycks & Gimpel 2016, section 2)."""
    return x * jax.nn.sigmoid(1.702 * x)


def _same(x: jax.Array) -> jax.Array:
    return x


_tanh_gelu = functools.partial(jax.nn.gelu, approximate=True)
ACTIVATIONS = Table(
    "activation",
    {
        "gelu": functools.partial(jax.nn.gelu, approximate=False),
        "gelu_new": _tanh_gelu,
        "gelu_pytorch_tanh": _tanh_gelu,
        "quick_gelu": quick_gelu,
        "relu": jax.nn.relu,
        "silu": jax.nn.silu,
        "tanh": jnp.tanh,
        "none": _same,
    },
)
"""By the names that `hidden_act` of a config.json has."""


class LayerNorm(nnx.Module):
    """Ba et al. 2016, in float32 whatever comes in. The variance is that of centred values: E[x²] − E[x]² loses digits."""

    def __init__(self, width: int, eps: float):
        self.eps = eps
        self.scale, self.bias = nnx.Param(jnp.ones(width)), nnx.Param(jnp.zeros(width))

    def __call__(self, x: Float[jax.Array, "*B D"]) -> Float[jax.Array, "*B D"]:
        y = x.astype(jnp.float32)
        y = y - jnp.mean(y, axis=-1, keepdims=True)
        y = y * jax.lax.rsqrt(jnp.mean(y * y, axis=-1, keepdims=True) + self.eps)
        scale, bias = (
            jax.lax.broadcast_in_dim(p[...].astype(jnp.float32), y.shape, (y.ndim - 1,)) for p in (self.scale, self.bias)
        )
        return (y * scale + bias).astype(x.dtype)


class Shifted(NamedTuple):
    """Which token may look at which, and what is added to their scores before the softmax."""

    seen: Bool[jax.Array, "#B 1 #L L"]
    scores: Float[jax.Array, "1 heads L L"]


class StandardLayer(nnx.Module):
    """Attention and a perceptron of `hidden` units, each with its LayerNorm: before it (`norm_first`, as in GPT-2 and ViT) or
    after the sum (as in Vaswani et al. 2017 and BERT). `layer_scale`: each branch is multiplied by a learned vector (Touvron
    et al. 2021, CaiT). `gated`: silu(a)·b instead of an activation of one half as wide (SwiGLU, Shazeer 2020). `key_bias`: keys
    have a bias where queries and values have one; it changes no softmax, and some leave it out (Whisper, VideoMAE)."""

    def __init__(
        self,
        width: int,
        heads: int,
        hidden: int,
        activation: str = "gelu",
        eps: float = 1e-5,
        norm_first: bool = True,
        layer_scale: bool = False,
        gated: bool = False,
        qkv_bias: bool = True,
        key_bias: bool = True,
        *,
        rngs: nnx.Rngs,
    ):
        check_heads(width, heads)
        self.heads, self.norm_first, self.activation, self.gated = heads, norm_first, ACTIVATIONS[activation], gated
        self.norm_attention = LayerNorm(width, eps)
        self.query = nnx.Linear(width, width, use_bias=qkv_bias, rngs=rngs)
        self.key = nnx.Linear(width, width, use_bias=qkv_bias and key_bias, rngs=rngs)
        self.value = nnx.Linear(width, width, use_bias=qkv_bias, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.norm_perceptron = LayerNorm(width, eps)
        self.up = nnx.Linear(width, 2 * hidden if gated else hidden, rngs=rngs)
        self.down = nnx.Linear(hidden, width, rngs=rngs)
        self.scale_attention = nnx.Param(jnp.ones(width)) if layer_scale else None
        self.scale_perceptron = nnx.Param(jnp.ones(width)) if layer_scale else None

    def __call__(
        self, x: Float[jax.Array, "B L D"], seen: Bool[jax.Array, "#B 1 #L L"] | Shifted | None = None
    ) -> Float[jax.Array, "B L D"]:
        """`seen[b, 0, i, j]`: token i of row b may look at token j; all may at all where it is None."""
        if self.norm_first:
            x = x + self._attend(self.norm_attention(x), seen)
            return x + self._perceive(self.norm_perceptron(x))
        x = self.norm_attention(x + self._attend(x, seen))
        return self.norm_perceptron(x + self._perceive(x))

    def watched(
        self,
        x: Float[jax.Array, "B L D"],
        seen: Bool[jax.Array, "#B 1 #L L"] | None = None,
        shift: Float[jax.Array, "B heads L L"] | None = None,
    ) -> tuple[Float[jax.Array, "B L D"], Float[jax.Array, "B heads L L"]]:
        """What a call gives, and the weights with which each token took the values of all, in rows of sum 1. `shift` is added to
        them: the gradient in it, at zero, is that in the weights. It holds all of them at once, which a call does not."""
        q, k, v = self._parts(self.norm_attention(x) if self.norm_first else x)
        weights = looks(q, k, seen)
        branch = self._given(taken(weights if shift is None else weights + shift, v))
        if self.norm_first:
            x = x + branch
            return x + self._perceive(self.norm_perceptron(x)), weights
        x = self.norm_attention(x + branch)
        return self.norm_perceptron(x + self._perceive(x)), weights

    def _attend(
        self, x: Float[jax.Array, "B L D"], seen: Bool[jax.Array, "#B 1 #L L"] | Shifted | None
    ) -> Float[jax.Array, "B L D"]:
        q, k, v = self._parts(x)
        mask, scores = seen if isinstance(seen, Shifted) else (seen, None)
        return self._given(mixed_by(q, k, v, mask, scores))

    def _parts(self, x: Float[jax.Array, "B L D"]) -> list[Float[jax.Array, "B L heads C"]]:
        return [part(x).reshape(*x.shape[:2], self.heads, -1) for part in (self.query, self.key, self.value)]

    def _given(self, mixed: Float[jax.Array, "B L heads C"]) -> Float[jax.Array, "B L D"]:
        return _scaled(self.out(mixed.reshape(*mixed.shape[:2], -1)), self.scale_attention)

    def _perceive(self, x: Float[jax.Array, "B L D"]) -> Float[jax.Array, "B L D"]:
        up = self.up(x)
        if self.gated:
            gate, value = jnp.split(up, 2, axis=-1)
            return _scaled(self.down(jax.nn.silu(gate) * value), self.scale_perceptron)
        return _scaled(self.down(self.activation(up)), self.scale_perceptron)


def _scaled(x: Float[jax.Array, "B L D"], scale: nnx.Param | None) -> Float[jax.Array, "B L D"]:
    return x if scale is None else x * scale[...][None, None]


def looks(
    q: Float[jax.Array, "B Q heads C"], k: Float[jax.Array, "B L heads C"], seen: Bool[jax.Array, "#B 1 #Q L"] | None
) -> Float[jax.Array, "B heads Q L"]:
    """The weights of attention (Vaswani et al. 2017, equation 1), in float32: softmax(q·k/√C), even where nothing may be seen."""
    scores = jnp.einsum("bqhc,blhc->bhql", q, k, preferred_element_type=jnp.float32) * (q.shape[-1] ** -0.5)
    return jax.nn.softmax(scores if seen is None else jnp.where(seen, scores, jnp.finfo(jnp.float32).min), axis=-1)


def taken(weights: Float[jax.Array, "B heads Q L"], v: Float[jax.Array, "B L heads C"]) -> Float[jax.Array, "B Q heads C"]:
    """The values that weights mix."""
    return jnp.einsum("bhql,blhc->bqhc", weights.astype(v.dtype), v)


class QuestionPool(nnx.Module):
    """One learned question asked of all tokens, then a perceptron added to the answer (Zhai et al. 2022, section 3.3; SigLIP's
    head). Queries, keys and values are one kernel, side by side."""

    def __init__(self, width: int, heads: int, hidden: int, activation: str, eps: float, *, rngs: nnx.Rngs):
        check_heads(width, heads)
        self.heads, self.activation = heads, ACTIVATIONS[activation]
        self.question = nnx.Param(jax.random.normal(rngs.params(), (width,)))
        self.qkv = nnx.Linear(width, 3 * width, rngs=rngs)
        self.out = nnx.Linear(width, width, rngs=rngs)
        self.norm = LayerNorm(width, eps)
        self.up = nnx.Linear(width, hidden, rngs=rngs)
        self.down = nnx.Linear(hidden, width, rngs=rngs)

    def __call__(self, tokens: Float[jax.Array, "B L D"], seen: Bool[jax.Array, "B L"]) -> Float[jax.Array, "B D"]:
        q, k, v = self._parts(tokens)
        return self._answer(mixed_by(q, k, v, seen[:, None, None, :]))

    def watched(
        self,
        tokens: Float[jax.Array, "B L D"],
        seen: Bool[jax.Array, "B L"],
        shift: Float[jax.Array, "B heads 1 L"] | None = None,
    ) -> tuple[Float[jax.Array, "B D"], Float[jax.Array, "B heads 1 L"]]:
        """What a call gives, and the weights of the tokens in it; see `StandardLayer.watched`."""
        q, k, v = self._parts(tokens)
        weights = looks(q, k, seen[:, None, None, :])
        return self._answer(taken(weights if shift is None else weights + shift, v)), weights

    def _parts(self, tokens: Float[jax.Array, "B L D"]) -> list[Float[jax.Array, "B _ heads C"]]:
        b, _, d = tokens.shape
        kernel, bias = self.qkv.kernel[...], self.qkv.bias[...]  # pyright: ignore[reportOptionalSubscript]
        question = self.question[...] @ kernel[:, :d] + bias[:d]
        keys, values = jnp.split(tokens @ kernel[:, d:] + bias[d:][None, None], 2, axis=-1)
        asked = jnp.broadcast_to(question[None, None], (b, 1, d))
        return [part.reshape(b, part.shape[1], self.heads, -1) for part in (asked, keys, values)]

    def _answer(self, mixed: Float[jax.Array, "B 1 heads C"]) -> Float[jax.Array, "B D"]:
        x = self.out(mixed.reshape(len(mixed), -1))
        return x + self.down(self.activation(self.up(self.norm(x))))


class Perceptron(nnx.Module):
    """Two linear layers with biases, and an activation between them."""

    def __init__(self, width: int, hidden: int, out: int, activation: str, *, rngs: nnx.Rngs):
        self.activation = ACTIVATIONS[activation]
        self.up, self.down = nnx.Linear(width, hidden, rngs=rngs), nnx.Linear(hidden, out, rngs=rngs)

    def __call__(self, x: Float[jax.Array, "*B D"]) -> Float[jax.Array, "*B E"]:
        return self.down(self.activation(self.up(x)))
