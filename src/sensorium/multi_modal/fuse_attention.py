"""Fusions that attend: all together, each to the others, or step by step."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
from flax import nnx

from sensorium.fusions import CoAttention, Concat, Hierarchical, JointAttention
from sensorium.fusions.hierarchical import Tree
from sensorium.multi_modal.fuse_arguments import Features, Masks, by_field, named_widths
from sensorium.multi_modal.fuse_inputs import Randomness, dropout_key, encodings, formed

GUIDE = ("image", "text", "audio")


class MultiModalAttentionFusion(nnx.Module):
    """One vector of the embeddings of several modalities, weighed by attention (`fusions.JointAttention`).

    Each embedding is `(d_model,)`, `(B, d_model)` or a token sequence `(B, L, d_model)`; the result is `(d_model,)` or
    `(B, d_model)`. `None`, a row mask `(B,)` or a token mask `(B, L)` in `masks` says what is missing.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int = 4,
        modalities: Sequence[str] = GUIDE,
        depth: int = 1,
        dropout: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ):
        self.fusion = JointAttention({name: d_model for name in modalities}, d_model, num_heads, depth, dropout, rngs=rngs)
        self.d_model, self.num_heads, self.modalities, self.dropout = d_model, num_heads, tuple(modalities), dropout

    def __call__(
        self,
        *embeddings: Features,
        masks: Masks = None,
        deterministic: bool | None = False,
        key: Randomness = None,
        return_weights: bool = False,
        **named: Features,
    ) -> Any:
        """The fused vector; with `return_weights` also `(heads, M)` or `(B, heads, M)`: each head's share of each modality.

        Positional in the order of `modalities` (all of them, `None` where one is missing), or by name.
        """
        given = by_field(self.modalities, embeddings, named)
        inputs, one = encodings(dict.fromkeys(self.modalities, self.d_model), given, masks)
        encoding, weights = self.fusion.with_weights(inputs, dropout_key(self.dropout, deterministic, key))
        return formed((encoding.pooled, weights) if return_weights else encoding.pooled, one)


class MultiModalFusion(nnx.Module):
    """Pictures and text that look at each other: gated cross-attention both ways (`fusions.CoAttention`).

    `visual` and `text` are vectors `(D,)`, `(B, D)` or token sequences `(B, L, D)`, each of its own width and length; the
    result is `(hidden_dim,)` or `(B, hidden_dim)`.
    """

    def __init__(
        self,
        visual_dim: int = 512,
        text_dim: int = 512,
        hidden_dim: int = 512,
        num_heads: int = 8,
        dropout: float = 0.1,
        depth: int = 1,
        *,
        rngs: nnx.Rngs,
    ):
        self.fusion = CoAttention(
            {"visual": visual_dim, "text": text_dim}, hidden_dim, num_heads, depth=depth, dropout=dropout, rngs=rngs
        )
        self.visual_dim, self.text_dim, self.hidden_dim, self.dropout = visual_dim, text_dim, hidden_dim, dropout

    def __call__(
        self,
        visual_features: Features,
        text_features: Features,
        *,
        masks: Masks = None,
        deterministic: bool | None = None,
        key: Randomness = None,
        return_tokens: bool = False,
        return_weights: bool = False,
    ) -> Any:
        """The fused vector. `return_tokens` adds `{"visual": (B, L, hidden_dim), "text": …}`, each having heard the other;
        `return_weights` adds `{"visual": (B, heads, L_visual, L_text), "text": …}`. It drops out where a `key` is given.
        """
        given = by_field(("visual", "text"), (visual_features, text_features), {})
        inputs, one = encodings({"visual": self.visual_dim, "text": self.text_dim}, given, masks)
        streams, weights = self.fusion.streams(inputs, dropout_key(self.dropout, deterministic, key))
        out: list[Any] = [self.fusion.pooled(streams)]
        if return_tokens:
            out.append({name: tokens for name, (tokens, _) in streams.items() if name in given})
        if return_weights:
            out.append(weights)
        return formed(tuple(out) if len(out) > 1 else out[0], one)


class HierarchicalFusion(nnx.Module):
    """Fusion in steps (`fusions.Hierarchical`): `tree=(("image", "text"), "audio")` joins picture and text first.

    Called as `MultiModalAttentionFusion` is. Without a tree the modalities join one by one, in their order.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int = 4,
        modalities: Sequence[str] = GUIDE,
        tree: Tree | None = None,
        dropout: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ):
        self.fusion = Hierarchical({name: d_model for name in modalities}, d_model, num_heads, tree, dropout, rngs=rngs)
        self.d_model, self.modalities, self.dropout = d_model, tuple(modalities), dropout

    def __call__(
        self,
        *embeddings: Features,
        masks: Masks = None,
        deterministic: bool | None = None,
        key: Randomness = None,
        return_weights: bool = False,
        **named: Features,
    ) -> Any:
        """The fused vector; with `return_weights` also `{"(image+text)": (B, heads, 2), …}`, a node's shares of its children."""
        given = by_field(self.modalities, embeddings, named)
        inputs, one = encodings(dict.fromkeys(self.modalities, self.d_model), given, masks)
        encoding, weights = self.fusion.with_weights(inputs, dropout_key(self.dropout, deterministic, key))
        return formed((encoding.pooled, weights) if return_weights else encoding.pooled, one)


class EarlyFusion(nnx.Module):
    """Early fusion that learns: the tokens of all modalities in one sequence (`fusions.Concat`).

    `input_dims` are widths by name, or a list of them for positional calls. Each modality is `(D,)`, `(B, D)` or, as early
    fusion is meant, the tokens of an encoder `(B, L, D)`.
    """

    def __init__(
        self,
        input_dims: Mapping[str, int] | Sequence[int],
        d_model: int = 256,
        num_heads: int = 4,
        depth: int = 2,
        dropout: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ):
        widths = named_widths(input_dims)
        self.fusion = Concat(widths, d_model, num_heads, depth, dropout, rngs=rngs)
        self.modalities, self.widths, self.dropout = tuple(widths), tuple(widths.values()), dropout

    def __call__(
        self,
        *embeddings: Features,
        masks: Masks = None,
        deterministic: bool | None = None,
        key: Randomness = None,
        return_tokens: bool = False,
        return_weights: bool = False,
        **named: Features,
    ) -> jax.Array | tuple[jax.Array, ...]:
        """The fused vector; with `return_tokens` also the fused sequence `(B, L, d_model)` and its mask `(B, L)`.

        L are the tokens of all modalities in their order, one for a vector or for a missing one. `return_weights` adds
        `(B, heads, L, L)`: how much each of them looked at each in the last layer.
        """
        widths = dict(zip(self.modalities, self.widths, strict=True))
        inputs, one = encodings(widths, by_field(self.modalities, embeddings, named), masks)
        (tokens, mask, pooled), weights = self.fusion.with_weights(inputs, dropout_key(self.dropout, deterministic, key))
        out = (pooled, *((tokens, mask) if return_tokens else ()), *((weights,) if return_weights else ()))
        return formed(out if len(out) > 1 else pooled, one)
