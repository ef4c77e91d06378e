"""What is Milvus's own; what all stores have in common is in test_store.py, which runs on it as a file and as a server."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pymilvus import DataType
from search.drivers import contents, milvus_server, rows

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.search.exact import Vectors, nearest, of_table, recall
from sensorium.search.memory import Memory
from sensorium.search.milvus import Milvus
from sensorium.search.milvus_form import BORN, DIED, ROW, expression
from sensorium.search.milvus_tables import Tables
from sensorium.search.places import erase, store_at
from sensorium.search.precision import converted
from sensorium.search.where import Compare, parse

ROWS, WIDTH = 600, 16


@pytest.fixture
def store(tmp_path) -> Milvus:
    return Milvus(f"milvus://{tmp_path}/c.db")


def unit(n: int) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(n, WIDTH)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def written(store: Milvus) -> list[tuple[str, int, int]]:
    """All rows of the table, whoever sees them."""
    head = store.tables.head()
    found = store.tables.every(head.table, f"{ROW} >= 0", ["c_id", BORN, DIED])
    return sorted((row["c_id"], row[BORN], row[DIED]) for row in found)


def test_a_writer_that_dies_has_done_nothing_and_the_next_one_tidies_up(store, monkeypatch):
    store.upsert(rows(["a", "b"], x=[[1, 0], [0, 1]], n=[1.0, 2.0]))
    before, raw, tables = contents(store), written(store), store.tables.names()

    def killed(*_):
        raise KeyboardInterrupt

    for new in (rows(["a", "c"], x=[[5, 5], [6, 6]]), rows(["a"], word=["w"])):  # the second in a new table
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(Tables, "commit", killed)
            store.upsert(new, Compare("n", ">", 1.5))
        assert contents(store) == before and store.count() == 2
        assert written(store) != raw or store.tables.names() != tables
        assert [hit.id for hit in store.search("x", np.ones((1, 2), np.float32), 9)[0]] == ["a", "b"]
        assert store.delete(Compare("id", "=", "z")) == 0
        assert (written(store), store.tables.names()) == (raw, tables)


def test_what_went_stays_a_day_and_not_longer(store, monkeypatch):
    store.upsert(rows(["a", "b"], n=[1.0, 2.0]))
    store.upsert(rows(["a"], n=[3.0], word=["w"]))  # the first table is of no use any more
    frozen = store.snapshot()
    store.delete(Compare("id", "=", "b"))
    store.optimize()
    assert frozen.count() == 2 and len(store.tables.names()) == 3
    monkeypatch.setattr("sensorium.search.milvus_tables.DAY", -1000)
    store.optimize()
    assert [row[0] for row in written(store)] == ["a"] and len(store.tables.names()) == 2
    assert contents(store) == [{"id": "a", "n": 3.0, "word": "w"}]


def test_one_who_wrote_meanwhile_is_found_out(store, monkeypatch):
    store.upsert(rows(["a"], n=[1.0]))
    real = Tables.put

    def slowly(self, *args):
        monkeypatch.setattr(Tables, "put", real)
        Milvus(store.uri).upsert(rows(["b"], n=[2.0]))
        real(self, *args)

    monkeypatch.setattr(Tables, "put", slowly)
    with pytest.raises(SensoriumError, match="somebody else wrote meanwhile"):
        store.upsert(rows(["c"], n=[3.0]))


def test_threads_that_write_wait_for_each_other(store):
    store.upsert(rows(["start"], n=[0.0]))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: Milvus(store.uri).upsert(rows([f"{i}", "same"], n=[1.0, float(i)])), range(8)))
    assert [row["id"] for row in contents(store)] == [*"01234567", "same", "start"]


@pytest.mark.parametrize("precision", ["f16", "int8", "binary"])
def test_precisions_find_what_they_find_elsewhere(store, precision):
    given = rows([f"{i:03d}" for i in range(300)], x=[*unit(299), None], n=[float(i % 7) for i in range(300)])
    given = converted(given, precision)
    exact = Memory()
    for one in (store, exact):
        one.upsert(given)
    assert contents(store) == contents(exact) and store.schema == exact.schema
    queries = unit(305)[300:]
    for where in (None, parse("n > 2")):
        found, right = store.search("x", queries, 10, where), exact.search("x", queries, 10, where)
        assert [[hit.id for hit in hits] for hits in found] == [[hit.id for hit in hits] for hits in right]
        np.testing.assert_allclose([[h.score for h in a] for a in found], [[h.score for h in a] for a in right], atol=1e-6)


def test_an_index_tells_its_recall_and_a_filter_finds_what_it_should(tmp_path):
    store, x = Milvus(f"milvus://{tmp_path}/c.db", exact=100), unit(ROWS)
    ids = [f"{i:05d}" for i in range(ROWS)]
    store.upsert(rows(ids, x=[*x[:-1], None], n=list(map(float, range(ROWS)))))
    told = store.optimize()
    assert told["x"].kind == "HNSW" and told["x"].rows == ROWS - 1 and told["x"].recall >= 0.99
    exact, queries = Vectors(np.array(ids[:-1], object), x[:-1]), unit(ROWS + 9)[ROWS:]
    assert recall(store.search("x", queries, 10), nearest(exact, queries, 10)) >= 0.97
    few = np.arange(ROWS - 1) >= ROWS - 20
    assert store.search("x", queries, 30, Compare("n", ">=", ROWS - 20.0)) == nearest(exact, queries, 30, few)
    store.upsert(rows(["new"], x=[5 * queries[0]]))
    assert store.search("x", queries[:1], 1)[0][0].id == "new" and store.optimize()["x"].kind == "HNSW"


def test_what_stands_for_missing_vectors_is_not_in_the_way_nor_is_length(store):
    flat, peak = np.ones((1, WIDTH), np.float32), np.eye(1, WIDTH, dtype=np.float32)
    given = rows([f"{i:03d}" for i in range(200)], x=[*[None] * 99, -peak[0], *[flat[0]] * 99, peak[0]])
    store.upsert(given)
    assert [hit.id for hit in store.search("x", peak - flat, 2, Compare("id", "<", "100"))[0]] == ["099"]
    store.erase()
    store.upsert(converted(given, "int8"))  # both have 127 as their largest number
    assert [hit.id for hit in store.search("x", peak + flat / 10, 1)[0]] == ["199"]


def test_more_equal_ones_than_are_asked_for_come_by_their_keys(store, monkeypatch):
    ids = [f"{i:03d}" for i in np.random.default_rng(0).permutation(200)]
    store.upsert(rows(ids, x=[[1, 0]] * 199 + [[0, 1]]))
    query = np.array([[1, 0]], np.float32)
    expected = nearest(of_table(pa.concat_tables(list(store.scan())), "x"), query, 3)
    assert store.search("x", query, 3) == expected
    monkeypatch.setattr("sensorium.search.milvus.MOST", 64)
    assert store.search("x", query, 3) == expected and len(store.search("x", query, 100)[0]) == 100


def test_texts_and_names_that_mean_something_to_it(store):
    odd = ["\x00\x01\x1f\x7f", "{a}", "\\", '\\"', '" or _row >= 0 or "', "%", "\u2028", "a\r\n"]
    store.upsert(rows([str(i) for i in range(8)], like=odd, exists=[float(i) for i in range(8)]))
    for i, text in enumerate(odd):
        assert store.count(Compare("like", "=", text)) == store.count(Compare("like", "in", (text,))) == 1
        assert store.get([str(i)])["like"].to_pylist() == [text]
    with pytest.raises(SensoriumError, match="item 'x': its 'like' takes 70000 bytes; Milvus keeps 65535"):
        store.upsert(rows(["x"], like=["ä" * 35_000]))
    with pytest.raises(SensoriumError, match="'times' holds list"):
        store.upsert(rows(["x"], times=[[1, 2]]))
    assert store.count() == 8


def test_to_import_its_client_closes_nobodys_log():
    code = """
