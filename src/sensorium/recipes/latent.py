"""Pictures of the built-in world as small grids of latents, so that larger ones can be painted at the price of small ones."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from flax import nnx

from sensorium.core.trainer import BadDial, Trainer
from sensorium.data.synthetic import World
from sensorium.decoders.latent import FACTORS, Latent
from sensorium.losses import Divergence, Reconstruct
from sensorium.modalities import Image
from sensorium.models import Maker, PictureVAE
from sensorium.optim.dials import optimizer_of
from sensorium.sensorium import Sensorium
from sensorium.training import Card, Experiment
from sensorium.training.experiment import Start
from sensorium.truth import Numbers, agreement, of_splits
from sensorium.world import caption, judge_picture, picture, scene

SCENES, AT_ONCE = 500, 50
"""How many pictures are measured, and how many at a time."""


def latent(
    *,
    steps: int = 1000,
    batch: int = 32,
    lr: float = 3e-3,
    factor: int = 4,
    channels: int = 8,
    width: int = 64,
    beta: float = 1e-7,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Experiment:
    """Learn a small form of the built-in world's pictures, from which they can be told as exactly as from themselves.

    Args:
        steps: Updates of the parameters.
        batch: Pictures a step.
        lr: The highest learning rate.
        factor: How many times fewer cells than pixels a side has: 4 or 8.
        channels: Numbers in each cell.
        width: Of the layers.
        beta: What a nat of the latents costs, in squared errors of a pixel (of a range of 1): very little.
        seed: Of the parameters and of the scenes.
        trainer: How the steps are taken, watched and kept.
    """
    arguments = {name: value for name, value in locals().items() if name != "trainer"}
    trainer, fields = trainer or Trainer(), (Image(size=picture.SIZE),)
    if factor not in FACTORS:
        raise BadDial(f"factor={factor}: expected one of {', '.join(map(str, FACTORS))}")
    return Experiment(
        recipe="latent",
        arguments=arguments,
        fields=fields,
        source=World(fields, items=steps * batch, seed=seed),
        model=Card("picture_vae", {"vae": form_of(factor, channels, width)}),
        losses={"picture": (1.0, Reconstruct("image")), "kl": (beta, Divergence("image", ("image",)))},
        optimizer=optimizer_of(trainer, lr, steps),
        steps=steps,
        batch=batch,
        seed=seed,
        shuffle=False,
        trainer=trainer,
        truth=measured,
    )


def form_of(factor: int = 4, channels: int = 8, width: int = 64) -> dict[str, int]:
    """The arguments of a `GridVAE`, and of the `Latent` that holds one: `{"form": "latent", **form_of()}`."""
    return {"factor": factor, "latent": channels, "width": width}


def in_latents(experiment: Experiment, trained: Sensorium, name: str) -> Experiment:
    """An experiment of a `Maker` whose decoder has the form "latent", begun with the trained autoencoder (a run of `latent`, by
    the `name` of its directory), which then stays as it is."""

    def read() -> Maker:
        model = experiment.model.build(experiment.seed)
        assert isinstance(trained.model, PictureVAE)
        if not isinstance(model, Maker) or not isinstance(model.decoder.form, Latent):
            raise BadDial(f"{experiment.recipe}: no model that makes things in latents: its decoder needs the form 'latent'")
        model.decoder.form.take(trained.model.vae)
        return model

    if not isinstance(trained.model, PictureVAE):
        raise BadDial(f"{name}: a {type(trained.model).__name__}, where an autoencoder of pictures is needed (recipe latent)")
    start = Start(name, trained.fingerprint, experiment.model, experiment.fields, read)
    frozen = replace(experiment.trainer, freeze=(*experiment.trainer.freeze, "decoder.form.*"))
    return replace(experiment, start=start, trainer=frozen)


def measured(model: Sensorium) -> Numbers:
    """What can be told from pictures that went through their latents, on both splits; `"cut/…"`: through the form `Latent`, which
    cuts them, as a picture that is drawn has to go. `"error"` is the root of the mean square, of a range of 1."""
    built = model.model
    assert isinstance(built, PictureVAE)
    form = Latent(**dict(model.card.arguments["vae"]))
    form.take(built.vae)
    return of_splits(lambda split: _of_split(built, form, split))


def _of_split(built: PictureVAE, form: Latent, split: str) -> Numbers:
    scenes = scene.distinct(split, SCENES)
    shown, there = picture.render(scenes), caption.objects(scenes)
    whole = np.concatenate(list(_through(built, shown)))
    cut = np.concatenate(list(_through(form, shown)))
    out = agreement(there, caption.objects(judge_picture.of_pictures(whole)))
    out |= {f"cut/{name}": x for name, x in agreement(there, caption.objects(judge_picture.of_pictures(cut))).items()}
    return out | {"error": float(np.sqrt(np.mean((whole / 255.0 - shown / 255.0) ** 2)))}


def _through(module: PictureVAE | Latent, shown: np.ndarray) -> Iterator[np.ndarray]:
    """Pictures there and back, u8."""
    graph, state = nnx.split(module)

    @jax.jit
    def there_and_back(state: Any, x: jax.Array) -> jax.Array:
        whole = nnx.merge(graph, state)
        return whole.back(whole.into(x)) if isinstance(whole, Latent) else whole.again(x)

    for start in range(0, len(shown), AT_ONCE):
        yield np.asarray(there_and_back(state, shown[start : start + AT_ONCE]))
