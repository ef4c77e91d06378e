"""Clips: the frames that are chosen, upright, in their order, with their times; what is none is told."""

import json
from dataclasses import asdict
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from modalities.samples import clip, moving

from sensorium.core.errors import BadFile
from sensorium.core.protocols import Modality
from sensorium.encoders import ENCODERS
from sensorium.modalities import MODALITIES, BadRaw, Image, Video
from sensorium.nn.frames import sample_frames

FIELD = Video(size=16, frames=4)
CODECS = [
    ("mp4", "libx264"),
    ("mov", "mpeg4"),
    ("webm", "libvpx"),
    ("webm", "libvpx-vp9"),
    ("matroska", "libx264"),
    ("avi", "mpeg4"),
    ("avi", "mjpeg"),
    ("gif", "gif"),
]


def reds(arrays: dict) -> list[int]:
    """The numbers of the frames, as they are written into their red."""
    real = arrays["video"][arrays["video/mask"]]
    return [round(x) for x in real[..., 0].mean((1, 2)) / 12]


@pytest.mark.parametrize(("form", "codec"), CODECS)
def test_the_frames_of_a_file_are_those_of_the_array(form, codec):
    data = clip(form, codec)
    from_file, from_array = FIELD.prepare(data), FIELD.prepare((moving(20), 10))
    assert reds(from_file) == [0, 6, 13, 19]
    difference = from_file["video"].astype(int) - from_array["video"]
    assert np.abs(difference).mean() < 6
    np.testing.assert_allclose(from_file["video/time"], [0, 0.6, 1.3, 1.9], atol=0.02)
    np.testing.assert_array_equal(from_file["video/mask"], True)
    np.testing.assert_allclose(from_array["video/time"], [0, 0.6, 1.3, 1.9], atol=1e-6)


def test_a_path_is_the_same_as_its_bytes(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(clip())
    for arrays in (FIELD.prepare(path), FIELD.prepare(str(path))):
        for key, value in FIELD.prepare(path.read_bytes()).items():
            np.testing.assert_array_equal(arrays[key], value)


@pytest.mark.parametrize("sampling", ["uniform", "segment"])
@pytest.mark.parametrize(("total", "frames"), [(1, 1), (5, 1), (5, 4), (20, 7), (17, 16), (40, 16)])
def test_the_frames_are_those_that_encoders_choose(sampling, total, frames):
    array = np.broadcast_to(np.arange(total, dtype=np.uint8)[:, None, None, None], (total, 4, 4, 3))
    got = Video(size=4, frames=frames, sampling=sampling).prepare(array)
    index, kept = sample_frames(jnp.ones((1, total), bool), frames, sampling)
    assert got["video"][:, 0, 0, 0].tolist() == index[0].tolist() and got["video/mask"].tolist() == kept[0].tolist()


def test_a_short_clip_is_masked_and_not_stretched():
    """The encoder of the sample code took clips of one length only."""
    for raw in (clip(frames=3), (moving(3), 10)):
        arrays = FIELD.prepare(raw)
        assert arrays["video/mask"].tolist() == [True, True, True, False] and reds(arrays) == [0, 1, 2]
        assert not arrays["video"][3].any() and arrays["video/time"][3] == 0
        np.testing.assert_allclose(arrays["video/time"][:3], [0, 0.1, 0.2], atol=1e-3)
    blank = FIELD.blank()
    assert not blank["video/mask"].any()
    assert {key: (x.shape, x.dtype) for key, x in blank.items()} == {key: (x.shape, x.dtype) for key, x in arrays.items()}


@pytest.mark.parametrize("codec", [("mp4", "libx264"), ("webm", "libvpx")])
def test_only_the_first_seconds_are_looked_at(codec):
    field = Video(size=8, frames=4, seconds=0.7)
    for raw in (clip(*codec, frames=20), (moving(20), 10)):
        assert reds(field.prepare(raw)) == [0, 2, 4, 6]
    assert reds(Video(size=8, frames=4, seconds=0.05).prepare(clip(*codec))) == [0]
    assert reds(Video(size=8, frames=4, seconds=99.0).prepare(clip(*codec))) == [0, 6, 13, 19]


def test_frames_come_in_the_order_in_which_they_are_seen():
    """With B-frames the order in the file is another one."""
    assert reds(Video(size=8, frames=20).prepare(clip(bf="3", g="9"))) == list(range(20))


def test_frames_are_upright_and_cut_as_pictures_are():
    left = FIELD.prepare(clip())["video"][0, ..., 1].astype(int)
    assert left[:, :7].min() > 150 and left[:, 9:].max() < 50
    for turn, edge in ((90, np.s_[9:, :]), (-90, np.s_[:7, :]), (180, np.s_[:, 9:])):
        turned = FIELD.prepare(clip(turn=turn))["video"][0, ..., 1].astype(int)
        assert turned[edge].min() > 150, turn
        assert turned.mean() == pytest.approx(left.mean(), abs=3)
    whole = FIELD.prepare(moving(1))["video"][0]
    np.testing.assert_array_equal(whole, Image(size=16).prepare(moving(1)[0])["image"])
    np.testing.assert_array_equal(FIELD.prepare(moving(1) / 255)["video"][0], whole)


def test_what_is_no_video_is_told():
    for raw, told in (
        (moving(2).transpose(0, 3, 1, 2), "channels come last: transpose it"),
        (moving(2)[0], r"u8|uint8\[48, 64, 3\]: the shape has to be T×H×W×C"),
        (moving(2)[:0], "none of them 0"),
        ((moving(2), 0), "a video of 0 frames a second"),
        (moving(2).astype(np.float32), r"floats are taken in \[0, 1\]"),
        ([1, 2, 3], "a video cannot be made of list"),
        (None, "give a path"),
    ):
        with pytest.raises(BadRaw, match=told):
            FIELD.prepare(raw)
    wrong: list[dict[str, Any]] = [
        {"size": 0},
        {"frames": 0},
        {"seconds": 0.0},
        {"seconds": float("nan")},
        {"sampling": "dense"},
    ]
    for arguments in wrong:
        with pytest.raises(BadRaw, match=next(iter(arguments))):
            Video(**arguments)
    with pytest.raises(BadFile):
        FIELD.prepare(b"text")


def test_a_video_is_a_modality_that_is_saved_and_has_a_tower():
    assert isinstance(FIELD, Modality)
    assert MODALITIES["video"](**json.loads(json.dumps(asdict(FIELD)))) == FIELD
    assert ENCODERS[FIELD.tower].arguments(FIELD) == {"frames": 4, "size": 16, "fps": 25.0}
    assert Video(frames=8, seconds=2.0).fps == 4.0


def test_a_clip_is_shown_as_its_frames_side_by_side():
    arrays = FIELD.prepare(moving(4))
    shown = np.asarray(FIELD.show(arrays["video"]))
    np.testing.assert_array_equal(np.stack(np.split(shown, 4, axis=1)), arrays["video"])
