"""Pictures of the built-in world painted by what is said of them."""

from sensorium.core.trainer import Trainer
from sensorium.data.synthetic import World
from sensorium.modalities import Image
from sensorium.optim.dials import optimizer_of
from sensorium.recipes.captions import words
from sensorium.recipes.makers import PAINTED, denoiser, denoising, early, maker, smoothed
from sensorium.sensorium import Sensorium
from sensorium.training import Experiment
from sensorium.truth import Numbers, made_of, of_splits


def pictures(
    *,
    steps: int = 2500,
    batch: int = 48,
    lr: float = 2e-3,
    side: int = 32,
    most: int = 2,
    width: int = 256,
    depth: int = 3,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Experiment:
    """Learn to paint scenes of the built-in world from what is said of them.

    Args:
        steps: Updates of the parameters.
        batch: Scenes a step.
        lr: The highest learning rate.
        side: Of the pictures that are painted, in pixels: 32 or 64.
        most: Of how many objects the scenes are, at most.
        width: Of the network.
        depth: Its layers.
        seed: Of the parameters and of the scenes.
        trainer: How the steps are taken, watched and kept.
    """
    arguments = {name: value for name, value in locals().items() if name != "trainer"}
    trainer, told = smoothed(trainer), words()
    fields = (told, Image(size=64))
    patch = [side // 4] * 2
    decoder = denoiser({"form": "pixels", "every": [64 // side] * 2}, [side] * 2, 3, patch, width, depth)
    return Experiment(
        recipe="pictures",
        arguments=arguments,
        fields=fields,
        source=World(fields, items=steps * batch, seed=seed, most=most),
        model=maker(told, "image", decoder | PAINTED),
        losses=denoising("image", "text", outline=early(steps)),
        optimizer=optimizer_of(trainer, lr, steps),
        steps=steps,
        batch=batch,
        seed=seed,
        shuffle=False,
        trainer=trainer,
        truth=lambda model: measured(model, most),
    )


def measured(model: Sensorium, most: int) -> Numbers:
    """What its pictures show of what they were to show, on both splits."""
    return of_splits(lambda split: made_of(model, "image", split, most=most), gap=("exact", "attributes"))
