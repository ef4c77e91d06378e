from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search.fake import RATE, Tricolour, folder, tone

from sensorium.core.errors import BadFile, SensoriumError, UnknownName
from sensorium.core.protocols import Item
from sensorium.pretrained.model_card import Origin
from sensorium.search import Collection, Memory, Row, mixed
from sensorium.search.prefix import Prefix
from sensorium.search.rows import Entry, Piece, table
from sensorium.search.where import Compare


@pytest.fixture(scope="module", params=["memory:senses", "lance"])
def place(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("senses")
    place = root / "c" if request.param == "lance" else request.param
    Collection.update(Tricolour(), folder(root / "files"), place, root=root / "files", model_path=root)
    return place


@pytest.fixture(scope="module")
def made(place) -> Collection:
    return Collection.open(place)


def ids(hits):
    return [hit.id for hit in hits]


def test_it_opens_as_it_was_built(made, place):
    opened = Collection.open(place)
    assert len(opened) == len(made) == 6
    assert opened.fields == ("image", "text", "audio") and opened.counts == {"image": 4, "text": 5, "audio": 4}
    assert opened.fingerprint == "tricolour-1"
    assert opened.model_path and Path(opened.model_path).name.startswith("senses")
    assert opened.problems == ()
    assert opened.query(Tricolour(), text="green") == made.query(Tricolour(), text="green")


def test_a_text_finds_pictures_and_sounds(made):
    hits = made.query(Tricolour(), text="blue", k=3)
    assert ids(hits)[:2] == ["blue", "hum"] and len(hits) == 3
    first = hits[0]
    assert first.field in ("image", "audio") and first.caption == "a blue thing" and first.metadata == {"page": 2}
    assert first.path and first.path.endswith(("files/images/blue.png", "files/audio/blue.wav"))
    assert first.score == pytest.approx(1 / (1 + 0.7**2), abs=1e-3)
    assert hits[1].caption == "" and hits[1].field == "audio"


def test_a_sound_and_a_picture_find_the_rest(made):
    assert ids(made.query(Tricolour(), audio=(tone(0), RATE), k=1)) == ["red"]
    hits = made.query(Tricolour(), image=np.full((8, 8, 3), (0, 255, 255), np.uint8), k=1)
    assert ids(hits) == ["words"] and hits[0].field == "text" and hits[0].path is None


def test_by_default_the_querys_own_field_is_not_searched(made):
    picture = np.full((8, 8, 3), (255, 255, 0), np.uint8)
    across = made.query(Tricolour(), image=picture)
    within = made.query(Tricolour(), image=picture, within=["image"])
    assert {hit.field for hit in across} <= {"text", "audio"}
    assert {hit.field for hit in within} == {"image"} and ids(within)[0] == "yellow"
    assert within[0].score > across[0].score + 0.2  # the gap, for which the default is as it is
    assert ids(made.query(Tricolour(), image=picture, within="image")) == ids(within)


def test_its_own_field_is_searched_where_there_is_no_other():
    words = [Item(c, {"text": (c,)}) for c in ("red", "green")]
    only = Collection.update(Tricolour(), words, "memory:")
    assert only.fields == ("text",)
    assert ids(only.query(Tricolour(), text="green")) == ["green", "red"]


def test_a_query_of_several_things_is_the_sum_of_their_unit_vectors(made):
    model = Tricolour()
    z = model.encode(text=["red", "blue"], audio=[(tone(1), RATE)])
    total = z["text"].sum(0) + z["audio"].sum(0)
    hits = made.query(model, text=["red", "blue"], audio=(tone(1), RATE), k=2)
    assert {hit.field for hit in hits} == {"image"}
    expected = made.search(total / np.linalg.norm(total), k=2, within=["image"])
    assert ids(hits) == ids(expected)
    np.testing.assert_allclose([h.score for h in hits], [h.score for h in expected], rtol=1e-5)
    parts = made.search({"text": 9 * z["text"][0], "audio": z["audio"][0]}, k=2)
    assert ids(parts) == ids(made.query(model, text="red", audio=(tone(1), RATE), k=2))  # lengths do not count


def test_fields_that_an_item_lacks_do_not_find_it(made):
    assert "hum" not in ids(made.query(Tricolour(), text="blue", within=["image", "text"]))
    assert set(ids(made.query(Tricolour(), text="blue", within=["audio"], k=99))) == {"red", "green", "blue", "hum"}
    assert len(made.query(Tricolour(), text="blue", within=["image", "audio", "text"], k=99)) == 6


@given(st.data())
def test_an_items_score_is_its_best_over_the_fields_and_its_pieces(data):
    rows, k = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 14))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    x = rng.integers(-1, 2, (2, 3, rows, 3)) + np.array([0.5, 0, 0])
    x = (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)
    has = rng.random((2, 3, rows)) < 0.4
    store, names = Memory(), ("a", "b")
    pieces = [
        [Piece({n: x[f, p, i] for f, n in enumerate(names) if has[f, p, i]}, float(p), p + 1.0) for p in range(3)]
        for i in range(rows)
    ]
    store.upsert(table([Entry(Row(f"{i:02d}"), tuple(own)) for i, own in enumerate(pieces)]))
    store.describe({"kinds": {"a": "image", "b": "text"}, "root": None})
    collection = Collection(store)
    if not has.any():
        return
    by_piece = np.where(has, x @ x[0, 0, 0], -np.inf).max(0)
    scores = by_piece.max(0)
    hits = collection.search(x[0, 0, 0], k=k)
    found = np.array([int(hit.id) for hit in hits])
    assert len(hits) == min(k, int(has.any((0, 1)).sum())) == len(set(found.tolist()))
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1][: len(hits)], atol=1e-6)
    np.testing.assert_allclose(scores[found], [hit.score for hit in hits], atol=1e-6)
    for hit in hits:
        assert hit.start is not None and by_piece[int(hit.start), int(hit.id)] == pytest.approx(hit.score, abs=1e-6)


