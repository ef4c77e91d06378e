"""Summaries: how a clip is cut, which windows say the same, and how times are written."""

import numpy as np
import pytest

from sensorium.modalities import BadRaw, Video
from sensorium.models.summarizing import clock, grouped, windows

LN = np.log


def clip(frames: int) -> np.ndarray:
    """Frame i is of grey i."""
    return np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None, None], (frames, 8, 8, 3)).copy()


def test_a_clip_is_cut_into_windows_of_one_length_each_with_first_and_last_frame():
    field = Video(size=8, frames=3)
    found = list(windows(field, (clip(40), 8.0), 2.0))  # 5 s: 2.5 windows, of which two are made
    assert [(part.start, part.end) for part in found] == [(0.0, 2.5), (2.5, 5.0)]
    assert [part.frames[:, 0, 0, 0].tolist() for part in found] == [[0, 10, 19], [20, 30, 39]]
    (short,) = windows(field, (clip(2), 8.0), 2.0)
    assert short.frames.shape == (2, 8, 8, 3) and short.end == 0.25
    with pytest.raises(BadRaw, match=r"a clip of 5000 s in windows of 0.1 s: take windows of 0.8 s or more"):
        list(windows(field, (clip(250), 0.05), 0.1))


def test_windows_that_say_the_same_in_other_words_are_one_and_take_the_likeliest():
    told = ["it goes left", "it moves left", "it grows", "it grows", "?"]
    chances = LN([[0.5, 0.4, 1e-9], [0.4, 0.45, 1e-9], [1e-9, 1e-9, 0.9], [1e-9, 1e-9, 0.8], [1e-9, 1e-9, 1e-9]])
    texts = ["it goes left", "it moves left", "it grows"]
    assert grouped(told, texts, chances) == [([0, 1], "it goes left"), ([2, 3], "it grows"), ([4], "?")]
    apart = grouped(["a", "b"], ["a", "b"], LN([[0.5, 1e-3], [1e-3, 0.5]]))
    assert apart == [([0], "a"), ([1], "b")]


def test_times_are_written_as_people_do():
    assert [clock(x) for x in (0, 4.5, 64.04, 3725.25)] == ["0:00", "0:04.5", "1:04", "1:02:05.2"]
