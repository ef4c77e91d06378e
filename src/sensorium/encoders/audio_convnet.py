"""Sound through a log-mel spectrogram and the same convolutional trunk as pictures."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float

from sensorium.core.encoding import Encoding, Grid
from sensorium.encoders.convnet import ConvTrunk, Places, flattened
from sensorium.encoders.sequence import pieces, sounding
from sensorium.nn.pooling import apart
from sensorium.nn.sizes import flat, whole
from sensorium.nn.spectrogram import log_mel


class AudioConvNet(nnx.Module):
    """Waveforms f32[B N] in [-1, 1] at `rate` Hz, and a mask of their samples -> Encoding; `pooled` keeps times and bands apart.

    What is masked is heard as silence, and a cell of the last grid none of whose samples is there is masked and counts as 0.
    `placed`: see `ConvNet`.
    """

    def __init__(
        self,
        samples: int,
        rate: int,
        hop: int = 200,
        bins: int = 64,
        patch: Sequence[int] = (5, 8),
        widths: Sequence[int] = (32, 64, 128),
        placed: bool = False,
        *,
        rngs: nnx.Rngs,
    ):
        self.samples, self.rate, self.hop, self.bins = whole("samples", samples), rate, hop, bins
        self.frames = -(-(samples // hop) // patch[0]) * patch[0]
        self.trunk = ConvTrunk((patch[0], patch[1]), 1, widths, rngs=rngs)
        height, width = self.frames // patch[0], bins // patch[1]
        for _ in widths[1:]:
            height, width = -(-height // 2), -(-width // 2)
        self.step = patch[0] * hop * 2 ** (len(widths) - 1)  # samples that a row of the last grid stands for
        self.pooled_width = height * width * widths[-1]
        self.places = Places(height * width, widths[-1], rngs=rngs) if placed else None
        self.lattice = ((height, self.step), (width, patch[1] * 2 ** (len(widths) - 1)))

    @classmethod
    def arguments(cls, field: Any) -> dict[str, Any]:
        return {"samples": field.samples, "rate": field.rate}

    @classmethod
    def tiny(cls, rngs: nnx.Rngs) -> tuple["AudioConvNet", jax.Array]:
        return cls(1600, 8000, widths=(8, 12), rngs=rngs), 0.1 * jax.random.normal(rngs.data(), (3, 1600))

    def __call__(self, x: Float[jax.Array, "B N"], mask: Bool[jax.Array, "B N"] | None = None) -> Encoding:
        x, heard = sounding(x, mask, self.samples)
        mel = log_mel(x, self.rate, hop=self.hop, bins=self.bins)
        mel = jnp.pad(mel, ((0, 0), (0, self.frames - mel.shape[1]), (0, 0)), constant_values=-2.0)  # silence
        grid = self.trunk(mel[..., None])
        encoding = flattened(grid)
        if mask is not None:
            encoding = _masked(encoding, self._kept(heard, grid.shape[1], grid.shape[2]))
        return encoding if self.places is None else self.places(encoding)

    def alone(self, encoding: Encoding) -> Float[jax.Array, "B L P"]:
        return apart(encoding.pooled, encoding.tokens.shape[2])

    def grid(self, shape: Sequence[int]) -> Grid:
        """Samples, and mel bins."""
        return self.lattice

    def _kept(self, heard: Bool[jax.Array, "B N"], height: int, width: int) -> Bool[jax.Array, "B L"]:
        """The cells of the last grid some of whose samples are heard."""
        rows = pieces(heard[:, :, None].astype(jnp.float32), heard, self.step)[1][:, :height]
        rows = jnp.pad(rows, ((0, 0), (0, height - rows.shape[1])))
        return jnp.repeat(rows, width, axis=1)


def _masked(encoding: Encoding, kept: Bool[jax.Array, "B L"]) -> Encoding:
    tokens = jnp.where(kept[:, :, None], encoding.tokens, 0.0)
    return Encoding(tokens, kept, flat(tokens))
