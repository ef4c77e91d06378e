"""The splits that a source names: the same whether its items are made at once or as they are asked for."""

import pytest
from data.lazy import check_lazy
from data.trees import write
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from sensorium.data import manifest, scan, split
from sensorium.data.sides import meanings
from sensorium.data.table import TableItems

NAMES = ("train", "validation", "test")


def lines(words) -> str:
    return "image,caption,split\n" + "".join(f"{i:05d}.png,words {i},{word}\n" for i, word in enumerate(words))


def sizes(items, **shares) -> list[int]:
    return [len(split(items, name, **shares)) for name in NAMES]


def test_a_split_of_coco_is_read_alike_in_a_small_and_a_large_manifest(tmp_path, monkeypatch):
    path = write(tmp_path / "m.csv", lines(["train", "restval", "val", "test"] * 100))
    small = scan(path)
    monkeypatch.setattr(manifest, "SMALL", 0)
    lazy = scan(path)
    assert isinstance(lazy.items, TableItems) and isinstance(small.items, tuple)
    assert sizes(small.items) == sizes(lazy.items) == [200, 100, 100]
    check_lazy(lazy.items)


@pytest.mark.parametrize("late", [False, True], ids=["early", "late"])
def test_unknown_words_are_told_once_with_their_line_and_go_by_a_hash(tmp_path, monkeypatch, late):
    words = ["train", "val", "test"] * 100 + ["holdout", "x"] * 10
    path = write(tmp_path / "m.csv", lines(words if late else words[::-1]))
    small = scan(path)
    monkeypatch.setattr(manifest, "SMALL", 0)
    lazy = scan(path)
    for listing in (small, lazy):
        [told] = [p for p in listing.problems if p.kind == "manifest"]
        first = "'holdout' (line 302), 'x' (line 303)" if late else "'x' (line 2), 'holdout' (line 3)"
        assert told.cause.startswith(f"column 'split': {first}: expected one of train, ")
    assert sizes(small.items, fraction=0.0) == sizes(lazy.items, fraction=0.0) == [120, 100, 100]
    check_lazy(lazy.items)


WORDS = st.lists(st.sampled_from(["train", "Val", " test", "dev", "extra", "0", ""]), min_size=210, max_size=230)


@settings(max_examples=12, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(WORDS, st.booleans(), st.integers(1, 3))
def test_items_and_tables_agree_on_every_side(tmp_path_factory, words, aside, captions):
    root = tmp_path_factory.mktemp("m")
    text = "image,caption,split\n" + "".join(f"{i // captions if i < 9 else i:05d}.png,w {i},{w}\n" for i, w in enumerate(words))
    path, given = write(root / "m.csv", text), {"split": []} if aside else None
    small = scan(path, given)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "SMALL", 0)
        lazy = scan(path, given)
    check_lazy(lazy.items)
    for name in NAMES:
        assert [i.id for i in split(lazy.items, name, 0.3, 0.3)] == [i.id for i in split(small.items, name, 0.3, 0.3)]
    assert [p.cause for p in lazy.problems] == [p.cause for p in small.problems if p.kind == "manifest"]


@given(st.lists(st.sampled_from(["train", "training", "val", "test", "extra", ""])))
def test_what_a_source_puts_in_test_or_validation_stays_there(words):
    said = meanings(words)
    assert all(said[word] == side for word, side in (("val", "validation"), ("test", "test"), ("extra", "")) if word in said)
    train = "train" if "val" in words else "train or validation" if "test" in words else ""
    assert all(said[word] == train for word in said if word.startswith("train"))


def test_train_and_test_without_validation(tmp_path):
    items = scan(write(tmp_path / "m.csv", lines(["train"] * 90 + ["test"] * 10))).items
    train, validation, test = (split(items, name, 0.2, 0.5) for name in NAMES)
    assert [i.id for i in test] == [f"{i:05d}" for i in range(90, 100)] and len(train) + len(validation) == 90
    assert 8 < len(validation) < 30 and split(train, "train") == train


@pytest.mark.parametrize("large", [False, True], ids=["small", "large"])
def test_rows_of_one_picture_in_two_splits_or_groups_are_told(tmp_path, monkeypatch, large):
    rows = "a.png,x,train,g\na.png,y,test,g\nb.png,z,val,g\nb.png,z,valid,h\nc.png,c,test,g\nc.png,d,train,g\n"
    rows += "".join(f"{i:05d}.png,w,train,\n" for i in range(220))
    monkeypatch.setattr(manifest, "SMALL", 0 if large else 2**20)
    listing = scan(write(tmp_path / "m.csv", f"image,caption,split,group\n{rows}"))
    assert [p.cause for p in listing.problems if p.kind == "manifest"] == [
        "lines 2 and 3 give 'a' two splits: what line 2 says is used; so it is with 1 more",
        "lines 4 and 5 give 'b' two groups: what line 4 says is used",
    ]
    assert [item.metadata["split"] for item in listing.items[-3:]] == ["train", "validation", "test"]
