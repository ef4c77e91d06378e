"""`sensorium describe`: a picture (or a sound) in whole sentences, for somebody who cannot see it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from sensorium.cli.main import WrongUsage, as_usage

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium describe photo.png --model runs/captions
sensorium describe photo.png --model Salesforce/blip-image-captioning-base --draws 100"""


def describe(file: tyro.conf.Positional[Path], *, model: str | None = None, draws: int = 64, seed: int = 0) -> dict:
    """Describe a picture in whole sentences: what there is, how many, and where, hedged where the model is not sure.

    Many captions are drawn from the model. What most of them say is said plainly, what some say with "perhaps".

    Args:
        file: The picture, or whatever the model reads.
        model: A model that captions: its folder, or the id of its repository; by default the newest in runs/ that can.
        draws: How many captions are drawn.
        seed: Of the draws.
    """
    if draws < 2:
        raise WrongUsage(f"--draws {draws}: at least 2, as one alone is always sure of itself")

    import sensorium
    from sensorium.cli import device, usual
    from sensorium.decoders import Sampling
    from sensorium.models.telling import Telling

    with as_usage():
        Telling(sampling=Sampling(), seed=seed, many=draws)

    model = usual.model_for("caption", model, usual.kinds_of([file]))
    device.prepare()
    found = sensorium.load(model).describe(file, draws=draws, seed=seed)
    sentences = [{"sentence": text, "sure": round(sure, 4)} for text, sure in found.sentences]
    return {"file": str(file), "model": model, "description": str(found), "sentences": sentences}


def show(result: dict, console: "Console") -> None:
    for row in result["sentences"]:
        print(row["sentence"])
