"""Telling: what a picture, a sound or a clip holds, and answers to questions about it, by a `Generator` that was trained to."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Float, Int

from sensorium.core.batch import Batch, pad, size
from sensorium.core.protocols import Modality, Raw
from sensorium.data.ready import prepared, read
from sensorium.decoders import Prompted, PublishedDecoder, Sampling, scores, several, write
from sensorium.modalities import BadRaw, Text
from sensorium.modalities.text import unknown_words
from sensorium.modalities.transcript import NotAsked, Transcript
from sensorium.nn.sizes import seed_of, whole

MOST = 1024
"""Beams, or draws, of one thing."""
ROWS = 8
"""Things at a time, where there are more than one: one program is compiled for each of the two sizes."""
CAPTION, ANSWER = 20, 10
"""Words that a published model writes unless told otherwise; one of the house, as many as the texts that it learned may have."""
CAPTIONS = "Salesforce/blip-image-captioning-base"
ANSWERS = "Salesforce/blip-vqa-base"


Leaves = list[jax.Array]
Arrays = dict[str, jax.Array]


class Told(str):
    """A text with its log-probability in nats: the sum over its words and its end, given what it is about and the prompt."""

    score: float

    def __new__(cls, text: str, score: float) -> "Told":
        made = super().__new__(cls, text)
        made.score = score
        return made

    def __getnewargs__(self) -> tuple[str, float]:  # type: ignore[override]
        return str(self), self.score  # so that it can be copied and pickled


@dataclass(frozen=True)
class Telling:
    """How is told: at most `length` words (pieces of words), the end mark with them, or as many as suit the model; the likeliest
    each time, the best of a search with several `beams` (see `decoders.search`), or as `sampling` draws them, by `seed`. Up to
    `many` different texts about each thing: the best of the search, or as many as are drawn."""

    length: int | None = None
    beams: int = 1
    sampling: Sampling | None = None
    seed: int = 0
    many: int = 1

    def __post_init__(self):
        object.__setattr__(self, "many", whole("many", self.many))
        object.__setattr__(self, "length", None if self.length is None else whole("length", self.length))
        object.__setattr__(self, "beams", whole("beams", self.beams))
        object.__setattr__(self, "seed", seed_of(self.seed))
        if self.beams > 1 and self.sampling is not None:
            raise ValueError(f"beams={self.beams} and sampling: a beam search draws nothing. Leave out one of them")
        if self.sampling is None and self.many > self.beams:
            one = "one text is the likeliest" if self.beams == 1 else f"a search of {self.beams} beams ends with as many texts"
            raise ValueError(f"many={self.many}: {one}. Give more beams, or sampling to draw them")
        if max(self.beams, self.many) > MOST:
            raise ValueError(f"beams={self.beams}, many={self.many}: at most {MOST} of either are held side by side")


DRAWN = Telling(sampling=Sampling(), many=5)
"""Five draws, as the model itself would utter them."""


class Teller:
    """A generator, compiled. What it computes with are the parameters that each call gives it, as `jax.tree.leaves` of the
    model's state. `NotAsked` where it was not trained to tell of one thing, and to answer questions about it at most."""

    def __init__(self, model: Any, fields: Sequence[Modality]):
        self.words, self.asks = told(model, fields), bool(model.asked)
        self._refuses = model.question is None  # published ones cut what is too long, as their references do
        self.start, self.ends, self.places = model.start, model.ends, model.decoder.length
        usual = ANSWER if self.asks else CAPTION
        self.usual = min(usual, self.places) if isinstance(model.decoder, PublishedDecoder) else self.places
        self.reads = model.reads
        self._fields = [field for name in model.reads for field in fields if field.name == name]
        graph, state = nnx.split(model)
        tree = jax.tree.structure(state)

        def about(leaves: Leaves, batch: Arrays, prompt: Int[jax.Array, " P"]) -> tuple[Any, Prompted]:
            built = nnx.merge(graph, jax.tree.unflatten(tree, leaves))
            context = built.context(batch)
            return built, Prompted(context, jnp.broadcast_to(prompt[None], (len(context.tokens), len(prompt))))

        def tell(
            leaves: Leaves,
            batch: Arrays,
            prompt: Int[jax.Array, " P"],
            seed: jax.Array,
            first: jax.Array,
            sampling: Sampling | None,
            how: Telling,
        ) -> tuple[jax.Array, jax.Array]:
            built, context = about(leaves, batch, prompt)
            if how.beams > 1:
                return several(built.decoder, context, self.ends, how.beams, how.many, length=how.length)
            rows, keys = len(context.prompt), None
            if sampling is not None:
                keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(seed), first + jnp.arange(rows))
            if keys is not None and how.many > 1:
                keys = jax.vmap(jax.vmap(jax.random.fold_in, (None, 0)), (0, None))(keys, jnp.arange(how.many)).reshape(-1)
                context = jax.tree.map(lambda x: jnp.repeat(x, how.many, axis=0), context)
            ids, scores = write(built.decoder, context, self.ends, sampling or Sampling(), keys, how.length)
            return ids.reshape(rows, how.many, -1), scores.reshape(rows, how.many)

        def weigh(leaves: Leaves, batch: Arrays, prompt: Int[jax.Array, " P"], ids: jax.Array, mask: jax.Array) -> jax.Array:
            built, context = about(leaves, batch, prompt)
            return scores(built.decoder, context, ids, mask)

        self._tell: Any = jax.jit(tell, static_argnums=6)
        self._weigh = jax.jit(weigh)

    def caption(self, leaves: Leaves, things: list[Raw], how: Telling, prompt: str = "") -> list[list[Told]]:
        """What each thing holds, in words that go on from the prompt: texts that differ, the likeliest first. `NotAsked` where
        the model answers questions."""
        self._unasked()
        return self._written(leaves, (things,), how, self.begun(prompt))

    def answer(
        self,
        leaves: Leaves,
        things: list[Raw],
        questions: list[Raw],
        how: Telling,
        answers: Sequence[str] | None = None,
    ) -> list[Told]:
        """The answer to each question, or the likeliest of some `answers`. `NotAsked` where the model captions only."""
        if not self.asks:
            raise NotAsked(f"this model tells without being asked: see caption. {ANSWERS} answers")
        for one in questions:
            self._asks_something(one)
        if answers is None:
            return [texts[0] for texts in self._written(leaves, (things, questions), how, self.begun(""))]
        return self._chosen(leaves, (things, questions), answers)

    def drawn(self, leaves: Leaves, things: list[Raw], draws: int, seed: int = 0) -> list[list[Told]]:
        """`draws` captions of each thing as the model itself would utter them, those that are equal too."""
        self._unasked()
        how = Telling(None, 1, Sampling(), seed, max(2, draws))
        return [texts[:draws] for texts in self._written(leaves, (things,), how, self.begun(""), unlike=False)]

    def likely(self, leaves: Leaves, things: Sequence[list[Raw]], texts: Sequence[str]) -> Float[np.ndarray, "N texts"]:
        """The log-probability (nats) of each of some texts, the end with it, about each thing: `things` are those of each field
        that is read."""
        for text in texts:
            self._fits(text)
        ready = self.words.prepare_batch(texts)
        ids, mask = (ready[key][:, 1:] for key in (self.words.name, f"{self.words.name}/mask"))
        most, begun, out = int(mask.sum(axis=1).max()), self.begun(""), []
        for _, part, rows in self._parts(things):
            out.append(jax.device_get(self._weigh(leaves, part, begun, ids[:, :most], mask[:, :most]))[:rows])
        return np.concatenate(out)

    def _written(
        self, leaves: Leaves, things: Sequence[list[Raw]], how: Telling, begun: np.ndarray, unlike: bool = True
    ) -> list[list[Told]]:
        length = min(self.usual, self.places + 1 - len(begun)) if how.length is None else how.length
        sampling, out = None if how.sampling is None else Sampling(), []
        program = replace(how, seed=0, length=length, sampling=sampling)  # which serves all of its numbers
        if length < 1 or len(begun) + length - 1 > self.places:
            raise BadRaw(f"{length} words after a prompt of {len(begun)} tokens: this model has {self.places} places")
        for first, part, rows in self._parts(things):
            numbers = np.uint32(how.seed), np.int32(first), how.sampling
            ids, score = jax.device_get(self._tell(leaves, part, begun, *numbers, program))
            for texts, found in zip(ids[:rows], score[:rows], strict=True):
                shown = [self.words.show(np.concatenate([begun[1:], text])) for text in texts]
                told = [Told(text, float(x)) for text, x in zip(shown, found, strict=True) if x > -np.inf]
                out.append(sorted(dict.fromkeys(told), key=lambda text: -text.score) if unlike else told)
        return out

    def _chosen(self, leaves: Leaves, things: Sequence[list[Raw]], answers: Sequence[str]) -> list[Told]:
        if isinstance(answers, str):  # which is a sequence of letters
            raise BadRaw(f"answers={answers!r}: expected a list of texts")
        if not answers or len(set(answers)) < len(answers):
            raise BadRaw(f"answers={list(answers)}: expected one or more, each of them once")
        if not all(isinstance(answer, str) and answer.strip() for answer in answers):
            raise BadRaw(f"answers={list(answers)}: expected texts, and none that is empty")
        found = self.likely(leaves, things, answers)
        return [Told(answers[int(np.argmax(row))], float(np.max(row))) for row in found]

    def _parts(self, things: Sequence[list[Raw]]) -> Iterator[tuple[int, Batch, int]]:
        """Parts of what is told about, made ready and filled up to one number of rows: the first row's number, the arrays, and
        how many rows are its own. One thing of a kind stands for all."""
        total = max(map(len, things))
        if any(len(raws) not in (1, total) for raws in things):
            lengths = " and ".join(f"{len(raws)} of {field.name}" for raws, field in zip(things, self._fields, strict=True))
            raise BadRaw(f"{lengths}: expected as many, or one of either")
        every = [raws * total if len(raws) == 1 else raws for raws in things]
        rows = 1 if total == 1 else ROWS
        for first in range(0, total, rows):
            batch: Batch = {}
            for field, raws in zip(self._fields, every, strict=True):
                batch |= read(prepared(field, raws[first : first + rows]))
            yield first, pad(batch, rows), size(batch)

    def begun(self, prompt: str) -> Int[np.ndarray, " P"]:
        """What stands before the words: the mark that begins a text, and the prompt."""
        self._fits(prompt)
        ready = self.words.prepare(prompt)
        ids = ready[self.words.name][ready[f"{self.words.name}/mask"]]
        ids = ids[:-1] if ids[-1] == self.ends.eos else ids
        return ids if self.start is None else np.concatenate([[np.int32(self.start)], ids[1:]]).astype(np.int32)

    def _unasked(self) -> None:
        if self.asks:
            raise NotAsked(f"this model answers questions: see ask. {CAPTIONS} captions")

    def _asks_something(self, question: Raw) -> None:
        """A `BadRaw` for a question that is none: no text, an empty one, or one that is longer than what is read of it. What is a
        text is left to published models as it is."""
        asked = self._fields[-1]
        assert isinstance(asked, Text)
        if isinstance(question, str) and not self._refuses:
            return
        if not isinstance(question, str) or not question.strip():
            raise BadRaw(f"the question {question!r}: expected a text, and not an empty one")
        tokens, kept = asked.measure(question)
        if tokens > kept:
            told = (
                f"the question {question[:40]!r}: {tokens:g} tokens, where {kept:g} are read (words that are not known are spelt)"
            )
            raise BadRaw(f"{told}: make it shorter")

    def readable(self, text: str) -> bool:
        """Whether the whole of a text is read: what a model spells may come back as more pieces than it was written in."""
        tokens, kept = self.words.measure(text)
        return len(text.strip()) > 0 and tokens <= kept

    def _fits(self, text: str) -> None:
        if not isinstance(text, str):
            raise BadRaw(f"{type(text).__name__} {text!r}: expected a text")
        tokens, kept = self.words.measure(text)
        if tokens > kept:
            spelt = f" (not known, and so spelt: {', '.join(unknown)})" if (unknown := self.words.unknown(text)) else ""
            raise BadRaw(f"{text[:40]!r}: {tokens:g} tokens, where at most {kept:g} are read{spelt}: make it shorter")


def unknown_in(question: str, model: Any, fields: Sequence[Modality]) -> list[str]:
    """The words of a question that a model which answers never learned."""
    return unknown_words((field, question) for field in fields if field.name == model.asked)


def told(model: Any, fields: Sequence[Modality]) -> Text:
    """The field of the texts that a generator writes about one other field; `NotAsked` for another model."""
    kinds = {field.name: field for field in fields}
    text = kinds.get(model.target) if hasattr(model, "context") else None
    if isinstance(text, Transcript):
        raise NotAsked("this model writes transcripts: see transcribe")
    if not isinstance(text, Text) or len([name for name in model.reads if name != model.asked]) != 1:
        known = f"{CAPTIONS} captions, {ANSWERS} answers questions; recipes.captions and recipes.questions train such models"
        raise NotAsked(f"this model of {', '.join(kinds)} has no decoder that was trained to tell of a thing. {known}")
    return text
