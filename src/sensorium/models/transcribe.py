"""Transcribing: a sound of any length to text, window by window, each from where the last one ended (Radford et al. 2022)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from sensorium.core.encoding import Encoding
from sensorium.core.protocols import Modality, Raw
from sensorium.decoders import Prompted, Ruled, Sampling, Writer, search, write
from sensorium.decoders.timestamps import timed, unsaid
from sensorium.encoders.published_audio import STRIDE, PublishedAudio
from sensorium.modalities import Audio
from sensorium.modalities.transcript import Marks, NotAsked, Transcript
from sensorium.models.generator import Generator
from sensorium.nn.log_mel import LogMel
from sensorium.nn.sizes import whole

Progress = Callable[[float, float], None]
"""Told how many seconds of how many are done."""
BLOCK = 10_000
"""Frames of a spectrogram that are computed at once."""


class Segment(NamedTuple):
    """What was said from `start` to `end`, in seconds of the whole sound."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Manner:
    """How is transcribed. `language`: a code or a name; where it is None that which the model was trained for, or it is found
    out. `task`: "transcribe", or "translate" into English; `timestamps`: the segments are told apart; `beams`: see
    `decoders.search`, the likeliest word each time where 1."""

    language: str | None = None
    task: str = "transcribe"
    timestamps: bool = False
    beams: int = 1

    def __post_init__(self):
        object.__setattr__(self, "beams", whole("beams", self.beams))


class Piece(NamedTuple):
    """A segment in frames of the spectrogram and tokens."""

    start: int
    end: int
    ids: list[int]


