"""Texts from pictures, sounds and clips, one or a batch: word by word, each knowing those before it."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.core.batch import Batch
from sensorium.core.protocols import Source
from sensorium.core.randomness import key_of
from sensorium.decoders.beam import checked, search
from sensorium.decoders.beam import length_penalty as penalty_of
from sensorium.decoders.sampling import Ends, Sampling, write
from sensorium.decoders.tokens import Context, TokenDecoder
from sensorium.multi_modal import fitting
from sensorium.multi_modal.arrays import arrayed, blanked, check_ids, flags
from sensorium.multi_modal.clip_reader import ClipReader
from sensorium.multi_modal.readers import Ids, Mask, PictureReader, SoundReader
from sensorium.multi_modal.rows import Numbers
from sensorium.nn.sizes import whole
from sensorium.training.course import Record

Reader = PictureReader | SoundReader | ClipReader
Randomness = nnx.Rngs | jax.Array | int
VIEWS = 8
"""Tokens that the decoder may look at: views of what was read, beside the gist of it."""


class ToText(nnx.Module):
    """Abstract: a reader, and a decoder that writes about what was read. `reads` names the source, and "text".

    A text is `max_length` ids, i32: words, `eos_id`, then `pad_id`; there is no begin-of-text id. A text that does not end
    within `max_length` has no `eos_id`.
    """

    def __init__(self, source: str, reader: Reader, decoder: TokenDecoder, ends: Ends, *, rngs: nnx.Rngs):
        self.reads, self.reader, self.decoder, self.ends = (source, "text"), reader, decoder, ends
        self.vocab_size, self.max_length = decoder.vocabulary, decoder.length
        if not (0 <= ends.pad < self.vocab_size and 0 <= ends.eos < self.vocab_size and ends.pad != ends.eos):
            raise ValueError(f"pad_id={ends.pad}, eos_id={ends.eos}: expected two different ids below {self.vocab_size}")
        self.views = nnx.Linear(decoder.width, VIEWS * decoder.width, rngs=rngs)

    def generate(
        self,
        source: Numbers,
        mask: Mask | None = None,
        *,
        rngs: Randomness | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        beams: int = 1,
        length_penalty: float = 0.0,
        return_scores: bool = False,
    ) -> Int[jax.Array, "..."] | tuple[Int[jax.Array, "..."], Float[jax.Array, "..."]]:
        """A text for one source or for each of a batch, `(max_length,)` or `(B, max_length)`.

        `mask` is of the source, True for what is real: the samples of a sound, the frames `(T,)` or `(B, T)` of a clip.
        With `rngs` (any `nnx.Rngs`, a key or a seed) words are drawn, by `temperature`, `top_k` and `top_p` (see
        `decoders.Sampling`); row i draws by the key and i, whatever the other rows are. Without, it is the likeliest word
        every time, or with `beams` above 1 the best text of a beam search. A score, where it is asked for, is the
        log-probability of the text (nats; at temperature 1, the end included) over ((5 + words) / 6)^`length_penalty`
        (Wu et al. 2016, eq. 14), which is what beams are compared by: above 0 favours longer texts.
        """
        sampling = Sampling(temperature, top_k, top_p)
        if rngs is None and sampling != Sampling():
            raise ValueError(f"{sampling} but no rngs: nothing would be drawn. Pass rngs=nnx.Rngs(0) or a key to sample")
        if rngs is not None and beams != 1:
            raise ValueError(f"beams={beams} and rngs: a beam search draws nothing. Leave out one of them")
        beams, length_penalty = checked(beams, length_penalty)
        rows, real, one = self.reader.as_rows(source, mask)
        key = None if rngs is None else key_of(rngs)
        graph, state = nnx.split(self)
        ids, scores = _written(graph, state, rows, real, key, sampling, beams, length_penalty)
        if one:
            ids, scores = ids[0], scores[0]
        return (ids, scores) if return_scores else ids

    def logits(
        self, source: Numbers, text: Ids, mask: Mask | None = None, source_mask: Mask | None = None
    ) -> Float[jax.Array, "..."]:
        """The logits of each token given the source and the tokens before it: `(L, V)`, or `(B, L, V)` for a batch.

        L is up to `max_length`. Tokens that `mask` leaves out are not seen by those after them, and what `source_mask` leaves
        out of the source is not read. The filling is no word: its logits are −1e9.
        """
        rows, real, one = self.reader.as_rows(source, source_mask)
        ids, seen = self._texts(text, mask, rows=None if one else len(rows))
        graph, state = nnx.split(self)
        logits = _logits(graph, state, rows, real, ids, seen)
        return logits[0] if one else logits

    def loss(self, batch: Any, key: jax.Array | None = None, *, label_smoothing: float = 0.0) -> Float[jax.Array, ""]:
        """The mean cross-entropy of the next token (nats), over the tokens up to the end of each text, the end included.

        `batch` is a dict of the fields in `reads`. Filling, tokens that "text/mask" leaves out, and rows without source or
        text (`<field>/here`) do not count; 0 where nothing does. What "<source>/mask" leaves out is not read.
        `label_smoothing` is the share of the target that is spread over all words (Szegedy et al. 2016, sec. 7). Nothing is
        drawn: `key` is not needed.
        """
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"label_smoothing={label_smoothing}: expected a share from 0 to 1")
        batch = fitting.only(batch, self.reads)
        source, _ = self.reads
        text, mask = self._texts(batch["text"], batch.get("text/mask"), len(arrayed(source, batch[source])))
        here = fitting.rows_here(batch, self.reads)
        logits = self.logits(blanked(batch[source], here), text, mask, batch.get(f"{source}/mask"))
        counts = self._told(text, mask) & here[:, None]
        chances = jax.nn.log_softmax(logits)
        hit = jax.nn.one_hot(text, self.vocab_size, dtype=bool)
        right = jnp.sum(jnp.where(hit, chances, 0.0), axis=-1)
        filling = jnp.arange(self.vocab_size)[None, None] == self.ends.pad
        evenly = jnp.sum(jnp.where(filling, 0.0, chances), axis=-1) / (self.vocab_size - 1)
        losses = -(1 - label_smoothing) * right - label_smoothing * evenly
        return jnp.sum(jnp.where(counts, losses, 0.0)) / jnp.maximum(jnp.sum(counts, dtype=jnp.float32), 1.0)

    def fit(
        self,
        data: Source | Iterable[Batch],
        steps: int,
        batch_size: int = 16,
        lr: float = 5e-3,
        seed: int = 0,
        tell: Callable[[Record], None] | None = None,
    ) -> list[Record]:
        """Trains in place on a source or on batches of your own; gives the history. See `multi_modal.fitting.fit`."""
        return fitting.fit(self, data, steps, batch_size, lr, seed, tell)

    def context(self, rows: Float[jax.Array, "B ..."], mask: Bool[jax.Array, "B ..."] | None = None) -> Context:
        """What the decoder writes about, of rows of the source and their mask as the reader's `as_rows` gives them."""
        gist = self.reader(rows, mask)
        return Context(self.views(gist).reshape(len(gist), VIEWS, self.decoder.width), gist)

    def _told(self, text: Int[jax.Array, "B L"], mask: Bool[jax.Array, "B L"] | None) -> Bool[jax.Array, "B L"]:
        """The tokens to learn: those up to the first end that are neither filling nor left out."""
        end = text == self.ends.eos
        before = jnp.cumsum(end, axis=1, dtype=jnp.int32) - end.astype(jnp.int32)
        told = (before == 0) & (text != self.ends.pad)
        return told if mask is None else told & mask

    def _texts(
        self, text: Ids, mask: Mask | None, rows: int | None
    ) -> tuple[Int[jax.Array, "B L"], Bool[jax.Array, "B L"] | None]:
        """One text or a batch of so many as a batch; a `ValueError` for what cannot be read."""
        expected = f"integers (L,) for one {self.reads[0]}" if rows is None else f"integers ({rows}, L), a text a row"
        shape = arrayed("a text", text).shape
        fits = len(shape) == 1 if rows is None else len(shape) == 2 and len(text) == rows
        if not fits or not jnp.issubdtype(text.dtype, jnp.integer):
            raise ValueError(f"a text of shape {shape} and type {text.dtype}: expected {expected}")
        if not 1 <= shape[-1] <= self.max_length:
            raise ValueError(f"a text of {shape[-1]} tokens: expected 1 to max_length={self.max_length}")
        seen = None if mask is None else flags("the mask of the tokens", mask, shape)
        check_ids("generator", text, self.vocab_size)
        ids = jnp.asarray(text).astype(jnp.int32)
        return (ids, seen) if rows is not None else (ids[None], None if seen is None else seen[None])


