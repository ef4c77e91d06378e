"""`sensorium transcribe`: what is said in a sound or a video, as text, or line by line with its times."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from rich.console import Console
else:
    Console = Any

EXAMPLE = """sensorium transcribe talk.wav --model openai/whisper-tiny
sensorium transcribe talk.mp4 --model models/whisper-small --timestamps --language de"""


def transcribe(
    sound: tyro.conf.Positional[Path],
    *,
    model: str,
    timestamps: bool = False,
    language: str | None = None,
    task: str = "transcribe",
    beams: int = 1,
) -> dict:
    """Write down what is said in a sound, or in the sound track of a video, of any length.

    Args:
        sound: The file.
        model: A model of speech (Whisper): its folder, or the id of its repository.
        timestamps: A line for each segment, with its start and end in seconds.
        language: The language that is spoken, such as de or German; found out by default.
        task: transcribe, or translate (into English).
        beams: How many beginnings of the text are followed side by side; more are slower and a little better.
    """
    import sensorium
    from sensorium.cli import device
    from sensorium.cli.progress import progress

    start = time.perf_counter()
    device.prepare()
    loaded = sensorium.load(model)
    with progress() as bar:
        row = bar.add_task("transcribing, seconds", total=None, text="")

        def report(done: float, total: float) -> None:
            bar.update(row, completed=int(done), total=int(total))

        found = loaded.transcribe(sound, language=language, task=task, timestamps=timestamps, beams=beams, progress=report)
    said: dict[str, Any] = {"sound": str(sound), "model": model}
    said |= {"text": found} if isinstance(found, str) else {"segments": [segment._asdict() for segment in found]}
    return said | {"seconds": round(time.perf_counter() - start, 2)}


def show(result: dict, console: "Console") -> None:
    if "text" in result:
        print(result["text"])
    for segment in result.get("segments", ()):
        print(f"[{segment['start']:.2f} → {segment['end']:.2f}] {segment['text']}")
