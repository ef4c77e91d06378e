"""The built-in world as a source of batches; as files (`write_world`) it enters by the same door as a user's own."""

import hashlib
from collections.abc import Mapping, Sequence

import numpy as np

from sensorium.core.batch import Batch, stack
from sensorium.core.errors import UnknownName, nearest
from sensorium.core.protocols import Modality, Raw, Taken
from sensorium.data.world_files import write_world as write_world
from sensorium.world import caption, clip, picture, scene, sound, trace
from sensorium.world.scene import Scenes


class World:
    """Endless scenes of a split, drawn and rendered as they are read: a `Source` of `items` rows.

    `missing`: the share of rows that lack one of their fields. `twins`: the share of odd rows that nearly are the row before
    them (see `scene.twins`), so that a batch holds hard negatives. `styles`: how often each of `caption.STYLES` is said,
    and after them each of `caption.MORE`; by field, where several texts say it in ways of their own. `most`: of how many objects
    the scenes are, at most.
    """

    def __init__(
        self,
        fields: Sequence[Modality],
        split: str = "train",
        items: int = 1_000_000,
        seed: int = 0,
        missing: float = 0.0,
        twins: float = 0.0,
        styles: Sequence[float] | Mapping[str, Sequence[float]] = caption.LISTS,
        most: int = scene.MOST,
    ):
        for field in fields:
            if field.kind not in RENDERERS:
                raise UnknownName(f"the world has no {field.kind!r} to show.{nearest(field.kind, RENDERERS)}")
        self.fields, self.split, self.items, self.seed = tuple(fields), split, items, seed
        if not isinstance(styles, Mapping):
            styles = {field.name: styles for field in fields}
        if other := [field.name for field in fields if field.kind == "text" and field.name not in styles]:
            raise UnknownName(f"in which styles is {other[0]!r} said? Given are those of {', '.join(styles)}")
        self.missing, self.twins, self.most = missing, twins, most
        self.styles = {name: tuple(weights) for name, weights in styles.items()}

    def __len__(self) -> int:
        return self.items

    def read(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Batch:
        """Rows as a batch. A row is said in one way only, whatever `draw` is: the world has as many rows as one wants."""
        rows = np.asarray(rows)
        own = scene.draw(self.split, rows, self.seed, self.most)
        scenes = self._with_twins(own, rows)
        lost = self._lost(own)
        batch: Batch = {"group": (scenes.id % (2**31 - 1)).astype(np.int32)}
        for i, field in enumerate(self.fields):
            batch |= stack([field.prepare(raw) for raw in RENDERERS[field.kind](scenes, self.styles.get(field.name, ()))])
            batch[f"{field.name}/here"] = lost != i
        return batch

    def take(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Taken:
        """The batch, and how many things it holds; what is drawn here can always be read."""
        batch = self.read(rows, draw)
        return Taken(batch, int(sum(batch[f"{field.name}/here"].sum() for field in self.fields)), ())

    def fingerprint(self) -> str:
        """Who the source is: equal ones read equal batches."""
        what = repr((self.fields, self.split, self.items, self.seed, self.missing, self.twins, self.styles, self.most))
        return hashlib.sha256(what.encode()).hexdigest()[:32]

    def _with_twins(self, own: Scenes, rows: np.ndarray) -> Scenes:
        before = scene.draw(self.split, rows - rows % 2, self.seed, self.most)
        twins = scene.twins(before)
        wanted = (rows % 2 == 1) & (scene.uniform(before.key, "pair", 1)[:, 0] < self.twins)
        return own.where(~wanted | ~scene.belongs(twins, self.split) | (twins.id == before.id), twins)

    def _lost(self, own: Scenes) -> np.ndarray:
        """The number of the field that each row lacks, -1 where it is whole."""
        u = scene.uniform(own.key, "missing", 2)
        return np.where(u[:, 0] < self.missing, scene.choice(u[:, 1], len(self.fields)), -1)


def _sounds(scenes: Scenes, styles: Sequence[float]) -> list[Raw]:
    return [(wave, sound.RATE) for wave in sound.mono(scenes)]


def _captions(scenes: Scenes, styles: Sequence[float]) -> list[Raw]:
    return list(caption.render(scenes, caption.styles(scenes, styles)))


def _pictures(scenes: Scenes, styles: Sequence[float]) -> list[Raw]:
    return list(picture.render(scenes))


def _clips(scenes: Scenes, styles: Sequence[float]) -> list[Raw]:
    return [(one, clip.FPS) for one in clip.render(scenes)]


def _traces(scenes: Scenes, styles: Sequence[float]) -> list[Raw]:
    return [(one, trace.RATE) for one in trace.render(scenes)]


RENDERERS = {"image": _pictures, "text": _captions, "audio": _sounds, "video": _clips, "sensor": _traces}
