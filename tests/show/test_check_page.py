import numpy as np
import pytest
from data.trees import half, three_folders, write
from modalities.samples import save
from show.page import Page

from sensorium.doctor import examine
from sensorium.show.check_page import BINS, CARDS, histogram, write_page


def test_a_page_shows_counts_lengths_and_every_kind_of_finding(tmp_path):
    root = three_folders(tmp_path / "photos", 20)
    half(root / "audio" / "item3.wav")
    for i in range(15):
        save(root / "images" / f"item{i}.png", np.full((40, 40, 3), 10 * i, np.uint8))
    write(root / "captions" / "item5.txt", "<b>bold</b> <script>alert(1)</script>\n")
    report = examine(root)
    write_page(report, tmp_path / "page.html")
    page = Page(tmp_path / "page.html")
    page.check_alone()
    for kind in {one.kind for one in report.findings}:
        assert f"{kind} × {sum(one.kind == kind for one in report.findings)}" in page.text
    assert {one.kind for one in report.findings} == {"blank picture", "unreadable", "markup in a caption"}
    assert len(page.all("img")) == CARDS and "15 in all; these are the first." in page.text
    assert "<b>bold</b>" in page.text and not page.all("script")
    assert "audio/item3.wav" in page.text and "cut short" in page.text
    assert len(page.all("svg")) == 2  # how long the sounds and the captions are


def test_a_folder_without_faults_says_so_and_odd_names_can_be_written(tmp_path):
    root = three_folders(tmp_path / "photos", 2)
    write_page(examine(root), tmp_path / "page.html")
    assert "Nothing: every file is whole" in Page(tmp_path / "page.html").text
    with open(bytes(root) + b"/images/new\nline\xff.png", "wb"):
        pass
    write_page(examine(root), tmp_path / "page.html")
    assert "images/new\\nline\\udcff.png" in Page(tmp_path / "page.html").text


def test_bars_count_and_the_window_stands_where_it_is():
    h = histogram("audio", [1.0] * 30 + [2.0] * 15, 1.5)
    assert len(h.heights) == BINS and sorted(set(h.heights)) == [0.0, 0.5, 1.0]
    assert h.window == pytest.approx(1.5 / 2.04)
    assert h.heights.index(1.0) == int(1.0 / 2.04 * BINS) and "from 1 to 2, the median 1" in h.said
    far = histogram("audio", [1.0] * 300 + [100.0], 1.0)
    assert far.heights.index(1.0) > 10 and far.heights[-1] == pytest.approx(1 / 300)
    assert histogram("text", [0.0], 0.0).heights.count(1.0) == 1
