"""Scenes as pictures: 64×64 RGB, anti-aliased, with jitter of place, turn, size, colour and background.

Every (shape, size, texture, turn, scale) is drawn once, supersampled, as a sprite; a picture is sprites pasted on a
background, so rendering costs a few array operations for a whole batch.
"""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from sensorium.world.scene import MOST, SHAPES, SIZES, TEXTURES, Scenes, choice, uniform

SIZE = 64
PALETTE = np.array(
    [
        (0.90, 0.13, 0.13),
        (0.98, 0.52, 0.08),
        (0.97, 0.90, 0.20),
        (0.13, 0.68, 0.20),
        (0.20, 0.85, 0.88),
        (0.20, 0.33, 0.95),
        (0.66, 0.22, 0.80),
        (0.96, 0.96, 0.96),
    ],
    np.float32,
)
RADIUS = (5.6, 9.2)
TURNS = np.linspace(-0.2, 0.2, 5)
SCALES = (0.94, 1.0, 1.06)
SPRITE = 24
JITTER = 2
"""Objects stray by at most this many pixels from the centre of their place."""
CENTRES = tuple(round((i + 0.5) * SIZE / 3) for i in range(3))


class Strays(NamedTuple):
    """How the picture of each object differs from that of others that are told of in the same words: numbers in `TURNS` and
    `SCALES`, and pixels to the bottom and to the right of the middle of its place."""

    turn: Int[np.ndarray, "B M"]
    scale: Int[np.ndarray, "B M"]
    down: Int[np.ndarray, "B M"]
    right: Int[np.ndarray, "B M"]


def strays(scenes: Scenes) -> Strays:
    """Those of the pictures of scenes; what they are where there is no object means nothing."""
    return _strays(_drawn(scenes))


def render(scenes: Scenes) -> UInt8[np.ndarray, "B 64 64 3"]:
    """One picture a scene."""
    return paint(scenes, 0)


def paint(scenes: Scenes, margin: int) -> UInt8[np.ndarray, "B S S 3"]:
    """The pictures, with `margin` pixels more about each on every side: S = 64 + 2·margin."""
    u = _drawn(scenes)
    ground = 255 * (0.06 + 0.20 * u[:, :1] + 0.05 * u[:, 1:4]) + 0.5
    side = SIZE + 2 * margin
    out = np.empty((len(scenes), side, side, 3), np.uint8)
    out[:] = ground.astype(np.uint8)[:, None, None, :]
    (alpha, shade), (turn, scale, down, right) = sprites(), _strays(u)
    for b, i in zip(*np.nonzero(scenes.present), strict=True):
        which = (scenes.shape[b, i], scenes.size[b, i], scenes.texture[b, i], turn[b, i], scale[b, i])
        colour = np.clip(PALETTE[scenes.colour[b, i]] + 0.08 * (u[b, 8 + 7 * i : 11 + 7 * i] - 0.5), 0, 1) * 255
        row, column = divmod(int(scenes.place[b, i]), 3)
        y, ys = _span(margin + CENTRES[row] + int(down[b, i]), side)
        x, xs = _span(margin + CENTRES[column] + int(right[b, i]), side)
        a, s = alpha[which][ys, xs, None], shade[which][ys, xs, None]
        out[b, y, x] = out[b, y, x] * (1 - a) + colour * s + 0.5
    return out


def _drawn(scenes: Scenes) -> Float[np.ndarray, "B 25"]:
    """Four numbers for the ground, and seven for each object: turn, scale, down, right, and three for its colour."""
    u = uniform(scenes.key, "picture", 4 + 7 * MOST).astype(np.float32)
    return np.minimum(u, np.float32(1 - 2**-24))  # in float32 the highest numbers below 1 are rounded to it


def _strays(u: Float[np.ndarray, "B 25"]) -> Strays:
    turn, scale, down, right = np.moveaxis(u[:, 4:].reshape(len(u), MOST, 7)[:, :, :4], -1, 0)
    spread = 2 * JITTER + 1
    pixels = (choice(v, spread) - JITTER for v in (down, right))
    return Strays(choice(turn, len(TURNS)), choice(scale, len(SCALES)), *pixels)


def _span(centre: int, side: int) -> tuple[slice, slice]:
    """Where a sprite lies on one axis of the picture, and which part of the sprite that is."""
    start = centre - SPRITE // 2
    first, last = max(start, 0), min(start + SPRITE, side)
    return slice(first, last), slice(first - start, last - start)


@cache
def sprites() -> tuple[Float[np.ndarray, "6 2 3 5 3 24 24"], Float[np.ndarray, "6 2 3 5 3 24 24"]]:
    """(alpha, alpha · shade) by (shape, size, texture, turn, scale): a pixel becomes ground·(1 − alpha) + colour·shade."""
    fine = 4  # samples a pixel and axis
    axis = (np.arange(SPRITE * fine) + 0.5) / fine - SPRITE / 2
    y, x = np.meshgrid(axis, axis, indexing="ij")
    shape = (len(SHAPES), len(SIZES), len(TEXTURES), len(TURNS), len(SCALES))
    alpha, shade = np.zeros((2, *shape, SPRITE, SPRITE), np.float32)
    for index in np.ndindex(*shape):
        form, size, texture, turn, scale = index
        radius = RADIUS[size] * SCALES[scale]
        c, s = np.cos(TURNS[turn]), np.sin(TURNS[turn])
        u, v = c * x + s * y, c * y - s * x
        inside = _inside(SHAPES[form], u / radius, v / radius)
        lit = np.where(_dark(TEXTURES[texture], u, v), 0.4, 1.0)
        alpha[index] = _shrink(inside.astype(np.float32), fine)
        shade[index] = _shrink(inside * lit, fine)
    return alpha, shade


def _inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    r, angle = np.hypot(x, y), np.arctan2(x, -y)
    match shape:
        case "circle":
            return r < 0.95
        case "ring":
            return (r < 1.0) & (r > 0.55)
        case "square":
            return np.maximum(abs(x), abs(y)) < 0.84
        case "cross":
            return (np.minimum(abs(x), abs(y)) < 0.3) & (np.maximum(abs(x), abs(y)) < 1.0)
        case "triangle":
            return (y < 0.75) & (abs(x) < 0.57 * (y + 1.0))
        case _:  # star: five points, straight edges between radii 1.1 and 0.45
            a = abs((angle + np.pi / 5) % (2 * np.pi / 5) - np.pi / 5) * 5 / np.pi
            inner, outer = 0.45, 1.1
            step = np.pi / 5
            edge = inner * outer * np.sin(step) / (inner * np.sin(step * (1 - a)) + outer * np.sin(step * a) + 1e-9)
            return r < edge


def _dark(texture: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    match texture:
        case "striped":
            return (y / 4 + 0.25) % 1 < 0.45
        case "dotted":
            return np.hypot((x / 4.2) % 1 - 0.5, (y / 4.2) % 1 - 0.5) < 0.34
        case _:
            return np.zeros_like(x, bool)


def _shrink(x: np.ndarray, fine: int) -> np.ndarray:
    return x.reshape(SPRITE, fine, SPRITE, fine).mean((1, 3))
