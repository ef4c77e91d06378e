import csv
import json
import pickle
from datetime import UTC, date, datetime
from decimal import Decimal
from io import BytesIO, StringIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from data.lazy import check_lazy
from data.trees import write
from modalities.samples import save, sine, smooth, sound

from sensorium.core.errors import BadFile, UnknownName
from sensorium.data import manifest, scan, split, table
from sensorium.data.remote import Remote
from sensorium.data.table import TableItems


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
    assert set(items) == {"pics/a", "pics/absent", "http://x.org/c"} and items["pics/absent"].raws == {"text": ("one", "two")}
    assert items["http://x.org/c"].raws == {"image": (Remote("http://x.org/c.png"),), "text": ("web",)}
    causes = [p.cause for p in listing.problems]
    assert len(causes) == 2
    assert causes[0].startswith("line 6: 3 values for 2 columns")
    assert causes[1] == "absent, though line 3 of m.csv names it"
    assert [item.line for item in listing.items] == [5, 2, 3]
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


def test_the_user_may_say_what_the_columns_hold(files):
    path = write(files / "m.csv", "pic,beschreibung,titel,caption\npics/a.png,ein A,A,an a\n")
    items, listing = told(path)
    assert items["pics/a"].raws["text"] == ("an a",)
    listing = scan(path, columns={"image": "pic", "text": ["beschreibung", "titel"]})
    assert listing.items[0].raws == {"image": (files / "pics/a.png",), "text": ("ein A", "A")}
    assert listing.items[0].metadata == {"caption": "an a"}
    assert listing.layout == "manifest m.csv: image from pic, text from beschreibung and titel"
    with pytest.raises(UnknownName, match=r"no column 'beschreibun' for 'text'.*Did you mean 'beschreibung'"):
        scan(path, columns={"text": "beschreibun"})
    with pytest.raises(UnknownName, match=r"columns={'picture': …}: there is no such kind"):
        scan(path, columns={"picture": "pic"})


def test_groups_and_splits_are_read_and_kept(files):
    path = write(files / "m.csv", "image,group,split\npics/a.png,g1,train\npics/b.png,g1,Val\npics/c.png,,test\n")
    listing = scan(path)
    assert [(item.group, item.metadata) for item in listing.items] == [
        ("g1", {"split": "train"}),
        ("g1", {"split": "validation"}),
        ("", {"split": "test"}),
    ]
    assert listing.layout.endswith("group from group, split from split")
    assert [item.id for item in split(listing.items, "test")] == ["pics/c"]
    other = "".join("pics/a.png,,train\n" for _ in range(300))
    path = write(files / "n.csv", f"image,group,split\n{other}pics/b.png,g,holdout\n")
    [told] = scan(path).problems
    assert told.cause.startswith("column 'split': 'holdout' (line 302): expected one of train, ")
    assert scan(path, columns={"split": []}).items[1].metadata == {"split": "holdout"}
    with pytest.raises(BadFile, match=r"columns=\{'split': 'group'\}: nothing in that column is a split: expected train, "):
        scan(path, columns={"split": "group"})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_encodings_with_a_mark_are_read(files, encoding):
    text = "image,caption\r\npics/a.png,Müsli\r\n"
    data = ("\ufeff" if encoding == "utf-16-be" else "") + text
    items, _ = told(write(files / "m.csv", data.encode(encoding)))
    assert items["pics/a"].raws["text"] == ("Müsli",)
    line = json.dumps({"image": "pics/b.png", "caption": "Käse"}, ensure_ascii=False) + "\r\n"
    items, _ = told(write(files / "m.jsonl", (("\ufeff" if encoding == "utf-16-be" else "") + line).encode(encoding)))
    assert items["pics/b"].raws["text"] == ("Käse",)


def test_nuls_and_names_that_are_too_long_are_told(files):
    long = "x" * 5000
    path = write(files / "m.csv", f"image,caption\npics/a.png,a\npics/b\0.png,b\n{long}.png,c\n")
    items, listing = told(path)
    assert set(items) == {"pics/a", long}
    assert listing.problems[0].cause == "line 3: a NUL in column 'image': the row is left out"
    assert listing.problems[1].cause == "absent, though line 4 of m.csv names it"


