"""Motion: a stream of its own, seen in clips, felt in traces, said in captions, and read back by the judge."""

import hashlib

import numpy as np
import pytest

from sensorium.modalities import Video
from sensorium.modalities.written import mp4_bytes
from sensorium.world import caption, clip, judge, judge_motion, motion, picture, scene, sound, trace
from sensorium.world.judge_picture import half
from sensorium.world.motion import MOTIONS

SCENES = scene.draw("train", np.arange(160), seed=3)
MOVED = motion.draw(SCENES)
CLIPS = clip.render(SCENES)


def of(name: str) -> np.ndarray:
    return np.flatnonzero(MOVED.kind == MOTIONS.index(name))


def test_what_seeds_drew_before_motion_they_draw_still():
    """The bytes of pictures, captions and sounds of before there was motion."""
    scenes = scene.draw("train", np.arange(16), seed=1)
    pictures = hashlib.sha256(picture.render(scenes).tobytes()).hexdigest()
    captions = hashlib.sha256("\n".join(caption.render(scenes, "list")).encode()).hexdigest()
    assert (pictures[:16], captions[:16]) == ("9dc25afc86728aea", "2a8f2c7de2b35861")
    assert len(caption.WORDS) == 35 and not set(caption.MOTION_WORDS) & set(caption.WORDS)
    np.testing.assert_allclose(np.abs(sound.mono(scenes)).sum(1)[:3], [153.62047, 209.30437, 288.16754], rtol=1e-5)


def test_all_motions_are_equally_frequent_and_independent_of_the_scene():
    scenes = scene.draw("train", np.arange(8000))
    kinds = motion.draw(scenes).kind
    assert (np.abs(np.bincount(kinds, minlength=8) / 8000 - 1 / 8) < 0.015).all()
    for count in (1, 2, 3):
        part = kinds[scenes.count == count]
        assert (np.abs(np.bincount(part, minlength=8) / len(part) - 1 / 8) < 0.04).all()


def test_the_frame_in_the_middle_is_the_picture():
    straight = MOVED.kind != MOTIONS.index("circle")
    np.testing.assert_array_equal(CLIPS[straight, clip.MIDDLE], picture.render(SCENES)[straight])
    assert CLIPS.shape == (160, 16, 64, 64, 3) and clip.FPS == 8


def test_a_clip_does_not_depend_on_its_neighbours():
    np.testing.assert_array_equal(clip.render(SCENES[5:7]), CLIPS[5:7])
    np.testing.assert_array_equal(trace.render(SCENES[5:7]), trace.render(SCENES)[5:7])


@pytest.mark.parametrize(("name", "axis", "sign"), [("left", 2, -1), ("right", 2, 1), ("up", 1, -1), ("down", 1, 1)])
def test_things_go_where_the_motion_says(name, axis, sign):
    """The first and the last frame are equal once they are moved over one another."""
    for row in of(name)[:12]:
        first, last = CLIPS[row, 0].astype(int), CLIPS[row, -1].astype(int)
        errors = {d: np.abs(np.roll(first, d, axis - 1) - last)[20:44, 20:44].mean() for d in range(-15, 16)}
        best = [d for d, error in errors.items() if error == min(errors.values())]
        travels = round(2 * clip.STEP * motion.REACHES[MOVED.reach[row]])
        assert len(best) > 1 or abs(best[0] - sign * travels) <= 1, (row, best)


def test_growing_things_cover_more_and_still_ones_do_nothing():
    ground = np.median(CLIPS.reshape(len(CLIPS), -1, 3), axis=1)[:, None, None, None]
    cover = (np.abs(CLIPS - ground).max(-1) > 24).sum((2, 3))
    for row in of("grow"):
        assert cover[row, -1] > 1.2 * cover[row, 0]
    for row in of("shrink"):
        assert cover[row, 0] > 1.2 * cover[row, -1]
    for row in of("still"):
        assert (CLIPS[row] == CLIPS[row, :1]).all()


@pytest.mark.parametrize("split", scene.SPLITS)
def test_the_judge_reads_motion_from_clips(split):
    scenes = scene.draw(split, np.arange(200), seed=5)
    kinds, clips = motion.draw(scenes).kind, clip.render(scenes)
    assert np.mean(judge_motion.motions_of_clips(clips[:60]) == kinds[:60]) >= 0.995
    for every in judge_motion.EVERY:
        assert np.mean(judge_motion.motions_of_clips(half(clips[:, ::every])) == kinds) >= 0.995


