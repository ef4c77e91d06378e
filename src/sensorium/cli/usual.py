"""Which model does what is asked where none is named: the newest in `runs/` that can, and it is told which that is."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sensorium.cli.main import WrongUsage
from sensorium.core.errors import SensoriumError
from sensorium.core.files import read_json

RUNS = Path("runs")
WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
LEARN = {"caption": "captions --source {}", "ask": "questions --source {}", "summarize": "captions --source {} --motion 1.0"}
MAKE = {"image": "pictures", "audio": "sounds", "video": "clips", "plan": "pictures"}
"""What is done with things of a kind, or what is made -> the recipe that learns it."""


class Able(NamedTuple):
    """What a model can do, and with what: of which kinds of things it makes or tells which; `one`: it was trained for this alone,
    of all that it reads at once, and does it better than one that goes from any to any; `also`: what it makes on the way."""

    does: frozenset[str]
    reads: frozenset[str]
    makes: frozenset[str]
    one: bool = True
    also: frozenset[str] = frozenset()

    def can(self, doing: str, sources: Sequence[str], to: str | None) -> bool:
        reads = self.reads == set(sources) if self.one and doing == "generate" else self.reads >= set(sources)
        if doing != "generate":
            return reads and doing in self.does
        return reads and doing in self.does and (to in self.makes | self.also if to else len(self.makes) == 1)


def model_for(doing: str, model: str | None, sources: Sequence[str], to: str | None = None) -> str:
    """`model` where it is named; else the newest in `runs/` that can "caption", "summarize" or "ask" about things of the kinds
    `sources`, or "generate" `to` of them. `WrongUsage` where there is none."""
    if model is not None:
        return model
    does = "caption" if doing == "summarize" else doing
    can = [(path, one) for path in _newest(RUNS) if (one := able(path)) and one.can(does, sources, to)]
    found = [path for path, _ in sorted(can, key=lambda pair: not pair[1].one)]
    things = " and ".join(sources) or "things"
    verb = {"ask": "answer questions about"}.get(doing, doing)
    what = f"make {to or 'one kind of thing'} from {things}" if doing == "generate" else f"{verb} {things}"
    if not found:
        raise WrongUsage(
            f"give --model: a folder or the id of a repository. Nothing in {RUNS}/ can {what}{_learn(doing, things, to)}"
        )
    print(f"note: --model {found[0]}, the newest in {RUNS}/ that can {what}", file=sys.stderr)
    return str(found[0])


def _learn(doing: str, things: str, to: str | None) -> str:
    """What to do about it, where there is a recipe."""
    recipe = MAKE.get(to or "image") if doing == "generate" and things == "text" else None
    if doing in LEARN and things in ("image", "audio", "video", "things"):
        recipe = LEARN[doing].format("image" if things == "things" else things)
    if recipe is None:
        return ": sensorium learn anything makes one that goes from any sense to others"
    name = recipe.partition(" ")[0] + ("" if things in ("image", "text", "things") else f"-of-{things}")
    return f": to make one, sensorium learn {recipe} --out {RUNS / name}"


def kinds_of(files: Sequence[Path]) -> list[str]:
    """The kinds of some files, by their suffixes; nothing of others, nor of a GIF, which may be a picture or a clip."""
    from sensorium.data.columns import kind_of

    return [kind for path in files if path.suffix.lower() != ".gif" and (kind := kind_of(str(path)))]


def able(run: Path) -> Able | None:
    """What the model in a folder can do, by its configuration; None where there is none of the house that makes or tells."""
    try:
        config = read_json(run / "config.json")
        kinds, said = {field["name"]: field["kind"] for field in config["fields"]}, config["arguments"]
        return _READ[config["builder"]](said, kinds)
    except (SensoriumError, OSError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _generator(said: Mapping[str, Any], kinds: Mapping[str, str]) -> Able:
    asked = said.get("asked", "question")
    asks = asked in said["encoders"] or bool(said.get("question"))
    things = frozenset(kinds[name] for name in said["encoders"] if name != asked)
    return Able(frozenset(["ask" if asks else "caption"]), things, frozenset([kinds[said["target"]]]))


def _maker(said: Mapping[str, Any], kinds: Mapping[str, str]) -> Able:
    reads = frozenset(kinds[name] for name in (said.get("planner") or said)["encoders"])
    return Able(frozenset(["generate"]), reads, frozenset([kinds[said["target"]]]), also=_plan(said))


def _any_to_any(said: Mapping[str, Any], kinds: Mapping[str, str]) -> Able:
    reads, makes = (frozenset(kinds[name] for name in names) for names in (said["space"]["encoders"], said["decoders"]))
    return Able(frozenset(["generate", *(["caption"] if "text" in makes else [])]), reads, makes, one=False, also=_plan(said))


def _plan(said: Mapping[str, Any]) -> frozenset[str]:
    """The field of plans, where the model writes them."""
    return frozenset([said["planner"]["target"]] if said.get("planner") else [])


_READ = {"generator": _generator, "maker": _maker, "any_to_any": _any_to_any}


def _newest(runs: Path) -> list[Path]:
    """The folders of models with their weights, the one that was written last first; what cannot be looked into is none."""
    found = []
    for path in runs.iterdir() if runs.is_dir() else ():
        try:
            if any((path / name).is_file() for name in WEIGHTS):
                found.append((-os.stat(path / "config.json").st_mtime_ns, path))
        except OSError:
            continue
    return [path for _, path in sorted(found)]
