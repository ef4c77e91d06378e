"""Texts from pictures, sounds and clips, one or a batch: word by word, each knowing those before it."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, Float, Int

from sensorium.core.batch import Batch
from sensorium.core.protocols import Source
from sensorium.core.randomness import key_of
from sensorium.decoders.beam import length_penalty as penalty_of
from sensorium.decoders.beam import search
from sensorium.decoders.sampling import Ends, Sampling, write
from sensorium.decoders.tokens import Context, TokenDecoder
from sensorium.multi_modal import fitting
from sensorium.multi_modal.clip_reader import ClipReader
from sensorium.multi_modal.readers import Ids, Mask, PictureReader, SoundReader
from sensorium.multi_modal.rows import Numbers, concrete
from sensorium.training.loop import Record

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
        if beams < 1 or length_penalty < 0:
            raise ValueError(f"{beams=}, {length_penalty=}: expected 1 or more beams and a penalty of 0 or more")
        rows, _, one = self.reader.as_rows(source)
        key = None if rngs is None else key_of(rngs)
        graph, state = nnx.split(self)
        ids, scores = _written(graph, state, rows, key, sampling, beams, length_penalty)
        if one:
            ids, scores = ids[0], scores[0]
        return (ids, scores) if return_scores else ids

    def logits(self, source: Numbers, text: Ids, mask: Mask | None = None) -> Float[jax.Array, "..."]:
        """The logits of each token given the source and the tokens before it: `(L, V)`, or `(B, L, V)` for a batch.

        L is up to `max_length`. Tokens that `mask` leaves out are not seen by those after them. The filling is no word: its
        logits are −1e9.
        """
        rows, _, one = self.reader.as_rows(source)
        ids, seen = self._texts(text, mask, rows=None if one else len(rows))
        graph, state = nnx.split(self)
        logits = _logits(graph, state, rows, ids, seen)
        return logits[0] if one else logits

    def loss(self, batch: Any, key: jax.Array | None = None, *, label_smoothing: float = 0.0) -> Float[jax.Array, ""]:
        """The mean cross-entropy of the next token (nats), over the tokens up to the end of each text, the end included.

        `batch` is a dict of the fields in `reads`. Filling, tokens that "text/mask" leaves out, and rows without source or
        text (`<field>/here`) do not count; 0 where nothing does. `label_smoothing` is the share of the target that is
        spread over all words (Szegedy et al. 2016, sec. 7). Nothing is drawn: `key` is not needed.
        """
        batch = fitting.only(batch, self.reads)
        source, _ = self.reads
        rows = len(batch[source])
        text, mask = self._texts(batch["text"], batch.get("text/mask"), rows)
        here = jnp.ones(rows, bool)
        for name in self.reads:
            here = here & jnp.asarray(batch.get(f"{name}/here", here))
        given = jnp.asarray(batch[source])  # where nothing is here there may be anything, NaN too: it must not reach a gradient
        given = jnp.where(here.reshape(-1, *(1,) * (given.ndim - 1)), given, jnp.zeros((), given.dtype))
        logits = self.logits(given, text, mask)
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

    def context(self, rows: Float[jax.Array, "B ..."]) -> Context:
        """What the decoder writes about, of checked rows of the source."""
        gist = self.reader(rows)
        return Context(self.views(gist).reshape(len(gist), VIEWS, -1), gist)

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
        fits = len(np.shape(text)) == 1 if rows is None else len(np.shape(text)) == 2 and len(text) == rows
        if not fits or not jnp.issubdtype(text.dtype, jnp.integer):
            raise ValueError(f"a text of shape {np.shape(text)} and type {text.dtype}: expected {expected}")
        if not 1 <= np.shape(text)[-1] <= self.max_length:
            raise ValueError(f"a text of {np.shape(text)[-1]} tokens: expected 1 to max_length={self.max_length}")
        if mask is not None and mask.shape != text.shape:
            raise ValueError(f"a mask of shape {mask.shape} for tokens of shape {text.shape}: expected a flag for each token")
        if concrete(text) and text.size and (np.min(known := np.asarray(text)) < 0 or np.max(known) >= self.vocab_size):
            raise ValueError(f"token ids from {known.min()} to {known.max()}: this generator knows 0 to {self.vocab_size - 1}")
        ids, seen = jnp.asarray(text).astype(jnp.int32), None if mask is None else jnp.asarray(mask)
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
        decoder = TokenDecoder(vocab_size, max_length, hidden_dim, num_layers, num_heads, rngs=rngs)
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
        decoder = TokenDecoder(vocab_size, max_length, hidden_dim, num_layers, num_heads, rngs=rngs)
        super().__init__("audio", reader, decoder, Ends(pad_id, eos_id), rngs=rngs)

    def __call__(self, audio: Numbers, *, rngs: Randomness | None = None) -> Int[jax.Array, "*B L"]:
        return self.generate(audio, rngs=rngs)  # type: ignore[return-value]


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
        decoder = TokenDecoder(vocab_size, max_length, hidden_dim, num_layers, num_heads, rngs=rngs)
        super().__init__("video", reader, decoder, Ends(pad_id, eos_id), rngs=rngs)

    def __call__(self, video: Numbers, *, rngs: Randomness | None = None) -> Int[jax.Array, "*B L"]:
        return self.generate(video, rngs=rngs)  # type: ignore[return-value]


@partial(jax.jit, static_argnums=(0, 4, 5, 6))
def _written(graph, state, rows, key, sampling: Sampling, beams: int, penalty: float) -> tuple[jax.Array, jax.Array]:
    """Ids and scores. One program for each size of batch and choice of dials: op by op, it would be compiled at every call."""
    generator = nnx.merge(graph, state)
    context = generator.context(rows)
    if beams > 1:
        return search(generator.decoder, context, generator.ends, beams, penalty)
    keys = None if key is None else jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(len(rows)))
    ids, scores = write(generator.decoder, context, generator.ends, sampling, keys)
    return ids, scores / penalty_of(jnp.sum(ids != generator.ends.pad, axis=1, dtype=jnp.int32), penalty)


@partial(jax.jit, static_argnums=0)
def _logits(graph, state, rows, text, mask) -> jax.Array:
    generator = nnx.merge(graph, state)
    return generator.ends.words(generator.decoder(text, generator.context(rows), mask))