def _content(suffix: str) -> bytes:
    """Rows with all that large manifests may hold: several captions, clashing stems, blank rows, groups, quotes, newlines."""
    rows = []
    for i in range(400):
        n = (i * 7919) % 397
        rows.append(
            {"image": f"pics/{n // 10}/{n}.png", "caption": f'number {n}, "so"\nsaid {i}', "group": f"g{n % 5}", "year": str(i)}
        )
    rows[40] |= {"image": "pics/0/3.jpg"}
    rows[41] |= {"image": "pics/0/3.jpg"}
    rows[50] |= {"image": "https://example.org/a.b/c.png?size=3"}
    rows[60] |= {"image": " pics/0/5.png "}
    rows[70] |= {"image": "", "caption": "only words"}
    rows[80] |= {"image": "", "caption": "  "}
    if suffix == ".jsonl":
        lines = [json.dumps(row) for row in rows]
        lines.insert(100, "")
        return "\n".join(lines).encode()
    if suffix == ".parquet":
        buffer = BytesIO()
        pq.write_table(pa.Table.from_pylist(rows), buffer)
        return buffer.getvalue()
    text = StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    lines = text.getvalue().split("\r\n")
    assert len(lines) == 402
    lines.insert(90, "too,many,values,by,far")
    lines.insert(120, "")
    return "\r\n".join(lines).encode()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_large_manifest_is_read_as_a_small_one_is(files, suffix, monkeypatch):
    monkeypatch.setattr(table, "BLOCK", 1000)  # so that rows begin in one block and end in the next
    path = write(files / f"m{suffix}", _content(suffix))
    if suffix == ".parquet":
        lazy = scan(path)
        small = scan(write(files / "m.jsonl", "\n".join(json.dumps(row) for row in pq.read_table(path).to_pylist()).encode()))
    else:
        small = scan(path)
        assert isinstance(small.items, tuple)
        monkeypatch.setattr(manifest, "SMALL", 0)
        lazy = scan(path)
    assert isinstance(lazy.items, TableItems) and lazy.layout.partition(":")[2] == small.layout.partition(":")[2]
    there = {item.id: item for item in lazy.items}
    assert [item.id for item in lazy.items] == [item.id for item in small.items] == sorted(there)
    assert len({"pics/0/3", "pics/0/3.jpg", "pics/0/3.png"} & set(there)) == 2 and any(id.startswith("m-") for id in there)
    for item in small.items:  # absent files are told only in the small one
        got = there[item.id]
        assert (got.raws["text"], got.metadata, got.group, got.line) == (item.raws["text"], item.metadata, item.group, item.line)
    assert {there[id].raws["image"][0].name for id in ("pics/0/3", "pics/0/5") if id in there} <= {"3.jpg", "3.png", "5.png"}
    assert there["https://example.org/a.b/c"].raws["image"] == (Remote("https://example.org/a.b/c.png?size=3"),)
    told = [p for p in small.problems if p.kind == "manifest"]
    assert [p.cause for p in lazy.problems] == [p.cause for p in told] and len(told) == 1 + (suffix == ".csv")
    assert "two groups" in told[-1].cause
    again = pickle.loads(pickle.dumps(lazy.items))
    assert again[5] == lazy.items[5] and again[-1] == lazy.items[len(again) - 1]
    check_lazy(lazy.items)
    assert list(split(lazy.items, "validation", 0.5)) == list(split(tuple(lazy.items), "validation", 0.5)) != []


@pytest.mark.parametrize(
    "content, cause",
    [
        ('image,caption\na.png,"never closed\n', "line"),
        ("image,caption\na.png,Müsli\n".encode("latin-1"), "not UTF-8 (byte 0xfc at 21)"),
        ("image,image\na,b\n", "two columns have one name"),
    ],
)
def test_what_is_wrong_with_a_large_manifest_is_told_as_exactly(files, content, cause, monkeypatch):
    monkeypatch.setattr(manifest, "SMALL", 0)
    path = write(files / "m.csv", content)
    with pytest.raises(BadFile) as caught:
        scan(path)
    assert str(caught.value).startswith(f"{path}: ") and cause in str(caught.value)


