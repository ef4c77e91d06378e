"""An autoencoder of pictures as a model that trains: the smaller form in which larger ones are made out of noise."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import UInt8

from sensorium.decoders.latent import GridVAE
from sensorium.models.space import Outputs
from sensorium.nn.gaussian import Gaussian, divergence


class PictureVAE(nnx.Module):
    """Batch -> `"<field>/made"` f32[B *T H W C] in [0, 1], which `Reconstruct` compares with pictures as 255ths, and
    `"<field>/kl"` f32[B 1], KL(q ‖ prior) of all latents of a row, which `Divergence` weighs; for pictures u8, or clips frame by
    frame.

    With a key the latents are drawn, and counted (see `GridVAE.observe`); without one they are the means.
    """

    def __init__(self, vae: GridVAE, field: str = "image"):
        self.vae, self.field = vae, field

    @classmethod
    def build(cls, vae: Mapping[str, Any], field: str = "image", *, rngs: nnx.Rngs) -> "PictureVAE":
        """The model that JSON describes: `vae` holds the arguments of a `GridVAE`."""
        return cls(GridVAE(**vae, rngs=rngs), field)

    @property
    def encoders(self) -> Mapping[str, Any]:
        """What reads the one field that it has."""
        return {self.field: self.vae}

    @property
    def width(self) -> int:
        """Numbers of a latent at each place."""
        return self.vae.latent

    def settle(self) -> None:
        """Called after every update: there is nothing to hold within bounds."""

    def __call__(self, batch: dict[str, jax.Array], key: jax.Array | None = None) -> Outputs:
        x = batch[self.field]
        about = self.vae.encode(x.reshape(-1, *x.shape[-3:]).astype(jnp.float32) / 127.5 - 1.0)
        if key is not None:
            self.vae.observe(about.mean)
        z = about.mean if key is None else about.draw(key)
        made = 0.5 * (self.vae.decode(z) + 1.0)
        kl = divergence(Gaussian(*(part.reshape(len(x), -1) for part in about)))
        return {f"{self.field}/made": made.reshape(x.shape), f"{self.field}/kl": kl[:, None]}

    def again(self, x: UInt8[jax.Array, "B H W C"]) -> UInt8[jax.Array, "B H W C"]:
        """The pictures as they come back from the means of their latents."""
        made = self({self.field: x})[f"{self.field}/made"]
        return jnp.clip(jnp.round(made * 255.0), 0.0, 255.0).astype(jnp.uint8)

    def all_outputs(self, batch: dict[str, jax.Array]) -> Outputs:
        """For those who compare: what a call gives."""
        return self(batch)
