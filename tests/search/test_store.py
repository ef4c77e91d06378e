"""The conformance suite: what a store does, whichever driver it is."""

import numpy as np
import pyarrow as pa
import pytest
from search.drivers import DRIVERS, contents, rows

from sensorium.core.errors import SensoriumError, UnknownName
from sensorium.search.exact import nearest, of_table
from sensorium.search.memory import Memory
from sensorium.search.store import Store
from sensorium.search.where import Compare, Every, Not, Some, parse

ODD = ["", "a", "a b", 'b"c', "b'c", "b\\c", "d%_", "e\nf\tg", "z;--", "ä", "日本", "🎈"]
"""Keys in the order of their bytes, which hold what means something to databases."""


@pytest.fixture(params=DRIVERS)
def driver(request):
    return DRIVERS[request.param]


@pytest.fixture
def store(driver, tmp_path) -> Store:
    return driver.make(tmp_path)


def found(hits):
    return [[hit.id for hit in some] for some in hits]


def test_an_empty_store_says_so_and_fits_the_protocol(store):
    frozen = store.snapshot()
    assert isinstance(store, Store)
    assert (store.count(), store.about, store.schema.names, store.optimize()) == (0, {}, [], {})
    assert contents(store) == [] and store.delete(Compare("id", "=", "a")) == 0
    with pytest.raises(UnknownName, match="no vectors 'x'"):
        store.search("x", np.ones((1, 2), np.float32), 1)
    with pytest.raises(UnknownName, match="'a'"):
        store.get(["a"])
    store.upsert(rows(["a"]))
    assert frozen.count() == 0 and contents(frozen) == [] and store.count() == 1


def test_rows_come_back_whole_and_in_the_order_of_their_keys(store, driver, tmp_path):
    thumbnails = pa.array([b"", b"\x00\xff'", None] * 4, pa.large_binary())
    given = rows(ODD[::-1], n=[1.5, None, -2.0] * 4, flag=[True, False, None] * 4, word=[*ODD[:11], None])
    given = given.append_column("picture", thumbnails)
    store.upsert(given)
    store.describe({"made": "hére", "n": [1, {"a": None}]})
    for seen in (store, driver.again(tmp_path, store)):
        assert contents(seen) == given.sort_by("id").to_pylist()
        assert seen.about == {"made": "hére", "n": [1, {"a": None}]}
        assert seen.get(["b'c", "a", "b'c"], ["n", "id"]).to_pylist() == [
            {"n": given.sort_by("id")["n"][i].as_py(), "id": ODD[i]} for i in (4, 1, 4)
        ]
        assert seen.count() == 12 and seen.count(Compare("n", "known")) == 8


def test_upsert_is_keyed_idempotent_and_replaces_rows_whole(store):
    first = rows(["a", "b"], x=[[1, 0], None], n=[1.0, 2.0])
    store.upsert(first)
    once, version = contents(store), store.version
    store.upsert(first)
    assert contents(store) == once and store.version >= version
    store.upsert(rows(["b", "c"], y=[[1, 2, 3], None], word=["w", None]))
    assert contents(store) == [
        {"id": "a", "x": [1, 0], "n": 1.0, "y": None, "word": None},
        {"id": "b", "x": None, "n": None, "y": [1, 2, 3], "word": "w"},
        {"id": "c", "x": None, "n": None, "y": None, "word": None},
    ]
    assert store.version > version


def test_rows_replace_others_in_one_step(store):
    store.upsert(rows(["a1", "a2", "a3", "b"], item=["a", "a", "a", "b"], n=[1.0, 2.0, 3.0, 4.0]))
    frozen = store.snapshot()
    store.upsert(rows(["a1", "a9"], item=["a", "a"], n=[5.0, 6.0]), Compare("item", "in", ("a",)))
    assert [(row["id"], row["n"]) for row in contents(store)] == [("a1", 5.0), ("a9", 6.0), ("b", 4.0)]
    assert frozen.count() == 4


