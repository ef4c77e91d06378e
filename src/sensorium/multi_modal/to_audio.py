"""Sounds from texts and from pictures, one or a batch: the mean sound of what the source says. This is no speech synthesis."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.decoders.grid import GridDecoder
from sensorium.multi_modal.readers import Ids, Mask, PictureReader, TextReader
from sensorium.multi_modal.rows import LOUDNESS, Numbers, frame, sound_rows
from sensorium.multi_modal.to_grid import Reader, ToGrid


class ToAudio(ToGrid):
    """Abstract: the half that sounds, in frames of 10 ms. Its size grows with the logarithm of the length."""

    def __init__(self, source: str, reader: Reader, hidden: int, audio_length: int, sample_rate: int, *, rngs: nnx.Rngs):
        self.audio_length, self.sample_rate = audio_length, sample_rate
        decoder = GridDecoder(hidden, (audio_length,), 1, (frame(audio_length, sample_rate),), rngs=rngs)
        super().__init__((source, "audio"), reader, hidden, decoder, rngs=rngs)

    def finish(self, grid: Float[jax.Array, "B N 1"]) -> Float[jax.Array, "B N"]:
        return jnp.tanh(LOUDNESS * grid[..., 0])

    def target(self, x: Numbers) -> Float[jax.Array, "B N"]:
        return sound_rows(x, self.audio_length)[0]


class TextToAudioGenerator(ToAudio):
    """Token ids i32, `(L,)` or `(B, L)`, -> the mean sound that the text determines, f32 `(N,)` or `(B, N)` in [-1, 1].

    It is a regression on the wave, honest where the text fixes the wave up to noise, as in the synthetic data. It is not speech
    synthesis: where one text goes with sounds of any phase, their mean is near silence. N is `audio_length`, whatever the text.
    Word order counts; tokens that are `pad_id`, or False in `mask`, do not. Train it with `fit` on "text" and "audio".
    """

    def __init__(
        self,
        vocab_size: int,
        embed_dim: int,
        audio_length: int,
        *,
        rngs: nnx.Rngs,
        max_length: int = 77,
        hidden_dim: int = 256,
        pad_id: int = 0,
        sample_rate: int = 16000,
    ):
        reader = TextReader(vocab_size, embed_dim, max_length, hidden_dim, pad_id, rngs=rngs)
        super().__init__("text", reader, hidden_dim, audio_length, sample_rate, rngs=rngs)

    def __call__(self, text_tokens: Ids, mask: Mask | None = None) -> Float[jax.Array, "*B N"]:
        return self.generate(text_tokens, mask)


class ImageToAudioGenerator(ToAudio):
    """Pictures `(H, W, C)` or `(B, H, W, C)` -> the mean sound that goes with them, f32 `(N,)` or `(B, N)` in [-1, 1].

    Pictures are u8, or f32 in [0, 1]. Train it with `fit` on batches of "image" and "audio". Channels come last.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        audio_length: int,
        hidden_dim: int = 512,
        *,
        rngs: nnx.Rngs,
        sample_rate: int = 16000,
    ):
        reader = PictureReader(image_shape, hidden_dim, rngs=rngs)
        super().__init__("image", reader, hidden_dim, audio_length, sample_rate, rngs=rngs)

    def __call__(self, image: Numbers) -> Float[jax.Array, "*B N"]:
        return self.generate(image)
