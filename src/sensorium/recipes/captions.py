"""What a picture of the built-in world shows, what a sound plays, or what goes on in a clip: told in words."""

from collections.abc import Mapping
from string import ascii_lowercase
from typing import Any, Literal

from sensorium.core.protocols import Modality
from sensorium.core.table import Table
from sensorium.core.trainer import Trainer
from sensorium.data.synthetic import World
from sensorium.losses import Captioning
from sensorium.modalities import Audio, Image, Text, Video
from sensorium.optim.dials import optimizer_of
from sensorium.recipes.tellers import teller
from sensorium.sensorium import Sensorium
from sensorium.training import Experiment
from sensorium.truth import Numbers, captions_of, of_splits
from sensorium.world import caption

SOURCES: Table[Modality] = Table(
    "source of captions", {"image": Image(size=64), "audio": Audio(), "video": Video(size=64, frames=8)}
)
FINE: dict[str, Mapping[str, Any]] = {"image": {"widths": [48, 96]}, "audio": {"widths": [48, 96]}}
"""A grid of fine cells, so that each is about one thing."""


def captions(
    *,
    source: Literal["image", "audio", "video"] = "image",
    steps: int = 1250,
    batch: int = 48,
    lr: float = 3e-3,
    width: int = 128,
    depth: int = 2,
    motion: float = 0.0,
    seed: int = 0,
    trainer: Trainer | None = None,
) -> Experiment:
    """Learn to say what is seen or heard in the built-in world: each thing in reading order, and first where it is.

    Args:
        source: What is told about: image, audio or video.
        steps: Updates of the parameters.
        batch: Scenes a step.
        lr: The highest learning rate.
        width: Of the decoder.
        depth: Layers of the decoder.
        motion: The share of captions that say how things move, instead of all that there is (of clips).
        seed: Of the parameters and of the scenes.
        trainer: How the steps are taken, watched and kept.
    """
    arguments = {name: value for name, value in locals().items() if name != "trainer"}
    trainer, told = trainer or Trainer(), words()
    fields = (SOURCES[source], told)
    styles = caption.weights(motion=motion, reading=1.0 - motion)
    return Experiment(
        recipe="captions",
        arguments=arguments,
        fields=fields,
        source=World(fields, items=steps * batch, seed=seed, styles=styles),
        model=teller(fields[:1], told, width, FINE, depth=depth),
        losses={"caption": (1.0, Captioning("text", given=(source,), begun=True))},
        optimizer=optimizer_of(trainer, lr, steps, usual="muon"),
        steps=steps,
        batch=batch,
        seed=seed,
        shuffle=False,
        trainer=trainer,
        truth=measured,
    )


def measured(model: Sensorium) -> Numbers:
    """What is true of its captions, on both splits."""
    return of_splits(lambda split: captions_of(model, split))


def words(name: str = "text") -> Text:
    """A field that reads every sentence of the world, each word as one piece, and others by their letters."""
    known = tuple(word for word in (*caption.WORDS, *caption.MOTION_WORDS) if len(word) > 1)
    return Text(name, known, ascii_lowercase, caption.MOST_WORDS + 2)