import io, logging, sys
class Closed(logging.Handler):
    def close(self): print("closed")
kept = Closed()
logging.getLogger().addHandler(kept)
from sensorium.search.milvus import Milvus
Milvus("milvus:///none.db")
print("pymilvus" in sys.modules, kept in logging.getLogger().handlers, flush=True)
import os
os._exit(0)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True True\n", run.stderr


def test_what_another_process_made_is_there(tmp_path):
    place = f"milvus://{tmp_path}/c.db"
    code = f"""
import os
from search.drivers import rows
from sensorium.search.milvus import Milvus
Milvus({place!r}).upsert(rows(["a", "b"], n=[1.0, 2.0]))
os._exit(0)
"""
    here = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], check=True, env=os.environ | {"PYTHONPATH": here}, capture_output=True)
    store = store_at(place)
    assert isinstance(store, Milvus) and [row["id"] for row in contents(store)] == ["a", "b"]
    schema = store.tables.client.create_schema(auto_id=False)
    schema.add_field(field_name="id", datatype=DataType.VARCHAR, max_length=8, is_primary=True)
    schema.add_field(field_name="x", datatype=DataType.FLOAT_VECTOR, dim=2)
    store.tables.client.create_collection("sensorium_rows_9", schema=schema)  # and its maker was killed before it had an index
    store.close()
    assert [row["id"] for row in contents(Milvus(place))] == ["a", "b"]


def test_negation_reaches_the_comparisons():
    schema = pa.schema({"n": pa.float64(), "w": pa.string(), "i": pa.int64()})
    assert expression(parse("not (n > 1 and w = 'a')"), schema) == (
        '((c_n is null or c_n <= 1.0) or (c_w is null or c_w != "a"))'
    )
    assert expression(parse("not (i < 2.5 or w is known)"), schema) == "((c_i is null or c_i > 2) and c_w is null)"


def test_places(tmp_path):
    for place in (f"milvus://{tmp_path}/c", "milvus://u:p@x:1/db", "milvus://x:1/a/b", "milvus:///"):
        with pytest.raises(SensoriumError, match="expected milvus://host:port/database"):
            store_at(place, create=True)
    with pytest.raises(BadFile, match="no collection is here"):
        store_at(f"milvus://{tmp_path}/c.db")
    assert not (tmp_path / "c.db").exists()
    place = f"milvus://{milvus_server()}/places"
    with pytest.raises(BadFile, match="no collection is here"):
        store_at(place)
    made = store_at(place, create=True)
    made.upsert(rows(["a"]))
    made.describe({"n": 1})
    assert store_at(place).count() == 1
    made.close()
    assert made.count() == 1
    erase(place)
    assert made.version == 0 and made.about == {}
    with pytest.raises(BadFile, match="no collection is here"):
        store_at(place)
