"""The built-in world as a source of batches, and as ordinary files that enter by the same door as a user's own."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sensorium.core.batch import Batch, stack
from sensorium.core.errors import UnknownName, nearest
from sensorium.core.files import write_text
from sensorium.core.protocols import Modality, Raw
from sensorium.modalities.audio import wav_bytes
from sensorium.world import caption, picture, scene, sound
from sensorium.world.scene import Scenes


class World:
    """Endless scenes of a split, drawn and rendered as they are read: a `Source` of `items` rows.

    `missing`: the share of rows that lack one of their fields. `twins`: the share of odd rows that nearly are the row before
    them (see `scene.twins`), so that a batch holds hard negatives. `styles`: how often each of `caption.STYLES` is said.
    """

    def __init__(
        self,
        fields: Sequence[Modality],
        split: str = "train",
        items: int = 1_000_000,
        seed: int = 0,
        missing: float = 0.0,
        twins: float = 0.0,
        styles: Sequence[float] = (1.0, 0.0, 0.0),
    ):
        for field in fields:
            if field.kind not in RENDERERS:
                raise UnknownName(f"the world has no {field.kind!r} to show.{nearest(field.kind, RENDERERS)}")
        self.fields, self.split, self.items, self.seed = tuple(fields), split, items, seed
        self.missing, self.twins, self.styles = missing, twins, tuple(styles)

    def __len__(self) -> int:
        return self.items

    def read(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Batch:
        """Rows as a batch. A row is said in one way only, whatever `draw` is: the world has as many rows as one wants."""
        rows = np.asarray(rows)
        own = scene.draw(self.split, rows, self.seed)
        scenes = self._with_twins(own, rows)
        lost = self._lost(own)
        batch: Batch = {"group": (scenes.id % (2**31 - 1)).astype(np.int32)}
        for i, field in enumerate(self.fields):
            batch |= stack([field.prepare(raw) for raw in RENDERERS[field.kind](scenes, self.styles)])
            batch[f"{field.name}/here"] = lost != i
        return batch

    def _with_twins(self, own: Scenes, rows: np.ndarray) -> Scenes:
        before = scene.draw(self.split, rows - rows % 2, self.seed)
        twins = scene.twins(before)
        wanted = (rows % 2 == 1) & (scene.uniform(before.key, "pair", 1)[:, 0] < self.twins)
        return own.where(~wanted | ~scene.belongs(twins, self.split) | (twins.id == before.id), twins)

    def _lost(self, own: Scenes) -> np.ndarray:
        """The number of the field that each row lacks, -1 where it is whole."""
        u = scene.uniform(own.key, "missing", 2)
        return np.where(u[:, 0] < self.missing, scene.choice(u[:, 1], len(self.fields)), -1)


def write_world(
    folder: Path | str, scenes: Scenes, captions: Sequence[Sequence[str]], progress: Callable[[int], None] | None = None
) -> None:
    """Writes scenes as `images/*.png`, `captions/*.txt` (one a line), `audio/*.wav` (stereo) and `manifest.jsonl`.

    `captions`: lists of a caption a scene; each becomes a line of every caption file.
    """
    folder = Path(folder)
    rows = []
    for start in range(0, len(scenes), 256):
        part = scenes[start : start + 256]
        sounds, pictures = sound.render(part), picture.render(part)
        for i in range(len(part)):
            name = f"{start + i:05d}"
            lines = list(dict.fromkeys(said[start + i] for said in captions))
            files = {"image": f"images/{name}.png", "audio": f"audio/{name}.wav"}
            _write(folder / files["image"], _png(pictures[i]))
            _write(folder / files["audio"], wav_bytes(sounds[i], sound.RATE))
            _write(folder / "captions" / f"{name}.txt", "".join(f"{line}\n" for line in lines).encode())
            rows += [json.dumps({"id": name, **files, "caption": line}) for line in lines]
        if progress:
            progress(len(part))
    write_text(folder / "manifest.jsonl", "\n".join(rows) + "\n")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _png(picture: np.ndarray) -> bytes:
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _sounds(scenes: Scenes, styles: Sequence[float]) -> list[Raw]:
    return [(wave, sound.RATE) for wave in sound.mono(scenes)]


def _captions(scenes: Scenes, styles: Sequence[float]) -> list[Raw]:
    return list(caption.render(scenes, caption.styles(scenes, styles)))


def _pictures(scenes: Scenes, styles: Sequence[float]) -> list[Raw]:
    return list(picture.render(scenes))


RENDERERS = {"image": _pictures, "text": _captions, "audio": _sounds}
