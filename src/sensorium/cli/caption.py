"""`sensorium caption`: what pictures show, in words."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium caption photo.png --model Salesforce/blip-image-captioning-base
sensorium caption *.jpg --model models/blip --beams 3 --prompt "a photo of" """


def caption(
    pictures: tyro.conf.Positional[list[Path]], *, model: str, prompt: str = "", beams: int = 1, length: int = 20
) -> dict:
    """Say what pictures show.

    Args:
        pictures: The files, one or more.
        model: A model that captions (BLIP): its folder, or the id of its repository.
        prompt: Words that every caption begins with.
        beams: How many beginnings of a caption are followed side by side; more are slower and a little better.
        length: The most pieces of words that are written.
    """
    import sensorium
    from sensorium.cli import device

    device.prepare()
    found = sensorium.load(model).caption(list(pictures), prompt=prompt, beams=beams, length=length)
    said = [{"picture": str(path), "caption": text} for path, text in zip(pictures, found, strict=True)]
    return {"model": model, "captions": said}


def show(result: dict, console: "Console") -> None:
    for row in result["captions"]:
        print(row["caption"] if len(result["captions"]) == 1 else f"{row['picture']}\t{row['caption']}")
