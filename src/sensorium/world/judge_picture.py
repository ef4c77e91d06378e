"""Reads scenes back from pictures, whole ones and those of half the side: at each place, the render that comes nearest.

"Nearest" is in the sense of least squares, among every sprite at every shift in every colour that the world draws, and
nothing at all: what has less than about a quarter of the contrast that things have is nothing. Half-size pictures are the
mean of 2×2 pixels, in which a thing lies at one of four phases: each has its own templates.

What was generated is often blurred, and a blur would pass for another texture: a picture's strongest thing is matched with
blurred sprites too, and the blur that fits it best is that of the picture.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from sensorium.world import caption
from sensorium.world.picture import CENTRES, JITTER, PALETTE, SIZE, SPRITE, sprites
from sensorium.world.scene import PLACES, Scenes

SIDES = (SIZE, SIZE // 2)
"""The sides of pictures that are read."""
_AT_ONCE = 64  # pictures; bounds the memory
_CORE = 6  # pixels about the centre of a place that no neighbour reaches
_FAINT = 24 / 255  # a place whose core differs from the ground by less than this, smoothed, is not looked at
_SHIFTS = np.arange(-JITTER, JITTER + 1)
_COLOUR_JITTER = 0.04
_BLURS = {1: (0, 4), 2: (0, 1, 2)}  # how many times templates are blurred, whole and of half the side
_BLUR = 0.2  # the share of each neighbour
_BORDER = 16  # whole-size pixels of ground about a picture, for sprites that reach beyond it


def of_pictures(pictures: UInt8[np.ndarray, "B H W 3"], moved: Int[np.ndarray, "B 2"] | None = None) -> Scenes:
    """The scene that each picture shows. Sides: 64, or 32 for the mean of 2×2 pixels; others are a `ValueError`.

    `moved`: whole-size pixels (down, right) by which all things of each picture lie beside their places. A picture that is
    none of the world's may show more things than a scene can hold: all of them are told, and make up no scene's `id`.
    """
    side = pictures.shape[1]
    if side not in SIDES or pictures.shape[2] != side:
        raise ValueError(
            f"pictures of shape {pictures.shape}: the judge reads sides of {SIDES[0]}, and of {SIDES[1]} (the mean of 2×2 "
            "pixels): bring them to one of these"
        )
    moves = np.zeros((len(pictures), 2), np.int64) if moved is None else moved
    table = np.full((len(pictures), len(PLACES), 5), -1, np.int64)
    for start in range(0, len(pictures), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        _read(pictures[part].astype(np.float32) / np.float32(255), moves[part], table[part])
    return caption.scenes([[(a, b, c, d, place) for a, b, c, d, place in row if place >= 0] for row in table.tolist()])


def half(pictures: UInt8[np.ndarray, "*B H W 3"]) -> UInt8[np.ndarray, "*B h w 3"]:
    """Pictures or frames of half the side: the mean of 2×2 pixels, rounded to the nearest."""
    *rows, height, width, channels = pictures.shape
    if height % 2 or width % 2:
        raise ValueError(f"pictures of {height}×{width} pixels have no half: both sides must be even")
    blocks = pictures.reshape(*rows, height // 2, 2, width // 2, 2, channels).astype(np.uint16)
    return ((blocks.sum((-4, -2), dtype=np.uint16) + 2) // 4).astype(np.uint8)


class _Match(NamedTuple):
    """The sprites that fit best in N windows of a canvas."""

    gain: np.ndarray  # N: by how much each explains more than nothing does
    thing: np.ndarray  # N 4: size, texture, colour, shape
    covered: np.ndarray  # N side side: the pixels of the sprite,
    y: np.ndarray  # N side: and where in the canvas they are
    x: np.ndarray

    def of(self, rows: np.ndarray) -> "_Match":
        return _Match(*(part[rows] for part in self))


def _read(pictures: np.ndarray, moves: np.ndarray, table: np.ndarray) -> None:
    """Writes the things of pictures f32[B S S 3] in [0, 1] into i64[B 9 5]."""
    factor = SIZE // pictures.shape[1]
    border = _BORDER // factor
    ground = np.median(pictures.reshape(len(pictures), -1, 3), axis=1)
    canvas = np.pad(pictures - ground[:, None, None], ((0, 0), (border, border), (border, border), (0, 0)))
    strength = _strength(canvas, moves, factor)
    # The strongest first: what it covers is wiped out, so that it does not reach into the windows of its neighbours.
    order = np.argsort(-strength, axis=1, kind="stable")
    blur, tried = np.zeros(len(pictures), np.int64), []
    for turn in range(len(PLACES)):
        rows = np.flatnonzero(np.take_along_axis(strength, order[:, turn : turn + 1], 1)[:, 0] > 0)
        if not len(rows):
            return
        places = order[rows, turn]
        corners = np.array(CENTRES)[np.stack(np.divmod(places, 3), 1)] + moves[rows] - SPRITE // 2
        if turn == 0:
            tried = [_match(canvas, ground, rows, corners, _bank(factor, times)) for times in _BLURS[factor]]
            blur[rows] = np.argmax([one.gain for one in tried], axis=0)
        for level in np.unique(blur[rows]):
            of = blur[rows] == level
            bank = _bank(factor, _BLURS[factor][level])
            found = tried[level].of(of) if turn == 0 else _match(canvas, ground, rows[of], corners[of], bank)
            for n in np.flatnonzero(found.gain > 0):
                row, place = rows[of][n], places[of][n]
                table[row, place] = (*found.thing[n], place)
                canvas[row, found.y[n, :, None], found.x[n]] *= ~found.covered[n, ..., None]


def _strength(canvas: np.ndarray, moves: np.ndarray, factor: int) -> np.ndarray:
    """f32[B 9]: the energy about each place; 0 where its core is ground."""
    smooth = canvas
    for _ in range(3 - factor):
        for axis in (1, 2):
            smooth = (np.roll(smooth, 1, axis) + 2 * smooth + np.roll(smooth, -1, axis)) / 4
    largest, energy = abs(smooth).max(-1), np.square(canvas).sum(-1)
    out = np.zeros((len(canvas), len(PLACES)), np.float32)
    rows = np.arange(len(canvas))[:, None, None]
    for place in range(len(PLACES)):
        y, x = ((CENTRES[i] + moves[:, axis] + _BORDER) // factor for axis, i in enumerate(divmod(place, 3)))

        def around(values: np.ndarray, reach: int, y=y, x=x) -> np.ndarray:
            span = np.arange(-reach // factor, reach // factor)
            return values[rows, y[:, None, None] + span[:, None], x[:, None, None] + span]

        seen = around(largest, _CORE).max((1, 2)) > _FAINT
        out[:, place] = np.where(seen, around(energy, SPRITE // 2).sum((1, 2)), 0)
    return out


class _Bank(NamedTuple):
    """Every sprite at every phase Q as a row of pixels; each outline serves the textures, which differ in shade only."""

    factor: int
    blurred: int
    side: int
    shade: np.ndarray  # Q, sprite, pixel
    alpha: np.ndarray  # Q, outline, pixel
    outline: np.ndarray  # the outline of each sprite


def _match(canvas: np.ndarray, ground: np.ndarray, rows: np.ndarray, corners: np.ndarray, bank: _Bank) -> _Match:
    """The sprite, at any shift, that fits best at a whole-size corner i64[N 2] in the canvas of each of `rows`.

    A sprite makes a window w + g·alpha = c·shade of ground g and colour c. With p = w·shade + g·(shade·alpha), the squared
    error is less than that of nothing by Σ 2·c·p − c²·shade² − 2·g·(w·alpha) − g²·alpha² over the three channels.
    """
    at, phase = np.divmod(corners[:, :, None] + _SHIFTS, bank.factor)  # N, (down, right), shift
    y, x = np.moveaxis(at[..., None] + _BORDER // bank.factor + np.arange(bank.side), 1, 0)
    windows = canvas[rows[:, None, None, None, None], y[:, :, None, :, None], x[:, None, :, None, :]]
    windows = np.moveaxis(windows, -1, 3).reshape(len(rows), len(_SHIFTS), len(_SHIFTS), 3, -1)
    kind = phase[:, 0, :, None] * bank.factor + phase[:, 1, None, :]
    p, base, power = (
        part.reshape(len(rows), -1, *part.shape[3:]) for part in _products(windows, ground[rows], kind, corners, bank)
    )
    shift = (np.square(p).sum(2) / power - base).argmax(1)  # of each sprite, in whatever colour
    n, sprites_ = np.arange(len(rows)), np.arange(len(bank.outline))
    p = np.moveaxis(p, 2, 3)[n[:, None], shift, sprites_][:, :, None]  # N, sprite, 1, channel
    base, power = (part[n[:, None], shift, sprites_][:, :, None] for part in (base, power))
    low, high = (np.clip(PALETTE + side * _COLOUR_JITTER, 0, 1) for side in (-1, 1))
    colour = np.clip(p / power[..., None], low, high)  # N, sprite, colour, channel
    gain = ((2 * p - colour * power[..., None]) * colour).sum(-1) - base
    sprite, hue = np.divmod(gain.reshape(len(rows), -1).argmax(1), len(PALETTE))
    form, size, texture, *_ = np.unravel_index(sprite, sprites()[0].shape[:5])
    down, right = np.divmod(shift[n, sprite], len(_SHIFTS))
    covered = bank.alpha[kind[n, down, right], bank.outline[sprite]].reshape(-1, bank.side, bank.side) > 0
    return _Match(gain[n, sprite, hue], np.stack([size, texture, hue, form], 1), covered, y[n, down], x[n, right])


def _products(windows: np.ndarray, g: np.ndarray, kind: np.ndarray, corners: np.ndarray, bank: _Bank):
    """Of `_match`, at each shift (down, right): p, what of the gain no colour decides, and Σ shade²."""
    seen = [_visible(bank.factor, bank.blurred, top, left) for top, left in corners.tolist()]
    power, both, cover = (np.stack(part) for part in zip(*seen, strict=True))
    p, base = np.empty((*kind.shape, 3, len(bank.outline)), np.float32), np.empty_like(power)
    for phase in range(bank.factor**2):
        mine = kind == phase
        w, ground = windows[mine], g[np.nonzero(mine)[0]]
        p[mine] = w @ bank.shade[phase].T + ground[..., None] * both[mine][:, None]
        about = np.einsum("nc,ncp->np", ground, w) @ bank.alpha[phase].T
        base[mine] = (2 * about + np.square(ground).sum(1, keepdims=True) * cover[mine])[:, bank.outline]
    return p, base, power


@cache
def _bank(factor: int, blurred: int) -> _Bank:
    alpha, shade = sprites()
    side = SPRITE // factor + (factor > 1)
    phased = []
    for values in (alpha, shade):
        wide = np.zeros((factor, factor, *values.shape[:-2], side * factor, side * factor), np.float32)
        for y, x in np.ndindex(factor, factor):
            wide[y, x, ..., y : y + SPRITE, x : x + SPRITE] = values
        blocks = wide.reshape(*wide.shape[:-2], side, factor, side, factor).mean((-3, -1))
        phased.append(_blur(blocks, blurred).reshape(factor**2, -1, side**2))
    index = np.arange(phased[0].shape[1]).reshape(alpha.shape[:5])
    kept = index[:, :, :1]  # the textures of a form have one outline
    position = np.zeros(index.size, np.int64)
    position[kept.ravel()] = np.arange(kept.size)
    outline = position[np.broadcast_to(kept, index.shape).ravel()]
    return _Bank(factor, blurred, side, phased[1], np.ascontiguousarray(phased[0][:, kept.ravel()]), outline)


def _blur(values: np.ndarray, times: int) -> np.ndarray:
    """f32[… H W], each pixel mixed with its neighbours so many times; what lies beyond is 0."""
    for _ in range(times):
        for axis in (-2, -1):
            pad = np.pad(values, [(0, 0)] * (values.ndim - 2) + [(int(axis == a),) * 2 for a in (-2, -1)])
            before, own, after = (np.take(pad, np.arange(values.shape[axis]) + i, axis) for i in range(3))
            values = (1 - 2 * _BLUR) * own + _BLUR * (before + after)
    return values.astype(np.float32)


@cache
def _visible(factor: int, blurred: int, top: int, left: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sums of shade² and shade·alpha of each sprite, and of alpha² of each outline, over the pixels that a picture has, at
    every shift (down, right) beside a whole-size corner: f32[5 5 sprite] twice, and f32[5 5 outline]."""
    bank = _bank(factor, blurred)
    sides = []
    for corner in (top, left):
        at, phase = np.divmod(corner + _SHIFTS, factor)
        pixels = at[:, None] + np.arange(bank.side)
        sides.append((phase, (pixels >= 0) & (pixels < SIZE // factor)))
    (down, rows), (right, columns) = sides
    shape = len(_SHIFTS), len(_SHIFTS)
    power, both = np.empty((2, *shape, len(bank.outline)), np.float32)
    cover = np.empty((*shape, bank.alpha.shape[1]), np.float32)
    for i, j in np.ndindex(shape):
        inside = np.outer(rows[i], columns[j]).ravel().astype(np.float32)
        kind = down[i] * factor + right[j]
        shade, alpha = bank.shade[kind], bank.alpha[kind]
        power[i, j] = np.square(shade) @ inside
        both[i, j] = (shade * alpha[bank.outline]) @ inside
        cover[i, j] = np.square(alpha) @ inside
    return power, both, cover
