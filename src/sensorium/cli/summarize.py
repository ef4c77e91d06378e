"""`sensorium summarize`: what happens in a clip, and when."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from sensorium.cli.main import WrongUsage

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium summarize clip.mp4 --model runs/watcher
sensorium summarize film.mp4 --model runs/watcher --window 5 --json"""


def summarize(clip: tyro.conf.Positional[Path], *, model: str | None = None, window: float = 2.0, beams: int = 1) -> dict:
    """Say what happens in a clip of any length, and when, in sentences with times.

    The clip is cut into windows, each is told of, and those after each other that say the same are one.

    Args:
        clip: The video.
        model: A model that captions clips: its folder; by default the newest in runs/ that can.
        window: Seconds that are told of at once; best as long as the clips that the model was trained on.
        beams: How many beginnings of a sentence are followed side by side.
    """
    if not 0 < window < float("inf") or beams < 1:
        raise WrongUsage(f"--window {window} --beams {beams}: seconds above 0, and at least 1. See: sensorium summarize --help")

    import sensorium
    from sensorium.cli import device, usual

    model = usual.model_for("summarize", model, ["video"])
    device.prepare()
    found = sensorium.load(model).summarize(clip, window=window, beams=beams)
    told = [{"start": round(one.start, 3), "end": round(one.end, 3), "text": one.text} for one in found]
    return {"clip": str(clip), "model": model, "summary": told}


def show(result: dict, console: "Console") -> None:
    from sensorium.models.summarizing import clock

    for row in result["summary"]:
        print(f"{clock(row['start'])} to {clock(row['end'])}  {row['text']}")
