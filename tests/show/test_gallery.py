import numpy as np
import pytest
from PIL import Image as Pillow
from search.fake import RATE, Tricolour, folder, tone
from show.page import Page

from sensorium.search import Collection
from sensorium.show.gallery import QueryResult, Shown, shown, write_gallery


@pytest.fixture
def collection(tmp_path):
    return Collection.update(Tricolour(), folder(tmp_path / "files"), tmp_path / "c", root=tmp_path / "files")


def test_a_page_holds_a_picture_and_a_player_for_each_hit_that_has_them(tmp_path, collection):
    hits = collection.query(Tricolour(), text="blue", k=6)
    results = [QueryResult(Shown("blue", label="text"), [shown(collection, hit) for hit in hits], "all but one")]
    write_gallery(results, tmp_path / "page.html", "What is blue")
    page = Page(tmp_path / "page.html")
    page.check_alone()
    assert len(hits) == 5  # `words` has nothing but a text, as the query
    assert len(page.all("img")) == 4 and len(page.all("audio")) == 4
    assert len(page.all("svg")) == 1  # the sound that comes without a picture
    for said in ("What is blue", "a blue thing", f"1 · {hits[0].score:.3f}", "all but one", f"blue, by its {hits[0].field}"):
        assert said in page.text


def test_text_is_never_taken_for_markup(tmp_path):
    evil = '<img src=x onerror="alert(1)"> & "<script>"'
    shows = Shown(evil, Pillow.new("RGB", (4, 4)), label=evil)
    write_gallery([QueryResult(shows, [shows], evil)], tmp_path / "page.html", evil)
    page = Page(tmp_path / "page.html")
    assert len(page.all("img")) == 2 and not page.all("script")
    assert page.text.count(evil) == 7  # caption and label twice, the note, the title and the heading
    assert all(image["alt"] == evil for image in page.all("img"))


def test_a_file_that_has_gone_is_told_and_the_thumbnail_stays(tmp_path, collection):
    (tmp_path / "files/images/red.png").unlink()
    (tmp_path / "files/audio/red.wav").unlink()
    hit = collection.query(Tricolour(), text="red", k=1)[0]
    seen = shown(collection, hit)
    assert seen.picture == collection.thumbnail(hit.id) and seen.sound is None
    assert "images/red.png: no such file" in seen.caption and "audio/red.wav: no such file" in seen.caption
    write_gallery([QueryResult(Shown("red"), [seen])], tmp_path / "page.html")
    assert len(Page(tmp_path / "page.html").all("img")) == 1


def test_right_and_wrong_are_marked(tmp_path):
    hits = [Shown("a", correct=True, score=0.5), Shown("b", correct=False, score=0.4), Shown("c", score=0.3)]
    write_gallery([QueryResult(Shown("q", sound=(tone(0), RATE)), hits)], tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    classes = [a["class"] for a in page.all("div") if (a.get("class") or "").startswith("card")]
    assert [c.split()[1:] for c in classes if c] == [[], ["right", "words"], ["wrong", "words"], ["words"]]
    assert page.text.count("✓ right") == 1 and page.text.count("✗") == 1


def test_nothing_found_is_said(tmp_path):
    write_gallery([QueryResult(Shown("q"), [])], tmp_path / "page.html")
    assert "Nothing was found" in Page(tmp_path / "page.html").text


def test_no_page_is_left_half_written(tmp_path):
    (tmp_path / "page.html").write_text("before")
    with pytest.raises(AttributeError):
        write_gallery([QueryResult(Shown("q", picture=np.zeros(3)))], tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == "before"


def test_a_name_that_is_no_utf_8_is_shown_with_escapes(tmp_path):
    write_gallery([QueryResult(Shown("na\udcffme"), [Shown("x", label="na\udcffme.png")])], tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8").count("na\\udcffme") == 2