def test_equal_scores_come_in_the_order_of_the_ids():
    same = [Item(f"{9 - i}", {"text": ("red",)}) for i in range(9)]
    collection = Collection.update(Tricolour(), same, "memory:")
    assert ids(collection.query(Tricolour(), text="red", k=4)) == ["1", "2", "3", "4"]


def test_another_model_is_refused(made):
    with pytest.raises(SensoriumError) as error:
        made.query(Tricolour(fingerprint="tricolour-2"), text="red")
    for part in ("tricolour-1", "tricolour-2", str(made.model_path), "sensorium index", "--anew", f"--out {made.place}"):
        assert part in str(error.value)
    other = Tricolour(fingerprint="tricolour-2")
    vars(other)["origin"] = Origin("someone/other")
    with pytest.raises(SensoriumError, match=r"files --model someone/other --out \S+ --anew$"):
        made.query(other, text="red")


def test_numbers_too_large_to_compare_by_are_kept_and_are_no_facts():
    item = Item("a", {"text": ("red",)}, {"n": 10**400, "m": 3, "word": "1e999"})
    made = Collection.update(Tricolour(), [item], "memory:")
    assert made.row("a").metadata == item.metadata
    assert ids(made.query(Tricolour(), text="red", where="m = 3")) == ["a"]
    with pytest.raises(UnknownName, match="a filter by 'n', which no item has"):
        made.query(Tricolour(), text="red", where="n > 1")


