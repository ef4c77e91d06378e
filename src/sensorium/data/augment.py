"""Augmentations: what may be done to a thing without making it another. Each is seeded by the item and the draw.

An `Augment` is a frozen dataclass that is called with the arrays of one row of one field (`{"": x, "mask": …, "time": …}`,
without the name of the field) and a NumPy generator, and gives such arrays again, of the same shapes and dtypes. `Augmented`
wraps a source with some of them a field; what is missing stays missing.
"""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from sensorium.core.batch import Batch
from sensorium.core.errors import UnknownName, nearest
from sensorium.core.protocols import Source, Taken
from sensorium.data.orders import Endless, Order
from sensorium.data.pipeline import Ordered, called, fingerprint, take
from sensorium.modalities.picture_changes import OPERATIONS, operate, resized

Parts = dict[str, np.ndarray]


@runtime_checkable
class Augment(Protocol):
    """Arrays of one row -> arrays of the same shapes."""

    def __call__(self, parts: Parts, random: np.random.Generator) -> Parts: ...


class Augmented:
    """A source whose fields are augmented: `Augmented(source, {"image": [Crop(), Jitter()], "text": [DropWords()]})`.

    The changes of a row depend on (seed, field, `group` of the row, draw) only: the same in any batch, thread, worker and
    process, and others in every epoch. `dropout[field]`: the chance that the field of a row is made absent (a caption that is
    dropped, a camera that fails); a row never loses the last thing that it has.
    """

    def __init__(
        self,
        source: Source,
        augments: Mapping[str, Sequence[Augment]],
        *,
        dropout: Mapping[str, float] | None = None,
        seed: int = 0,
    ):
        self.source, self.augments = source, {name: tuple(each) for name, each in augments.items()}
        self.dropout, self.seed = dict(dropout or {}), seed
        if wrong := {name: chance for name, chance in self.dropout.items() if not 0 <= chance < 1}:
            raise ValueError(f"dropout={wrong}: expected chances from 0 to below 1")

    def __len__(self) -> int:
        return len(self.source)

    def order(self, batch_size: int, seed: int = 0) -> Order:
        """That of the source, where it has one of its own; else shuffled epochs."""
        if isinstance(self.source, Ordered):
            return self.source.order(batch_size, seed)
        return Endless(len(self), batch_size, seed)

    def name(self, row: int) -> str:
        return called(self.source, row)

    def read(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Batch:
        return self.take(rows, draw).batch

    def take(self, rows: Sequence[int] | np.ndarray, draw: int = 0) -> Taken:
        taken = take(self.source, rows, draw)
        batch = dict(taken.batch)
        fields = {key.removesuffix("/here") for key in batch if key.endswith("/here")}
        if unknown := (self.augments.keys() | self.dropout.keys()) - fields:
            raise UnknownName(f"the batch has no field {min(unknown)!r} to augment.{nearest(min(unknown), fields)}")
        numbers = np.asarray(rows)
        for name, augments in self.augments.items():
            self._augment(batch, name, augments, numbers, draw)
        if self.dropout:
            self._drop(batch, sorted(fields), numbers, draw)
        return Taken(batch, taken.asked, taken.rejects)

    def fingerprint(self) -> str:
        what = f"{fingerprint(self.source)} {self.augments} {self.dropout} {self.seed}"
        return hashlib.sha256(what.encode()).hexdigest()[:32]

    def _augment(self, batch: Batch, name: str, augments: Sequence[Augment], rows: np.ndarray, draw: int) -> None:
        keys = [key for key in batch if (key == name or key.startswith(f"{name}/")) and key not in (f"{name}/here", f"{name}/id")]
        changed = {key: batch[key].copy() for key in keys}
        for i in np.flatnonzero(batch[f"{name}/here"]):
            random = self._random(name, int(rows[i]), draw)
            parts = {key.removeprefix(name).removeprefix("/"): changed[key][i] for key in keys}
            for augment in augments:
                parts = augment(parts, random)
            for key in keys:
                new = parts[key.removeprefix(name).removeprefix("/")]
                if new.shape != changed[key].shape[1:] or new.dtype != changed[key].dtype:
                    raise ValueError(
                        f"{augments} made {new.dtype}{list(new.shape)} of {key}, which has to stay "
                        f"{changed[key].dtype}{list(changed[key].shape[1:])}"
                    )
                changed[key][i] = new
        batch.update(changed)

    def _drop(self, batch: Batch, fields: Sequence[str], rows: np.ndarray, draw: int) -> None:
        """Makes fields absent, by chance; where that would leave a row with nothing, one of those it had stays."""
        here = np.stack([batch[f"{name}/here"] for name in fields], 1)
        chances = np.array([self.dropout.get(name, 0.0) for name in fields])
        for i, row in enumerate(rows):
            random = self._random("dropout", int(row), draw)
            kept = here[i] & (random.random(len(fields)) >= chances)
            if not kept.any() and here[i].any():
                kept[random.choice(np.flatnonzero(here[i]))] = True
            here[i] = kept
        batch.update({f"{name}/here": here[:, i] for i, name in enumerate(fields)})

    def _random(self, purpose: str, row: int, draw: int) -> np.random.Generator:
        return np.random.default_rng([self.seed % 2**32, zlib.crc32(purpose.encode()), row, draw])


@dataclass(frozen=True)
class Crop:
    """A random part of a picture (u8[H W C]) or, the same part of all frames, of a clip (u8[T H W C]), at its size again.

    As Szegedy et al. 2015 (Inception) draw it: the area is `least` to 1 of the whole, the aspect 3/4 to 4/3.
    """

    least: float = 0.5

    def __call__(self, parts: Parts, random: np.random.Generator) -> Parts:
        x = parts[""]
        frames = x if x.ndim == 4 else x[None]
        height, width = frames.shape[1:3]
        area, aspect = random.uniform(self.least, 1.0), np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        h, w = (min(1.0, np.sqrt(area / aspect)) * height, min(1.0, np.sqrt(area * aspect)) * width)
        top, left = random.uniform(0, height - h), random.uniform(0, width - w)
        cut = np.stack([resized(frame, (left, top, left + w, top + h)) for frame in frames])
        return parts | {"": cut if x.ndim == 4 else cut[0]}


@dataclass(frozen=True)
class Flip:
    """Left for right, by `chance`. Off unless asked for, also in `default`: words like "left" lose their truth by it."""

    chance: float = 0.5

    def __call__(self, parts: Parts, random: np.random.Generator) -> Parts:
        return parts | {"": parts[""][..., ::-1, :].copy()} if random.random() < self.chance else parts


@dataclass(frozen=True)
class Jitter:
    """Brightness, contrast and saturation of u8 RGB, each times a factor of 1 − strength to 1 + strength (the hue stays)."""

    strength: float = 0.3

    def __call__(self, parts: Parts, random: np.random.Generator) -> Parts:
        x = parts[""].astype(np.float32)
        brightness, contrast, saturation = random.uniform(1 - self.strength, 1 + self.strength, 3).astype(np.float32)
        x = x * brightness
        x = (x - x.mean()) * contrast + x.mean()
        grey = (x @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]  # ITU-R BT.601
        return parts | {"": np.clip(np.round((x - grey) * saturation + grey), 0, 255).astype(np.uint8)}


@dataclass(frozen=True)
class TimeShift:
    """A sound f32[N] (and its mask) moved by up to `most` of its length, earlier or later; silence comes in behind it."""

    most: float = 0.1

    def __call__(self, parts: Parts, random: np.random.Generator) -> Parts:
        n = len(_wave(parts))
        by = int(random.integers(-int(self.most * n), int(self.most * n) + 1))
        return parts | {key: shifted(value, by) for key, value in parts.items() if value.shape[:1] == (n,)}


@dataclass(frozen=True)
class Gain:
    """A sound louder or softer by up to `decibels`; what would be beyond ±1 is clipped."""

    decibels: float = 6.0

    def __call__(self, parts: Parts, random: np.random.Generator) -> Parts:
        factor = np.float32(10 ** (random.uniform(-self.decibels, self.decibels) / 20))
        return parts | {"": np.clip(_wave(parts) * factor, -1, 1)}


@dataclass(frozen=True)
class Noise:
    """White noise in a sound or a trace, `decibels` below it (its mean square, where it is real)."""

    decibels: float = 20.0

    def __call__(self, parts: Parts, random: np.random.Generator) -> Parts:
        x = parts[""]
        real = parts.get("mask", np.ones(len(x), bool)).reshape(-1, *([1] * (x.ndim - 1)))
        power = np.sqrt(np.mean(np.square(x), where=np.broadcast_to(real, x.shape))) if real.any() else 0.0
        noise = random.standard_normal(x.shape, np.float32) * np.float32(power * 10 ** (-self.decibels / 20))
        return parts | {"": x + np.where(real, noise, np.float32(0))}


@dataclass(frozen=True)
class SpecAugment:
    """In a sound f32[N] `times` stretches of time and `bands` bands of frequency are silenced, each up to `width` of the whole.

    Park et al. 2019 mask the spectrogram; here its inverse goes on, so that any encoder of waves can be trained with it.
    """

    times: int = 1
    bands: int = 1
    width: float = 0.15

    def __call__(self, parts: Parts, random: np.random.Generator) -> Parts:
        from scipy.signal import istft, stft

        x = parts[""]
        window = min(256, len(x))
        spectrum = stft(x, nperseg=window)[2]
        for count, axis in ((self.bands, 0), (self.times, 1)):
            size = spectrum.shape[axis]
            for _ in range(count):
                length = int(random.integers(0, max(1, int(self.width * size)) + 1))
                start = int(random.integers(0, size - length + 1))
                spectrum[(slice(None),) * axis + (slice(start, start + length),)] = 0
        back = istft(spectrum, nperseg=window)[1][: len(x)].astype(np.float32)
        return parts | {"": np.pad(back, (0, len(x) - len(back)))}


@dataclass(frozen=True)
class DropWords:
    """Tokens of a text are left out by `chance`, the first and the last never; what follows moves up (what is before moves
    down, where a text is filled up on its left)."""

    chance: float = 0.1

    def __call__(self, parts: Parts, random: np.random.Generator) -> Parts:
        tokens, mask = parts[""], parts["mask"]
        kept = mask & (random.random(len(tokens)) >= self.chance)
        real = np.flatnonzero(mask)
        kept[real[:1]] = kept[real[-1:]] = True
        n, left = len(tokens), int(kept.sum())
        filler = tokens[~mask][0] if not mask.all() else tokens.dtype.type(0)
        place = np.arange(n) >= n - left if real.size and not mask[0] else np.arange(n) < left
        out = np.full_like(tokens, filler)
        out[place] = tokens[kept]
        return parts | {"": out, "mask": place}


@dataclass(frozen=True)
class FrameJitter:
    """Frames of a clip are exchanged for a neighbour, by `chance`: the clip runs a little unevenly."""

    chance: float = 0.2

    def __call__(self, parts: Parts, random: np.random.Generator) -> Parts:
        count = int(parts["mask"].sum()) if "mask" in parts else len(parts[""])
        order = np.arange(len(parts[""]))
        moved = random.random(count) < self.chance
        order[:count] = np.clip(order[:count] + moved * random.choice([-1, 1], count), 0, max(count - 1, 0))
        return {key: value[order] if value.shape[:1] == order.shape else value for key, value in parts.items()}


@dataclass(frozen=True)
class RandAugment:
    """`n` operations on a u8 RGB picture, drawn from those of Cubuk et al. 2020 at `magnitude` (0 to 30).

    Of their 14 those that turn or mirror the picture's sense are not among them: nothing here flips, and rotations are small.
    """

    n: int = 2
    magnitude: float = 9.0

    def __call__(self, parts: Parts, random: np.random.Generator) -> Parts:
        x = parts[""]
        for which in random.choice(len(OPERATIONS), self.n):
            x = operate(x, OPERATIONS[which], self.magnitude / 30, 1 if random.random() < 0.5 else -1)
        return parts | {"": x}


def _wave(parts: Parts) -> np.ndarray:
    if parts[""].ndim != 1:
        told = f"a sound of {parts[''].dtype}{list(parts[''].shape)} to augment, which is no wave f32[N] but a spectrogram"
        raise ValueError(f"{told}: leave augmentation out for models that take these (CLAP)")
    return parts[""]


def shifted(x: np.ndarray, by: int) -> np.ndarray:
    """`x` moved along its first axis, zeros (False) in the room that comes free."""
    out = np.zeros_like(x)
    n = len(x)
    out[max(0, by) : n + min(0, by)] = x[max(0, -by) : n + min(0, -by)]
    return out


DEFAULTS: dict[str, tuple[Augment, ...]] = {
    "image": (Crop(), Jitter()),
    "video": (Crop(), FrameJitter()),
    "audio": (TimeShift(), Gain()),
    "text": (DropWords(),),
    "sensor": (Noise(),),
}
"""By kind: what `--augment` does. Nothing in it changes what a caption says of a thing."""
