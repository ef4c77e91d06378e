"""Pictures, captions and sounds of the built-in world in one space, on a laptop's CPU in minutes."""

from string import ascii_lowercase

from sensorium.core.trainer import Trainer
from sensorium.data.synthetic import World
from sensorium.modalities import Audio, Image, Text
from sensorium.optim.dials import optimizer_of
from sensorium.recipes.towers import pairs, space
from sensorium.training import Experiment
from sensorium.world import caption

FINE = {"convnet": {"widths": [32, 64]}}
"""Cells of 8 pixels and not of 16: textures and shapes are small things."""
STYLES = caption.weights(list=0.4, relation=0.1, short=0.5)


def senses(
    *,
    steps: int = 1100,
    batch: int = 128,
    lr: float = 3e-3,
    width: int = 256,
    missing: float = 0.2,
    twins: float = 1.0,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Experiment:
    """Learn the built-in world: what its pictures, captions and sounds have in common.

    Args:
        steps: Updates of the parameters.
        batch: Scenes a step; each is also a negative of all others.
        lr: The highest learning rate.
        width: The dimension of the shared space.
        missing: The share of scenes that lack one of the three.
        twins: The share of pairs of scenes that differ in one thing only: the hard negatives.
        seed: Of the parameters and of the scenes.
        trainer: How the steps are taken, watched and kept.
    """
    arguments = {name: value for name, value in locals().items() if name != "trainer"}
    trainer = trainer or Trainer()
    words = tuple(word for word in caption.WORDS if len(word) > 1)
    fields = (Image(size=64), Text(words=words, alphabet=ascii_lowercase, length=caption.MOST_WORDS + 2), Audio())
    return Experiment(
        recipe="senses",
        arguments=arguments,
        fields=fields,
        source=World(fields, items=steps * batch, seed=seed, missing=missing, twins=twins, styles=STYLES),
        model=space(fields, width, FINE),
        losses=pairs(fields),
        optimizer=optimizer_of(trainer, lr, steps, usual="muon"),
        steps=steps,
        batch=batch,
        seed=seed,
        shuffle=False,
        trainer=trainer,
    )
