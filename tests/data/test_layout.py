import os

import pytest
from data.trees import three_folders, write
from modalities.samples import save, sine, smooth, sound

from sensorium.core.errors import BadFile
from sensorium.data import scan


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
    with pytest.raises(BadFile, match="none of the 1 files in it is a picture, caption, sound or video"):
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
