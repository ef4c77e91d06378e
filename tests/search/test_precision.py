"""Vectors kept as f16, int8 and bits: what is kept, what is found by it on every driver, and what it costs, as it is told."""

import numpy as np
import pyarrow as pa
import pytest
from search.drivers import DRIVERS, contents, rows
from search.fake import Tricolour, folder

from sensorium.core.errors import SensoriumError, UnknownName
from sensorium.search import Collection, Memory, kept
from sensorium.search.exact import Vectors, candidates, nearest, recall, top
from sensorium.search.files import export, load
from sensorium.search.grouping import grouped
from sensorium.search.lance import Lance
from sensorium.search.moving import checksum, push
from sensorium.search.precision import converted, numbers, rounded
from sensorium.search.prefix import Prefix
from sensorium.search.taking import vectors
from sensorium.search.where import Compare

OTHERS = ("f16", "int8", "binary")


def units(n: int, width: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def filled(store, x, precision: str, ids=None):
    ids = [f"{i:05d}" for i in range(len(x))] if ids is None else ids
    store.upsert(converted(rows(ids, x=list(x), n=list(map(float, range(len(x))))), precision))
    return store


def test_what_is_kept_by_hand():
    x = np.array([[0.6, -0.8, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 1]], np.float32)
    assert rounded(x, "int8").tolist() == [[95, -127, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0, 127]]
    np.testing.assert_allclose(numbers(rounded(x, "int8"))[0, :2], np.array([95, -127]) / np.hypot(95, 127), rtol=1e-6)
    assert rounded(x, "binary").tolist() == [[0b10000000], [0b00000001]]
    np.testing.assert_allclose(numbers(rounded(x, "binary")) * 8**0.5, np.where(x > 0, 1, -1), rtol=1e-6)
    assert rounded(x, "f16").dtype == np.float16
    with pytest.raises(UnknownName, match="Did you mean 'int8'"):
        rounded(x, "int9")
    with pytest.raises(SensoriumError, match="a multiple of 8 numbers, got 6"):
        rounded(x[:, :6], "binary")


def test_rounding_depends_on_each_vector_alone_and_moves_it_little():
    x = units(50, 64)
    for precision, least in (("f16", 0.999999), ("int8", 0.9999), ("binary", 0.7)):
        z = numbers(rounded(x, precision))
        cosines = (z * x).sum(1) / np.linalg.norm(z, axis=1)
        assert cosines.min() > least
        np.testing.assert_array_equal(rounded(x[7:8], precision), rounded(x, precision)[7:8])


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("precision", OTHERS)
def test_search_equals_brute_force_over_what_is_kept(driver, precision, tmp_path):
    x, queries = units(60, 16), units(4, 16, seed=1)
    store = DRIVERS[driver].make(tmp_path)
    store.upsert(converted(rows([f"{i:02d}" for i in range(60)], x=[*x[:-1], None], n=list(map(float, range(60)))), precision))
    z, seen = numbers(rounded(x, precision)), DRIVERS[driver].again(tmp_path, store)
    for where, allowed in ((None, range(59)), (Compare("n", "<", 30.0), range(30)), (Compare("n", ">", 55.0), range(56, 59))):
        for query, hits in zip(queries, seen.search("x", queries, 5, where), strict=True):
            scores = z @ query
            expected = sorted(allowed, key=lambda i: (-scores[i], i))[:5]
            assert [int(hit.id) for hit in hits] == expected
            np.testing.assert_allclose([hit.score for hit in hits], scores[expected], atol=1e-6)
    assert contents(seen)[-1]["x"] is None and seen.schema == store.schema
    with pytest.raises(SensoriumError, match="a query of 2 numbers; the vectors of 'x' have 16"):
        store.search("x", np.ones((1, 2), np.float32), 1)
    with pytest.raises(SensoriumError, match="the column 'x' holds"):
        store.upsert(rows(["z"], x=[x[0]]))


def test_binary_vectors_are_found_by_their_bits_and_ordered_by_their_products():
    rng, query = np.random.default_rng(0), units(1, 64, seed=2)
    x = rounded(rng.normal(size=(3000, 64)).astype(np.float32), "binary")
    ids = np.array([f"{i:05d}" for i in range(3000)], object)
    apart = np.bitwise_count(x ^ rounded(query, "binary")).sum(1)
    few = np.lexsort((np.arange(3000), apart))[: candidates(10)]
    scores = numbers(x) @ query[0]
    expected = sorted(few.tolist(), key=lambda i: (-scores[i], i))[:10]
    assert [int(hit.id) for hit in nearest(Vectors.of(ids, x), query, 10)[0]] == expected
    allowed = np.arange(3000) % 2 == 0
    assert all(int(hit.id) % 2 == 0 for hit in nearest(Vectors.of(ids, x), query, 10, allowed)[0])


def test_many_vectors_have_an_index_where_lance_has_one(tmp_path, monkeypatch):
    x, queries = units(2000, 32), units(20, 32, seed=3)
    for precision, kind, exact in (("f16", "IVF_SQ", 500), ("binary", "IVF_FLAT", 50), ("int8", "exact", 500)):
        store = filled(Lance(tmp_path / precision, exact=exact), x, precision)
        told = store.optimize()["x"]
        assert (told.kind, told.rows) == (kind, 2000) and told.recall >= 0.99
        right = nearest(Vectors.of(np.array([f"{i:05d}" for i in range(2000)], object), rounded(x, precision)), queries, 10)
        assert recall(store.search("x", queries, 10), right) >= 0.97
        some = store.search("x", queries, 5, Compare("n", "<", 40.0))
        assert all(len(hits) == 5 and all(int(hit.id) < 40 for hit in hits) for hits in some)
    monkeypatch.setattr("sensorium.search.lance.KEPT", 1000)  # bytes: all are looked at, and none are held
    assert store.search("x", queries, 10) == right and not Lance(store.uri)._kept
    assert store.search("x", queries, 5, Compare("n", "<", 40.0)) == some


@pytest.fixture(scope="module")
def items(tmp_path_factory):
    root = tmp_path_factory.mktemp("items")
    return folder(root / "files"), root / "files"


@pytest.mark.parametrize("place", ["memory", "lance"])
@pytest.mark.parametrize("precision", OTHERS)
def test_a_collection_keeps_its_precision_and_tells_what_it_costs(items, tmp_path, place, precision):
    place, model = f"memory:{tmp_path}" if place == "memory" else tmp_path / "c", Eight()
    made = Collection.update(model, items[0], place, root=items[1], precision=precision)
    told = kept.costs(Collection.open(place).store)["vector_text"]
    assert (told["vectors"], told["numbers"], told["precision"]) == (5, 8, precision)
    assert told["bytes"] == 5 * {"f16": 16, "int8": 8, "binary": 1}[precision]
    assert told["among"] == 5 and (told["recall"] == 1 or precision == "binary")
    if precision != "binary":
        assert [hit.id for hit in made.query(model, text="blue", k=2)] == ["blue", "hum"]
        assert len(grouped(made, made.query(model, text="blue", k=9))) > 1
    assert np.linalg.norm(vectors(made, "text")[1], axis=1) == pytest.approx(1, abs=1e-3)
    again = Collection.update(model, items[0][:5], place, root=items[1])  # what it has is kept
    assert (
        again.changes.deleted == 1 and again.store.schema.field("vector_text").type == made.store.schema.field("vector_text").type
    )
    with pytest.raises(SensoriumError, match=f"keeps its vectors as {precision}, not as f32"):
        Collection.update(model, items[0], place, root=items[1], precision="f32")


class Eight(Tricolour):
    """Two numbers more, for bits come by eights."""

    def encode(self, **raws):
        return {name: np.pad(z, ((0, 0), (0, 2))).astype(np.float32) for name, z in super().encode(**raws).items()}


class Random(Tricolour):
    """Texts as numbers of no meaning, the last of which are half as large."""

    def encode(self, **raws):
        x = [np.random.default_rng(len(raw)).normal(size=64) * np.repeat([1, 0.5], 32) for raw in raws["text"]]
        return {"text": np.stack([z / np.linalg.norm(z) for z in x]).astype(np.float32)}


def test_what_is_told_is_the_recall_of_what_is_kept_beside_all_numbers():
    from sensorium.core.protocols import Item

    model = Random(fields=(Tricolour().fields[1],))
    some = [Item(f"{i:03d}", {"text": ("x" * (i + 1),)}) for i in range(300)]
    whole = model.encode(text=["x" * (i + 1) for i in range(300)])["text"]
    ids, queries = np.array([f"{i:03d}" for i in range(300)], object), whole[::6] + units(50, 64, seed=5) / 2
    found = {}
    for precision, dims in (("f32", None), ("f16", None), ("int8", None), ("int8", 32), ("binary", None), ("binary", 32)):
        asked = model if dims is None else Prefix(model, dims)
        made = Collection.update(asked, some, "memory:", precision=precision)
        told = kept.costs(made.store)["vector_text"]
        found[precision, dims] = told["recall"]
        assert told["numbers"] == (dims or 64)
        if told["recall"] is None:
            continue
        x, q = (whole, queries) if dims is None else (Prefix(model, dims).first(whole), Prefix(model, dims).first(queries))
        exact = [{hit.id for hit in hits} for hits in nearest(Vectors(ids, whole), queries, 10)]
        z = nearest(Vectors.of(ids, rounded(x, precision)), q, 10)
        own = np.mean([len(right & {hit.id for hit in hits}) / 10 for right, hits in zip(exact, z, strict=True)])
        assert told["recall"] == pytest.approx(own, abs=0.1) and told["among"] == 300
    assert found["f32", None] is None and found["f16", None] > 0.99 and found["int8", None] > 0.98
    assert found["int8", None] > found["int8", 32] > found["binary", 32] and found["int8", None] > found["binary", None]


@pytest.mark.parametrize("precision", OTHERS)
def test_it_goes_to_other_places_as_it_is_kept(precision, tmp_path):
    store = filled(Memory(), units(40, 16), "f32")
    store.describe({"fingerprint": "f", "kinds": {}})
    small = Lance(tmp_path / "c")
    told = push(store, small, precision=precision)
    assert small.about["precision"] == precision and told["sha256"] == checksum(store, precision) == checksum(small)
    assert small.about["lost"]["x"] == {"recall": told["recall"]["x"], "among": 40}
    assert told["recall"]["x"] > 0.95 if precision != "binary" else 0.3 < told["recall"]["x"] < 1
    assert push(small, Memory())["recall"] == {"x": 1.0}
    with pytest.raises(SensoriumError, match=f"keeps its vectors as {precision}, not as f32"):
        push(store, small)
    for name in ("c.parquet", "folder"):
        export(small, tmp_path / name)
        load(tmp_path / name, back := Memory())
        assert contents(back) == contents(small) and back.schema.field("x").type == small.schema.field("x").type
    assert pa.types.is_fixed_size_list(small.schema.field("x").type)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (127, 3), (128, 1), (1000, 5), (1000, 8), (5000, 39), (5000, 40), (300, 400)])
def test_the_largest_scores_are_those_of_a_sort(n, k):
    """By the maxima of blocks or without them, and with equal ones: a sort by score, then by place."""
    rng = np.random.default_rng(n + k)
    for scores in (rng.normal(size=n).astype(np.float32), rng.integers(0, 4, n).astype(np.int32), np.zeros(n, np.float32)):
        assert top(scores, k).tolist() == sorted(range(n), key=lambda i: (-scores[i], i))[:k]
