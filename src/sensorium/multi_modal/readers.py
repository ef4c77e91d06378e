"""What a generator reads, as one vector a row: texts, pictures and sounds, one of them or a batch."""

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.decoders.grid import QUIET
from sensorium.encoders import TextTransformer
from sensorium.multi_modal.arrays import arrayed, blanked, check_ids, flags
from sensorium.multi_modal.grid_reader import LAID_OUT, GridReader
from sensorium.multi_modal.rows import LOUDNESS, Numbers, frame, picture_rows, picture_shape, sound_rows
from sensorium.nn.sizes import flat, whole

Ids = Int[jax.Array, "..."] | Int[np.ndarray, "..."]
Mask = Bool[jax.Array, "..."] | Bool[np.ndarray, "..."]
WORDS = 0.2
"""How widely the vectors of words are scattered at the start. At scale 1 the rarer ones hardly move at the learning rate that is
right for the other layers; the norms inside the encoder do not mind the scale."""


class TextReader(nnx.Module):
    """Token ids i32[B L], L up to `max_length` -> f32[B hidden].

    The tokens are laid side by side, each in its place, so word order counts. A token that is `pad_id`, or that `mask` leaves
    out, counts for nothing, and a text that is shorter than `max_length` is the same as the text with pads after it.
    """

    def __init__(self, vocab_size: int, embed_dim: int, max_length: int, hidden: int, pad_id: int = 0, *, rngs: nnx.Rngs):
        sizes = {"vocab_size": vocab_size, "embed_dim": embed_dim, "max_length": max_length, "hidden_dim": hidden}
        for name, size in sizes.items():
            whole(name, size)
        self.vocab_size, self.max_length, self.pad_id = vocab_size, max_length, pad_id
        self.encoder = TextTransformer(vocab_size, max_length, embed_dim, heads=math.gcd(embed_dim, 4), window=5, rngs=rngs)
        for words in (self.encoder.table, self.encoder.position):
            words[...] *= WORDS
        for added in (self.encoder.neighbours, *self.encoder.blocks):  # quiet at the start, as everywhere on the way
            added.down.kernel[...] *= math.sqrt(QUIET)
        for block in self.encoder.blocks:
            block.attention.out.kernel[...] *= math.sqrt(QUIET)
        narrow = min(embed_dim, max(8, LAID_OUT // max_length))
        self.narrow = nnx.Linear(embed_dim, narrow, use_bias=False, rngs=rngs)
        self.join = nnx.Linear(max_length * narrow, hidden, rngs=rngs)

    def __call__(self, text: Int[jax.Array, "B L"], mask: Bool[jax.Array, "B L"] | None = None) -> Float[jax.Array, "B P"]:
        real = text != self.pad_id if mask is None else mask & (text != self.pad_id)
        room = ((0, 0), (0, self.max_length - text.shape[1]))
        text = jnp.pad(jnp.where(real, text, self.pad_id), room, constant_values=self.pad_id)
        tokens = self.narrow(self.encoder(text.astype(jnp.int32), jnp.pad(real, room)).tokens)
        return self.join(flat(tokens))

    def as_rows(self, text: Ids, mask: Mask | None = None) -> tuple[jax.Array, jax.Array | None, bool]:
        """A batch of one text or of many, its mask, and whether it was one; a `ValueError` for what cannot be read."""
        shape = arrayed("token ids", text).shape
        if len(shape) not in (1, 2) or not jnp.issubdtype(text.dtype, jnp.integer):
            raise ValueError(f"a text of shape {shape} and type {text.dtype}: expected token ids, integers (L,) or (B, L)")
        if not 1 <= shape[-1] <= self.max_length:
            raise ValueError(
                f"a text of {shape[-1]} tokens: expected 1 to {self.max_length}, or build the generator with max_length="
            )
        mask = None if mask is None else flags("the mask of the tokens", mask, shape)
        check_ids("generator", text, self.vocab_size)
        text = jnp.asarray(text)
        return (text, mask, False) if len(shape) == 2 else (text[None], None if mask is None else mask[None], True)


class PictureReader(nnx.Module):
    """Pictures f32[B H W C] in [0, 1] -> f32[B hidden]. A picture has no mask."""

    def __init__(self, shape: Sequence[int], hidden: int, *, rngs: nnx.Rngs):
        self.shape = picture_shape(shape)
        self.grid = GridReader(self.shape[:2], self.shape[2], (4, 4), hidden, rngs=rngs)

    def __call__(self, pictures: Float[jax.Array, "B H W C"], mask: jax.Array | None = None) -> Float[jax.Array, "B P"]:
        return self.grid(2.0 * pictures - 1.0)

    def as_rows(self, pictures: Numbers, mask: Mask | None = None) -> tuple[jax.Array, jax.Array | None, bool]:
        """A batch f32 in [0, 1] of one picture or of many, and whether it was one; a `ValueError` for what is no picture."""
        if mask is not None:
            raise ValueError(
                f"a mask of shape {np.shape(mask)} for pictures, which have none: a row that lacks one is image/here"
            )
        rows, one = picture_rows(pictures, self.shape)
        return rows, None, one


class SoundReader(nnx.Module):
    """Sounds f32[B N] in [-1, 1] -> f32[B hidden]: frames of 10 ms through one matrix, which keeps the phase.

    Samples that a mask leaves out are silence."""

    def __init__(self, samples: int, rate: int, hidden: int, *, rngs: nnx.Rngs):
        self.samples = samples
        self.grid = GridReader((samples,), 1, (frame(samples, rate),), hidden, rngs=rngs)

    def __call__(self, sounds: Float[jax.Array, "B N"], mask: Bool[jax.Array, "B N"] | None = None) -> Float[jax.Array, "B P"]:
        sounds = sounds if mask is None else jnp.where(mask, sounds, 0.0)
        return self.grid(sounds[..., None] / LOUDNESS)

    def as_rows(self, sounds: Numbers, mask: Mask | None = None) -> tuple[jax.Array, jax.Array | None, bool]:
        """A batch of one sound or of many, its mask, and whether it was one; a `ValueError` for what is none."""
        if mask is not None:
            mask = flags("the mask of the sounds", mask, arrayed("sounds", sounds).shape)
            sounds = blanked(sounds, mask)
        rows, one = sound_rows(sounds, self.samples)
        return rows, None if mask is None else mask.reshape(rows.shape), one
