"""Pictures from texts and from sounds, one or a batch: the mean picture of what the source says."""

from collections.abc import Sequence

import jax
from flax import nnx
from jaxtyping import Float

from sensorium.decoders.grid import GridDecoder
from sensorium.multi_modal.readers import Ids, Mask, SoundReader, TextReader
from sensorium.multi_modal.rows import Numbers, picture_rows, picture_shape
from sensorium.multi_modal.to_grid import Reader, ToGrid

PATCH = (4, 4)


class ToImage(ToGrid):
    """Abstract: the half that draws, for any reader. Its size grows with the logarithm of the picture's sides."""

    def __init__(self, source: str, reader: Reader, hidden: int, image_shape: Sequence[int], *, rngs: nnx.Rngs):
        self.image_shape = picture_shape(image_shape)
        decoder = GridDecoder(hidden, self.image_shape[:2], self.image_shape[2], PATCH, rngs=rngs)
        super().__init__((source, "image"), reader, hidden, decoder, rngs=rngs)

    def finish(self, grid: Float[jax.Array, "B H W C"]) -> Float[jax.Array, "B H W C"]:
        return jax.nn.sigmoid(grid)

    def target(self, x: Numbers) -> Float[jax.Array, "B H W C"]:
        return picture_rows(x, self.image_shape)[0]


class TextToImageGenerator(ToImage):
    """Token ids i32, `(L,)` or `(B, L)`, -> the mean picture that the text determines, `(H, W, C)` or `(B, H, W, C)` in [0, 1].

    L is 1 to `max_length`. Word order counts; tokens that are `pad_id`, or False in `mask`, do not. Train it with `fit` on
    batches of "text" (and "text/mask") and "image" (u8, or f32 in [0, 1]).
    """

    def __init__(
        self,
        vocab_size: int,
        embed_dim: int,
        image_shape: Sequence[int],
        *,
        rngs: nnx.Rngs,
        max_length: int = 77,
        hidden_dim: int = 256,
        pad_id: int = 0,
    ):
        reader = TextReader(vocab_size, embed_dim, max_length, hidden_dim, pad_id, rngs=rngs)
        super().__init__("text", reader, hidden_dim, image_shape, rngs=rngs)

    def __call__(self, text_tokens: Ids, mask: Mask | None = None) -> Float[jax.Array, "*B H W C"]:
        return self.generate(text_tokens, mask)


class AudioToImageGenerator(ToImage):
    """Sounds in [-1, 1], `(N,)` or `(B, N)`, -> the mean picture that goes with them, `(H, W, C)` or `(B, H, W, C)` in [0, 1].

    N is `audio_length`. The wave itself is read, in frames of 10 ms, so that phase counts. Train it with `fit` on batches of
    "audio" and "image".
    """

    def __init__(
        self,
        audio_length: int,
        image_shape: Sequence[int],
        hidden_dim: int = 512,
        *,
        rngs: nnx.Rngs,
        sample_rate: int = 16000,
    ):
        reader = SoundReader(audio_length, sample_rate, hidden_dim, rngs=rngs)
        super().__init__("audio", reader, hidden_dim, image_shape, rngs=rngs)

    def __call__(self, audio: Numbers, mask: Mask | None = None) -> Float[jax.Array, "*B H W C"]:
        """`mask` (Bool, the shape of the sounds) is True where a sample is real: the others are not read."""
        return self.generate(audio, mask)
