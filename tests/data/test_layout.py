import json
import os
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
from data.trees import three_folders, write
from modalities.samples import save, sine, smooth, sound

from sensorium.core.errors import BadFile
from sensorium.data import Problem, scan, split
from sensorium.data import open as open_folder
from sensorium.modalities import MODALITIES, Image, video_file


def names(listing) -> dict[str, set[str]]:
    return {item.id: set(item.raws) for item in listing.items}


def test_three_folders_with_equal_stems(tmp_path):
    root = three_folders(tmp_path, 3)
    (root / "audio" / "item1.wav").unlink()
    (root / "images" / "item2.png").unlink()
    write(root / "captions" / "item3.txt", "only words")
    listing = scan(root)
    assert names(listing) == {
        "item0": {"image", "text", "audio"},
        "item1": {"image", "text"},
        "item2": {"text", "audio"},
        "item3": {"text"},
    }
    assert listing.items[0].raws["image"] == (root / "images" / "item0.png",)
    assert listing.items[0].raws["text"] == ("a picture number 0", "number 0 as a picture")
    assert listing.problems == () and listing.unused == () and listing.root == root
    assert listing.layout.startswith("folders audio/, captions/, images/")


def test_any_subset_nested_folders_upper_case_and_hidden_files(tmp_path):
    save(tmp_path / "Images" / "a" / "x.PNG", smooth(8, 8))
    save(tmp_path / "Images" / "b" / "x.JpEg", smooth(8, 8), format="JPEG")
    save(tmp_path / "Images" / ".hidden.png", smooth(8, 8))
    save(tmp_path / "Images" / ".thumbs" / "x.png", smooth(8, 8))
    write(tmp_path / "captions" / "b" / "x.TXT", "in b")
    write(tmp_path / "captions" / "b" / "x.notes.md", "no caption")
    write(tmp_path / "README.txt", "no caption either")
    listing = scan(tmp_path)
    assert names(listing) == {"a/x": {"image"}, "b/x": {"image", "text"}}
    assert {path.name for path in listing.unused} == {"x.notes.md", "README.txt"}
    save(tmp_path / "a" / "x.png", smooth(8, 8))
    save(tmp_path / "y.png", smooth(8, 8))
    write(tmp_path / "labels.csv", "id,label\n")
    whole = scan(tmp_path, alone=True)
    assert names(whole) == names(listing) | {"README": {"text"}, "a/x.png": {"image"}, "y": {"image"}}, "a/x is taken"
    assert {path.name for path in whole.unused} == {"x.notes.md", "labels.csv"}


def test_files_side_by_side(tmp_path):
    save(tmp_path / "cat.jpg", smooth(8, 8))
    write(tmp_path / "cat.txt", "a cat")
    sound(tmp_path / "cat.wav", sine(440, 8000, 0.1), 8000)
    save(tmp_path / "trip" / "photo.v2.png", smooth(8, 8))
    write(tmp_path / "trip" / "photo.v2.txt", "a trip")
    write(tmp_path / "LICENSE.txt", "not a caption of anything")
    listing = scan(tmp_path)
    assert names(listing) == {"cat": {"image", "text", "audio"}, "trip/photo.v2": {"image", "text"}}
    assert [path.name for path in listing.unused] == ["LICENSE.txt"]
    whole = scan(tmp_path, alone=True)
    assert names(whole) == names(listing) | {"LICENSE": {"text"}} and whole.unused == () and whole.layout == listing.layout
    assert listing.layout.startswith("files side by side")


def test_texts_alone_are_items_where_there_is_nothing_else(tmp_path):
    write(tmp_path / "a.txt", "one")
    write(tmp_path / "b.txt", "two")
    assert names(scan(tmp_path)) == {"a": {"text"}, "b": {"text"}}


