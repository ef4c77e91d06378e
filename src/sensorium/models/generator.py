"""From some senses to the words of another: encoders, and a decoder that writes about what they make of their fields."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Float

from sensorium.core.encoding import Encoder, Encoding, encoded
from sensorium.decoders import DECODERS, ChoosingDecoder, Ends, PublishedDecoder, TellingDecoder, teacher_forced
from sensorium.encoders import ENCODERS
from sensorium.encoders.published_question import PublishedQuestion
from sensorium.fusions import FUSIONS, Asking, Fusion
from sensorium.models.space import Outputs
from sensorium.nn.norms import unit


class Generator(nnx.Module):
    """Batch -> `"<target>/logits"` f32[B L V] of every token of the text `target` given those before it (what `Captioning`
    reads, with `begun`; where the batch has all that is needed), and `"<field>/unit"` f32[B P], the pooled vector of an encoder.

    The first token of a text is given, so of it nothing is said: zeros. `start`: the id that is put in its place, where a
    decoder was trained with a mark of its own; `end` and `pad`: the ids that end and fill a text. The decoder writes about what a
    `fusion` makes of the encodings of all fields; without one about the tokens of all encoders, one after another. `question`:
    reads a further text about these, and the decoder then writes about that (BLIP's answers, Li et al. 2022). `asked`: the
    field of questions, which is that of `question`, or one that has an encoder; a model without such a field is not asked.

    A row of a batch may hold K questions with their answers, i32[B K L] both: the logits are f32[B K L V] then. What they are
    about is encoded once.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        decoder: PublishedDecoder | TellingDecoder | ChoosingDecoder,
        target: str = "text",
        start: int | None = None,
        ends: Ends = Ends(),  # noqa: B008 (frozen)
        question: PublishedQuestion | None = None,
        asked: str = "question",
        fusion: Fusion | None = None,
    ):
        widths = {name: encoder.pooled_width for name, encoder in encoders.items()}
        if target in encoders or not encoders or (fusion is None and len(set(widths.values())) != 1):
            raise ValueError(f"encoders of widths {widths} for the text {target!r}: expected one or more of one width, not of it")
        if fusion is not None and set(fusion.fields) != set(encoders):
            raise ValueError(f"a fusion of {', '.join(fusion.fields)} for encoders of {', '.join(encoders)}: expected the same")
        self.encoders = nnx.Dict(dict(encoders))
        self.fusion, self.decoder, self.question = fusion, decoder, question
        self.target, self.asked, self.start, self.ends = target, asked if question or asked in encoders else "", start, ends
        self.width = next(iter(widths.values()))

    @property
    def reads(self) -> tuple[str, ...]:
        """The fields that are told about, that of the questions last."""
        others = tuple(name for name in self.encoders if name != self.asked)
        return (*others, self.asked) if self.asked else others

    @classmethod
    def build(
        cls,
        encoders: Mapping[str, Mapping[str, Any]],
        decoder: Mapping[str, Any],
        question: Mapping[str, Any] | None = None,
        fusion: Mapping[str, Any] | None = None,
        end: int = 1,
        pad: int = 0,
        *,
        rngs: nnx.Rngs,
        **dials: Any,
    ) -> "Generator":
        """The generator that JSON describes: `encoders[field]` names an encoder of `ENCODERS` and holds its arguments, `decoder`
        one of `DECODERS` and `fusion` one of `FUSIONS`; `question` holds the arguments of `PublishedQuestion`."""
        made = {}
        for name, arguments in encoders.items():
            rest = {key: value for key, value in arguments.items() if key != "encoder"}
            made[name] = ENCODERS[arguments["encoder"]](**rest, rngs=rngs)
        rest = {key: value for key, value in decoder.items() if key != "decoder"}
        writer = DECODERS[decoder["decoder"]](**rest, rngs=rngs)
        reader = None if question is None else PublishedQuestion(**question, rngs=rngs)
        joint = None
        if fusion is not None:
            joint = FUSIONS[fusion["fusion"]](**{key: value for key, value in fusion.items() if key != "fusion"}, rngs=rngs)
        return cls(made, writer, ends=Ends(pad, end), question=reader, fusion=joint, **dials)

    def settle(self) -> None:
        """Called after every update: there is nothing to hold within bounds."""

    def __call__(self, batch: dict[str, jax.Array], key: jax.Array | None = None) -> Outputs:
        flat, several = self._unfolded(batch)
        found = self._encodings(flat)
        vectors = {name: x.pooled for name, x in found.items() if name != self.asked or several is None}
        out = {f"{name}/unit": unit(x.astype(jnp.float32)) for name, x in vectors.items()}
        if self.target in batch and self._whole(batch):
            logits = self._logits(flat, self._about(flat, found, key))
            out[f"{self.target}/logits"] = logits if several is None else logits.reshape(-1, several, *logits.shape[1:])
        return out

    def context(self, batch: dict[str, jax.Array]) -> Encoding:
        """What the decoder writes about. A `ValueError` where the batch lacks a field for it."""
        if not self._whole(batch):
            raise ValueError(f"a batch of {sorted(batch)}: this model writes about {', '.join(self.reads)}")
        return self._about(batch, self._encodings(batch))

    def all_outputs(self, batch: dict[str, jax.Array]) -> Outputs:
        """For those who compare: beside what a call gives, `"<field>/tokens"` [B L D] and `"<field>/pooled"` [B P] of every
        field that is read."""
        found = self._encodings(batch)
        if self.question is not None and self._whole(batch):
            found[self.asked] = self._about(batch, found)
        out = self(batch)
        for name, encoding in found.items():
            out |= {f"{name}/tokens": encoding.tokens, f"{name}/pooled": encoding.pooled}
        return out

    def states(self, batch: dict[str, jax.Array]) -> dict[str, list[jax.Array]]:
        """What goes into the first layer and what comes out of each, of the decoder and of the question's encoder; by field. Of
        published decoders: a `ValueError` for others."""
        if not isinstance(self.decoder, PublishedDecoder):
            raise ValueError(f"states of a {type(self.decoder).__name__}: they are told of published decoders, to compare them")
        found, out = self._encodings(batch), {}
        about = self._about(batch, found)
        if self.question is not None:
            out[self.asked] = self.question.states(batch[self.asked], _joined(found), batch.get(f"{self.asked}/mask"))
        out[self.target] = self.decoder.states(self.begun(batch[self.target]), about, batch.get(f"{self.target}/mask"))
        return out

    def begun(self, text: jax.Array) -> jax.Array:
        """Ids i32[B L] with the mark that the decoder was trained with in the place of the first."""
        return text if self.start is None else text.at[:, 0].set(self.start)

    def _whole(self, batch: dict[str, jax.Array]) -> bool:
        return all(name in batch for name in self.reads)

    def _unfolded(self, batch: dict[str, jax.Array]) -> tuple[dict[str, jax.Array], int | None]:
        """The batch with several questions a row, and their answers, one under the other, those about one thing together; and how
        many there are of each thing, None where a row has its one question."""
        asked = batch.get(self.asked)
        if asked is None or asked.ndim < 3:
            return batch, None
        several = asked.shape[1]
        parts = {key: key.partition("/") for key in batch}
        texts = {key for key, (field, _, part) in parts.items() if field in (self.asked, self.target) and part in ("", "mask")}
        flat = {key: batch[key].reshape(-1, *batch[key].shape[2:]) for key in texts}
        here = f"{self.asked}/here"
        if here in batch:
            flat[here] = jnp.repeat(batch[here], several, axis=0)
        return batch | flat, several

    def _encodings(self, batch: dict[str, jax.Array]) -> dict[str, Encoding]:
        out = {}
        for name, encoder in self.encoders.items():
            if name in batch:
                tokens, mask, pooled = encoded(encoder, batch, name)
                here = batch.get(f"{name}/here")
                out[name] = Encoding(tokens, mask if here is None else mask & here[:, None], pooled)
        return out

    def _about(self, batch: dict[str, jax.Array], found: dict[str, Encoding], key: jax.Array | None = None) -> Encoding:
        # An `Asking` looks at a thing for all questions about it at once; others, at a copy for each.
        if self.asked in batch and not isinstance(self.fusion, Asking):
            rows = len(batch[self.asked])
            found = {name: x if len(x.mask) == rows else _repeated(x, rows // len(x.mask)) for name, x in found.items()}
        if self.fusion is not None:
            return self.fusion(found, key)
        if self.question is None:
            return _joined(found)
        return self.question(batch[self.asked], _joined(found), batch.get(f"{self.asked}/mask"))

    def _logits(self, batch: dict[str, jax.Array], about: Encoding) -> Float[jax.Array, "B L V"]:
        return teacher_forced(self.decoder, self.begun(batch[self.target]), about, batch.get(f"{self.target}/mask"))


def _joined(found: dict[str, Encoding]) -> Encoding:
    """The tokens of all fields, one after another; pooled is the first one's."""
    tokens, mask, pooled = zip(*found.values(), strict=True)
    return Encoding(jnp.concatenate(tokens, axis=1), jnp.concatenate(mask, axis=1), pooled[0])


def _repeated(encoding: Encoding, times: int) -> Encoding:
    """Every row so many times, one after another."""
    return Encoding(*(jnp.repeat(x, times, axis=0) for x in encoding))