@pytest.mark.parametrize(
    ("query", "error", "text"),
    [
        ({"text": "red", "k": 0}, SensoriumError, "k is 0"),
        ({}, SensoriumError, "an empty query"),
        ({"text": []}, SensoriumError, "an empty query"),
        ({"txt": "red"}, UnknownName, "Did you mean 'text'"),
        ({"text": "red", "within": ["imge"]}, UnknownName, "Did you mean 'image'"),
        ({"text": "red", "within": []}, SensoriumError, "`within` is empty"),
        ({"image": "none.png"}, BadFile, "none.png"),
    ],
)
def test_what_cannot_be_asked(made, query, error, text):
    with pytest.raises(error, match=text):
        made.query(Tricolour(), **query)


def test_vectors_that_cannot_be_asked(made):
    with pytest.raises(SensoriumError, match="a query of 5 numbers"):
        made.search(np.ones(5, np.float32))
    for bad in (np.zeros(6, np.float32), np.full(6, np.nan, np.float32), {}):
        with pytest.raises(SensoriumError, match="a query needs at least one vector"):
            made.search(bad)
    x = np.ones(6, np.float32)
    with pytest.raises(SensoriumError, match="cancel each other out"):
        made.search({"text": x, "image": -x})


@pytest.mark.parametrize("place", ["memory:nothing", "lance"])
def test_what_cannot_be_made(tmp_path, place):
    place = tmp_path / "c" if place == "lance" else place
    for items, text in (
        ([Item("a", {"text": ("red",)})] * 2, "two items are called 'a'"),
        (iter([Item("a", {"text": ("red",)})] * 2), "two items are called 'a'"),
        ([Item("a", {"image": (tmp_path / "no.png",)})], r"nothing could be embedded.*no\.png"),
        ([], "There are no items"),
    ):
        with pytest.raises(SensoriumError, match=text):
            Collection.update(Tricolour(), items, place)
        with pytest.raises(BadFile, match="no collection is here"):
            Collection.open(place)


