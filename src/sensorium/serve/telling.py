"""What the models beside the collection can say and make: captions, answers, pictures, sounds, clips, texts."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sensorium import __version__
from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Modality
from sensorium.decoders import Drawing
from sensorium.modalities.kept import kept, suffixes
from sensorium.modalities.text import unknown_words
from sensorium.modalities.transcript import NotAsked
from sensorium.models import Generator, spoken
from sensorium.models.making import NoDecoder
from sensorium.models.telling import DRAWN, Telling, told, unknown_in
from sensorium.sensorium import Sensorium
from sensorium.serve.bounds import Bounds, NotFound, Refused
from sensorium.serve.desk import Desk
from sensorium.serve.meters import Meters
from sensorium.serve.senses import Thing, field_of
from sensorium.serve.wishes import Ask, Caption, Generate

WAITING = 8
"""Requests that wait for a model to write or to paint: each takes seconds."""
MEDIA = {".png": "image/png", ".wav": "audio/wav", ".mp4": "video/mp4", ".gif": "image/gif", ".csv": "text/csv"}
BROWSERS = {"video": ".gif"}
"""The suffix in which a thing is given, where it is not the first that its kind is kept in: every browser shows it."""


@dataclass(frozen=True)
class Said:
    """A text and its log-probability in nats."""

    text: str
    score: float


@dataclass(frozen=True)
class Texts:
    """Texts, the likeliest first; `unknown`: words of what was asked that the model never learned."""

    texts: list[Said]
    unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Made:
    """Things that were made: `files` in base64 of the type `media`, or `texts`; `plans`: what was written out first of each, by a
    model that plans; `note`: how they were made; `unknown`: words of what was asked for that the model never learned."""

    to: str
    kind: str
    media: str = ""
    files: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    plans: list[str] = field(default_factory=list)
    note: dict[str, Any] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


class Tellers:
    """The first of some models that can do each thing. What they do is done by one thread, a request at a time."""

    def __init__(self, models: Sequence[Sensorium], bounds: Bounds, meters: Meters):
        alone = sorted(models, key=lambda model: not isinstance(model.model, Generator))  # what was trained to tell comes first
        self.captions = next((model for model in alone if _tells(model) == "caption"), None)
        self.answers = next((model for model in models if _tells(model) == "ask"), None)
        self.makers: dict[str, Sensorium] = {}
        for model in models:
            self.makers |= {name: model for name in _targets(model) if name not in self.makers}
        self._desk = Desk(_one, waiting=min(WAITING, bounds.waiting), seconds=2 * bounds.seconds)
        meters.watch("tell_waiting", "Requests that wait for a caption, an answer or a made thing.", lambda: self._desk.waiting)

    def reads(self, verb: str, to: str = "") -> list[Modality]:
        """The fields of what a model is told or shown for `verb`; `NotFound` where no model can do it."""
        if verb == "generate":
            model, _ = self._maker(to)
            return [model.field(name) for name in model.making.model.reads]
        model = self._teller(verb)
        if not isinstance(model.model, Generator):
            return [model.field(name) for name in spoken.Tellers(model.model, model.fields).reads]
        return [model.field(name) for name in model.model.reads if name != model.model.asked]

    async def caption(self, thing: Thing, how: Caption) -> Texts:
        model = self._teller("caption")
        telling = Telling() if how.candidates == 1 else replace(DRAWN, many=how.candidates)
        (texts,) = await self._desk.ask(lambda: model.candidates([thing.raw], telling, field=thing.field.name))
        return Texts([Said(str(text), round(text.score, 4)) for text in texts])

    async def answer(self, thing: Thing, how: Ask) -> Texts:
        model = self._teller("ask")
        (text,) = await self._desk.ask(lambda: model.ask([thing.raw], how.question, answers=how.answers))
        unknown = unknown_in(how.question, model.model, model.fields)
        return Texts([Said(str(text), round(text.score, 4))], unknown)

    async def make(self, things: Sequence[Thing], how: Generate) -> Made:
        model, target = self._maker(how.to)
        sources = {thing.field.name: thing.raw for thing in things}
        if how.text.strip():
            sources[field_of(self.reads("generate", how.to), "text").name] = how.text
        if not sources:
            raise Refused(422, "from what? Give a text, a file, or an item")
        made = await self._desk.ask(lambda: _make(model, target, sources, how))
        return replace(made, unknown=unknown_words((model.field(name), raw) for name, raw in sources.items()))

    def close(self) -> None:
        self._desk.close()

    def _teller(self, verb: str) -> Sensorium:
        model = {"caption": self.captions, "ask": self.answers}[verb]
        if model is None:
            example = {"caption": "runs/captions", "ask": "runs/questions"}[verb]
            raise NotFound(f"no model of this server can {verb}: start it with one that can, such as --beside {example}")
        return model

    def _maker(self, to: str) -> tuple[Sensorium, str]:
        if not self.makers:
            raise NotFound("no model of this server makes anything: start it with one that does, such as --beside runs/pictures")
        kinds = {model.field(name).kind: name for name, model in reversed(self.makers.items())}
        name = to if to in self.makers else kinds.get(to, "") if to else next(iter(self.makers))
        if not name:
            raise NotFound(f"no model of this server makes {to[:40]!r}: they make {', '.join(self.makers)}")
        return self.makers[name], name


def _make(model: Sensorium, target: str, sources: dict[str, Any], how: Generate) -> Made:
    made_of, usual = model.field(target), model.making.how(target)
    dials = {name: x for name in ("steps", "guidance", "temperature") if (x := getattr(how, name)) is not None}
    if not isinstance(usual, Drawing):
        if other := [name for name in dials if name != "temperature"]:
            raise Refused(422, f"{', '.join(other)}: not of {target}, which is written word by word")
        if how.n > 1:  # the likeliest text is one
            dials = {"temperature": 1.0} | dials
    chosen = replace(usual, **dials)
    planned = model.making.planned(model.parameters(), {name: [raw] for name, raw in sources.items()}, target, how.n, how.seed)
    if planned is None:
        things, plans = model.generate(target, n=how.n, how=chosen, seed=how.seed, **sources), []
    else:
        things = model.making(model.parameters(), target, planned, 1, chosen, how.seed)
        (plans,) = planned.values()
    note: dict[str, Any] = {"software": f"Sensorium {__version__}", "prompt": how.text or None, "to": target, "seed": how.seed}
    note |= asdict(chosen) | {"fingerprint": model.fingerprint}
    note = {key: value for key, value in note.items() if value is not None}
    if made_of.kind == "text":
        return Made(target, "text", texts=[str(thing) for thing in things], note=note)
    suffix = BROWSERS.get(made_of.kind) or suffixes(made_of)[0]
    own = [{"plan": plan} for plan in plans] or [{}] * len(things)
    notes = [{**note, **plan, "number": i} for i, plan in enumerate(own, 1)]
    files = [b64encode(kept(made_of, thing, suffix, said)).decode() for thing, said in zip(things, notes, strict=True)]
    said = {"plans": [str(plan) for plan in plans], "note": json.loads(json.dumps(note))}
    return Made(target, made_of.kind, MEDIA[suffix], files, **said)


def _one(works: list[Any]) -> list[Any]:
    """The result of the one work that is taken at a time. A `ValueError` of a model is about what was asked."""
    try:
        return [work() for work in works]
    except ValueError as error:
        if isinstance(error, SensoriumError):
            raise
        raise Refused(422, str(error)) from error


def _tells(model: Sensorium) -> str:
    """ "caption" or "ask", as the model was trained to; "" where it writes nothing of one thing."""
    if spoken.Tellers(model.model, model.fields).reads:
        return "caption"
    try:
        told(model.model, model.fields)
    except NotAsked:
        return ""
    return "ask" if isinstance(model.model, Generator) and model.model.asked else "caption"


def _targets(model: Sensorium) -> tuple[str, ...]:
    try:
        return tuple(model.making.model.targets)
    except NoDecoder:
        return ()
