"""Reads motion back from clips and traces: each is held against every motion that there is, and the nearest one is taken."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from sensorium.world import judge_picture, trace
from sensorium.world.clip import FRAMES, PATHS, offsets, zooms
from sensorium.world.motion import MOTIONS
from sensorium.world.picture import SIZE
from sensorium.world.scene import Scenes

EVERY = (1, 2, 4)
"""Clips are read of all frames, of every second one, and of every fourth."""
_MOST = 8  # frames looked at
_AT_ONCE = 32  # clips; bounds the memory
_GRAIN = 12  # of 255: what differs from the ground by less is none of the things
_QUIET = 0.25  # m/s²: the root-mean-square of a motion that is felt through the noise


def of_clips(clips: UInt8[np.ndarray, "B T H W 3"]) -> tuple[Scenes, Int[np.ndarray, " B"]]:
    """The scene that each clip shows, as the frame in the middle has it, and the number of its motion in `MOTIONS`.

    T frames: 16, or every second or fourth of them, with the first; sides: 64, or 32 for the mean of 2×2 pixels.
    """
    paths = [PATHS[path] for path in _paths(clips)]
    moved = np.array([offsets(*path)[FRAMES // 2] for path in paths], np.int64).reshape(-1, 2)
    scenes = judge_picture.of_pictures(np.ascontiguousarray(clips[:, clips.shape[1] // 2]), moved)
    return scenes, np.array([kind for kind, _, _ in paths], np.int64)


def motions_of_clips(clips: UInt8[np.ndarray, "B T H W 3"]) -> Int[np.ndarray, " B"]:
    """The number of each clip's motion alone, which is faster. Sizes as in `of_clips`."""
    return np.array([PATHS[path][0] for path in _paths(clips)], np.int64)


def motions_of_traces(traces: Float[np.ndarray, "B 100 3"]) -> Int[np.ndarray, " B"]:
    """The number of the motion that each trace felt: of all that explain a part of it, the one that leaves least."""
    felt = np.asarray(traces, np.float64)
    felt = felt - felt.mean(1, keepdims=True)  # gravity, and nothing else: every motion ends as fast as it began
    bank = trace.bank()[:, 1].reshape(-1, trace.SAMPLES * 3)  # one reach: the others differ by a factor
    norms = np.maximum(np.linalg.norm(bank, axis=1, keepdims=True), 1e-9)
    explained = felt.reshape(len(felt), -1) @ (bank / norms).T
    best = explained.reshape(len(felt), len(MOTIONS), -1).max(2)
    strength = best.max(1) / np.sqrt(trace.SAMPLES)
    return np.where(strength < _QUIET, MOTIONS.index("still"), best.argmax(1))


def _paths(clips: np.ndarray) -> Int[np.ndarray, " B"]:
    """The number in `PATHS` of the motion along which the frames of each clip are most alike: the one whose mean frame has the
    largest share of the energy of all."""
    frames, side = clips.shape[1:3]
    if frames not in [FRAMES // every for every in EVERY] or side not in judge_picture.SIDES or clips.shape[3] != side:
        raise ValueError(
            f"clips of shape {clips.shape}: the judge of motion reads {_or(FRAMES // every for every in EVERY)} frames of side "
            f"{_or(judge_picture.SIDES)}: bring them to these"
        )
    asked = np.unique(np.r_[0 : frames : max(1, frames // _MOST), frames - 1])
    warps = [_warp(frames, side, int(t)) for t in asked]
    seen = sum(inside for _, inside in warps)
    out = np.empty(len(clips), np.int64)
    for start in range(0, len(clips), _AT_ONCE):
        shown = _standing_out(clips[start : start + _AT_ONCE, asked].astype(np.float32))
        total = squares = np.zeros((), np.float32)
        for i, (warp, _) in enumerate(warps):
            there = warp @ np.ascontiguousarray(shown[:, i].T)
            total, squares = total + there, squares + there**2
        shared = (total**2 / np.maximum(seen, 1)[:, None]).reshape(len(PATHS), side * side, -1).sum(1)
        whole = squares.reshape(len(PATHS), side * side, -1).sum(1)
        out[start : start + _AT_ONCE] = (shared / np.maximum(whole, 1)).argmax(0)
    return out


def _standing_out(frames: np.ndarray) -> np.ndarray:
    """f32[B T S·S]: by how much each pixel of f32[B T S S 3] differs from its frame's ground in all channels together.

    Noise is smoothed first and then left out: of it, the lines between neighbours by which frames are zoomed leave less.
    """
    for axis in (2, 3):
        for _ in range(2):
            near = np.concatenate([frames.take([0], axis), frames, frames.take([-1], axis)], axis)
            before, own, after = (near.take(np.arange(frames.shape[axis]) + i, axis) for i in range(3))
            frames = (before + 2 * own + after) / 4
    flat = frames.reshape(*frames.shape[:2], -1, 3)
    apart = flat - np.median(flat, axis=2, keepdims=True)
    return np.maximum(np.sqrt(np.square(apart).sum(-1)) - _GRAIN, 0)


def _or(numbers: Iterable[int]) -> str:
    return " or ".join(map(str, numbers))


@cache
def _warp(frames: int, side: int, t: int) -> tuple[Any, Float[np.ndarray, " K"]]:
    """What brings a frame of S·S pixels to where the frame in the middle has them, on each path: a sparse matrix of P·S·S rows,
    lines between neighbours; and 1 for each of its rows that the frame has a pixel for, 0 for the others, which are empty."""
    from scipy.sparse import csr_array

    at, factor, middle = t * (FRAMES // frames), SIZE // side, (SIZE - 1) / 2
    pixels = np.arange(side) * factor + (factor - 1) / 2
    rows, columns, weights, inside = [], [], [], []
    for p, (kind, reach, turn) in enumerate(PATHS):
        moves, scales = offsets(kind, reach, turn), zooms(kind, reach)
        ratio = scales[at] / scales[FRAMES // 2]
        y, x = (middle + (pixels - moves[FRAMES // 2][a] - middle) * ratio + moves[at][a] for a in (0, 1))
        taps = [_taps((axis - (factor - 1) / 2) / factor, side) for axis in (y, x)]
        both = (taps[0][2][:, None] & taps[1][2]).ravel()
        for dy, dx in np.ndindex(2, 2):
            (low_y, far_y, _), (low_x, far_x, _) = taps
            weight = np.outer(far_y if dy else 1 - far_y, far_x if dx else 1 - far_x).ravel()
            column = (np.minimum(low_y + dy, side - 1)[:, None] * side + np.minimum(low_x + dx, side - 1)).ravel()
            kept = both & (weight > 0)
            rows.append(p * side * side + np.flatnonzero(kept))
            columns.append(column[kept])
            weights.append(weight[kept])
        inside.append(both)
    values = np.concatenate(weights).astype(np.float32), (np.concatenate(rows), np.concatenate(columns))
    return csr_array(values, shape=(len(PATHS) * side * side, side * side)), np.concatenate(inside).astype(np.float32)


def _taps(at: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pixel before each place of an axis, how far it is on the way to the next, and whether both are there."""
    at = np.round(at, 6)
    low = np.clip(np.floor(at).astype(np.int64), 0, side - 1)
    return low, np.clip(at - low, 0, 1), (at >= 0) & (at <= side - 1)
