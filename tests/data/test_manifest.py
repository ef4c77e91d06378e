import json

import pytest
from data.trees import write
from modalities.samples import save, sine, smooth, sound

from sensorium.core.errors import BadFile
from sensorium.data import scan


@pytest.fixture
def files(tmp_path):
    for name in ("a", "b", "c"):
        save(tmp_path / "pics" / f"{name}.png", smooth(8, 8))
        sound(tmp_path / "snd" / f"{name}.wav", sine(440, 8000, 0.05), 8000)
    return tmp_path


def told(path):
    listing = scan(path)
    return {item.id: item for item in listing.items}, listing


@pytest.mark.parametrize(
    "image, text, audio", [("image", "caption", "audio"), ("File Name", "Title", "sound"), ("filepath", "TEXT", "wav")]
)
def test_columns_go_by_their_names(files, image, text, audio):
    rows = "".join(f"pics/{n}.png,a thing called {n},snd/{n}.wav,7\n" for n in "ab")
    items, listing = told(write(files / "list.csv", f"{image},{text},{audio},year\n{rows}"))
    assert items["pics/a"].raws == {
        "image": (files / "pics/a.png",),
        "text": ("a thing called a",),
        "audio": (files / "snd/a.wav",),
    }
    assert items["pics/b"].metadata == {"year": "7"}
    assert listing.layout == f"manifest list.csv: image from {image}, audio from {audio}, text from {text}"


def test_columns_go_by_what_they_hold(files):
    items, listing = told(
        write(files / "m.tsv", "what\twhere\tsentence\nsnd/a.wav\tpics/a.png\tan a\nsnd/b.wav\tpics/b.png\ta b\n")
    )
    assert items["pics/a"].raws["audio"] == (files / "snd/a.wav",) and items["pics/a"].raws["text"] == ("an a",)
    assert "image from where, audio from what" in listing.layout
    items, _ = told(write(files / "n.csv", "text,caption\npics/a.png,a caption\n"))
    assert items["pics/a"].raws == {"image": (files / "pics/a.png",), "text": ("a caption",)}


def test_rows_of_one_picture_are_captions_of_one_item(files):
    items, _ = told(write(files / "flickr.csv", 'image,caption\npics/a.png,"one, two"\npics/b.png,b\npics/a.png,three\n'))
    assert items["pics/a"].raws["text"] == ("one, two", "three") and len(items) == 2


def test_numbered_columns_and_lists_are_alternatives(files):
    items, _ = told(write(files / "m.csv", "id,image,caption_0,caption_1\n7,pics/a.png,one,\n8,pics/b.png,two,three\n"))
    assert items["7"].raws["text"] == ("one",) and items["8"].raws["text"] == ("two", "three")
    line = json.dumps({"id": 9, "image": "pics/a.png", "captions": ["x", "y"], "tags": ["p"], "audio": None})
    items, _ = told(write(files / "m.jsonl", f"\ufeff{line}\n\n"))
    assert items["9"].raws == {"image": (files / "pics/a.png",), "text": ("x", "y")} and items["9"].metadata == {"tags": ["p"]}


def test_a_caption_column_may_name_files_and_semicolons_may_part(files):
    write(files / "caps" / "a.txt", "first\nsecond\n")
    items, _ = told(write(files / "m.csv", "picture;caption\npics/a.png;caps/a.txt\npics/b.png;not a file.txt\n"))
    assert items["pics/a"].raws["text"] == ("first", "second")
    assert items["pics/b"].raws["text"] == ("not a file.txt",)


def test_quoted_captions_keep_their_lines(files):
    items, _ = told(write(files / "m.csv", 'image,caption\r\npics/a.png,"two\r\nlines and ""quotes"""\r\n'))
    assert items["pics/a"].raws["text"] == ('two\r\nlines and "quotes"',)


def test_what_is_wrong_with_rows_is_told_once_and_the_rest_is_read(files):
    content = (
        "image,caption\npics/a.png,fine\npics/absent.png,one\npics/absent.png,two\nhttp://x.org/c.png,web\npics/b.png,too,many\n"
    )
    items, listing = told(write(files / "m.csv", content))
    assert set(items) == {"pics/a", "pics/absent", "http:/x.org/c"} and items["pics/absent"].raws == {"text": ("one", "two")}
    causes = [p.cause for p in listing.problems]
    assert len(causes) == 3
    assert causes[0].startswith("line 6: 3 values for 2 columns")
    assert causes[1] == "absent, though line 3 of m.csv names it" and "fetch it first" in causes[2]
    _, listing = told(write(files / "m.jsonl", '{"image": "pics/a.png"}\n{"image": \n[1]\n'))
    assert [p.cause.partition(":")[0] for p in listing.problems] == ["line 2", "line 3"]


def test_items_of_one_stem_keep_apart(files):
    save(files / "pics" / "a.jpg", smooth(8, 8))
    items, _ = told(write(files / "m.csv", "image\npics/a.png\npics/a.jpg\n"))
    assert set(items) == {"pics/a", "pics/a.jpg"}


@pytest.mark.parametrize(
    "name, content, cause",
    [
        ("m.csv", "", "the file is empty"),
        ("m.csv", "year,place\n1990,here\n", "no column names files or captions. Its columns: year, place"),
        ("m.csv", "image,caption\n", "there are no rows in it"),
        ("m.csv", "image\nabsent.png\n", "absent, though line 2"),
        ("m.csv", "image,image\na,b\n", "two columns have one name"),
        ("m.csv", 'image,caption\na.png,"never closed\n', "line"),
        ("m.csv", "image,caption\na.png,Müsli\n".encode("latin-1"), "not UTF-8"),
        ("m.jsonl", "not json\n", "line 1: Expecting value"),
    ],
)
def test_what_is_no_manifest_is_an_error(tmp_path, name, content, cause):
    path = write(tmp_path / name, content)
    with pytest.raises(BadFile) as caught:
        scan(path)
    assert str(caught.value).startswith(f"{path}: ") and cause in str(caught.value)
