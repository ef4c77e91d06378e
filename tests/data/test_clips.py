"""Clips among the files of a folder: found, listed, checked and read as pictures are."""

import numpy as np
import pytest
from data.trees import half, write
from modalities.films import bursts, film
from modalities.samples import clip, save, smooth

from sensorium import data
from sensorium.core.errors import BadFile
from sensorium.data import check, fields_for, scan
from sensorium.modalities import Audio, Video


def kinds(listing: data.Listing) -> dict[str, list[str]]:
    return {item.id: sorted(item.raws) for item in listing.items}


def test_video_and_videos_are_folders_of_clips(tmp_path):
    for folder in ("video", "Videos"):
        root = tmp_path / folder.lower()
        write(root / folder / "a.MP4", b"x")
        write(root / folder / "b.gif", b"x")
        write(root / "images" / "b.gif", b"x")
        write(root / "captions" / "a.txt", "one\n")
        listing = scan(root)
        assert kinds(listing) == {"a": ["text", "video"], "b": ["image", "video"]}
        assert f"{folder}/" in listing.layout


def test_side_by_side_a_gif_is_a_picture_and_an_mp4_a_clip(tmp_path):
    for name in ("a.mp4", "a.txt", "b.gif", "c.webm", "c.png"):
        write(tmp_path / name, "x")
    assert kinds(scan(tmp_path)) == {"a": ["text", "video"], "b": ["image"], "c": ["image", "video"]}


def test_columns_of_a_manifest_hold_clips_by_their_name_or_by_their_files(tmp_path):
    for name in ("a.mp4", "b.mp4", "a.gif", "b.gif"):
        write(tmp_path / name, "x")
    for header, suffix, kind in (
        ("video", "mp4", "video"),
        ("file_name", "mp4", "video"),
        ("clip", "mp4", "video"),
        ("video", "gif", "video"),
        ("file_name", "gif", "image"),
        ("image", "gif", "image"),
    ):
        rows = "".join(f"{name}.{suffix},said of {name}\n" for name in "ab")
        listing = scan(write(tmp_path / "manifest.csv", f"{header},caption\n{rows}"))
        assert kinds(listing) == {"a": sorted((kind, "text")), "b": sorted((kind, "text"))}, (header, suffix)
        assert f"{kind} from {header}" in listing.layout
    both = write(tmp_path / "manifest.csv", "video,image,caption\na.gif,b.gif,said\n")
    assert kinds(scan(both)) == {"b": ["image", "text", "video"]}


def test_clips_are_read_and_broken_ones_told(tmp_path):
    for name, frames in (("a", 20), ("b", 3), ("c", 20)):
        write(tmp_path / "video" / f"{name}.webm", clip("webm", "libvpx", frames))
        save(tmp_path / "images" / f"{name}.png", smooth(20, 20))
    half(tmp_path / "video" / "c.webm")
    assert fields_for(scan(tmp_path).items)[-1] == Video(size=64, frames=8)
    folder = data.open(tmp_path)
    batch = folder.read([2, 1, 0])
    assert batch["video"].shape == (3, 8, 64, 64, 3) and batch["video/here"].tolist() == [False, True, True]
    assert batch["video/mask"].sum(1).tolist() == [0, 3, 8] and not batch["video"][0].any()
    np.testing.assert_allclose(batch["video/time"][2], np.array([0, 3, 5, 8, 11, 14, 16, 19]) / 10, atol=0.002)
    health = check(tmp_path)
    told = health.to_json()
    assert told["counts"] == {"image": 3, "video": 2} and told["pairs"] == {"image+video": 2}
    assert told["lengths"]["video"]["longest"] == pytest.approx(2.0) and told["lengths"]["video"]["median"] == pytest.approx(1.15)
    assert [(problem.kind, problem.cause[:9]) for problem in health.broken] == [("video", "cut short")]
    assert [problem.cause for problem in folder.broken] == [problem.cause for problem in health.broken]


def test_what_cannot_be_used_names_clips_too(tmp_path):
    write(tmp_path / "a.md", "x")
    with pytest.raises(BadFile, match=r"a picture, caption, sound, video or .*\. Expected folders .* video\b"):
        scan(tmp_path)


def test_the_sound_track_of_a_clip_is_the_sound_of_its_item(tmp_path):
    """Sample 0 is the time of the first frame: frames from 0.4 s on, a tone at 1 s of a sound that begins at 0.3 s."""
    late = film(stamps=range(10, 60), sound="aac", wave=bursts(3, [1.0]), late=0.3)
    write(tmp_path / "video" / "a.mp4", late)
    write(tmp_path / "video" / "b.mp4", film())
    folder = data.open(tmp_path, fields=[Video(size=16, frames=4, seconds=2.0), Audio(rate=8000, seconds=2.0)])
    batch = folder.read([0, 1])
    assert batch["video/here"].all() and batch["audio/here"].tolist() == [True, False]
    assert np.flatnonzero(np.abs(batch["audio"][0]) > 0.1)[0] / 8000 == pytest.approx(0.9, abs=2e-3)
    assert batch["audio/mask"].sum(1).tolist() == [16000, 0] and not folder.broken
