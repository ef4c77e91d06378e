"""A video with sound is heard wherever it lies: in a folder, through a manifest, in a tar file, at an address."""

import io
import json
import tarfile

import fsspec
import numpy as np
import pytest
from modalities.films import bursts, film

from sensorium import data
from sensorium.data import Folder, split
from sensorium.modalities import Audio, Video

LOUD = film(stamps=range(10), sound="aac", wave=bursts(0.4, [0.1]))
MUTE = film(stamps=range(10))
FIELDS = (Video(size=8, frames=2), Audio(rate=8000, seconds=0.4))


def folder(root):
    (root / "video").mkdir(parents=True)
    (root / "captions").mkdir()
    for i, content in enumerate((LOUD, LOUD, MUTE)):
        (root / "video" / f"{i}.mp4").write_bytes(content)
        (root / "captions" / f"{i}.txt").write_text(f"clip {i}\n")
    return root


def shards(root):
    folder(root / "files")
    with tarfile.open(root / "clips.tar", "w") as tar:
        for path in sorted((root / "files").rglob("*.*")):
            member = tarfile.TarInfo(path.name)
            member.size = path.stat().st_size
            tar.addfile(member, io.BytesIO(path.read_bytes()))
    return root / "clips.tar"


def listed(root):
    folder(root)
    lines = [{"video": f"video/{i}.mp4", "caption": f"clip {i}"} for i in range(3)]
    (root / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return root / "manifest.jsonl"


def remote(root):
    files = fsspec.filesystem("memory")
    for path in folder(root).rglob("*.*"):
        files.pipe(f"/tracks/{path.relative_to(root)}", path.read_bytes())
    return "memory://tracks"


@pytest.mark.parametrize("made", [folder, shards, listed, remote])
def test_the_track_is_the_sound_of_its_item_and_a_mute_video_has_none(tmp_path, made):
    source = data.open(made(tmp_path / "x"), FIELDS)
    assert len(source) == 3
    taken = source.take(range(3))
    assert taken.batch["video/here"].all() and taken.batch["audio/here"].tolist() == [True, True, False]
    assert taken.asked == 5 and not taken.rejects
    beginning, burst = np.abs(taken.batch["audio"][0, :700]).max(), np.abs(taken.batch["audio"][0, 700:1700]).max()
    assert burst > 0.2 > 5 * beginning, "the burst at 0.1 s is heard where it is"
    assert {field.kind for field in data.fields_for(source.items)} == {"video", "text", "audio"}


def test_lazy_items_stay_lazy_and_are_split_as_before(tmp_path):
    items = data.scan(shards(tmp_path / "x")).items
    assert not isinstance(items, tuple) and [set(item.raws) for item in items[:2]] == [{"video", "text", "audio"}] * 2
    assert len(split(items, "train")) + len(split(items, "validation")) == 3
    assert Folder(items, FIELDS).fingerprint() == Folder(data.scan(tmp_path / "x" / "clips.tar").items, FIELDS).fingerprint()


def test_where_no_video_sounds_or_the_user_says_what_does_there_is_no_sound(tmp_path):
    path = listed(tmp_path / "x")
    assert all("audio" not in item.raws for item in data.scan(path, {"audio": []}).items)
    for i in range(3):
        (tmp_path / "x" / "video" / f"{i}.mp4").write_bytes(MUTE)
    assert all("audio" not in item.raws for item in data.scan(path).items)
