"""Transcripts: texts whose tokens also say the language, the task, and the time of each part (Radford et al. 2022, figure 1)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from sensorium.core.errors import SensoriumError, UnknownName, nearest
from sensorium.modalities.languages import CODES, LANGUAGES
from sensorium.modalities.text import Text


class NotAsked(SensoriumError, ValueError):
    """Something that a model was not trained to do is asked of it."""


@dataclass(frozen=True)
class Marks:
    """The ids that are no words. `start` and `end` of a transcript; `plain`: no timestamps follow, and the timestamps are all ids
    after it; those of `languages` (by code) and `tasks`, none for a model of English alone; `never`, and `never_first`: what is
    not written (as the first token); `latest`: the last timestamp that may come first, counted from 0; `length`: the most
    tokens of a transcript with all that stands before it, 0 for as many as there are places; `spoken`: the one language that
    a model was trained for, where its files say so."""

    start: int
    end: int
    plain: int
    languages: tuple[tuple[str, int], ...] = ()
    tasks: tuple[tuple[str, int], ...] = ()
    never: tuple[int, ...] = ()
    never_first: tuple[int, ...] = ()
    latest: int | None = None
    length: int = 0
    spoken: int | None = None

    @property
    def first(self) -> int:
        """The timestamp 0."""
        return self.plain + 1

    @classmethod
    def of(cls, said: Mapping[str, Any]) -> "Marks":
        """Those of a generation_config.json. A `KeyError`, `TypeError` or `ValueError` where it does not say them."""
        many = said.get("is_multilingual", bool(said.get("lang_to_id")))
        ids = lambda name: tuple(int(i) for i in said.get(name) or ())  # noqa: E731
        latest = said.get("max_initial_timestamp_index")
        made = cls(
            start=int(said["decoder_start_token_id"]),
            end=int(said["eos_token_id"]),
            plain=int(said["no_timestamps_token_id"]),
            languages=tuple((token.strip("<|>"), int(i)) for token, i in said["lang_to_id"].items()) if many else (),
            tasks=tuple((task, int(i)) for task, i in said["task_to_id"].items()) if many else (),
            never=ids("suppress_tokens"),
            never_first=ids("begin_suppress_tokens"),
            latest=None if latest is None else int(latest),
            length=int(said.get("max_length") or 0),
        )
        forced = dict(said.get("forced_decoder_ids") or ()).get(1)  # as older files say it; the first place after the start
        language = said.get("language") or next((code for code, i in made.languages if i == forced), None)
        return replace(made, spoken=made.language(language) if made.languages and language else None)

    def language(self, name: str) -> int:
        """The id of a language, by its code or its name in English: "de", "German"."""
        if not self.languages:
            raise NotAsked(f"language={name!r}: this model knows English alone; leave it out")
        known, code = dict(self.languages), str(name).lower().strip("<|>")
        code = CODES.get(code, code)
        if code not in known:
            names = [*known, *(LANGUAGES[code] for code in known if code in LANGUAGES)]
            raise UnknownName(f"language={name!r}: not one of those that this model knows.{nearest(str(name).lower(), names)}")
        return known[code]

    def task(self, name: str) -> int:
        """The id of a task: "transcribe", or "translate" (into English)."""
        if name not in (known := dict(self.tasks)):
            raise UnknownName(f"task={name!r}: no task of this model.{nearest(name, known)}")
        return known[name]


@dataclass(frozen=True)
class Transcript(Text):
    """A field of texts as a model of speech writes them. `generation`: the text of its generation_config.json."""

    generation: str = "{}"

    @cached_property
    def marks(self) -> Marks:
        return Marks.of(json.loads(self.generation))

    def told(self, ids: Sequence[int]) -> str:
        """The words of a transcript, without white space about them; what is no word is left out."""
        return self._reader.text([i for i in ids if i < self.marks.first]).strip()