def test_the_order_is_that_of_the_ids_not_of_the_disk(tmp_path):
    for name in ("b", "a10", "a2", "c/a", "B"):
        save(tmp_path / f"{name}.png", smooth(8, 8))
    ids = [item.id for item in scan(tmp_path).items]
    assert ids == sorted(ids) and len(ids) == 5
    root = three_folders(tmp_path / "folders", 1)
    sound(root / "audio" / "z.wav", sine(440, 8000, 0.1), 8000)
    save(root / "images" / "b.png", smooth(8, 8))
    assert [item.id for item in scan(root).items] == ["b", "item0", "z"]


def test_two_pictures_of_one_stem_use_the_first_and_tell(tmp_path):
    save(tmp_path / "cat.jpeg", smooth(8, 8))
    save(tmp_path / "cat.png", smooth(8, 8))
    listing = scan(tmp_path)
    assert listing.items[0].raws["image"] == (tmp_path / "cat.jpeg",)
    (told,) = listing.problems
    assert (told.path, told.kind) == (str(tmp_path / "cat.png"), "image") and "cat.jpeg is used" in told.cause
    assert listing.unused == ()


def test_latin_1_and_blank_captions_are_told_and_the_picture_stays(tmp_path):
    save(tmp_path / "a.png", smooth(8, 8))
    write(tmp_path / "a.txt", "Müsli".encode("latin-1"))
    save(tmp_path / "b.png", smooth(8, 8))
    write(tmp_path / "b.txt", "\n \n")
    listing = scan(tmp_path)
    assert names(listing) == {"a": {"image"}, "b": {"image"}}
    assert [p.kind for p in listing.problems] == ["text", "text"] and "Latin-1" in listing.problems[0].cause


@pytest.mark.parametrize("manifest", ["manifest.csv", "metadata.csv"])
def test_a_manifest_in_the_folder_comes_first(tmp_path, manifest):
    root = three_folders(tmp_path, 2)
    write(root / manifest, "image,caption\nimages/item1.png,told by the manifest\n")
    write(root / "manifest.jsonl", '{"image": "images/item0.png"}\n')
    listing = scan(root)
    first = "manifest.csv" if manifest == "manifest.csv" else "manifest.jsonl"
    assert listing.layout.startswith(f"manifest {first}")
    assert [p for p in listing.problems if p.kind == "manifest" and f"{first} is read" in p.cause]
    assert len(listing.items) == 1 and len(listing.unused) == 5
    assert scan(root / manifest).items[0].raws["text"] == ("told by the manifest",)


def test_what_cannot_be_used_is_an_error_that_says_what_is_expected(tmp_path):
    with pytest.raises(BadFile, match="no such file or folder"):
        scan(tmp_path / "absent")
    with pytest.raises(BadFile, match=r"the folder is empty\. Expected folders images/"):
        scan(tmp_path)
    path = write(tmp_path / "notes.md", "x")
    with pytest.raises(BadFile, match="none of the 1 files in it is a picture, caption, sound, video or sensor reading"):
        scan(tmp_path)
    with pytest.raises(BadFile, match="neither a folder nor a manifest"):
        scan(path)
    write(tmp_path / "a.txt", b"\xff\xff")
    with pytest.raises(BadFile, match=r"nothing in it can be used.*not UTF-8"):
        scan(tmp_path)


def test_links_that_go_round_in_circles_end(tmp_path):
    save(tmp_path / "a" / "x.png", smooth(8, 8))
    os.symlink(tmp_path, tmp_path / "a" / "again")
    assert [item.id for item in scan(tmp_path).items] == ["a/x"]


def test_a_folder_of_frames_is_a_clip(tmp_path):
    for i in range(3):
        save(tmp_path / "video" / "clip01" / f"{i:04d}.png", smooth(8, 8, seed=i))
        save(tmp_path / "video" / "deep" / "clip02" / f"{i:04d}.jpg", smooth(8, 8, seed=i), format="JPEG")
    save(tmp_path / "video" / "moving.gif", smooth(8, 8))
    save(tmp_path / "video" / "lost.png", smooth(8, 8))
    write(tmp_path / "captions" / "clip01.txt", "frames")
    listing = scan(tmp_path)
    assert names(listing) == {"clip01": {"video", "text"}, "deep/clip02": {"video"}, "moving": {"video"}}
    assert listing.items[0].raws["video"] == (tmp_path / "video" / "clip01",)
    assert [path.name for path in listing.unused] == ["lost.png"] and listing.problems == ()


