"""Random frames: one of each part, by the draw and the file's name alone; and folders of pictures as clips."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest
from modalities.films import bursts, film, number_of, numbered
from modalities.samples import save

from sensorium.core.errors import BadFile
from sensorium.modalities import Audio, BadRaw, Video

WIDE = Video(size=32, frames=4, sampling="random")
CLIP = np.arange(40, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)


def drawn(raw, draw: int = 0, field: Video = WIDE) -> list[int]:
    return field.prepare(raw, draw=draw)["video"][:, 0, 0, 0].tolist()


def test_each_part_gives_one_of_its_frames_and_each_of_them_in_time():
    seen = np.array([drawn(CLIP, draw) for draw in range(200)])
    for part in range(4):
        assert set(seen[:, part]) == set(range(10 * part, 10 * part + 10))
    assert len({tuple(row) for row in seen}) > 190
    assert WIDE.draws and not Video().draws and not Video(sampling="segment").draws


def test_parts_that_do_not_divide_the_clip_leave_no_frame_out():
    seen = np.array([drawn(CLIP[:10], draw) for draw in range(200)])
    assert [sorted(set(seen[:, i].tolist())) for i in range(4)] == [[0, 1], [2, 3, 4], [5, 6], [7, 8, 9]]
    assert drawn(CLIP[:3]) == [0, 1, 2, 0], "a short clip keeps its frames"


def test_a_draw_depends_on_the_number_and_the_name_only(tmp_path):
    source = film(stamps=range(60))
    (tmp_path / "there").mkdir()
    for path in (tmp_path / "a.mp4", tmp_path / "there" / "a.mp4", tmp_path / "b.mp4"):
        path.write_bytes(source)
    times = lambda raw, draw: WIDE.prepare(raw, draw=draw)["video/time"].tolist()  # noqa: E731
    a = times(tmp_path / "a.mp4", 5)
    assert a == times(str(tmp_path / "there" / "a.mp4"), 5)
    assert a != times(tmp_path / "b.mp4", 5) and a != times(tmp_path / "a.mp4", 6)
    assert times(source, -1) == times(source, -1) != times(source, 1)
    code = "import sys; from sensorium.modalities import Video; from pathlib import Path;"
    code += "print(Video(size=32, frames=4, sampling='random').prepare(Path(sys.argv[1]), draw=5)['video/time'].tolist())"
    other = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.mp4")], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == str(a)


@dataclass(frozen=True)
class Member:
    """A file inside another one, as sources hand it over."""

    data: bytes
    place: str

    def read(self) -> bytes:
        return self.data

    def __str__(self) -> str:
        return self.place


def test_what_lies_inside_something_else_is_read_and_named_by_its_place():
    source = film(stamps=range(60), sound="aac", wave=bursts(2, [1.0]))
    for field in (Video(size=16, frames=4), Audio(seconds=1.5)):
        got, expected = field.prepare(Member(source, "a.tar: 1.mp4")), field.prepare(source)
        for key in expected:
            np.testing.assert_array_equal(got[key], expected[key])
        with pytest.raises(BadFile, match=r"^a\.tar: 2\.mp4: .*cut short"):
            field.prepare(Member(source[:-40], "a.tar: 2.mp4"))
        assert field.measure(Member(source, "x"))[0] == field.measure(source)[0]
    times = [WIDE.prepare(Member(source, place))["video/time"].tolist() for place in ("a", "a", "b")]
    assert times[0] == times[1] != times[2]


def test_a_draw_changes_nothing_where_nothing_is_drawn():
    for sampling in ("uniform", "segment"):
        field = Video(size=8, frames=4, sampling=sampling)
        assert drawn(CLIP, 1, field) == drawn(CLIP, 2, field)


@pytest.fixture
def folder(tmp_path):
    """12 frames: 1.png to 12.png, a hidden picture and a text."""
    for i in range(12):
        save(tmp_path / "clip" / f"frame{i + 1}.png", numbered(i)[:, 24:56])
    save(tmp_path / "clip" / ".frame0.png", numbered(99)[:, 24:56])
    (tmp_path / "clip" / "notes.txt").write_text("no frame")
    return tmp_path / "clip"


def test_a_folder_of_pictures_is_a_clip_in_the_order_of_its_numbers(folder):
    frames = np.stack([numbered(i)[:, 24:56] for i in range(12)])
    field = Video(size=32, frames=6)
    for raw, fps in ((folder, 25), (str(folder), 25), ((folder, 10), 10)):
        got, expected = field.prepare(raw), field.prepare((frames, fps))
        for key in expected:
            np.testing.assert_array_equal(got[key], expected[key])
    assert field.measure((folder, 10)) == (1.2, 1.2)
    short = Video(size=32, frames=6, seconds=0.4).prepare((folder, 10))
    assert short["video/mask"].tolist() == [True] * 4 + [False] * 2


def test_only_the_chosen_frames_of_a_folder_are_decoded(folder):
    (folder / "frame5.png").write_bytes(b"broken")
    assert Video(size=32, frames=2).prepare(folder)["video/mask"].all()
    with pytest.raises(BadFile, match=r"frame5\.png: not a picture"):
        Video(size=32, frames=12).prepare(folder)


def test_folders_without_frames_are_told(tmp_path, folder, monkeypatch):
    with pytest.raises(BadFile, match=r"a folder without pictures: expected the frames of a clip, as \.jpg"):
        Video().prepare(tmp_path)
    with pytest.raises(BadRaw, match="a video of 0 frames a second"):
        Video().prepare((folder, 0))
    monkeypatch.setenv("SENSORIUM_LIMITS", "frames=11")
    with pytest.raises(BadFile, match="more than 11 frames"):
        Video().prepare(folder)


def test_numbers_are_read_from_pictures_as_they_were_written():
    assert [number_of(numbered(i)) for i in (0, 1, 5, 512, 1023)] == [0, 1, 5, 512, 1023]