def test_deletion(store):
    store.upsert(rows(ODD, n=[float(i) for i in range(12)]))
    assert store.delete(Some((Compare("id", "in", ("b'c", "z;--")), Compare("n", ">=", 10.0)))) == 4
    assert [row["id"] for row in contents(store)] == [key for key in ODD[:10] if key not in ("b'c", "z;--")]
    assert store.delete(Some(())) == 0 and store.delete(Every(())) == 8 and store.count() == 0
    store.upsert(rows(["a"], n=[1.0]))
    assert store.count() == 1


def test_search_equals_brute_force_with_nulls_ties_and_filters(store):
    rng = np.random.default_rng(3)
    x = rng.integers(-2, 3, (60, 4)).astype(np.float32)
    has = rng.random(60) < 0.7
    keys = [f"k{i:02d}" for i in rng.permutation(60)]
    store.upsert(rows(keys, x=[v if h else None for v, h in zip(x, has, strict=True)], n=list(map(float, range(60)))))
    queries = rng.integers(-2, 3, (7, 4)).astype(np.float32)
    scores = dict(zip(keys, x @ queries.T, strict=True))
    for where, met in ((None, has), (Compare("n", "<", 20.0), has & (np.arange(60) < 20)), (Some(()), has & False)):
        allowed = [key for key, yes in zip(keys, met, strict=True) if yes]
        hits = store.search("x", queries, 9, where)
        for q, some in enumerate(hits):
            expected = sorted(allowed, key=lambda key: (-scores[key][q], key))[:9]
            assert [(hit.id, hit.score) for hit in some] == [(key, float(scores[key][q])) for key in expected]
    assert len(store.search("x", queries[:1], 99)[0]) == has.sum()


def test_search_sees_what_was_written_just_now(store, driver, tmp_path):
    store.upsert(rows(["a", "b"], x=[[1, 0], [0, 1]]))
    other, query = driver.again(tmp_path, store), np.array([[1.0, 0]], np.float32)
    assert found(other.search("x", query, 1)) == [["a"]]
    store.upsert(rows(["b"], x=[[2, 0]]))
    assert found(other.search("x", query, 2)) == [["b", "a"]]
    store.delete(Compare("id", "=", "b"))
    assert found(other.search("x", query, 2)) == [["a"]] and other.count() == 1


def test_a_snapshot_does_not_move(store):
    store.upsert(rows(["a", "b"], x=[[1, 0], [0, 1]]))
    store.describe({"n": 1})
    frozen, query = store.snapshot(), np.array([[0.0, 1]], np.float32)
    before = contents(frozen)
    store.upsert(rows(["a", "c"], x=[[0, 5], [0, 9]], word=["w", "v"]))
    store.delete(Compare("id", "=", "b"))
    store.describe({"n": 2})
    assert contents(frozen) == before and frozen.count() == 2 and frozen.about == {"n": 1}
    assert found(frozen.search("x", query, 9)) == [["b", "a"]] and found(store.search("x", query, 9)) == [["c", "a"]]
    for change in (lambda: frozen.upsert(rows(["d"])), lambda: frozen.delete(Every(())), lambda: frozen.describe({})):
        with pytest.raises(SensoriumError, match="a snapshot is for reading"):
            change()