def test_places_that_are_none(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/cat.jpg").write_bytes(b"cat")
    for place in (tmp_path / "photos", tmp_path / "photos/cat.jpg"):
        with pytest.raises(SensoriumError, match="is no collection: give a new path"):
            Collection.update(Tricolour(), [Item("a", {"text": ("red",)})], place)
    (tmp_path / "old").mkdir()
    (tmp_path / "old/manifest.json").write_text('{"format": "sensorium/collection-1"}')
    with pytest.raises(BadFile, match="an older version"):
        Collection.open(tmp_path / "old")
    with pytest.raises(UnknownName, match="no store is reached by s4://"):
        Collection.open("s4://bucket/c")


def test_filters_on_what_is_known_of_the_items(made):
    def found(where):
        return sorted(ids(made.query(Tricolour(), text="red", k=9, within=["image", "text", "audio"], where=where)))

    assert found("page >= 1") == ["blue", "green"] and found("not page >= 1") == ["hum", "red", "words", "yellow"]
    assert found("kind = 'image' and page is missing") == ["yellow"] and found("kind = 'text'") == ["words"]
    assert found("id in ('hum', 'red') or page = 2") == ["blue", "hum", "red"]
    for where, error, text in (
        ("pages = 1", UnknownName, "Did you mean 'page'"),
        ("page = 'one'", SensoriumError, "its values are numbers, not texts"),
        ("page =", SensoriumError, "expected a number"),
    ):
        with pytest.raises(error, match=text):
            found(where)


def test_files_and_thumbnails_of_a_row(made):
    hit = made.query(Tricolour(), text="red", k=1)[0]
    path = made.file(hit.id, "image")
    assert path is not None and path.is_file() and path.name == "red.png"
    assert made.file(hit.id, "video") is None
    thumbnail = made.thumbnail(hit.id)
    assert thumbnail is not None and thumbnail[:2] == b"\xff\xd8"
    assert made.row(hit.id).captions == ("a red thing", "red red")


@pytest.mark.parametrize("place", ["memory:paged", "milvus", "lance"])
def test_pages_hold_every_item_once_in_the_order_of_the_ids(tmp_path, place):
    """Items of several pieces too, and one is no prefix of the next; what is removed meanwhile holds up nothing."""
    at = {"milvus": f"milvus://{tmp_path}/c.db", "lance": tmp_path / "c"}.get(place, place)
    names = ["a", "a\tb", "a b", "a\\", "b", "é", "ZZ", "9"]
    texts = {name: ("red",) * (1 + i % 3) for i, name in enumerate(names)}
    items = [Item(name, {"text": said}, metadata={"page": i}) for i, (name, said) in enumerate(texts.items())]
    made = Collection.update(Tricolour(), items, at)
    known = [row.id for row in made.page(k=99)]
    assert sorted(known) == sorted(names) and [row.captions for row in made.page(k=99)] == [texts[name] for name in known]
    for k in (1, 3, len(names)):
        seen: list[str] = []
        while some := made.page(seen[-1] if seen else None, k):
            assert len(some) == min(k, len(names) - len(seen))
            seen += [row.id for row in some]
        assert seen == known
    assert {row.id for row in made.page(where="page < 2")} == set(names[:2])
    made.store.delete(Compare("item", "=", "b"))
    assert [row.id for row in made.page("b", 99)] == known[known.index("b") + 1 :]
    with pytest.raises(SensoriumError, match="k is 0"):
        made.page(k=0)
    assert Collection(Memory()).page() == []  # as while it is made


def test_the_first_numbers_of_vectors_are_enough_for_a_model_that_was_trained_to(tmp_path):
    items, model = folder(tmp_path / "files"), Tricolour()
    made = Collection.update(Prefix(model, 3), items, "memory:cut", root=tmp_path / "files")
    first = model.encode(text=["blue and green"])["text"][0, :3]
    (row,) = (row for some in made.store.scan() for row in some.to_pylist() if row["item"] == "words")
    np.testing.assert_allclose(row["vector_text"], first / np.linalg.norm(first), rtol=1e-6)
    hits = made.query(model, text="blue", k=2)  # the query is cut by itself
    assert set(ids(hits)) == {"blue", "hum"} and hits[0].score == pytest.approx(1, abs=1e-3)
    assert mixed.query(made, model, '"blue" + "green"', within="text")[0].id == "words"
    assert Collection.update(model, items, "memory:cut", root=tmp_path / "files").changes.unchanged == 6
    for other in (Prefix(model, 2), Tricolour(fingerprint="other")):
        with pytest.raises(SensoriumError, match="cannot be compared"):
            made.query(other, text="blue")
    with pytest.raises(SensoriumError, match="dims=7: vectors of this model have 6 numbers"):
        Prefix(model, 7).encode(text=["a"])


@pytest.mark.parametrize("place", ["memory:passing", "milvus", "lance"])
def test_what_is_removed_between_finding_and_looking_it_up_is_no_hit(tmp_path, place):
    """A store without versions to hold on to is asked again; Lance answers from the version that it looked at."""
    at = {"milvus": f"milvus://{tmp_path}/c.db", "lance": tmp_path / "c"}.get(place, place)
    made = Collection.update(Tricolour(), folder(tmp_path / "files"), at, root=tmp_path / "files")
    other = made if place.startswith("memory:") else Collection.open(at)
    (query,) = Tricolour().encode(text=["red"])["text"]
    assert ids(made.find(query, {"text"}, 1)) == ["red"]
    made.close()
    search, removed = made.store.search, []

    def slowly(*asked):
        found = search(*asked)
        if not removed:
            removed.append(other.store.delete(Compare("item", "=", "red")))
        return found

    made.store.search = slowly  # type: ignore[method-assign]
    assert ids(made.find(query, {"text"}, 1)) == (["red"] if place == "lance" else ["yellow"]) and removed[0] > 0
    assert "red" not in ids(made.find(query, {"text"}, 6))
    with pytest.raises(UnknownName):  # what was never there is an error, once
        made.steadily(lambda: made.store.get(["nothing"]))
