"""What LanceDB does by default, and must not do to us; what all stores have in common is in test_store.py."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from lancedb.table import LanceTable
from search.drivers import contents, rows
from search.fake import Tricolour, folder

from sensorium.core.errors import SensoriumError
from sensorium.search import Collection
from sensorium.search.exact import Vectors, nearest, of_table, recall
from sensorium.search.lance import CACHES, Lance
from sensorium.search.lance_again import declare
from sensorium.search.lance_sql import sql
from sensorium.search.places import store_at
from sensorium.search.where import Compare, Every, parse

ROWS, WIDTH = 3000, 24


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """More rows than are compared one by one."""
    x = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    store = Lance(tmp_path_factory.mktemp("large") / "c", exact=1000)
    ids = [f"{i:05d}" for i in range(ROWS)]
    store.upsert(rows(ids, x=[*x[:-1], None], n=list(map(float, range(ROWS)))))
    return store, store.optimize(), Vectors(np.array(ids[:-1], object), x[:-1])


def test_an_index_tells_its_recall_and_has_it(large):
    store, told, exact = large
    assert told["x"].kind == "IVF_SQ" and told["x"].rows == ROWS - 1 and told["x"].recall >= 0.99
    queries = np.random.default_rng(9).normal(size=(400, WIDTH)).astype(np.float32)
    found = store.search("x", queries, 10)
    assert recall(found, nearest(exact, queries, 10)) >= 0.97
    assert all(hits == sorted(hits, key=lambda hit: (-hit.score, hit.id)) for hits in found)
    scores = {hit.id: hit.score for hit in found[0]}
    assert all(score == pytest.approx(float(exact.x[int(id)] @ queries[0]), abs=1e-5) for id, score in scores.items())


def test_a_filter_that_few_rows_meet_finds_all_of_them(large):
    store, _, exact = large
    queries = np.random.default_rng(7).normal(size=(5, WIDTH)).astype(np.float32)
    for where, allowed in (
        (Compare("n", ">=", 2980.0), np.arange(ROWS - 1) >= 2980),
        (Compare("n", "<", 1500.0), np.arange(ROWS - 1) < 1500),
    ):
        found, right = store.search("x", queries, 25, where), nearest(exact, queries, 25, allowed)
        assert recall(found, right) >= (1 if allowed.sum() < 100 else 0.97)
        assert [len(hits) for hits in found] == [len(hits) for hits in right]
        assert all(allowed[int(hit.id)] for hits in found for hit in hits)


def test_rows_that_came_after_the_index_are_found(large):
    store, _, _ = large
    far = np.zeros(WIDTH, np.float32)
    far[0] = 5
    store.upsert(rows(["new"], x=[far]))
    assert store.search("x", far[None], 1)[0][0].id == "new"
    assert store.delete(Compare("id", "=", "new")) == 1 and store.search("x", far[None], 1)[0][0].id != "new"


def test_vectors_are_read_once_and_again_when_rows_have_changed(tmp_path, monkeypatch):
    store, read = Lance(tmp_path / "c"), []
    store.upsert(rows(["a", "b"], x=[[1, 0], [0, 1]]))
    real = Lance._query
    monkeypatch.setattr(Lance, "_query", lambda self, columns, where: read.append(columns) or real(self, columns, where))
    query = np.array([[1.0, 0]], np.float32)
    for _ in range(3):
        assert store.search("x", query, 1)[0][0].id == "a"
    assert len(read) == 1
    store.upsert(rows(["c"], x=[[2, 0]]))
    assert store.search("x", query, 1)[0][0].id == "c" and len(read) == 2 and len(store._kept) == 1


def test_who_has_it_open_sees_what_is_made_anew(tmp_path):
    store, reader, query = Lance(tmp_path / "c"), Lance(tmp_path / "c"), np.array([[1.0, 0]], np.float32)
    store.upsert(rows(["a", "b"], x=[[1, 0], [0, 1]]))
    store.describe({"made": 1})
    assert [hit.id for hit in reader.search("x", query, 2)[0]] == ["a", "b"] and reader.about == {"made": 1}
    before, version = reader.snapshot(), reader.version
    store.erase()
    assert reader.schema.names == [] and reader.about == {} and reader.count() == 0
    store.upsert(rows(["c"], x=[[0, 2, 0]]))
    store.describe({"made": 2})
    assert reader.version == store.version > version and reader.about == {"made": 2}
    assert [(hit.id, hit.score) for hit in reader.search("x", np.array([[0, 1.0, 0]], np.float32), 2)[0]] == [("c", 2.0)]
    assert [row["id"] for row in contents(before)] == ["a", "b"] and before.search("x", query, 1)[0][0].id == "a"


def test_a_query_looks_once_for_what_others_wrote(tmp_path, monkeypatch):
    """On a bucket each look is a request."""
    looks, real = [], LanceTable.checkout_latest
    monkeypatch.setattr(LanceTable, "checkout_latest", lambda self: looks.append(self.name) or real(self))
    store, other, query = Lance(tmp_path / "c"), Lance(tmp_path / "c"), np.array([[0.0, 1]], np.float32)
    store.upsert(rows(["a"], x=[[1, 0]]))
    assert [hit.id for hit in other.search("x", query, 1)[0]] == ["a"]
    with other.steady():
        assert other.count() == 1
        store.upsert(rows(["b"], x=[[0, 1]]))
        with other.steady():
            assert other.count() == 1 and other.search("x", query, 1)[0][0].id == "a"
        with ThreadPoolExecutor(1) as apart:
            assert apart.submit(other.count).result(60) == 2
    looks.clear()
    assert other.search("x", query, 1)[0][0].id == "b" and looks == ["rows"]
    found = Collection.update(Tricolour(), folder(tmp_path / "files"), tmp_path / "d", root=tmp_path / "files")
    for _ in range(2):
        looks.clear()
        assert found.find(np.eye(6, dtype=np.float32)[0], {"text"}, 1)[0].id == "red"
    assert sorted(looks) == ["about", "rows"]


def test_threads_share_what_is_kept(tmp_path, monkeypatch):
    store, loads = Lance(tmp_path / "c"), []

    def slowly(table, name):
        loads.append(name)
        with ThreadPoolExecutor(1) as other:  # who only looks something up does not wait for it
            assert other.submit(lambda: store.get(["a"])["n"].to_pylist()).result(60) == [1.0]
        return of_table(table, name)

    monkeypatch.setattr("sensorium.search.lance.of_table", slowly)
    query = np.array([[1.0, 0]], np.float32)
    for n, new in enumerate(("a", "b")):
        store.upsert(rows([new], x=[[n + 1, 0]], y=[[0, 1]], n=[n + 1.0]))
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda name: store.search(name, query, 1)[0][0].id, "xyxyxyxy"))
        assert found[::2] == [new] * 4 and sorted(loads) == ["x", "y"]
        loads.clear()


def test_what_is_kept_is_bounded(tmp_path, monkeypatch):
    assert sum(CACHES.values()) < 512 << 20
    monkeypatch.setattr("sensorium.search.lance.KEPT", 3 * 2 * 4)
    store = Lance(tmp_path / "c")
    store.upsert(rows(["a", "b", "c"], x=[[1, 0], [0, 1], [1, 1]], y=[[1, 0], [0, 1], [1, 1]]))
    for name in ("x", "y", "x"):
        store.search(name, np.ones((1, 2), np.float32), 1)
    assert [key[0] for key in store._kept] == ["x"]


def test_two_writers_of_the_same_new_rows_do_not_double_them(tmp_path):
    stores = [Lance(tmp_path / "c"), Lance(tmp_path / "c")]
    stores[0].upsert(rows(["start"], n=[0.0]))
    new = [f"{i:03d}" for i in range(200)]

    def write(store: Lance) -> None:
        for start in range(0, 200, 50):
            store.upsert(rows(new[start : start + 50], n=[1.0] * 50))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, stores))
    assert [row["id"] for row in contents(stores[0])] == [*new, "start"]


def test_two_writers_at_a_new_place_both_declare_the_key(tmp_path, monkeypatch):
    """The second one's table is of before the first one's declaration, which LanceDB refuses."""
    stores, calls = [Lance(tmp_path / "c"), Lance(tmp_path / "c")], []

    def late(table, key):
        calls.append(key)
        if len(calls) == 1:
            stores[1].upsert(rows(["b"], n=[2.0]))
        declare(table, key)

    monkeypatch.setattr("sensorium.search.lance.declare", late)
    stores[0].upsert(rows(["a"], n=[1.0]))
    assert [row["id"] for row in contents(Lance(tmp_path / "c"))] == ["a", "b"]


def test_two_writers_that_add_columns(tmp_path, monkeypatch):
    stores, calls, real = [Lance(tmp_path / "c"), Lance(tmp_path / "c")], [], LanceTable.add_columns
    stores[0].upsert(rows(["start"], n=[0.0]))

    def late(table, columns):
        calls.append(columns)
        if len(calls) == 1:
            stores[1].upsert(rows(["b"], both=[2.0], second=[2.0]))
        return real(table, columns)

    monkeypatch.setattr(LanceTable, "add_columns", late)
    stores[0].upsert(rows(["a"], first=[1.0], both=[1.0]))
    found = {row["id"]: row for row in contents(Lance(tmp_path / "c"))}
    assert found["a"] == {"id": "a", "n": None, "both": 1.0, "second": None, "first": 1.0} and found["b"]["second"] == 2.0
    assert len(calls) == 3 and len(found) == 3


def test_a_writer_who_is_always_too_late_is_told_so(tmp_path, monkeypatch):
    store, calls = Lance(tmp_path / "c"), []
    store.upsert(rows(["a"], n=[0.0]))

    def refused(table, columns):
        calls.append(1)
        raise RuntimeError("lance error: Retryable commit conflict for version 5. Please retry.")

    monkeypatch.setattr("sensorium.search.lance_again.WAIT", 0)
    monkeypatch.setattr(LanceTable, "add_columns", refused)
    with pytest.raises(SensoriumError, match=r"another writer changed the collection .* 8 times in a row: let one finish"):
        store.upsert(rows(["b"], m=[0.0]))
    assert len(calls) == 8
    monkeypatch.setattr(LanceTable, "add_columns", lambda *_: (_ for _ in ()).throw(RuntimeError("no space left")))
    with pytest.raises(RuntimeError, match="no space left"):
        store.upsert(rows(["b"], m=[0.0]))


def test_a_place_where_nothing_is_stays_so_until_something_is_written(tmp_path):
    store = Lance(tmp_path / "c")
    assert store.count() == 0 and store.about == {} and not store.schema.names and not (tmp_path / "c").exists()


def test_many_small_writes_are_tidied_up(tmp_path):
    store = Lance(tmp_path / "c")
    for i in range(6):
        store.upsert(rows([str(i)], n=[float(i)]))
    table = store._db.open_table("rows")
    assert table.stats()["fragment_stats"]["num_fragments"] == 6
    before = contents(store)
    store.optimize()
    assert store._db.open_table("rows").stats()["fragment_stats"]["num_fragments"] == 1 and contents(store) == before


def test_filters_are_escaped():
    told = "((word IS NOT NULL AND word = 'it''s') AND (NOT (n IS NOT NULL AND CAST(n AS DOUBLE) < -2.5)))"
    assert sql(parse("word = 'it''s' and not n < -2.5")) == told
    assert sql(Every(())) == "true" and sql(Compare("word", "in", ())) == "false"
    assert sql(parse("n in (1, 2)")) == "(n IS NOT NULL AND n IN (1, 2))"


def test_a_bucket_that_does_not_answer_is_told_in_a_sentence(monkeypatch):
    def refused(*args, **kwargs):
        raise RuntimeError("lance error: LanceError(IO): Generic S3 error: no region, /root/registry/src/aws.rs:319:13")

    monkeypatch.setattr("lancedb.connect", refused)
    for create in (False, True):
        with pytest.raises(SensoriumError, match=r"s3://none/c: no answer, .* AWS_REGION.* It was said: .*: no region$"):
            store_at("s3://none/c", create)
