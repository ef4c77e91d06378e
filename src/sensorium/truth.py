"""What a model says, paints or plays of the built-in world, held against the truth, and never against a model of ours.

A recipe says what is measured when it has been trained: `Experiment(…, truth=measure)`, where `measure(model)` takes a
`Sensorium` and gives numbers by name. `train` calls it at the end, and writes them into `metrics.json` beside those of
retrieval. `of_splits` runs one measurement over scenes never seen ("validation/…") and over combinations never seen
("compositional/…"), with the gap between the two; `agreement` compares things that were read back with those that are there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Bool, Int

from sensorium.core.batch import pad
from sensorium.core.table import Table
from sensorium.data.questions import even, rendered
from sensorium.data.synthetic import RENDERERS
from sensorium.decoders import Drawing, Prompted, Sampling, write
from sensorium.metrics import by_type, wilson
from sensorium.modalities import Text
from sensorium.models import Generator
from sensorium.sensorium import Sensorium
from sensorium.world import caption, compare, judge, judge_motion, motion, scene
from sensorium.world.caption import Thing
from sensorium.world.judge import true
from sensorium.world.judge_text import Said, motion_said, read
from sensorium.world.question import TYPES, Question
from sensorium.world.scene import Scenes

Numbers = dict[str, float]
SPLITS = ("validation", "compositional")
SCENES = 1000
"""How many are measured on unless told otherwise: an interval of 95 % is at most 6 % wide."""
OPEN = caption.weights(relation=1, short=1, loose=2)
"""The styles of sentences that leave something open."""
AT_ONCE = 100
"""Questions that are answered side by side."""


def of_splits(measure: Callable[[str], Numbers], gap: Sequence[str] = ("exact",)) -> Numbers:
    """`measure(split)` of each split, as `"<split>/<name>"`; and for the names of `gap`, `"gap/<name>"`: by how much less it is
    in the compositional split."""
    found = {split: measure(split) for split in SPLITS}
    out = {f"{split}/{name}": value for split, numbers in found.items() for name, value in numbers.items()}
    known = [name for name in gap if all(name in numbers for numbers in found.values())]
    return out | {f"gap/{name}": found[SPLITS[0]][name] - found[SPLITS[1]][name] for name in known}


def agreement(there: Sequence[Sequence[Thing]], found: Sequence[Sequence[Thing] | None]) -> Numbers:
    """How well things that were found agree with those that are there, scene by scene; None: nothing could be read.

    The means of `world.compare.agreement`: `"exact"`, the share of scenes of which all is right (with `exact/low` and
    `exact/high`, Wilson's interval of 95 %), `"count"`, `"size"`, `"texture"`, `"colour"`, `"shape"`, `"place"`, `"attributes"`.
    Each has its `…/chance`: what comes of the findings in the order of the next scene's.
    """
    true, read_back = caption.scenes(there), [things or () for things in found]
    by_chance = compare.agreement(caption.scenes([*read_back[1:], *read_back[:1]]), true)
    right = compare.agreement(caption.scenes(read_back), true)
    low, high = wilson(round(float(right["exact"].sum())), len(there))
    out = {name: float(rows.mean()) for name, rows in right.items()}
    return (
        out | {f"{name}/chance": float(rows.mean()) for name, rows in by_chance.items()} | {"exact/low": low, "exact/high": high}
    )


def captions_of(model: Sensorium, split: str, n: int = SCENES, seed: int = 0, beams: int = 1) -> Numbers:
    """What a model that captions says of `n` distinct scenes of a split: `agreement` of what its sentences say, `"true"`: the
    share of sentences that hold (of any style), and where it says how things move, `"motion"`: the share of motions that are
    right, with its `motion/chance`. The things are those of the field that the model reads."""
    scenes = scene.distinct(split, n, seed)
    said = [str(text) for text in model.caption(shown(model, scenes), beams=beams)]
    return judged(scenes, said)


def judged(scenes: Scenes, said: Sequence[str]) -> Numbers:
    """Sentences about scenes against the truth: see `captions_of`."""
    things, moved = caption.objects(scenes), motion.draw(scenes).kind.tolist()
    found = [read(sentence) for sentence in said]
    out = agreement(things, [None if one is None else one.things for one in found])
    out["true"] = float(np.mean([_holds(*each) for each in zip(things, said, moved, strict=True)]))
    told = [motion_said(sentence) for sentence in said]
    if any(one is not None for one in told):
        for name, each in (("motion", told), ("motion/chance", [*told[1:], *told[:1]])):
            out[name] = float(np.mean([a == b for a, b in zip(each, moved, strict=True)]))
    return out


def questions_of(model: Sensorium, split: str, types: Sequence[str], n: int = 400, seed: int = 0) -> Numbers:
    """What a model that is asked answers to `n` questions of each of some types about scenes of a split: `metrics.by_type`. An
    answer is right where it is the true one, word for word. A model that reads nothing but the questions is measured as well."""
    scenes, drawn = even(split, n, types, seed)
    said = _answers(model, scenes, drawn)
    right = np.array([text == one.answer for text, one in zip(said, drawn, strict=True)])
    return by_type(right, [one.type for one in drawn], {type: len(TYPES[type]) for type in types})


def made_of(
    model: Sensorium,
    target: str,
    split: str,
    source: str = "text",
    *,
    most: int = scene.MOST,
    styles: Sequence[float] = caption.LISTS,
    how: Drawing | None = None,
    n: int = SCENES,
    seed: int = 0,
) -> Numbers:
    """What a model makes of the field `source` of `n` distinct scenes of a split, of at most `most` objects: `agreement` of what
    is read back from the pictures, sounds or clips of its field `target`, of texts `judged`; of clips also `"motion"`, and its
    chance. `styles`: how often each style of sentence is said (see `World`)."""
    scenes = scene.distinct(split, n, seed, most)
    making = model.making
    field = making.target(target)
    asked = {source: RENDERERS[model.field(source).kind](scenes, styles)}
    made = making.arrays(model.parameters(), target, asked, 1, how, seed)
    if isinstance(field, Text):
        return judged(scenes, [field.show(ids) for ids in made])
    found, moved = JUDGES[field.kind](made)
    out = agreement(caption.objects(scenes), caption.objects(found))
    if moved is not None:
        true_ones = motion.draw(scenes).kind
        out |= {"motion": float(np.mean(moved == true_ones)), "motion/chance": float(np.mean(np.roll(moved, -1) == true_ones))}
    return out


def asked_of(
    model: Sensorium, target: str, split: str, *, most: int, styles: Sequence[float] = OPEN, n: int = SCENES, seed: int = 0
) -> Numbers:
    """`"asked"`: the share of things that a model makes of which what was asked for holds (see `fulfilled`), and `asked/chance`:
    that of the next one. Asked for are `n` distinct scenes of a split, in `styles` that leave open where things are, how large,
    or of what texture. Of a model that plans, `"planned"` and `planned/chance`: the same of its plans, whatever is made of them.
    """
    scenes = scene.distinct(split, n, seed, most)
    asked = RENDERERS["text"](scenes, styles)
    given: dict[str, list[Any]] = {"text": asked}
    plans = model.making.planned(model.parameters(), given, target, 1, seed) or {}
    made = model.making.arrays(model.parameters(), target, plans or given, 1, None, seed)
    seen = {"asked": JUDGES[model.field(target).kind](made)}
    if plans:
        seen["planned"] = _planned(next(iter(plans.values())), moves=seen["asked"][1] is not None)
    return {
        f"{name}{chance}": float(fulfilled(asked[i:] + asked[:i], np.roll(scenes.count, -i), *found).mean())
        for name, found in seen.items()
        for i, chance in enumerate(("", "/chance"))
    }


def _planned(plans: Sequence[str], moves: bool) -> tuple[Scenes, Int[np.ndarray, " B"] | None]:
    """What plans say is there, and where things move the number of how: nothing, of one that cannot be read as such."""
    said = [read(plan) for plan in plans]
    kept = [one if one is not None and (one.motion is not None) == moves else Said([], None) for one in said]
    return caption.scenes([one.things for one in kept]), np.array([one.motion or 0 for one in kept]) if moves else None


def fulfilled(
    asked: Sequence[str], counts: Int[np.ndarray, " B"], found: Scenes, moved: Int[np.ndarray, " B"] | None
) -> Bool[np.ndarray, " B"]:
    """Whether each sentence holds of what was found (`world.judge.true`, and how that moves), and where it names all of the
    things of its scene, so many as `counts` says, no more is there."""
    motions = [None] * len(asked) if moved is None else [int(one) for one in moved]
    named = [sum(word in scene.COLOURS for word in said.split()) for said in asked]  # each thing is named by one
    rows = zip(asked, named, counts.tolist(), caption.objects(found), motions, strict=True)
    return np.array([true(own, said, how) and (name < there or len(own) == name) for said, name, there, own, how in rows], bool)


def there_and_back(
    model: Sensorium, words: str, through: str, split: str, *, most: int = scene.MOST, n: int = SCENES, seed: int = 0
) -> Numbers:
    """What is told of what was made of a text: `n` distinct scenes of a split are said in the field `words`, made in the field
    `through`, and what came of that is told again. `judged` against the scenes."""
    scenes = scene.distinct(split, n, seed, most)
    said = RENDERERS["text"](scenes, caption.LISTS)
    things = model.making(model.parameters(), through, {words: said}, seed=seed)
    return judged(scenes, model.making(model.parameters(), words, {through: things}))


JUDGES: Table[Callable[[np.ndarray], tuple[Scenes, np.ndarray | None]]] = Table(
    "kind of thing that is judged",
    {
        "image": lambda made: (judge.of_pictures(made), None),
        "audio": lambda made: (judge.of_sounds(made), None),
        "video": judge_motion.of_clips,
    },
)
"""Things of a kind -> the scenes that they show, and the numbers of their motions where they move."""


def shown(model: Sensorium, scenes: Scenes) -> list[Any]:
    """Scenes as raw things of the first field that a model reads."""
    name = next(iter(model.model.encoders))
    return RENDERERS[model.field(name).kind](scenes, caption.LISTS)


def _answers(model: Sensorium, scenes: Scenes, drawn: Sequence[Question]) -> list[str]:
    """What a model answers, `AT_ONCE` questions at a time."""
    built = model.model
    if not isinstance(built, Generator) or not built.asked:
        raise ValueError(f"a model of {', '.join(model.modalities)} is not asked anything: see recipes.questions")
    asked, answered = model.field(built.asked), model.field(built.target)
    assert isinstance(asked, Text) and isinstance(answered, Text)
    things = [model.field(name) for name in built.reads if name != built.asked]
    graph, state = nnx.split(built)
    mark = answered.prepare("")[answered.name][0]

    @jax.jit
    def answer(state: Any, batch: dict[str, jax.Array]) -> jax.Array:
        whole = nnx.merge(graph, state)
        about, prompt = whole.context(batch), jnp.full((AT_ONCE, 1), mark, jnp.int32)
        return write(whole.decoder, Prompted(about, prompt), whole.ends, Sampling(), None, whole.decoder.length)[0]

    out: list[str] = []
    for part in (drawn[start : start + AT_ONCE] for start in range(0, len(drawn), AT_ONCE)):
        ready = asked.prepare_batch([one.question for one in part])
        batch = {key: x for key, x in ready.items() if not key.endswith("/id")}
        batch |= rendered(things, scenes[np.array([one.row for one in part])])
        ids = jax.device_get(answer(state, pad(batch, AT_ONCE)))[: len(part)]
        out += [answered.show(row) for row in ids]
    return out


def _holds(things: list[Thing], sentence: str, moved: int) -> bool:
    try:
        return true(things, sentence, moved)
    except ValueError:  # no sentence of the grammar
        return False
