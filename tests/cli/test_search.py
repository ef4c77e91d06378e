import json
from pathlib import Path

import pytest
from PIL import Image as Pillow
from search.drivers import bucket, milvus_server
from search.fake import Tricolour, folder
from show.page import Page

import sensorium
from sensorium.cli.main import main
from sensorium.cli.search import _beside


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of files; whatever model is loaded is the small exact one of the tests of `search`."""
    for item in folder(tmp_path / "photos"):
        path = tmp_path / f"photos/captions/{item.id}.txt"
        path.parent.mkdir(exist_ok=True)
        if item.raws.get("text"):
            path.write_text("\n".join(item.raws["text"]))
    (tmp_path / "photos/images/broken.png").write_bytes(b"no picture")
    monkeypatch.setattr(sensorium, "load", lambda path: Tricolour(fingerprint=f"tricolour {Path(path).name}"), raising=False)
    (tmp_path / "runs/a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert main(["index", "photos", "--model", "runs/a", "--out", "photos.collection"]) == 0
    return tmp_path


def answer(capsys, *arguments) -> dict:
    capsys.readouterr()
    code = main([*arguments, "--json"])
    out = json.loads(capsys.readouterr().out)
    assert (code == 0) == ("error" not in out)
    return out


def test_index_says_what_it_made_and_what_it_left_out(place, capsys):
    capsys.readouterr()
    assert main(["index", "photos", "--model", "runs/a", "--out", "again.collection"]) == 0
    seen = capsys.readouterr().out
    assert "5 items (4 image, 5 text, 3 audio)" in seen and "sensorium search again.collection" in seen
    assert "images/broken.png: not a picture in any of the formats" in seen
    result = answer(capsys, "index", "photos", "--model", "runs/a", "--out", "photos.collection")
    assert result["items"] == 5 and result["fields"] == {"image": 4, "text": 5, "audio": 3}
    assert result["changes"] == {"added": 0, "changed": 0, "deleted": 0, "unchanged": 6, "failed": 0}
    assert set(result["indexes"]) == {"vector_image", "vector_text", "vector_audio"}
    assert [p["kind"] for p in result["problems"]] == ["image", "item"]


def test_search_by_text_picture_and_sound(place, capsys):
    result = answer(capsys, "search", "photos.collection", "something blue", "-k", "2")
    assert [hit["id"] for hit in result["hits"]] == ["blue", "red"]
    assert result["hits"][0]["path"].endswith((".png", ".wav")) and result["hits"][0]["rank"] == 1
    result = answer(capsys, "search", "photos.collection", "--image", "photos/images/green.png", "--within", "audio")
    assert [hit["field"] for hit in result["hits"]] == ["audio"] * 3 and result["hits"][0]["id"] == "green"
    within = ("--within", "audio", "--within", "image")
    result = answer(capsys, "search", "photos.collection", *within, "None but green", "-k", "1")
    assert result["hits"][0]["id"] == "green" and result["query"] == {"text": "None but green"}
    assert answer(capsys, "search", "photos.collection", "None")["query"] == {"text": "None"}
    result = answer(capsys, "search", "photos.collection", "green", "--audio", "photos/audio/red.wav", "--k", "1")
    assert result["hits"][0]["id"] == "yellow"


def test_search_shows_a_table(place, capsys):
    capsys.readouterr()
    assert main(["search", "photos.collection", "red", "-k", "1"]) == 0
    seen = capsys.readouterr().out
    assert "a red thing" in seen and "photos/" in seen and "0.67" in seen


def test_the_page_shows_the_query_and_what_was_found(place, capsys, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    result = answer(capsys, "search", "photos.collection", "--image", "photos/images/red.png", "-k", "3", "--page", "out.html")
    page = Page(place / "out.html")
    page.check_alone()
    pictures = sum((place / f"photos/images/{hit['id']}.png").exists() for hit in result["hits"])
    assert len(page.all("img")) == 1 + pictures and not opened
    result = answer(capsys, "search", "photos.collection", "red", "--open")
    assert result["page"] == "photos.collection.html" and opened == [(place / "photos.collection.html").as_uri()]
    monkeypatch.chdir(place / "photos.collection")
    assert answer(capsys, "search", ".", "red", "--model", "../runs/a", "--open")["page"] == str(place / "photos.collection.html")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["photos.collection"], "nothing to look for"),
        (
            ["photos.collection", "red", "--model", "runs/b"],
            "/photos --model MODEL --out photos.collection --anew (MODEL: the folder",
        ),
        (["photos.collection", "red", "--where", ""], "an empty filter"),
        (["photos.collection", "red", "--within", "imge"], "Did you mean 'image'"),
        (["photos.collection", "--image", "none.png"], "none.png"),
        (["photos.collection", "red", "-k", "0"], "k is 0"),
        (["photos", "red"], "no collection is here"),
    ],
)
def test_what_cannot_be_searched_is_an_error_that_says_why(place, capsys, arguments, text):
    assert text in answer(capsys, "search", *arguments)["error"]


def test_the_page_of_a_collection_at_an_address_is_written_here(place, capsys, monkeypatch):
    for given, name in (
        ("s3://bucket/photos", "photos"),
        ("s3://bucket/some/photos/", "photos"),
        ("milvus:///srv/c.db", "c.db"),
        ("milvus://host:19530", "host-19530"),
    ):
        assert _beside(given) == Path(f"{name}.html")
    assert _beside("some/photos.collection") == Path("some/photos.collection.html")
    assert main(["index", "photos", "--model", "runs/a", "--out", "memory:shelf"]) == 2
    assert "what is in memory goes when this command ends" in capsys.readouterr().err
    assert main(["collection", "push", "photos.collection", "memory:shelf"]) == 0
    monkeypatch.setattr("webbrowser.open", lambda address: None)
    assert answer(capsys, "search", "memory:shelf", "red", "--open")["page"] == "shelf.html" and (place / "shelf.html").is_file()


def test_a_first_run_that_failed_leaves_the_place_free(place, capsys):
    index = ("index", "photos", "--model", "runs/a", "--out", "new.collection")
    for dial, text in ((("--dims", "9999"), "dims=9999: vectors of this model have"), (("--precision", "binary"), "8")):
        assert text in answer(capsys, *index, *dial)["error"] and not (place / "new.collection").exists()
    assert answer(capsys, *index, "--precision", "int8")["items"] == 5
    assert "dims=9999: vectors of this model have" in answer(capsys, *index, "--anew", "--dims", "9999")["error"]
    assert answer(capsys, "collection", "info", "new.collection")["items"] == 5


def test_what_cannot_be_imported_leaves_no_folder(place, capsys):
    assert "no such file" in answer(capsys, "collection", "import", "nope.parquet", "X")["error"] and not (place / "X").exists()
    (place / "x.faiss").mkdir()
    assert (
        "about.json: no such file" in answer(capsys, "collection", "import", "x.faiss", "X")["error"]
        and not (place / "X").exists()
    )


def test_pages_are_written_of_grey_and_transparent_pictures_too(place, capsys):
    Pillow.new("LA", (30, 30), (255, 128)).save(place / "grey.png")
    answer(capsys, "search", "photos.collection", "--image", "grey.png", "--page", "out.html")
    assert Page(place / "out.html").all("img")


def test_it_is_said_that_nothing_was_found(place, capsys):
    capsys.readouterr()
    assert main(["search", "photos.collection", "red", "--where", "id = 'none'"]) == 0
    assert "nothing found: of 5 items none" in " ".join(capsys.readouterr().out.split())


def test_sums_filters_and_groups(place, capsys):
    result = answer(capsys, "search", "photos.collection", '"red" - 0.5*"blue"', "--where", "id != 'red'", "-k", "1")
    assert [hit["id"] for hit in result["hits"]] == ["yellow"] and result["unknown_words"] == []
    result = answer(capsys, "search", "photos.collection", "image:photos/images/blue.png", "--where", "kind = 'text'")
    assert [hit["id"] for hit in result["hits"]] == ["words"]
    (place / "photos/images/twin.png").write_bytes((place / "photos/images/red.png").read_bytes())
    result = answer(capsys, "index", "photos", "--model", "runs/a", "--out", "photos.collection")
    assert result["changes"]["added"] == 1 and result["changes"]["unchanged"] == 6
    result = answer(capsys, "search", "photos.collection", "red", "--within", "image", "--group", "-k", "2")
    assert [(hit["id"], hit["alike"]) for hit in result["hits"]] == [("red", ["twin"]), ("yellow", [])]
    found = answer(capsys, "search", "photos.collection", "thing", "--words", "-k", "3")["hits"]
    assert {hit["id"] for hit in found} == {"red", "green", "blue"}
    for words, text in (
        (['"red"', "--words"], "--words looks for a text alone"),
        (['"red" + "'], "a quote that is not closed"),
        (['"red"', "--image", "photos/images/red.png"], "add it to the sum"),
        (["red", "--where", "kind = video"], "a text stands in quotes: 'video'"),
        (["red", "--where", "year > 2020"], "Known: id, kind."),
    ):
        assert text in answer(capsys, "search", "photos.collection", *words)["error"]


def test_a_collection_is_told_of_pushed_and_written_as_files(place, capsys):
    told = answer(capsys, "collection", "info", "photos.collection")
    assert told["items"] == 5 and told["complete"] and told["fields"] == {"image": 4, "text": 5, "audio": 3}
    assert told["filters"] == ["id", "kind"] and len(told["problems"]) == 2
    sent = answer(capsys, "collection", "push", "photos.collection", "copy.collection")
    assert sent["rows"] == 6 and set(sent["recall"].values()) == {1.0}
    assert answer(capsys, "collection", "export", "copy.collection", "c.parquet")["rows"] == 6
    assert answer(capsys, "collection", "import", "c.parquet", "back.collection")["rows"] == 6
    assert answer(capsys, "collection", "optimize", "back.collection")["indexes"]["vector_text"]["kind"] == "exact"
    found = [answer(capsys, "search", c, "blue")["hits"] for c in ("photos.collection", "back.collection")]
    assert found[0] == found[1]
    sent = answer(capsys, "collection", "push", "photos.collection", "small.collection", "--precision", "int8")
    assert sent["rows"] == 6 and min(sent["recall"].values()) == 1
    told = answer(capsys, "collection", "info", "small.collection")["vectors"]["vector_text"]
    assert told == "5 × 6 int8, 0.0 MB, recall@10 1.000 beside all numbers as f32 among 5"
    refused = answer(capsys, "index", "photos", "--model", "runs/a", "--out", "small.collection", "--precision", "f16")
    assert "keeps its vectors as int8, not as f16" in refused["error"]
    made = answer(capsys, "index", "photos", "--model", "runs/a", "--out", "new.collection", "--precision", "f16")
    assert made["vectors"]["vector_image"] == {
        "vectors": 4,
        "numbers": 6,
        "precision": "f16",
        "bytes": 48,
        "recall": 1.0,
        "among": 4,
    }
    assert "takes no --precision" in answer(capsys, "collection", "info", "new.collection", "--precision", "f16")["error"]
    for words, text in ((["push", "photos.collection"], "push takes two places"), (["info", "none"], "no collection is here")):
        assert text in answer(capsys, "collection", *words)["error"]
    capsys.readouterr()
    assert main(["collection", "info", "photos.collection"]) == 0
    assert "fields: image 4, text 5, audio 3" in capsys.readouterr().out


def test_a_collection_goes_to_milvus_and_is_searched_there(place, capsys):
    own, there = answer(capsys, "search", "photos.collection", "blue")["hits"], f"milvus://{place}/c.db"
    sent = answer(capsys, "collection", "push", "photos.collection", there)
    assert sent["rows"] == 6 and set(sent["recall"].values()) == {1.0} and len(sent["recall"]) == 3
    told = answer(capsys, "collection", "info", there)
    assert told["items"] == 5 and told["complete"] and told["indexes"]["vector_text"] == "exact, recall@10 1.000"
    assert answer(capsys, "search", there, "blue")["hits"] == own


ELSEWHERE = {"milvus server": lambda: f"milvus://{milvus_server()}/photos", "lance bucket": lambda: f"{bucket()}/photos"}


@pytest.mark.parametrize("kind", ELSEWHERE)
def test_a_collection_goes_elsewhere_and_is_kept_up_to_date_there(place, capsys, kind):
    own, there = answer(capsys, "search", "photos.collection", "blue")["hits"], ELSEWHERE[kind]()
    assert "no collection is here" in answer(capsys, "search", there, "blue")["error"]
    assert answer(capsys, "collection", "push", "photos.collection", there)["rows"] == 6
    assert answer(capsys, "search", there, "blue")["hits"] == own
    (place / "photos/images/red.png").unlink()
    made = answer(capsys, "index", "photos", "--model", "runs/a", "--out", there)
    assert made["changes"] == {"added": 0, "changed": 1, "deleted": 0, "unchanged": 5, "failed": 0}
    assert made["fields"] == {"image": 3, "text": 5, "audio": 3}
    assert answer(capsys, "search", there, "blue", "--where", "kind = 'audio'")["hits"][0]["id"] == "red"


def test_a_collection_is_measured_by_a_relevance_file(place, capsys):
    (place / "photos/judged.csv").write_text("query,item\na red thing,red\nimage:images/blue.png,blue\n")
    measure = ("collection", "evaluate", "photos.collection", "--relevance")
    told = answer(capsys, *measure, "photos/judged.csv", "--within", "text")
    assert told["metrics"]["recall@1"] == 1 and told["queries"] == 2 and told["gallery"] == 5
    assert told["metrics"]["recall@1/chance"] == pytest.approx(0.2) and [one["rank"] for one in told["each"]] == [1, 1]
    (place / "q.tsv").write_text("1\tblue\n")
    (place / "a.qrels").write_text("1 0 green 1\n")
    told = answer(capsys, *measure, "a.qrels", "--queries", "q.tsv", "--within", "image")
    assert told["metrics"]["recall@1"] == 0 and told["each"][0]["rank"] == 4
    capsys.readouterr()
    assert main([*measure, "a.qrels", "--queries", "q.tsv"]) == 0
    seen = capsys.readouterr().out
    assert "nDCG@10" in seen and "1 queries of a.qrels on 4 items" in seen
    for words, text in (
        (["evaluate", "photos.collection"], "evaluate takes a collection and --relevance FILE"),
        (["info", "photos.collection", "--model", "runs/a"], "are for evaluate, not for info"),
        ([*measure[1:], "none.csv"], "none.csv: No such file"),
        ([*measure[1:], "a.qrels"], "its columns are"),
    ):
        assert text in answer(capsys, "collection", *words)["error"]
