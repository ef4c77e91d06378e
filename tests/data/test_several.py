"""Several sources looked at as one: labels, ids, sides, and what is refused."""

from pathlib import Path

import pytest
from data.trees import three_folders, write

from sensorium.core.errors import BadFile, UnknownName
from sensorium.data.several import label_of, labels, scan_all
from sensorium.data.splits import side
from sensorium.doctor import examine, write_plan
from sensorium.doctor.plan import BadPlan


@pytest.fixture
def two(tmp_path):
    """A folder of eight items, and a table of four other pictures whose columns are called as nobody would guess."""
    root, other = three_folders(tmp_path / "photos", 8), three_folders(tmp_path / "other", 12)
    rows = [f"images/item{i}.png;{i}{i};im Bild {i} ist was" for i in range(8, 12)]
    for i in range(8):
        (other / "images" / f"item{i}.png").unlink()
    return root, write(other / "liste.csv", "\n".join(["was;a;b", *rows]))


def test_items_are_called_by_their_source_and_stay_on_their_side(two):
    listing = scan_all(two, {"text": "b"})
    assert listing.sources == ("photos", "liste.csv") and len(listing.items) == 12
    assert [item.id for item in listing.items[7:9]] == ["photos/item7", "liste.csv/images/item10"]
    assert listing.items[8].raws["text"] == ("im Bild 10 ist was",) and label_of(listing.items[8]) == "liste.csv"
    alone = {
        item.id: side(item, 0.4) for uri, columns in ((two[0], None), (two[1], {"text": "b"})) for item in _scan(uri, columns)
    }
    assert {item.id.partition("/")[2]: side(item, 0.4) for item in listing.items} == alone and len(set(alone.values())) == 2
    assert listing.root == two[0].parent.resolve() and "photos: folders" in listing.layout


def _scan(uri, columns):
    from sensorium.data import scan

    return scan(uri, columns).items


def test_labels_are_short_and_differ_and_a_source_is_given_once(two, monkeypatch):
    assert labels(["a/x", "b/x", "s3://bucket/x/", "y.csv"]) == ("x", "x-2", "x-3", "y.csv")
    monkeypatch.chdir(two[0])
    assert labels(["."]) == ("photos",)
    with pytest.raises(BadFile, match="named twice"):
        scan_all([".", two[0]])
    with pytest.raises(BadFile, match="no source is given"):
        scan_all([])


def test_columns_are_for_the_tables_and_one_has_to_be_there(two):
    with pytest.raises(UnknownName, match="there is no table here"):
        scan_all([two[0], Path(two[1]).parent], {"text": "b"})
    with pytest.raises(UnknownName, match="no column 'c'"):
        scan_all(two, {"text": "c"})


def test_copies_are_found_across_sources_and_a_plan_is_for_one(two, tmp_path):
    whole = examine(two, columns={"text": "b"})
    assert not [one for one in whole.findings if one.kind == "equal files" and "png" in one.paths[0]]
    picture = two[1].parent / "images" / "item10.png"
    picture.write_bytes((two[0] / "images" / "item3.png").read_bytes())
    (found,) = [
        one for one in examine(two, columns={"text": "b"}).findings if one.kind == "equal files" and "png" in one.paths[0]
    ]
    assert found.paths == (str(picture), str(two[0] / "images" / "item3.png"))
    with pytest.raises(BadPlan, match="one of them at a time"):
        write_plan(whole, tmp_path / "plan.json")
