import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from search.fake import RATE, Tricolour, folder, tone

from sensorium.core.errors import BadFile, SensoriumError, UnknownName
from sensorium.core.protocols import Item
from sensorium.search import Collection, Entry, Memory, Row


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Collection:
    root = tmp_path_factory.mktemp("senses")
    return Collection.build(Tricolour(), folder(root / "files"), root / "c", root=root / "files", model_path=root)


def ids(hits):
    return [hit.id for hit in hits]


def test_it_opens_as_it_was_built(made):
    opened = Collection.open(made.store.path)
    assert len(opened) == len(made) == 6
    assert opened.fields == ("image", "text", "audio")
    assert opened.fingerprint == "tricolour-1"
    assert opened.model_path == str(made.store.path.parent)
    assert opened.problems == ()
    assert opened.query(Tricolour(), text="green") == made.query(Tricolour(), text="green")


def test_a_text_finds_pictures_and_sounds(made):
    hits = made.query(Tricolour(), text="blue", k=3)
    assert ids(hits) == ["blue", "hum", "red"]  # of red, green, yellow, which are equally far, the first
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


def test_its_own_field_is_searched_where_there_is_no_other(tmp_path):
    words = [Item(c, {"text": (c,)}) for c in ("red", "green")]
    only = Collection.build(Tricolour(), words, tmp_path / "c")
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
def test_an_items_score_is_its_best_over_the_fields(tmp_path_factory, data):
    rows, k = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 14))
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    x = rng.integers(-1, 2, (2, rows, 3)) + np.array([0.5, 0, 0])
    x = (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)
    has = rng.random((2, rows)) < 0.7
    store = Memory.create(tmp_path_factory.mktemp("c"))
    names = ("a", "b")
    store.upsert([Entry(Row(str(i)), {n: x[f, i] for f, n in enumerate(names) if has[f, i]}) for i in range(rows)])
    store.commit({"kinds": {"a": "image", "b": "text"}, "root": None})
    collection = Collection(store)
    if not has.any():
        return
    scores = np.where(has, x @ x[0, 0], -np.inf).max(0)
    hits = collection.search(x[0, 0], k=k)
    found = np.array([int(hit.id) for hit in hits])
    assert len(hits) == min(k, int(has.any(0).sum()))
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(scores)[::-1][: len(hits)], atol=1e-6)
    np.testing.assert_allclose(scores[found], [hit.score for hit in hits], atol=1e-6)


def test_equal_scores_come_in_the_order_of_the_collection(tmp_path):
    same = [Item(f"{9 - i}", {"text": ("red",)}) for i in range(9)]
    collection = Collection.build(Tricolour(), same, tmp_path / "c")
    assert ids(collection.query(Tricolour(), text="red", k=4)) == ["9", "8", "7", "6"]


def test_another_model_is_refused(made):
    with pytest.raises(SensoriumError) as error:
        made.query(Tricolour(fingerprint="tricolour-2"), text="red")
    for part in ("tricolour-1", "tricolour-2", str(made.model_path), "sensorium index"):
        assert part in str(error.value)


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


def test_what_cannot_be_built(tmp_path):
    with pytest.raises(SensoriumError, match="two items are called 'a'"):
        Collection.build(Tricolour(), [Item("a", {"text": ("red",)})] * 2, tmp_path / "c")
    with pytest.raises(SensoriumError, match=r"nothing could be embedded.*no\.png"):
        Collection.build(Tricolour(), [Item("a", {"image": (tmp_path / "no.png",)})], tmp_path / "c")
    with pytest.raises(SensoriumError, match="There are no items"):
        Collection.build(Tricolour(), [], tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_building_again_replaces_what_was_there_and_tells_the_problems(tmp_path):
    items, done = folder(tmp_path / "files"), []
    Collection.build(Tricolour(), items, tmp_path / "c")
    (tmp_path / "files/images/red.png").write_bytes(b"")
    again = Collection.build(Tricolour(), items[:2], tmp_path / "c", progress=done.append)
    assert len(again) == 2 and sum(done) == 2
    assert [problem.kind for problem in Collection.open(tmp_path / "c").problems] == ["image"]


def test_files_and_thumbnails_of_a_row(made):
    hit = made.query(Tricolour(), text="red", k=1)[0]
    path = made.file(hit.id, "image")
    assert path is not None and path.is_file() and path.name == "red.png"
    assert made.file(hit.id, "video") is None
    thumbnail = made.thumbnail(hit.id)
    assert thumbnail is not None and thumbnail[:2] == b"\xff\xd8"
    assert made.row(hit.id).captions == ("a red thing", "red red")
