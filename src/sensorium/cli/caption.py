"""`sensorium caption`: what pictures, sounds and clips hold, in words."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from sensorium.cli.main import WrongUsage, as_usage

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium caption photo.png --model Salesforce/blip-image-captioning-base
sensorium caption *.jpg --model models/blip --beams 3 --prompt "a photo of"
sensorium caption tone.wav --model runs/listener -n 5
sensorium caption clip.mp4 --model runs/watcher -n 3 --temperature 0.7 --top-p 0.9 --seed 1"""


def caption(
    files: tyro.conf.Positional[list[Path]],
    *,
    model: str | None = None,
    prompt: str = "",
    beams: int = 1,
    length: int | None = None,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 1,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
) -> dict:
    """Say what pictures show, or what is in sounds or clips, by what the model reads.

    Args:
        files: The files, one or more.
        model: A model that captions: its folder, or the id of its repository (BLIP); by default the newest in runs/ that can.
        prompt: Words that every caption begins with.
        beams: How many beginnings of a caption are followed side by side; more are slower and a little better.
        length: The most pieces of words that are written; by default what suits the model.
        n: How many captions of each file, the likeliest first, with their log-probabilities: the best of the beams, where there
            are any, or drawn. Equal ones are told once.
        temperature: Draw words, the more boldly the higher; 1 as the model has them. Without it, and with one caption, it is the
            likeliest word each time.
        top_k: Draw among so many of the likeliest words.
        top_p: Draw among the fewest words that hold this share.
        seed: Of what is drawn.
    """
    draws = (temperature, top_k, top_p) != (None, None, None)
    if draws and beams > 1:
        raise WrongUsage(f"--beams {beams} and --temperature, --top-k or --top-p: a search draws nothing. Leave out one of them")

    import sensorium
    from sensorium.cli import device, usual
    from sensorium.decoders import Sampling
    from sensorium.models.telling import Telling

    with as_usage():
        drawn = Sampling(1.0 if temperature is None else temperature, top_k, top_p) if draws or (n > 1 and beams == 1) else None
        how = Telling(length, beams, drawn, seed, n)
    model = usual.model_for("caption", model, usual.kinds_of(files[:1]))
    device.prepare()
    found = sensorium.load(model).candidates(list(files), how, prompt)
    said = [_row(path, texts, n) for path, texts in zip(files, found, strict=True)]
    return {"model": model, "captions": said}


def _row(path: Path, texts: list[Any], n: int) -> dict[str, Any]:
    row = {"file": str(path), "caption": str(texts[0]), "score": round(texts[0].score, 4)}
    several = [{"caption": str(text), "score": round(text.score, 4)} for text in texts]
    return row if n == 1 else row | {"candidates": several}


def show(result: dict, console: "Console") -> None:
    rows = result["captions"]
    for row in rows:
        if "candidates" not in row:
            print(row["caption"] if len(rows) == 1 else f"{row['file']}\t{row['caption']}")
            continue
        if len(rows) > 1:
            print(row["file"])
        for one in row["candidates"]:
            print(f"{one['score']:9.2f}  {one['caption']}")
