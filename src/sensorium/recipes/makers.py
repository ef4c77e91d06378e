"""Recipes by which things of one field are made of what is said of them: the model, the losses, what is measured."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from string import digits
from typing import Any

from sensorium.core.objective import Loss
from sensorium.core.protocols import Modality
from sensorium.core.trainer import Trainer
from sensorium.data.synthetic import World
from sensorium.encoders import ENCODERS
from sensorium.losses import Captioning, Denoise, Outline, Weight
from sensorium.modalities import Text
from sensorium.optim.dials import optimizer_of
from sensorium.recipes.captions import words
from sensorium.recipes.tellers import teller
from sensorium.training import Card, Experiment
from sensorium.truth import OPEN, SCENES, asked_of, made_of, of_splits
from sensorium.world import layout
from sensorium.world.caption import LISTS, weights

EMA = 0.995
"""The decay of the average, unless told otherwise."""
OUTLINE = 10.0
"""What the error of the sketch counts beside that of the denoiser: what is where comes first, and then how it looks."""


PROMPTS = weights(list=1, relation=1, short=1, loose=3)
"""The styles of what people say: lists, relations, and half of them sentences that leave out what they like."""
PLAN = "plan"
"""The field of plans."""
PLANS = weights(plan=1)
"""And that of the plans that are made of them, which leave nothing open and always say it in the same way: what is made is
learned sooner from them."""
LAYOUTS = weights(layout=1)
"""Those of plans that also say exactly where each thing is, how it is turned and how large: what is made of them is sharp. The
`slots` of pictures alone, 900 steps: 0.98 of the scenes all right."""


def smoothed(trainer: Trainer | None) -> Trainer:
    """A trainer that keeps a moving average of the parameters, by which things are drawn (Ho et al. 2020, appendix B)."""
    trainer = trainer or Trainer()
    return trainer if trainer.ema is not None else replace(trainer, ema=EMA)


def slots(shape: Sequence[int], most: int, **more: Any) -> dict[str, Any]:
    """The arguments of `Slots` for so many things: `shape` is that of the pictures, and three eighths of it hold any thing."""
    return {"things": most, "canvas": [-(-3 * side // 8) for side in shape], **FORMED, **more}


def layouts(most: int, moves: bool = False) -> Text:
    """The field of plans that are layouts of at most so many things."""
    base = words(PLAN)
    known = (*base.words, *layout.WORDS)
    return replace(base, words=known, alphabet=base.alphabet + digits, length=layout.most_words(most, moves) + 2)


def denoiser(
    form: Mapping[str, Any],
    shape: Sequence[int],
    channels: int,
    patch: Sequence[int],
    width: int,
    depth: int,
    sketch: Mapping[str, Any] | None = None,
    apart: bool = False,
) -> dict[str, Any]:
    """The arguments of a `Denoiser`, but for the widths of what it is told: a `DiT` with a `sketch` of the same patches."""
    network = {"network": "dit", "shape": list(shape), "channels": channels, "patch": list(patch), "width": width}
    network |= {"depth": depth, "looks": False, "sketch": {"patch": list(patch), **(sketch or {})}, "apart": apart}
    return {"form": dict(form), "network": network}


def making(
    recipe: str,
    arguments: Mapping[str, Any],
    target: Modality,
    decoder: Mapping[str, Any],
    trainer: Trainer | None,
    *,
    outline: Weight = OUTLINE,
    told: Text | None = None,
    prompts: Sequence[float] = PROMPTS,
    plans: Sequence[float] = PLANS,
    whole: Sequence[float] = LISTS,
    asked_in: Sequence[float] = OPEN,
    gap: Sequence[str] = ("exact", "attributes"),
    measured: int = SCENES,
) -> Experiment:
    """A recipe by which things of the field `target` of the built-in world are made of what is said of them: `arguments` are its
    dials, and so many scenes of each split are `measured`, with the `gap` between the two.

    A planner learns to say in the style `plans`, in the field `told`, what people say in the styles `prompts`, and of that things
    are made. Measured is what is made of sentences in the styles `whole`, which leave nothing open, and `asked_in`, which do."""
    steps, batch, most, seed = (arguments[name] for name in ("steps", "batch", "most", "seed"))
    trainer, asked, told = smoothed(trainer), words(), told or words(PLAN)
    return Experiment(
        recipe=recipe,
        arguments=dict(arguments),
        fields=(asked, told, target),
        source=World(
            (asked, told, target), items=steps * batch, seed=seed, most=most, styles={asked.name: prompts, told.name: plans}
        ),
        model=maker(told, target.name, decoder, planner=planner(asked, told), stride=max(1, round(batch / PLANNER_ROWS))),
        losses=denoising(target.name, told.name, outline=outline)
        | {"plan": (1.0, Captioning(told.name, given=(asked.name,), begun=True))},
        optimizer=optimizer_of(trainer, arguments["lr"], steps, usual="muon", plain=REFINING, rates=PLANNER_RATES),
        steps=steps,
        batch=batch,
        seed=seed,
        shuffle=False,
        trainer=trainer,
        truth=lambda model: of_splits(
            lambda split: (
                made_of(model, target.name, split, most=most, styles=whole, n=measured)
                | asked_of(model, target.name, split, most=most, styles=asked_in, n=measured)
            ),
            (*gap, "asked"),
        ),
    )


def planner(asked: Text, told: Text) -> Mapping[str, Any]:
    """The arguments of a `Generator` that writes in full what is asked for."""
    return teller((asked,), told, WIDTH, {asked.name: {"width": WIDTH}}, depth=1).arguments


def maker(told: Text, target: str, decoder: Mapping[str, Any], **planned: Any) -> Card:
    """A `Maker` that reads texts by their own tower, and makes things of the field `target` by a `denoiser`; with a `planner` and
    its `stride`, where they are given."""
    reader = ENCODERS[told.tower].arguments(told)
    card = {"encoders": {told.name: {"encoder": told.tower, **reader, "width": WIDTH}}, "target": target}
    return Card("maker", card | {"decoder": {**decoder, "tokens": WIDTH}} | planned)


WIDTH = 64
"""Of the tokens of texts, and of the planner."""
PLANNER_ROWS = 32
"""Rows a step from which the planner learns, about: far fewer than the decoder needs."""
PLANNER_RATES = {"planner.*": 4.0}
"""It moves faster: of 200 relations, what its plans of clips say after 1,200 steps holds of 0.93, and at a rate like
that of the rest of 0.78 (drawn at a temperature of 1, by itself)."""


PAINTED = {"middle": -0.6, "scale": 3.0, "floor": 0.4}
"""Of pictures and clips of the world, most of which is dark ground: they get a mean of about 0 and a deviation of 0.7."""


FORMED = {"rank": 4, "width": 192, "depth": 1, "wide": 512}
"""The sketch of pictures and clips: one layer, and wide. With 128 × 2 layers and no rectified features, 400 steps of pictures
give 0.74 of the attributes and 0.09 of the scenes; with these 0.80 and 0.16, in a fifth more time."""
GUIDED = {"guidance": 1.0, "interval": [0.15, 0.7], "rescale": 0.7}
"""Pictures and clips are drawn without guidance, unless it is asked for; then not at the end, where it takes textures away, and
without stronger contrasts. Of 200 pictures at `--guidance 3 --steps 20` 0.43 were all right with it everywhere, and 0.97 so,
where 0.96 are without."""
SKETCHED = {"stride": 4, "drawn": {**GUIDED, "steps": 4, "temperature": 0.5}}
"""Where the sketch says most of it: noise on every fourth row; drawn in few steps, out of little noise and without guidance: more
of each takes shapes and textures away."""
DRAWN = SKETCHED["drawn"] | {"steps": 2}
"""How things are drawn that `slots` say: after 4 steps fewer clips are all right (of 300, 0.78 and not 0.81)."""


REFINING = tuple(f"*.network.{part}.*" for part in ("enter", "time", "gist", "spread", "layers", "leave"))
"""Of a `DiT`, what is not its sketch: wide matrices that few rows train. Making them orthogonal would cost more than the rows."""


def denoising(target: str, given: str, prefix: str = "", outline: Weight = OUTLINE) -> dict[str, tuple[Weight, Loss]]:
    """The losses of a denoiser with a sketch, whose error counts `outline`."""
    sources = (given,) if given else ()
    return {f"{prefix}denoise": (1.0, Denoise(target, sources)), f"{prefix}outline": (outline, Outline(target, sources))}