def test_the_sound_track_of_a_video_is_its_sound_unless_it_has_another(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(video_file, "has_sound", lambda path: asked.append(path.name) or path.name != "mute.mp4")
    for name in ("loud", "mute", "own"):
        write(tmp_path / "video" / f"{name}.mp4", b"a film")
    sound(tmp_path / "audio" / "own.wav", sine(440, 8000, 0.1), 8000)
    listing = scan(tmp_path)
    assert names(listing) == {"loud": {"video", "audio"}, "mute": {"video"}, "own": {"video", "audio"}}
    assert listing.items[0].raws["audio"] == (tmp_path / "video" / "loud.mp4",)
    assert listing.items[2].raws["audio"] == (tmp_path / "audio" / "own.wav",) and sorted(asked) == ["loud.mp4", "mute.mp4"]
    path = write(tmp_path / "m.csv", "video,audio\nvideo/loud.mp4,\nvideo/mute.mp4,\nvideo/own.mp4,audio/own.wav\n")
    kinds = {"loud": {"video", "audio"}, "mute": {"video"}, "own": {"video", "audio"}}
    assert names(scan(path)) == {f"{'audio' if name == 'own' else 'video'}/{name}": one for name, one in kinds.items()}
    assert scan(path).items[1].raws["audio"] == (tmp_path / "video" / "loud.mp4",)
    assert names(scan(path, {"audio": []}))["video/loud"] == {"video"}  # the user says that there is no sound
    monkeypatch.undo()
    assert names(scan(tmp_path))["loud"] == {"video"}  # broken: told when it is read


def test_odd_links_pipes_and_names_are_read_or_told(tmp_path):
    save(tmp_path / "fine.png", smooth(8, 8))
    os.symlink(tmp_path / "self.png", tmp_path / "self.png")
    os.symlink("nowhere.png", tmp_path / "gone.png")
    os.symlink(tmp_path / "fine.png", tmp_path / "linked.png")
    os.mkfifo(tmp_path / "pipe.txt")
    save(tmp_path / "two\nlines.png", smooth(8, 8))
    bad = os.fsdecode(b"caf\xe9.png")
    save(tmp_path / "x.png", smooth(8, 8))
    os.rename(tmp_path / "x.png", tmp_path / bad)
    write(tmp_path / os.fsdecode(b"caf\xe9.txt"), b"\xff")
    listing = scan(tmp_path)
    assert names(listing) == {
        "fine": {"image"},
        "linked": {"image"},
        "two\nlines": {"image"},
        os.fsdecode(b"caf\xe9"): {"image"},
    }
    told = {os.path.basename(p.path): p for p in listing.problems}
    assert "goes in circles" in told["self.png"].cause and "a link to nowhere.png" in told["gone.png"].cause
    assert "a pipe" in told["pipe.txt"].cause
    assert str(told[os.fsdecode(b"caf\xe9.txt")]).endswith(
        "caf\\udce9.txt: not UTF-8 (byte 0xff at 0); perhaps it is Latin-1: save it as UTF-8"
    )
    assert "\n" not in str(Problem("a\nb", "image", "c")) and str(Problem("a\nb", "image", "c")) == "a\\nb: c"
    folder = open_folder(tmp_path, (Image(size=8),))
    assert folder.read(range(4))["image/here"].all()
    assert sum(len(split(listing.items, name, 0.5)) for name in ("train", "validation")) == 4


def test_a_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch):
    save(tmp_path / "fine.png", smooth(8, 8))
    real = os.scandir

    def refusing(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    (tmp_path / "closed").mkdir()
    monkeypatch.setattr(os, "scandir", refusing)
    (told,) = scan(tmp_path).problems
    assert (told.path, told.cause) == (str(tmp_path / "closed"), "Permission denied")


@dataclass(frozen=True)
class Depth:
    """A modality of the user's own: 4 × 4 distances in metres, as text."""

    name: str = "depth"
    kind: ClassVar[str] = "depth"
    folder: ClassVar[str] = "depth"
    suffixes: ClassVar[tuple[str, ...]] = (".depth",)
    tower: ClassVar[str] = "convnet"

    def prepare(self, raw):
        return {"depth": np.array(raw.read_text().split(), np.float32).reshape(4, 4)}

    def blank(self):
        return {"depth": np.zeros((4, 4), np.float32)}

    def show(self, x):
        return x


def test_a_modality_of_the_users_own_has_its_folder_its_suffix_and_its_columns(tmp_path, monkeypatch):
    monkeypatch.setitem(MODALITIES, "depth", Depth)
    numbers = " ".join(str(i) for i in range(16))
    save(tmp_path / "a" / "images" / "x.png", smooth(8, 8))
    write(tmp_path / "a" / "depth" / "x.DEPTH", numbers)
    save(tmp_path / "b" / "x.png", smooth(8, 8))
    write(tmp_path / "b" / "x.depth", numbers)
    for folder in ("a", "b"):
        assert names(scan(tmp_path / folder)) == {"x": {"image", "depth"}}
        batch = open_folder(tmp_path / folder, (Image(size=8), Depth())).read([0])
        assert batch["depth"][0, 3, 3] == 15 and batch["depth/here"].all()
    for column in ("depth", "Depth file", "z"):
        path = write(tmp_path / "b" / "list.csv", f"image,{column}\nx.png,x.depth\n")
        assert scan(path).items[0].raws["depth"] == (tmp_path / "b" / "x.depth",)
        assert scan(path).layout == f"manifest list.csv: image from image, depth from {column}"
    write(tmp_path / "c" / "notes.md", "x")
    with pytest.raises(BadFile, match=r"or depth\. Expected folders .* depth/"):
        scan(tmp_path / "c")


def test_sensor_readings_have_a_folder_and_a_lone_table_beside_pictures_is_none(tmp_path):
    write(tmp_path / "a" / "sensor" / "x.csv", "t,x\n0,1\n1,2\n")
    save(tmp_path / "a" / "images" / "x.png", smooth(8, 8))
    assert names(scan(tmp_path / "a")) == {"x": {"image", "sensor"}}
    save(tmp_path / "b" / "x.png", smooth(8, 8))
    write(tmp_path / "b" / "labels.csv", "a,b\n1,2\n")
    listing = scan(tmp_path / "b")
    assert names(listing) == {"x": {"image"}} and [path.name for path in listing.unused] == ["labels.csv"]
    write(tmp_path / "b" / "x.csv", "t,x\n0,1\n1,2\n")
    assert names(scan(tmp_path / "b"))["x"] == {"image", "sensor"}
    write(tmp_path / "c" / "one.csv", "t,x\n0,1\n")
    assert names(scan(tmp_path / "c")) == {"one": {"sensor"}}


def test_caption_files_that_repeat_the_manifest_are_not_told_as_unused(tmp_path):
    root = three_folders(tmp_path, 3)
    lines = [
        {"id": f"item{i}", "image": f"images/item{i}.png", "caption": caption} for i in range(3) for caption in _lines(root, i)
    ]
    (root / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    (root / "captions" / "item2.txt").write_text("something else\n")
    unused = {str(path.relative_to(root)) for path in scan(root).unused}  # pyright: ignore[reportArgumentType]
    assert unused == {"captions/item2.txt", *(f"audio/item{i}.wav" for i in range(3))}


def _lines(root, i: int) -> list[str]:
    return (root / "captions" / f"item{i}.txt").read_text().splitlines()