class Transcriber:
    """A model of speech, compiled: a `Generator` that hears by a `PublishedAudio` and writes a `Transcript`; `NotAsked` for
    another. What it computes with are the parameters that each call gives it, as `jax.tree.leaves` of the model's state."""

    def __init__(self, model: Any, fields: Sequence[Modality]):
        texts = [field for field in fields if isinstance(field, Transcript)]
        sounds = [field for field in fields if isinstance(field, Audio)]
        if not isinstance(model, Generator) or len(texts) != 1 or len(sounds) != 1:
            raise NotAsked(
                "this model writes no transcripts: that takes a decoder that was trained on them, as in openai/whisper-tiny; an "
                "encoder alone only hears"
            )
        encoder, text, self.field = model.encoders[sounds[0].name], texts[0], sounds[0]
        if not isinstance(encoder, PublishedAudio):
            raise NotAsked(f"transcripts are written of what a PublishedAudio hears, not a {type(encoder).__name__}")
        self.front, self.frames, self.text, self.marks = encoder.front, STRIDE * encoder.length, text, text.marks
        graph, state = nnx.split(model)
        tree = jax.tree.structure(state)

        def built(leaves: list[jax.Array]) -> Generator:
            return nnx.merge(graph, jax.tree.unflatten(tree, leaves))

        def hear(leaves: list[jax.Array], features: Float[jax.Array, "B F T"]) -> Encoding:
            return built(leaves).context({self.field.name: features})

        def tongue(leaves: list[jax.Array], context: Encoding) -> Int[jax.Array, " B"]:
            return likeliest_language(built(leaves), context, self.marks)

        def say(leaves: list[jax.Array], context: Encoding, prompt: jax.Array, stamped: bool, beams: int) -> jax.Array:
            return written(built(leaves), Prompted(context, prompt), self.marks, stamped, beams)

        self._hear, self._tongue, self._say = jax.jit(hear), jax.jit(tongue), jax.jit(say, static_argnums=(3, 4))

    def __call__(
        self, leaves: list[jax.Array], sound: Raw, manner: Manner, progress: Progress | None = None
    ) -> str | list[Segment]:
        """The text of a sound; with timestamps its segments, those without a word left out.

        Where a sound is shorter than a window silence follows, in which nothing is looked for, as in the authors' code. Longer
        ones need timestamps, to know where to go on, and are told by them whether they are asked for or not.
        """
        self.prompt(manner)  # what is wrong with it is told before any work
        wave, second = self.field.whole(sound), self.front.rate / self.front.hop
        features = spectrogram(self.front, np.pad(wave, (0, max(0, self.frames * self.front.hop - len(wave)))))
        total = max(1, min(len(wave) // self.front.hop, len(features)))
        report = None if progress is None else lambda done: progress(min(done, total) / second, total / second)
        stamped = manner.timestamps or len(features) > self.frames
        pieces = self.pieces(leaves, features, total, replace(manner, timestamps=stamped), report)
        if not manner.timestamps:
            return self.text.told([i for piece in pieces for i in piece.ids])
        made = [Segment(start / second, end / second, self.text.told(ids)) for start, end, ids in pieces]
        return [segment for segment in made if segment.text]

    def pieces(
        self,
        leaves: list[jax.Array],
        features: Float[np.ndarray, "T F"],
        total: int,
        manner: Manner,
        report: Callable[[int], None] | None = None,
    ) -> list[Piece]:
        """The same of a spectrogram, up to frame `total`. A window that ends with a segment which is not whole is gone on from
        there; any other, behind its end."""
        at, out, prompt = 0, [], self.prompt(manner)
        while at < total:
            window = features[at : at + self.frames]
            window = np.pad(window, ((0, self.frames - len(window)), (0, 0)))  # zeros, as the reference has them, not silence
            context = self._hear(leaves, jnp.asarray(window.T[None]))
            if None in prompt:
                prompt[prompt.index(None)] = int(self._tongue(leaves, context)[0])
            begun = jnp.asarray([prompt], jnp.int32)
            ids = np.asarray(self._say(leaves, context, begun, manner.timestamps, manner.beams))[0].tolist()
            found, step = cut(
                ids[: ids.index(self.marks.end)] if self.marks.end in ids else ids, self.marks, min(self.frames, total - at)
            )
            out += [Piece(at + start, at + end, part) for start, end, part in found]
            at += step if step > 0 else self.frames
            if report is not None:
                report(at)
        return out

    def prompt(self, manner: Manner) -> list[int | None]:
        """The tokens that a transcript comes after; None in the place of a language that has to be found out."""
        marks = self.marks
        if not marks.languages and manner.task != "transcribe":
            raise NotAsked(f"task={manner.task!r}: this model knows English alone, and only transcribes it")
        ids: list[int | None] = [marks.start]
        if manner.language is not None:
            ids.append(marks.language(manner.language))
        elif marks.languages:
            ids.append(marks.spoken)
        if marks.languages:
            ids.append(marks.task(manner.task))
        return ids if manner.timestamps else [*ids, marks.plain]


def likeliest_language(model: Generator, context: Encoding, marks: Marks) -> Int[jax.Array, " B"]:
    """The token of the language that is likeliest to follow the start of a transcript."""
    rows = context.tokens.shape[0]
    decoder = cast(Writer, model.decoder)
    begun = decoder.begin(Prompted(context, jnp.full((rows, 1), marks.start, jnp.int32)), 1)
    logits, _ = decoder.step(jnp.zeros(rows, jnp.int32), jnp.int32(0), begun)
    known = jnp.asarray(sorted(i for _, i in marks.languages), jnp.int32)
    return known[jnp.argmax(logits[:, known], axis=1)]


def written(model: Generator, about: Prompted, marks: Marks, stamped: bool, beams: int) -> Int[jax.Array, "B W"]:
    """The tokens that the decoder writes, the end and what fills after it among them."""
    places, before = model.decoder.length, about.prompt.shape[1]
    words = min((marks.length or places) + before, places) - before
    ruled = Ruled(model.decoder, timed(marks) if stamped else unsaid(marks))
    if beams > 1:
        return search(ruled, about, model.ends, beams, 1.0, words)[0]
    return write(ruled, about, model.ends, Sampling(), None, words)[0]


def cut(ids: Sequence[int], marks: Marks, left: int) -> tuple[list[Piece], int]:
    """The segments of what was written of a window, of which `left` frames are of the sound, and from which frame to go on.

    Two timestamps in a row part segments. What follows the last two is thrown away, as its end is not in the window; where one
    stands alone at the end, nothing follows it.
    """
    ids, stamps = list(ids), [i >= marks.first for i in ids]
    alone = stamps[-2:] == [False, True]
    ends = [i + 1 for i in range(len(ids) - 1) if stamps[i] and stamps[i + 1]]
    frame = lambda token: STRIDE * (token - marks.first)  # noqa: E731
    if not ends:
        last = next((i for i in reversed(ids) if i >= marks.first), marks.first)
        return [Piece(0, left // STRIDE * STRIDE if last == marks.first else frame(last), ids)], left
    pieces, at = [], 0
    for i, end in enumerate([*ends, len(ids)] if alone else [*ends[:-1], ends[-1] + 1]):
        part = ids[at:end]
        last = part[-1] if alone or i < len(ends) - 1 else part[-2]
        pieces.append(Piece(frame(part[0]), frame(last), part))
        at = end
    return pieces, left if alone else frame(ids[at - 2])


def spectrogram(front: LogMel, wave: Float[np.ndarray, " N"]) -> Float[np.ndarray, "T F"]:
    """`front.exact` of one sound of any length, block by block: as there, the loudest number of all of it counts."""
    frames, plain = len(wave) // front.hop, replace(front, whisper=False)
    starts = range(0, frames, BLOCK)
    levels = [plain.exact(wave[None], np.arange(at, min(at + BLOCK, frames)))[0] / 10 for at in starts]
    level = np.concatenate(levels)
    return (np.maximum(level, level.max() - 8) + 4) / 4
