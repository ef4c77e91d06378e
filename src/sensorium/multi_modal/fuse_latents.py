"""A Perceiver's attention: latents that look at inputs of any length."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from sensorium.fusions import Resampler
from sensorium.multi_modal.fuse_arguments import Features
from sensorium.multi_modal.fuse_inputs import Randomness, dropout_key, encodings, formed


class PerceiverAttention(nnx.Module):
    """Any number of input vectors -> `num_latents` vectors (`fusions.Resampler`), by latents that it has learned or is given.

    `inputs` are `(N, input_dim)` or `(B, N, input_dim)`, of `latent_dim` unless told otherwise.
    """

    def __init__(
        self,
        latent_dim: int = 512,
        num_heads: int = 8,
        num_latents: int = 64,
        input_dim: int | None = None,
        depth: int = 1,
        dropout: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ):
        self.input_dim = latent_dim if input_dim is None else input_dim
        self.fusion = Resampler({"inputs": self.input_dim}, latent_dim, num_latents, num_heads, depth, dropout, rngs=rngs)
        self.latent_dim, self.dropout = latent_dim, dropout

    def __call__(
        self,
        latent: Features,
        inputs: Features = None,
        *,
        mask: Any = None,
        deterministic: bool | None = None,
        key: Randomness = None,
        return_weights: bool = False,
    ) -> Any:
        """`(inputs)` asks the learned latents, `(latent, inputs)` these: `(K, latent_dim)` for all rows or `(B, K, latent_dim)`.

        Gives `(K, latent_dim)` or `(B, K, latent_dim)`; with `return_weights` also where the latents looked, `(heads, K, N)` with
        or without rows. `mask` is Bool `(N,)` or `(B, N)`, True for real inputs; a row without any gives zeros.
        """
        if inputs is None:
            latent, inputs = None, latent
        if inputs is None:
            raise ValueError("no inputs: call it with inputs, or with latent and inputs")
        given, one = encodings({"inputs": self.input_dim}, {"inputs": inputs}, {"inputs": mask}, tokens=True)
        rows = len(given["inputs"].mask)
        asked = None if latent is None else self._latents(jnp.asarray(latent), rows)
        out, _, weights = self.fusion.resample(given, asked, dropout_key(self.dropout, deterministic, key))
        return formed((out, weights) if return_weights else out, one)

    def _latents(self, latent: jax.Array, rows: int) -> jax.Array:
        """A caller's latents, one set for all rows or one a row, as `(B, K, D)`."""
        if latent.ndim == 2:
            latent = jnp.broadcast_to(latent[None], (rows, *latent.shape))
        if latent.ndim != 3 or len(latent) != rows or latent.shape[2] != self.latent_dim:
            needed = f"(K, {self.latent_dim}) or ({rows}, K, {self.latent_dim})"
            raise ValueError(f"latents of the shape {latent.shape}, where {needed} is needed: latent first, then inputs")
        return latent