class ImageToTextGenerator(ToText):
    """Pictures `(H, W, C)` or `(B, H, W, C)`, u8 or f32 in [0, 1] -> texts i32, `(max_length,)` or `(B, max_length)`.

    Train it with `fit` on batches of "image" and "text". Called, it gives the likeliest words, or with `rngs` draws them.
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        vocab_size: int,
        max_length: int,
        hidden_dim: int = 512,
        *,
        rngs: nnx.Rngs,
        num_layers: int = 2,
        num_heads: int = 8,
        pad_id: int = 0,
        eos_id: int = 1,
    ):
        reader = PictureReader(image_shape, hidden_dim, rngs=rngs)
        decoder = _writer(vocab_size, max_length, hidden_dim, num_layers, num_heads, rngs)
        super().__init__("image", reader, decoder, Ends(pad_id, eos_id), rngs=rngs)

    def __call__(self, image: Numbers, *, rngs: Randomness | None = None) -> Int[jax.Array, "*B L"]:
        return self.generate(image, rngs=rngs)  # type: ignore[return-value]


class AudioToTextGenerator(ToText):
    """Sounds `(N,)` or `(B, N)` in [-1, 1], N = `audio_length`, -> texts i32, `(max_length,)` or `(B, max_length)`.

    The wave itself is read, in frames of 10 ms, so that phase counts. Train it with `fit` on batches of "audio" and "text".
    """

    def __init__(
        self,
        audio_length: int,
        vocab_size: int,
        max_length: int,
        hidden_dim: int = 512,
        *,
        rngs: nnx.Rngs,
        sample_rate: int = 16000,
        num_layers: int = 2,
        num_heads: int = 8,
        pad_id: int = 0,
        eos_id: int = 1,
    ):
        reader = SoundReader(audio_length, sample_rate, hidden_dim, rngs=rngs)
        decoder = _writer(vocab_size, max_length, hidden_dim, num_layers, num_heads, rngs)
        super().__init__("audio", reader, decoder, Ends(pad_id, eos_id), rngs=rngs)

    def __call__(self, audio: Numbers, mask: Mask | None = None, *, rngs: Randomness | None = None) -> Int[jax.Array, "*B L"]:
        """`mask` (Bool, the shape of the sounds) is True where a sample is real: the others are not read."""
        return self.generate(audio, mask, rngs=rngs)  # type: ignore[return-value]


class VideoToTextGenerator(ToText):
    """Clips `(T, H, W, C)` or `(B, T, H, W, C)`, u8 or f32 in [0, 1] -> texts i32, `(max_length,)` or `(B, max_length)`.

    Train it with `fit` on batches of "video" and "text". The order of the frames counts.
    """

    def __init__(
        self,
        video_shape: Sequence[int],
        vocab_size: int,
        max_length: int,
        hidden_dim: int = 512,
        *,
        rngs: nnx.Rngs,
        num_layers: int = 2,
        num_heads: int = 8,
        pad_id: int = 0,
        eos_id: int = 1,
    ):
        reader = ClipReader(video_shape, hidden_dim, rngs=rngs)
        decoder = _writer(vocab_size, max_length, hidden_dim, num_layers, num_heads, rngs)
        super().__init__("video", reader, decoder, Ends(pad_id, eos_id), rngs=rngs)

    def __call__(self, video: Numbers, mask: Mask | None = None, *, rngs: Randomness | None = None) -> Int[jax.Array, "*B L"]:
        """`mask` (Bool, `(T,)` or `(B, T)`) is True where a frame is real: the others are not read."""
        return self.generate(video, mask, rngs=rngs)  # type: ignore[return-value]


def _writer(vocab_size: int, max_length: int, hidden_dim: int, num_layers: int, num_heads: int, rngs: nnx.Rngs) -> TokenDecoder:
    """The decoder, of sizes that are told by the names that a caller knows where they cannot be."""
    sizes = {"vocab_size": vocab_size, "max_length": max_length, "num_layers": num_layers, "num_heads": num_heads}
    for name, size in sizes.items():
        whole(name, size)
    return TokenDecoder(vocab_size, max_length, hidden_dim, num_layers, num_heads, rngs=rngs)


@partial(jax.jit, static_argnums=(0, 6, 7))
def _written(graph, state, rows, real, key, sampling: Sampling, beams: int, penalty: float) -> tuple[jax.Array, jax.Array]:
    """Ids and scores. One program for each size of batch and number of beams: op by op, it would be compiled at every call."""
    generator = nnx.merge(graph, state)
    context = generator.context(rows, real)
    if beams > 1:
        return search(generator.decoder, context, generator.ends, beams, penalty)
    keys = None if key is None else jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(rows)))
    ids, scores = write(generator.decoder, context, generator.ends, sampling, keys)
    return ids, scores / penalty_of(jnp.sum(ids != generator.ends.pad, axis=1, dtype=jnp.int32), penalty)


@partial(jax.jit, static_argnums=0)
def _logits(graph, state, rows, real, text, mask) -> jax.Array:
    generator = nnx.merge(graph, state)
    return generator.ends.words(generator.decoder(text, generator.context(rows, real), mask))