def test_odd_lines_and_late_columns_of_a_large_manifest(files, monkeypatch):
    monkeypatch.setattr(manifest, "SMALL", 0)
    good = [json.dumps({"image": f"{i:04d}.png", "caption": "c"}) for i in range(300)]
    late = json.dumps({"image": "x.png", "caption": "2020-01-01", "more": [1]})
    listing = scan(write(files / "m.jsonl", "\n".join([*good, late])))
    assert isinstance(listing.items, TableItems) and listing.items[-1].metadata == {"more": [1]}
    assert listing.items[-1].raws["text"] == ("2020-01-01",)
    listing = scan(write(files / "n.jsonl", "\n".join([*good, "{broken", json.dumps({"image": 7, "caption": "x"})])))
    assert [p.cause.partition(":")[0] for p in listing.problems if p.kind == "manifest"] == ["line 301"]
    nul = "".join(f"{i:04d}.png,c\n" for i in range(300))
    listing = scan(write(files / "m.csv", f"image,caption\n{nul}b.png,a\0b\n"))
    assert [p.cause for p in listing.problems] == ["line 302: a NUL in column 'caption': the row is left out"]
    assert len(listing.items) == 300


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_a_given_id_keeps_its_name_before_one_that_is_made(files, monkeypatch, large):
    rows = ",pics/a.png,one\npics/a,pics/b.png,two\n" + "".join(f",x/{i:05d}.png,w\n" for i in range(220))
    monkeypatch.setattr(manifest, "SMALL", 0 if large else 2**20)
    listing = scan(write(files / "m.csv", f"id,image,caption\n{rows}"))
    items = {item.id: item.raws["text"] for item in listing.items}
    assert isinstance(listing.items, TableItems) == large and len(items) == len(listing.items)
    assert items["pics/a"] == ("two",) and items["pics/a.png"] == ("one",)


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_objects_in_json_are_paths_or_told(files, monkeypatch, large):
    rows = [
        {"image": {"path": "pics/a.png"}, "caption": "fine"},
        {"image": {"path": "pics/b.png"}, "caption": {"en": "a cat"}},
        *({"image": {"path": "pics/c.png"}, "caption": "more"} for _ in range(220)),
    ]
    monkeypatch.setattr(manifest, "SMALL", 0 if large else 2**20)
    items, listing = told(write(files / "m.jsonl", "\n".join(map(json.dumps, rows))))
    assert items["pics/a"].raws == {"image": (files / "pics/a.png",), "text": ("fine",)}
    assert items["pics/b"].raws == {"image": (files / "pics/b.png",)} and len(items["pics/c"].raws["text"]) == 220
    assert [p.cause.partition(", exp")[0] for p in listing.problems] == ["line 2: column 'caption': an object"]
    items, _ = told(write(files / "n.jsonl", json.dumps({"x": {"path": "snd/a.wav"}, "caption": "by what it holds"})))
    assert items["snd/a"].raws["audio"] == (files / "snd/a.wav",)


def test_dates_and_decimals_of_a_table_are_what_json_has(tmp_path):
    when = [datetime(2024, 5, 6, 7, 8, tzinfo=UTC), None]
    columns = {"text": ["one", "two"], "taken": [date(2024, 5, 6)] * 2, "at": when, "price": [Decimal("1.50"), None]}
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    items, listing = told(tmp_path / "m.parquet")
    one, two = (item.metadata for item in sorted(items.values(), key=lambda item: item.id))
    assert not listing.problems and one == {"taken": "2024-05-06", "at": "2024-05-06T07:08:00+00:00", "price": 1.5}
    assert two == {"taken": "2024-05-06"}


@pytest.mark.parametrize("rows", [3, table.LOOK + 3])
def test_numbers_that_are_none_are_not_there(tmp_path, rows):
    """NaN is how Parquet says that there is nothing; the rows of a few are read as dicts, those of many as columns."""
    years = [1.0, float("nan"), float("inf"), *[2.0] * (rows - 3)]
    columns = {"text": [f"a thing {i}" for i in range(rows)], "year": years, "at": [[1.5, float("nan")]] * rows}
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    items, listing = told(tmp_path / "m.parquet")
    assert not listing.problems and len(items) == rows
    found = [item.metadata for item in sorted(items.values(), key=lambda item: item.id)][:3]
    assert found == [{"year": 1.0, "at": [1.5, None]}, {"at": [1.5, None]}, {"at": [1.5, None]}]
    assert all(json.dumps(item.metadata, allow_nan=False) for item in items.values())
