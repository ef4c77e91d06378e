"""How far apart two tokens stand, in a few steps that grow with the distance (Raffel et al. 2020, section 2.1)."""

import math

import numpy as np
from jaxtyping import Int

FAR = 128
"""Tokens; all that stand farther apart are in the last step."""


def steps(length: int, count: int = 32) -> Int[np.ndarray, "L L"]:
    """`steps[i, j]`: the step of token j as token i sees it. One half of `count` is for those before it and itself, the other for
    those behind; of each half, one half is for single distances."""
    apart = np.arange(length)[:, None] - np.arange(length)[None]
    half, single = count // 2, count // 4
    far = np.abs(apart).astype(np.float32)
    # In float32, as PyTorch has it: at powers of two the last digit decides.
    grown = np.log(np.maximum(far, 1) / np.float32(single)) / np.float32(math.log(FAR / single)) * np.float32(half - single)
    large = np.minimum(single + grown.astype(np.int32), half - 1)
    return np.where(np.abs(apart) < single, np.abs(apart), large) + np.where(apart < 0, half, 0)
