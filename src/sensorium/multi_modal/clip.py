"""CLIP: two encoders, one sphere, and a scale that says how sharp a cosine is."""

import math
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.errors import UnknownName, nearest
from sensorium.multi_modal.image_text import Ids, ImageEncoder, Mask, Pictures, TextEncoder

HEADS = ("sigmoid", "softmax")
LARGEST_SCALE = 100.0


@runtime_checkable
class Embedder(Protocol):
    """An nnx.Module that gives unit vectors of `embed_dim`: of pictures, or of (token ids, mask or None)."""

    embed_dim: int

    def __call__(self, *args: Any, **kwargs: Any) -> jax.Array: ...


class Embeddings(NamedTuple):
    """What a CLIP makes of pictures and texts: unit vectors, and what makes logits of their cosines."""

    image: Float[jax.Array, "*B D"]
    text: Float[jax.Array, "*M D"]
    scale: Float[jax.Array, ""]
    bias: Float[jax.Array, ""]

    def logits(self) -> Float[jax.Array, "..."]:
        """scale · cosine + bias, of every picture (rows) with every text (columns)."""
        return self.scale * (self.image @ self.text.T) + self.bias


class CLIPModel(nnx.Module):
    """Pictures and texts -> logits `(B, M)`: exp(log_scale) · cosine, + bias (Radford et al. 2021, fig. 3).

    `head="softmax"` (CLIP) starts at a scale of 1 / temperature, 1 / 0.07 unless given, and has no bias. `head="sigmoid"`
    (SigLIP, Zhai et al. 2023, algorithm 1) starts at a scale of 10 (a temperature of 0.1) and a learned bias of −10.
    Encoders of your own have an `embed_dim` equal to the model's; without one, it builds `ImageEncoder(embed_dim)` and
    `TextEncoder(embed_dim=embed_dim)`. The scale is never above 100, whatever the parameter is; it keeps its gradient there,
    so that it comes back. `settle()`, called after an update, takes the parameter itself back to where that begins.
    """

    modalities = ("image", "text")

    def __init__(
        self,
        embed_dim: int = 512,
        temperature: float | None = None,
        *,
        rngs: nnx.Rngs,
        image_encoder: Embedder | None = None,
        text_encoder: Embedder | None = None,
        head: str = "softmax",
    ):
        if head not in HEADS:
            raise UnknownName(f"no head of a CLIP is called {head!r}.{nearest(head, HEADS)}")
        temperature = {"softmax": 0.07, "sigmoid": 0.1}[head] if temperature is None else temperature
        if not 1 / LARGEST_SCALE <= temperature < math.inf:
            raise ValueError(f"temperature={temperature}: expected at least 0.01, as the scale, 1 / temperature, ends at 100")
        self.embed_dim, self.head = embed_dim, head
        self.image_encoder = image_encoder or ImageEncoder(embed_dim, rngs=rngs)
        self.text_encoder = text_encoder or TextEncoder(embed_dim=embed_dim, rngs=rngs)
        check_widths(embed_dim, image_encoder=self.image_encoder, text_encoder=self.text_encoder)
        self.log_scale = nnx.Param(jnp.asarray(math.log(1 / temperature), jnp.float32))
        self.bias = nnx.Param(jnp.asarray(-10.0, jnp.float32)) if head == "sigmoid" else None

    def __call__(self, images: Pictures, tokens: Ids, mask: Mask | None = None) -> Float[jax.Array, "..."]:
        """Logits `(B, M)` of B pictures and M texts; one picture, or one text, takes its axis away."""
        return self.embed(images, tokens, mask).logits()

    def embed(self, images: Pictures, tokens: Ids, mask: Mask | None = None) -> Embeddings:
        """The unit vectors, the scale and the bias (0 for the softmax head), as the losses take them."""
        bias = jnp.zeros(()) if self.bias is None else self.bias[...]
        return Embeddings(self.encode_image(images), self.encode_text(tokens, mask), jnp.exp(_held(self.log_scale[...])), bias)

    def encode_image(self, images: Pictures) -> Float[jax.Array, "*B D"]:
        return self.image_encoder(images)

    def encode_text(self, tokens: Ids, mask: Mask | None = None) -> Float[jax.Array, "*M D"]:
        return self.text_encoder(tokens, mask)

    def encode(
        self, *, image: Pictures | None = None, text: Ids | None = None, mask: Mask | None = None
    ) -> dict[str, Float[jax.Array, "..."]]:
        """Unit vectors of what is given, by modality; `mask` goes with `text`."""
        out = {} if image is None else {"image": self.encode_image(image)}
        return out if text is None else out | {"text": self.encode_text(text, mask)}

    def supports(self, modality: str) -> bool:
        return modality in self.modalities

    def settle(self) -> None:
        """Takes the parameter of the scale back to ln 100 where it is above, so that the way back is short."""
        self.log_scale[...] = jnp.minimum(self.log_scale[...], math.log(LARGEST_SCALE))


def _held(log_scale: Float[jax.Array, ""]) -> Float[jax.Array, ""]:
    """At most ln 100, with the gradient of what is not held: a plain minimum has none above, and would never come back
    (the straight-through estimator of Bengio et al. 2013, section 4)."""
    held = jax.lax.stop_gradient(jnp.minimum(log_scale, math.log(LARGEST_SCALE)))
    return held + (log_scale - jax.lax.stop_gradient(log_scale))


def check_widths(embed_dim: int, **encoders: Embedder) -> None:
    """A `ValueError` that names each encoder and its width, unless all of them are `embed_dim` wide."""
    widths = {name: encoder.embed_dim for name, encoder in encoders.items()}
    if set(widths.values()) != {embed_dim}:
        listed = ", ".join(f"{name} gives vectors of {width}" for name, width in widths.items())
        raise ValueError(f"{listed}, and the model has embed_dim={embed_dim}: build them all with one embed_dim")