def test_scanning_goes_on_after_a_key_and_is_not_moved_by_a_writer(store):
    store.upsert(rows(ODD, n=[float(i % 3) for i in range(12)]))
    scan = store.scan(["id"], rows=5)
    first = next(scan)["id"].to_pylist()
    store.delete(Compare("id", "=", "🎈"))
    store.upsert(rows(["b"], n=[1.0]))
    rest = [key for table in scan for key in table["id"].to_pylist()]
    assert first == ODD[:5] and rest == ODD[5:]
    after = [key for table in store.scan(["id"], after=first[-1], rows=3) for key in table["id"].to_pylist()]
    assert after == ODD[5:11]
    few = [table["id"].to_pylist() for table in store.scan(["id"], after="a", rows=2, most=3)]
    assert few == [["a b", "b"], ['b"c']] and not list(store.scan(after=ODD[-1], most=3))
    assert [len(table) for table in store.scan(most=99)] == [12]
    some = [table.to_pylist() for table in store.scan(["n", "id"], Compare("n", "=", 1.0), after="a", rows=2)]
    assert some == [[{"n": 1.0, "id": "b"}, {"n": 1.0, "id": "b'c"}], [{"n": 1.0, "id": "e\nf\tg"}, {"n": 1.0, "id": "日本"}]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n > 1", "cd"),
        ("n >= 1 and n < 3", "bc"),
        ("not n > 1", "abe"),  # what is missing is not more than 1
        ("n != 2", "abd"),
        ("not n != 2", "ce"),
        ("n is missing or n = -0.5", "ae"),
        ("word = 'it''s'", "b"),
        ('word in ("x", "y") or flag = true', "ad"),
        ("word not in ('x')", "bcde"),
        ("word < 'it' and not (flag = false)", "e"),
        ("word >= 'x'", "ad"),
        ("flag is known and not flag = true", "bc"),
        ("NOT (n > 1 OR n <= 1)", "e"),
        ("whole > 2.5", "cde"),
        ("whole in (1, 2)", "ab"),
    ],
)
def test_filters(store, text, expected):
    store.upsert(
        rows(
            list("abcde"),
            n=[-0.5, 1.0, 2.0, 3.0, None],
            word=["x", "it's", None, "y", ""],
            flag=[True, False, False, True, None],
            whole=[1, 2, 3, 4, 5],
            x=[[1], None, [3], [4], [5]],
        )
    )
    where = parse(text)
    assert "".join(row["id"] for row in store.scan(["id"], where).__next__().to_pylist()) == expected if expected else True
    assert store.count(where) == len(expected) and store.count(Not(where)) == 5 - len(expected)
    (hits,) = store.search("x", np.ones((1, 1), np.float32), 9, where)
    assert [hit.id for hit in hits] == [key for key in "edca" if key in expected]


def test_what_cannot_be_written_or_asked(store):
    store.upsert(rows(["a"], x=[[1, 2]], n=[1.0], word=["w"]))
    for given, text in (
        (pa.table({"n": [1.0]}), "without a key"),
        (rows(["b", "b"]), "'b' is there twice"),
        (rows(["b"], x=[[1, float("nan")]]), "'b': its vector for 'x' holds NaN"),
        (rows(["b"], x=[[1, 2, 3]]), "the column 'x' holds"),
        (rows(["b"], n=["text"]), "the column 'n' holds double"),
        (rows(["b"], **{"drop table": ["w"]}), "a column called 'drop table'"),
    ):
        with pytest.raises(SensoriumError, match=text):
            store.upsert(given)
    query = np.ones((1, 2), np.float32)
    for call, text in (
        (lambda: store.search("z", query, 1), "Known: x"),
        (lambda: store.search("x", np.ones((1, 3), np.float32), 1), "a query of 3 numbers"),
        (lambda: store.search("x", query, 0), "k is 0"),
        (lambda: store.search("x", query, 1, Compare("wort", "=", "w")), "Did you mean 'word'"),
        (lambda: store.count(Compare("word", ">", 1.0)), "the column holds string"),
        (lambda: store.delete(Compare("n", "=", "1")), "the column holds double"),
        (lambda: store.get(["a", "b"]), "no row has the key 'b'"),
    ):
        with pytest.raises(SensoriumError, match=text):
            call()
    assert contents(store) == [{"id": "a", "x": [1, 2], "n": 1.0, "word": "w"}]


def test_rows_go_from_one_store_to_another(store):
    other = Memory()
    rng = np.random.default_rng(0)
    store.upsert(rows([str(i) for i in range(30)], x=list(rng.normal(size=(30, 3))), n=[None, *map(float, range(29))]))
    for table in store.scan(rows=8):
        other.upsert(table)
    assert contents(other) == contents(store)
    whole = pa.concat_tables(list(other.scan()))
    query = rng.normal(size=(2, 3)).astype(np.float32)
    assert found(store.search("x", query, 5)) == found(nearest(of_table(whole, "x"), query, 5))