def test_the_judge_reads_scenes_from_clips():
    for clips in (CLIPS[:40], half(CLIPS)[:, ::2]):
        scenes, kinds = judge_motion.of_clips(clips)
        there, moved = SCENES[: len(clips)], MOVED.kind[: len(clips)]
        assert np.mean(kinds == moved) >= 0.995 and np.mean(scenes.id == there.id) >= 0.995


def test_blur_noise_and_flicker_hide_no_motion():
    """Each frame blurred by another amount, lit otherwise, and with noise of its own."""
    rng = np.random.default_rng(0)
    small = half(CLIPS)[:, ::2].astype(np.float32)
    for axis in (2, 3):
        share = rng.uniform(0.1, 0.3, (*small.shape[:2], 1, 1, 1)).astype(np.float32)
        small = (1 - 2 * share) * small + share * (np.roll(small, 1, axis) + np.roll(small, -1, axis))
    small = small * rng.uniform(0.9, 1.1, (*small.shape[:2], 1, 1, 1)) + rng.normal(0, 8, small.shape)
    read = judge_motion.motions_of_clips(np.clip(small, 0, 255).astype(np.uint8))
    assert np.mean(read == MOVED.kind) >= 0.99


def test_clips_of_other_sizes_are_told():
    for shape in ((1, 5, 64, 64, 3), (1, 16, 48, 48, 3), (1, 16, 64, 32, 3)):
        with pytest.raises(ValueError, match="reads 16 or 8 or 4 frames of side 64 or 32"):
            judge_motion.motions_of_clips(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("split", scene.SPLITS)
def test_the_judge_reads_motion_from_traces(split):
    scenes = scene.draw(split, np.arange(3000), seed=5)
    assert np.mean(judge_motion.motions_of_traces(trace.render(scenes)) == motion.draw(scenes).kind) >= 0.995


def test_a_trace_is_gravity_and_the_way_it_went():
    """Twice summed, the acceleration of a straight way is where it went: that far to either side."""
    traces = trace.render(SCENES)
    assert traces.shape == (160, 100, 3) and traces.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(traces.mean(1), axis=1), trace.GRAVITY, atol=0.05)
    assert (traces.mean(1)[:, 1] > 9.5).all(), "at rest it is pushed up"
    for name, axis in motion.AXES.items():
        for row in of(name)[:6]:
            felt = traces[row] - traces[row].mean(0)
            went = np.cumsum(np.cumsum(felt, axis=0), axis=0)[-1] / trace.RATE**2
            expected = 2 * trace.FAR * motion.REACHES[MOVED.reach[row]] * np.array(axis)
            np.testing.assert_allclose(went, expected, atol=0.12)
    for row in of("still"):
        assert traces[row].std(0).max() < 1.2 * trace.NOISE[1]


def test_motion_is_said_and_the_judge_knows_whether_it_is_true():
    things = caption.objects(SCENES)
    said = caption.render(SCENES, caption.MOTION)
    for own, kind, sentence in zip(things, MOVED.kind.tolist(), said, strict=True):
        assert judge.true(own, sentence, kind) and not judge.true(own, sentence, (kind + 1) % len(MOTIONS))
        assert set(sentence.split()) <= {*caption.WORDS, *caption.MOTION_WORDS}
        assert len(sentence.split()) <= caption.MOST_WORDS
    assert {w for sentence in said for w in sentence.split()} >= set(caption.MOTION_WORDS)
    with pytest.raises(ValueError, match="give the number of their motion"):
        judge.true(things[0], said[0])
    drawn = caption.styles(SCENES, (0.25, 0.25, 0.25, 0.25))
    assert set(drawn) == {*caption.STYLES, caption.MOTION}
    mixed = caption.render(SCENES, drawn)
    assert [one for one, style in zip(mixed, drawn, strict=True) if style == "motion"] == [
        one for one, style in zip(said, drawn, strict=True) if style == "motion"
    ]


def test_motion_survives_a_video_file():
    field = Video(size=64, frames=16)
    read = np.stack([field.prepare(mp4_bytes(one, clip.FPS))["video"] for one in CLIPS[:40]])
    assert read.shape == (40, 16, 64, 64, 3)
    assert np.mean(judge_motion.motions_of_clips(read) == MOVED.kind[:40]) == 1
    assert np.abs(read.astype(int) - CLIPS[:40]).mean() < 4
