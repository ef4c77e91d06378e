"""Scenes: one to three objects on a 3×3 grid, each with a shape, colour, texture, size and place; and their splits.

A scene is drawn from counters, not from a stateful generator, so scene `i` is the same whether it is drawn alone or in
any batch. `train` and `validation` share no scene (a hash of the scene itself decides), and `compositional` scenes each
hold a (shape, colour) pair that neither of the others ever shows.
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Int, UInt64

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS = ("red", "orange", "yellow", "green", "cyan", "blue", "purple", "white")
TEXTURES = ("plain", "striped", "dotted")
SIZES = ("small", "large")
PLACES = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
MOST = 3
SPLITS = ("train", "validation", "compositional")
HELD_OUT = tuple((3 * shape + 1) % len(COLOURS) for shape in range(len(SHAPES)))
"""`HELD_OUT[shape]` is the colour that this shape has in the compositional split alone."""
COUNTS = (0.2, 0.6)
"""Below the first a draw has one object, below the second two, else three."""
EXCHANGE = 0.85
"""The share of twins that exchange something between two objects, where there are two."""
EXCHANGED = (0, 1, 1, 2, 3, 4)
"""What: shapes, colours (twice as often), textures, sizes or places."""
_KINDS = len(SHAPES) * len(COLOURS) * len(TEXTURES) * len(SIZES) * len(PLACES)


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes. Objects are in the order of their places; entries past `count` are -1.

    There are M = `MOST` columns, and more in a batch that a judge read back from something that is none of the world's and
    shows more objects than a scene can hold: that row has an `id` that no scene of the world has.
    """

    shape: Int[np.ndarray, "B M"]
    colour: Int[np.ndarray, "B M"]
    texture: Int[np.ndarray, "B M"]
    size: Int[np.ndarray, "B M"]
    place: Int[np.ndarray, "B M"]
    key: UInt64[np.ndarray, " B"]
    """What the renderers draw their nuisances (position jitter, background, noise, wording) from."""

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, rows) -> "Scenes":
        return Scenes(*(getattr(self, f.name)[rows] for f in fields(self)))

    def where(self, mask: Bool[np.ndarray, " B"], other: "Scenes") -> "Scenes":
        """These scenes where the mask is True, `other` ones elsewhere."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Scenes(*(np.where(mask if a.ndim == 1 else mask[:, None], a, b) for a, b in pairs))

    @property
    def present(self) -> Bool[np.ndarray, "B M"]:
        return self.place >= 0

    @property
    def count(self) -> Int[np.ndarray, " B"]:
        return self.present.sum(1)

    @property
    def id(self) -> Int[np.ndarray, " B"]:
        """A number that two scenes share only if they hold the same objects at the same places; −1 for more than `MOST`."""
        code = self.shape
        for part, sizes in ((self.colour, COLOURS), (self.texture, TEXTURES), (self.size, SIZES), (self.place, PLACES)):
            code = code * len(sizes) + part
        code = np.where(self.present, code + 1, 0)
        number = (code[:, 0] * (_KINDS + 1) + code[:, 1]) * (_KINDS + 1) + code[:, 2]
        return np.where(self.count > MOST, -1, number)


def mix(x: UInt64[np.ndarray, "..."]) -> UInt64[np.ndarray, "..."]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64 bits that scatters counters."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def uniform(key: UInt64[np.ndarray, " B"], purpose: str, n: int) -> Float[np.ndarray, "B n"]:
    """`n` independent numbers in [0, 1) a row, a pure function of (key, purpose)."""
    salt = np.uint64(int.from_bytes(purpose.encode()[:8].ljust(8, b"\0"), "little"))
    counter = np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    return (mix(mix(key ^ salt)[:, None] + counter) >> np.uint64(11)) * 2.0**-53


def choice(u: Float[np.ndarray, "*B"], n: int) -> Int[np.ndarray, "*B"]:
    return (u * n).astype(np.int64)


def draw(split: str, rows: Int[np.ndarray, " B"], seed: int = 0, most: int = MOST) -> Scenes:
    """Scenes number `rows` of a split; any row number of any size is valid. `most`: of how many objects."""
    if split not in SPLITS:
        raise ValueError(f"split {split!r} is none of {SPLITS}")
    stream = (seed + 0x632BE59BD9B4E019 * (SPLITS.index(split) + 1)) % 2**64
    base = mix(np.array([stream], np.uint64))
    keys = mix(base + np.asarray(rows).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    scenes = _candidates(split, keys)
    if not 1 <= most <= MOST:
        raise ValueError(f"scenes of at most {most} objects: expected 1 to {MOST}")
    redraw = np.flatnonzero(~belongs(scenes, split) | (scenes.count > most))
    while len(redraw):  # a key that gave a scene of another split, or of too many objects, is replaced by its successor
        keys[redraw] = mix(keys[redraw] + np.uint64(1))
        again = _candidates(split, keys[redraw])
        for f in fields(scenes):
            getattr(scenes, f.name)[redraw] = getattr(again, f.name)
        redraw = redraw[~belongs(again, split) | (again.count > most)]
    return scenes


def distinct(split: str, n: int, seed: int = 0, most: int = MOST) -> Scenes:
    """The first `n` different scenes of a split, so that a gallery never holds one scene twice."""
    rows = 2 * n
    while True:
        scenes = draw(split, np.arange(rows), seed, most)
        first = np.sort(np.unique(scenes.id, return_index=True)[1])
        if len(first) >= n:
            return scenes[first[:n]]
        if rows > 64 * n + 10_000:
            raise ValueError(f"{split!r} has only about {len(first)} different scenes: asked for {n}")
        rows *= 2


def belongs(scenes: Scenes, split: str) -> Bool[np.ndarray, " B"]:
    """Whether each scene is one of a split; every scene belongs to exactly one."""
    held = (np.array(HELD_OUT)[scenes.shape] == scenes.colour) & scenes.present
    validation = mix(scenes.id.astype(np.uint64)) % np.uint64(8) == 0
    member = {"train": ~validation, "validation": validation}
    return held.any(1) if split == "compositional" else ~held.any(1) & member[split]


def _candidates(split: str, keys: UInt64[np.ndarray, " B"]) -> Scenes:
    """A scene a key, of the right colours for the split but perhaps on the wrong side of train and validation."""
    u = uniform(keys, "scene", 2 + 4 * MOST + len(PLACES))
    count = 1 + (u[:, 0] >= COUNTS[0]) + (u[:, 0] >= COUNTS[1])
    shape, colour, texture, size = (
        choice(u[:, 2 + MOST * i : 2 + MOST * (i + 1)], n)
        for i, n in enumerate((len(SHAPES), len(COLOURS), len(TEXTURES), len(SIZES)))
    )
    held = np.array(HELD_OUT)[shape]
    colour = np.where(colour == held, (colour + 1) % len(COLOURS), colour)
    if split == "compositional":  # one object, any of those present, takes its shape's held-out colour
        here = np.arange(MOST) == choice(u[:, 1], 1)[:, None] + (u[:, 1:2] * count[:, None]).astype(np.int64)
        colour = np.where(here, held, colour)
    place = np.argsort(u[:, -len(PLACES) :], axis=1)[:, :MOST]
    place = np.where(np.arange(MOST) < count[:, None], place, len(PLACES))
    order = np.argsort(place, axis=1)
    parts = [np.take_along_axis(x, order, 1) for x in (shape, colour, texture, size, place)]
    absent = parts[-1] == len(PLACES)
    return Scenes(*(np.where(absent, -1, part) for part in parts), key=keys.copy())


def focus(scenes: Scenes, variant: int = 0) -> tuple[Int[np.ndarray, " B"], Int[np.ndarray, " B"]]:
    """The two objects of each scene that a sentence relates and a twin exchanges, as columns; one twice where it is alone."""
    u = uniform(scenes.key, f"focus{variant}", 2)
    first = (u[:, 0] * scenes.count).astype(np.int64)
    other = 1 + (u[:, 1] * (scenes.count - 1)).astype(np.int64)
    return first, (first + other * (scenes.count > 1)) % scenes.count


def twins(scenes: Scenes) -> Scenes:
    """For each scene one that nearly is it, the hardest of negatives: one factor of one object is drawn anew, or the
    shapes, colours or places of two objects are exchanged. Where nothing would change, the twin is the scene itself.

    A twin may fall into another split: whoever trains on twins must keep only those for which `belongs` holds.
    """
    u = uniform(scenes.key, "twin", 3)
    parts = {f.name: getattr(scenes, f.name).copy() for f in fields(scenes)}
    rows = np.arange(len(scenes))
    first, second = focus(scenes)
    exchange = (first != second) & (u[:, 0] < EXCHANGE)
    names = (("shape", SHAPES), ("colour", COLOURS), ("texture", TEXTURES), ("size", SIZES), ("place", PLACES))
    which = np.where(exchange, np.array(EXCHANGED)[choice(u[:, 1], len(EXCHANGED))], choice(u[:, 1], len(names)))
    for i, (name, values) in enumerate(names):
        part = parts[name]
        swap = rows[exchange & (which == i)]
        part[swap, first[swap]], part[swap, second[swap]] = part[swap, second[swap]], part[swap, first[swap]]
        anew = rows[~exchange & (which == i)]
        value = (part[anew, first[anew]] + 1 + choice(u[anew, 2], len(values) - 1)) % len(values)
        if name == "place":  # a place that another object holds stays as it is
            taken = (part[anew] == value[:, None]).any(1)
            value = np.where(taken, part[anew, first[anew]], value)
        part[anew, first[anew]] = value
    order = np.argsort(np.where(parts["place"] < 0, len(PLACES), parts["place"]), axis=1, kind="stable")
    arranged = {name: np.take_along_axis(parts[name], order, 1) for name, _ in names}
    return Scenes(**arranged, key=parts["key"])
