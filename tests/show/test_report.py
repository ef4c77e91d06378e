import numpy as np
import pytest
from PIL import Image as Pillow
from search.fake import RATE, tone
from show.page import Page

from sensorium.show import (
    Confusion,
    Contrast,
    DirectionRow,
    Headline,
    QueryResult,
    Report,
    Shown,
    SimilarityMap,
    SplitTable,
    write_report,
)


def item(caption: str, correct: bool | None = None) -> Shown:
    return Shown(caption, Pillow.new("RGB", (64, 64), "red"), (tone(1), RATE), 0.5, correct=correct)


def row(direction: str, share: float) -> DirectionRow:
    ks = (1, 5)
    return DirectionRow(
        direction,
        1000,
        dict.fromkeys(ks, share),
        dict.fromkeys(ks, share - 0.02),
        dict.fromkeys(ks, share + 0.02),
        2.5,
        {1: 0.001, 5: 0.005},
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Page:
    points = {name: np.random.default_rng(i).normal(size=(7, 8)) for i, name in enumerate(("image", "text"))}
    report = Report(
        title="A title of <ours>",
        command="sensorium demo --seed 3",
        summary="What was done.",
        facts={"Machine": "two cores", "JAX": "0.10"},
        headlines=[Headline("text → image", "87.2 %", "of 1,000")],
        history=[{"step": i, "loss": 4.0 / (i + 1), "loss/a-b": 1.0, "samples_per_second": 3000.0} for i in range(5)],
        splits=[
            SplitTable("Held out", "never seen", [row("text → image", 0.875), row("image → text", 0.5)]),
            SplitTable("New", "", []),
        ],
        similarity=SimilarityMap(np.eye(2, 3), ["first caption", "second caption"], ["p1", "p2", "p3"], "Rows are captions."),
        embedding=points,
        queries=[QueryResult(Shown("red thing", label="text query"), [item("one", True), item("two", False)], "among 9")],
        confusions=[Confusion(Shown("what"), item("should"), item("was"), "came 38th")],
        contrasts=[Contrast("swapped colours", 0.931, 0.91, 0.95, 1000)],
    )
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(report, path)
    return Page(path)


def test_it_is_one_file_that_refers_to_nothing_outside(page):
    page.check_alone()
    assert "default-src 'none'" in page.source


def test_it_says_all_that_it_was_given(page):
    said = " ".join(page.text.split())
    for text in (
        "A title of <ours>",
        "sensorium demo --seed 3",
        "What was done.",
        "two cores",
        "87.2 %",
        "of 1,000",
        "never seen",
    ):
        assert text in said
    for text in ("text → image 87.5 % 85.5–89.5", "2.5 1,000", "swapped colours 93.1 % 91.0–95.0 50 %", "among 9", "came 38th"):
        assert text in said
    for text in ("first caption", "p3", "Rows are captions.", "loss/a-b", "should be", "ranked first"):
        assert text in said


def test_it_holds_every_picture_and_every_sound(page):
    assert len(page.all("img")) == len(page.all("audio")) == 4


def test_it_holds_the_four_figures(page):
    assert len(page.all("figure")) == 4 and len([a for a in page.all("svg") if a.get("class") != "wave"]) == 4


def test_the_bars_show_the_numbers(page):
    styles = [a["style"] for a in page.all("i")]
    assert styles[:3] == ["width:87.50%", "left:85.50%;width:4.00%", "left:0.10%"]


def test_sections_without_content_are_left_out(tmp_path):
    write_report(Report("Title", "command", "summary", {}), tmp_path / "r.html")
    page = Page(tmp_path / "r.html")
    page.check_alone()
    assert not page.all("h2") and not page.all("figure") and not page.all("table")
