"""The built-in world as ordinary files, of the kinds that people have."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sensorium.core.errors import UnknownName, nearest
from sensorium.core.files import write_text
from sensorium.modalities.audio import wav_bytes
from sensorium.modalities.written import csv_bytes, mp4_bytes, png_bytes
from sensorium.world import clip, picture, question, sound, trace
from sensorium.world.scene import Scenes

SENSES = ("image", "text", "audio")
"""What is written unless told otherwise."""
CHUNK = 256


def write_world(
    folder: Path | str,
    scenes: Scenes,
    captions: Sequence[Sequence[str]],
    progress: Callable[[int], None] | None = None,
    senses: Sequence[str] = SENSES,
) -> None:
    """Writes scenes as files with equal stems, and `manifest.jsonl`, which names them all, a line a caption.

    `senses`: any of "image" (`images/*.png`), "text" (`captions/*.txt`, one caption a line), "audio" (`audio/*.wav`, stereo),
    "video" (`video/*.mp4`, H.264 or MPEG-4), "sensor" (`sensor/*.csv`, with times and units) and "question"
    (`questions.jsonl`: id, question, answer and type). `captions`: lists of a caption a scene.
    """
    folder = Path(folder)
    for sense in senses:
        if sense not in (*FILES, "text", "question"):
            raise UnknownName(f"the world has no {sense!r} to write.{nearest(sense, (*FILES, 'text', 'question'))}")
    rows: list[dict[str, Any]] = []
    asked: list[dict[str, Any]] = []
    for start in range(0, len(scenes), CHUNK):
        part = scenes[start : start + CHUNK]
        names = [f"{start + i:05d}" for i in range(len(part))]
        said = [[caption[start + i] for caption in captions] if "text" in senses else [] for i in range(len(part))]
        rows += _write_part(folder, part, names, said, [sense for sense in FILES if sense in senses])
        if "question" in senses:
            asked += [
                {"id": names[q.row], "question": q.question, "answer": q.answer, "type": q.type} for q in question.ask(part)
            ]
        if progress:
            progress(len(part))
    _write_lines(folder / "manifest.jsonl", rows)
    if asked:
        _write_lines(folder / "questions.jsonl", asked)


def _write_part(
    folder: Path, part: Scenes, names: Sequence[str], said: Sequence[Sequence[str]], senses: Sequence[str]
) -> list[dict[str, Any]]:
    """Writes the files of some scenes; the lines of the manifest about them."""
    files: list[dict[str, str]] = [{} for _ in names]
    for sense in senses:
        place, render = FILES[sense]
        for paths, name, content in zip(files, names, render(part), strict=True):
            paths[sense] = place.format(name)
            _write(folder / paths[sense], content)
    rows: list[dict[str, Any]] = []
    for name, paths, captions in zip(names, files, said, strict=True):
        lines = list(dict.fromkeys(captions))
        if lines:
            _write(folder / "captions" / f"{name}.txt", "".join(f"{line}\n" for line in lines).encode())
        rows += [{"id": name, **paths, "caption": line} for line in lines] or [{"id": name, **paths}]
    return rows


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    write_text(path, "".join(f"{json.dumps(row)}\n" for row in rows))


FILES: dict[str, tuple[str, Callable[[Scenes], list[bytes]]]] = {
    "image": ("images/{}.png", lambda scenes: [png_bytes(one) for one in picture.render(scenes)]),
    "audio": ("audio/{}.wav", lambda scenes: [wav_bytes(one, sound.RATE) for one in sound.render(scenes)]),
    "video": ("video/{}.mp4", lambda scenes: [mp4_bytes(one, clip.FPS) for one in clip.render(scenes)]),
    "sensor": (
        "sensor/{}.csv",
        lambda scenes: [csv_bytes(one, trace.times(), trace.AXIS_NAMES, trace.UNIT) for one in trace.render(scenes)],
    ),
}
"""Where the files of a sense go, and their contents."""
