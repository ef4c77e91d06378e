"""Small ready-made sizes of the encoders, and a model on top of two of them that fits a laptop."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.multi_modal.arrays import arrayed
from sensorium.multi_modal.image_text import Ids, ImageEncoder, Mask, Pictures, TextEncoder


class SimpleImageEncoder(nnx.Module):
    """Pictures of exactly `image_size`² pixels: `(H, W, 3)` -> unit `(D,)`, `(B, H, W, 3)` -> unit `(B, D)`.

    `ImageEncoder` with a convolutional net that halves the picture and keeps places apart. `image_size` is a multiple of 4.
    """

    def __init__(self, image_size: int = 32, embed_dim: int = 128, *, rngs: nnx.Rngs):
        self.image_size, self.embed_dim = image_size, embed_dim
        self.encoder = ImageEncoder(embed_dim, rngs=rngs, image_size=image_size, backbone="convnet", width=64)

    def __call__(self, images: Pictures) -> Float[jax.Array, "*B D"]:
        return self.encoder(images)


class SimpleTextEncoder(nnx.Module):
    """Token ids, at most `max_len`: `(L,)` -> unit `(D,)`, `(B, L)` -> unit `(B, D)`. Order counts, padding does not.

    `TextEncoder` with one layer of up to four heads and the mean of its real tokens.
    """

    def __init__(self, vocab_size: int = 128, embed_dim: int = 128, *, rngs: nnx.Rngs, max_len: int = 77):
        self.vocab_size, self.embed_dim, self.max_len = vocab_size, embed_dim, max_len
        heads = math.gcd(embed_dim, 4)
        self.encoder = TextEncoder(vocab_size, embed_dim, max_len, rngs=rngs, num_layers=1, num_heads=heads)

    def __call__(self, tokens: Ids, mask: Mask | None = None) -> Float[jax.Array, "*M D"]:
        return self.encoder(tokens, mask)


class SimpleMultimodalModel(nnx.Module):
    """A picture with its text -> `(output_dim,)` numbers for a task (logits of classes, say); rows of both -> `(B, output_dim)`.

    The same two encoders give unit vectors of one space, to compare pictures with texts. A row of padding only, or a vector
    of zeros, has similarity 0 with everything, and finite gradients.
    """

    modalities = ("image", "text")

    def __init__(
        self, image_size: int = 32, vocab_size: int = 128, embed_dim: int = 128, output_dim: int = 10, *, rngs: nnx.Rngs
    ):
        self.embed_dim = embed_dim
        self.image_encoder = SimpleImageEncoder(image_size, embed_dim, rngs=rngs)
        self.text_encoder = SimpleTextEncoder(vocab_size, embed_dim, rngs=rngs)
        self.fuse = nnx.Linear(2 * embed_dim, embed_dim, rngs=rngs)
        self.head = nnx.Linear(embed_dim, output_dim, rngs=rngs)

    def __call__(self, images: Pictures, text_ids: Ids, mask: Mask | None = None) -> Float[jax.Array, "*B output"]:
        a, b = self._pairs(images, text_ids, mask)
        both = jnp.concatenate([a, b], axis=-1) * math.sqrt(self.embed_dim)  # entries of size 1, as a linear layer expects
        return self.head(jax.nn.gelu(self.fuse(both)))

    def encode_image(self, images: Pictures) -> Float[jax.Array, "*B D"]:
        return self.image_encoder(images)

    def encode_text(self, text_ids: Ids, mask: Mask | None = None) -> Float[jax.Array, "*M D"]:
        return self.text_encoder(text_ids, mask)

    def encode(
        self, *, image: Pictures | None = None, text: Ids | None = None, mask: Mask | None = None
    ) -> dict[str, Float[jax.Array, "..."]]:
        """Unit vectors of what is given, by modality; `mask` goes with `text`."""
        out = {} if image is None else {"image": self.encode_image(image)}
        return out if text is None else out | {"text": self.encode_text(text, mask)}

    def supports(self, modality: str) -> bool:
        return modality in self.modalities

    def compute_similarity(self, images: Pictures, text_ids: Ids, mask: Mask | None = None) -> Float[jax.Array, "*B"]:
        """The cosine of each picture with the text of its own row: `(B,)`."""
        a, b = self._pairs(images, text_ids, mask)
        return jnp.sum(a * b, axis=-1)

    def similarity_matrix(self, images: Pictures, text_ids: Ids, mask: Mask | None = None) -> Float[jax.Array, "N M"]:
        """The cosine of each of N pictures with each of M texts, `(N, M)`: row i ranks the texts for picture i."""
        a, b = self.encode_image(images), self.encode_text(text_ids, mask)
        return jnp.atleast_2d(a) @ jnp.atleast_2d(b).T

    def _pairs(self, images: Pictures, text_ids: Ids, mask: Mask | None):
        if arrayed("pictures", images).shape[:-3] != arrayed("token ids", text_ids).shape[:-1]:
            raise ValueError(
                f"pictures of shape {images.shape} with token ids of shape {text_ids.shape}: here row i of one goes with row i "
                "of the other, so their numbers of rows are equal. To compare all with all, call similarity_matrix"
            )
        return self.encode_image(images), self.encode_text(text_ids, mask)
