"""A family: how its config.json is recognised, what model and fields it describes, how its parameters are called, and back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sensorium.core.errors import BadFile, UnknownName, nearest
from sensorium.core.files import read_json
from sensorium.core.protocols import Modality
from sensorium.pretrained.rules import Names
from sensorium.pretrained.tensors import WEIGHTS, tensors

Json = dict[str, Any]
CONFIG = "config.json"
OPEN_CLIP, OPEN_CLIP_WEIGHTS = "open_clip_config.json", "open_clip_model.safetensors"
"""The same in the layout of OpenCLIP."""


@dataclass(frozen=True)
class Described:
    """What a folder describes: the model as the name of its builder in `MODELS` and its arguments, and its fields."""

    arguments: Json
    fields: tuple[Modality, ...]
    builder: str = "space"


@dataclass(frozen=True)
class Example:
    """A repository of the Hub that a family reads: its id, millions of parameters, and licence (SPDX, or as its card says)."""

    id: str
    millions: float
    licence: str


@dataclass(frozen=True)
class Family:
    """One kind of published checkpoints.

    `types`: the `model_type`s of its config.json; `architectures`: those of its `architectures` that are read. `describe` makes
    of a folder what it describes, `names` gives the rules for a model of such arguments, and `files` the JSON files that lie
    beside the weights, by name, so that transformers reads them. `config` and `weights`: the names of its files. `gives`: what a
    model of it is for, in some words; `library`: the one whose layout it is, as the Hub calls it. `beside`: folders whose arrays
    count too where they are there, with that folder before their names ("2_Dense/linear.bias").
    """

    name: str
    types: tuple[str, ...]
    architectures: tuple[str, ...]
    examples: tuple[Example, ...]
    describe: Callable[["Folder"], Described]
    names: Callable[[Json], Names]
    files: Callable[[Json, tuple[Modality, ...]], dict[str, Json]]
    config: str = CONFIG
    weights: str = WEIGHTS
    gives: str = ""
    library: str = "transformers"
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Folder:
    """A checkpoint's folder and its config.json; or a file called `name` that says as much, and the one of the weights."""

    path: Path
    config: Json
    name: str = CONFIG
    weights: str = WEIGHTS

    def json(self, name: str) -> Json | None:
        """The object in a JSON file; None where there is no such file."""
        if not (self.path / name).is_file():
            return None
        said = read_json(self.path / name)
        if not isinstance(said, dict):
            raise BadFile(f"{self.path / name}: expected an object")
        return said

    def part(self, name: str) -> Json:
        """An object within config.json, empty where it is absent or null."""
        return self.config.get(name) or {}

    def holds(self, *names: str) -> bool:
        """Whether an array of one of these names is among the weights."""
        return any(name in tensors(self.path, self.weights) for name in names)

    @property
    def where(self) -> str:
        return f"{self.path / self.name}"


F = TypeVar("F")


def the(fields: tuple[Modality, ...], kind: type[F]) -> F:
    """The one field of a kind; a `ValueError` where there is none, or more."""
    found = [field for field in fields if isinstance(field, kind)]
    if len(found) != 1:
        raise ValueError(f"{len(found)} fields of the kind {kind.__name__}; the layout has one")
    return found[0]


def said_over(defaults: Json, said: Json) -> Json:
    """Some defaults, and in their place whatever is said and is not null."""
    return defaults | {key: value for key, value in said.items() if value is not None}


def checked(where: str, said: Mapping[str, Any], **allowed: Any) -> None:
    """A `BadFile` where a configuration asks for what we do not compute: each name has this value, or is absent."""
    for name, value in allowed.items():
        if said.get(name, value) not in (value, None):
            raise BadFile(f"{where}: {name} is {said[name]!r}; only {value!r} is known here")


def _families() -> dict[str, Family]:
    from sensorium.pretrained.bert import BERT
    from sensorium.pretrained.blip import BLIP
    from sensorium.pretrained.clap import CLAP
    from sensorium.pretrained.clip import CLIP
    from sensorium.pretrained.mpnet import MPNET
    from sensorium.pretrained.naflex import NAFLEX
    from sensorium.pretrained.open_clip import OPEN_CLIP_FAMILY
    from sensorium.pretrained.r3d import R3D
    from sensorium.pretrained.siglip import SIGLIP
    from sensorium.pretrained.videomae import VIDEOMAE
    from sensorium.pretrained.vit import DINOV2, VIT_FAMILY
    from sensorium.pretrained.whisper import WHISPER
    from sensorium.pretrained.xclip import XCLIP

    return {
        family.name: family
        for family in (
            CLIP,
            SIGLIP,
            NAFLEX,
            VIT_FAMILY,
            DINOV2,
            BERT,
            OPEN_CLIP_FAMILY,
            MPNET,
            VIDEOMAE,
            R3D,
            XCLIP,
            CLAP,
            WHISPER,
            BLIP,
        )
    }


class _Families(Mapping[str, Family]):
    """By name; a family's file is imported when it is first asked for."""

    def __getitem__(self, name: str) -> Family:
        known = _families()
        if name not in known:
            raise UnknownName(f"no family of checkpoints is called {name!r}.{nearest(name, known)}")
        return known[name]

    def __iter__(self):
        return iter(_families())

    def __len__(self) -> int:
        return len(_families())


FAMILIES = _Families()


def recognised(folder: Folder) -> Family:
    """The family of a config.json; an `UnknownName` that lists those that are known."""
    kind, asked = str(folder.config.get("model_type", "")), folder.config.get("architectures") or []
    asked = [str(one) for one in asked] if isinstance(asked, list) else [str(asked)]
    for family in FAMILIES.values():
        if kind in family.types:
            if asked and not set(asked) & set(family.architectures):
                known = ", ".join(family.architectures)
                raise UnknownName(f"{folder.where}: of {kind} models {known} are known, not {', '.join(asked)}")
            return family
    types = [kind for family in FAMILIES.values() for kind in family.types]
    said = f"its model_type is {kind!r}" if kind else "it has no model_type"
    raise UnknownName(f"{folder.where}: {said}, which is of no family that is known here.{nearest(kind, types)}")
