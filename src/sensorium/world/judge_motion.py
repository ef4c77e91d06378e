"""Reads motion back from clips and traces: each is held against every motion that there is, and the nearest one is taken."""

from functools import cache

import numpy as np
from jaxtyping import Float, Int, UInt8

from sensorium.world import judge, trace
from sensorium.world.clip import FRAMES, MIDDLE, PATHS, offsets, zooms
from sensorium.world.motion import MOTIONS
from sensorium.world.picture import SIZE
from sensorium.world.scene import Scenes

_ASKED = (0, 4, 11, FRAMES - 1)
_QUIET = 0.25  # m/s²: the root-mean-square of a motion that is felt through the noise


def of_clips(clips: UInt8[np.ndarray, "B 16 64 64 3"]) -> tuple[Scenes, Int[np.ndarray, " B"]]:
    """The scene that each clip shows, and the number of its motion in `MOTIONS`."""
    paths = [PATHS[_path(clip)] for clip in clips]
    pictures = [_still(clip[MIDDLE], path) for clip, path in zip(clips, paths, strict=True)]
    return judge.of_pictures(np.stack(pictures)), np.array([kind for kind, _, _ in paths])


def motions_of_clips(clips: UInt8[np.ndarray, "B 16 64 64 3"]) -> Int[np.ndarray, " B"]:
    """The number of each clip's motion alone, which is faster."""
    return np.array([PATHS[_path(clip)][0] for clip in clips])


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


def _path(clip: np.ndarray) -> int:
    """The number in `PATHS` of the motion that foretells frames best from the one in the middle."""
    grey = clip[[MIDDLE, *_ASKED]].astype(np.float32).sum(-1).reshape(1 + len(_ASKED), -1)
    grey -= np.median(grey[0])
    known = np.append(grey[0], np.float32(0))  # what came in from beyond the border is taken for ground
    error = np.square(known[_sources()] - grey[1:]).sum((1, 2))
    return int(error.argmin())


@cache
def _sources() -> Int[np.ndarray, "P 4 4096"]:
    """Which pixel of the middle frame each pixel of the asked frames was, on each path; 4096 for none."""
    middle, pixels = (SIZE - 1) / 2, np.arange(SIZE)
    out = np.empty((len(PATHS), len(_ASKED), SIZE, SIZE), np.int32)
    for p, (kind, reach, turn) in enumerate(PATHS):
        moves, scales = offsets(kind, reach, turn), zooms(kind, reach)
        for i, t in enumerate(_ASKED):
            ratio = scales[MIDDLE] / scales[t]
            y, x = (np.rint(middle + (pixels - moves[t][a] - middle) * ratio + moves[MIDDLE][a]).astype(int) for a in (0, 1))
            inside = ((y >= 0) & (y < SIZE))[:, None] & ((x >= 0) & (x < SIZE))
            out[p, i] = np.where(inside, y[:, None] * SIZE + x, SIZE * SIZE)
    return out.reshape(len(PATHS), len(_ASKED), -1)


def _still(frame: np.ndarray, path: tuple[int, int, int]) -> np.ndarray:
    """The frame in the middle, moved to where the picture of the scene has it."""
    down, right = offsets(*path)[MIDDLE]
    ground = np.median(frame.reshape(-1, 3), axis=0).astype(np.uint8)
    out = np.empty_like(frame)
    out[:] = ground
    y, x = np.arange(SIZE) + down, np.arange(SIZE) + right
    rows, columns = (y >= 0) & (y < SIZE), (x >= 0) & (x < SIZE)
    out[np.ix_(rows, columns)] = frame[np.ix_(y[rows], x[columns])]
    return out
