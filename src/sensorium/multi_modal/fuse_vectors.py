"""Fusions of vectors: a projection for each modality and a learned mean, or gates for every channel."""

from collections.abc import Mapping, Sequence
from typing import Any

from flax import nnx

from sensorium.fusions import Gated, Projector
from sensorium.multi_modal.fuse_arguments import Features, Masks, by_field, named_widths
from sensorium.multi_modal.fuse_inputs import encodings, formed


class MultiModalProjector(nnx.Module):
    """Features of several widths as one vector (`fusions.Projector`): a projection for each, by name, and a learned mean.

    `input_dims` are widths by name, or a list of them for positional calls. Each modality is `(D,)`, `(B, D)` or `(B, L, D)`,
    of which the real tokens are averaged; the result is `(output_dim,)` or `(B, output_dim)`.
    """

    def __init__(
        self, input_dims: Mapping[str, int] | Sequence[int], hidden_dim: int = 512, output_dim: int = 512, *, rngs: nnx.Rngs
    ):
        widths = named_widths(input_dims)
        self.fusion = Projector(widths, hidden_dim, output_dim, rngs=rngs)
        self.modalities, self.widths = tuple(widths), tuple(widths.values())

    def __call__(
        self,
        *features: Features,
        masks: Masks = None,
        deterministic: bool | None = None,
        return_weights: bool = False,
        **named: Features,
    ) -> Any:
        """The fused vector; with `return_weights` also `(M,)` or `(B, M)`, the share of each modality.

        Positional calls name every modality, with `None` where one is missing; calls by name leave it out. Nothing is dropped
        out here: `deterministic` is taken, as by the other fusions, and changes nothing.
        """
        widths = dict(zip(self.modalities, self.widths, strict=True))
        inputs, one = encodings(widths, by_field(self.modalities, features, named), masks)
        encoding, weights = self.fusion.with_weights(inputs)
        return formed((encoding.pooled, weights) if return_weights else encoding.pooled, one)


class GatedFusion(nnx.Module):
    """One vector in which gates choose, for every channel, how much of which modality (`fusions.Gated`).

    Called as `MultiModalProjector` is.
    """

    def __init__(self, input_dims: Mapping[str, int] | Sequence[int], output_dim: int = 512, *, rngs: nnx.Rngs):
        widths = named_widths(input_dims)
        self.fusion = Gated(widths, output_dim, rngs=rngs)
        self.modalities, self.widths = tuple(widths), tuple(widths.values())

    def __call__(
        self,
        *features: Features,
        masks: Masks = None,
        deterministic: bool | None = None,
        return_weights: bool = False,
        **named: Features,
    ) -> Any:
        """The fused vector; with `return_weights` also the gates, `(M, output_dim)` or `(B, M, output_dim)`.

        Nothing is dropped out here: `deterministic` is taken, as by the other fusions, and changes nothing.
        """
        widths = dict(zip(self.modalities, self.widths, strict=True))
        inputs, one = encodings(widths, by_field(self.modalities, features, named), masks)
        encoding, gates = self.fusion.with_weights(inputs)
        return formed((encoding.pooled, gates) if return_weights else encoding.pooled, one)
