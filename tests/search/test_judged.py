"""A relevance file read, and a collection measured by it: numbers that one can check by hand."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from search.fake import Tricolour, folder

from sensorium.core.errors import BadFile, SensoriumError
from sensorium.search import Collection
from sensorium.search.judged import evaluate
from sensorium.search.relevance import Judged, items, read


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("judged")


@pytest.fixture(scope="module")
def made(root) -> Collection:
    return Collection.update(Tricolour(), folder(root / "files"), "memory:", root=root / "files")


def judged(query: str, **grades: float) -> Judged:
    return Judged(query, 1, grades)


def measure(made, *asked: Judged, **how):
    return evaluate(made, Tricolour(), asked, **how)


def test_by_hand(made):
    """Pictures are red, green, blue and yellow: red is found as red, yellow, then green and blue, which tie."""
    told = measure(made, judged("red", yellow=1, red=3), judged("blue", green=1), within=["image"])
    first, second = told["each"]
    assert first["rank"] == 1 and first["map"] == 1 and first["ndcg@10"] == 1
    assert second["rank"] == 4 and second["map"] == 1 / 4 and second["ndcg@10"] == pytest.approx(1 / math.log2(5))
    numbers = told["metrics"]
    assert numbers["recall@1"] == 0.5 and numbers["recall@5"] == 1 and numbers["median_rank"] == 2.5
    assert numbers["map"] == 0.625 and numbers["ndcg@10"] == pytest.approx((1 + 1 / math.log2(5)) / 2)
    assert numbers["recall@1/chance"] == pytest.approx((2 / 4 + 1 / 4) / 2) and numbers["recall@5/chance"] == 1
    assert numbers["map/chance"] == pytest.approx((np.mean([1, 5 / 6, 3 / 4, 7 / 12, 1 / 2, 5 / 12]) + 25 / 48) / 2)
    assert numbers["recall@1/low"] == 0 and numbers["recall@1/high"] == 1
    assert (told["queries"], told["gallery"], told["unreachable"]) == (2, 4, 0)
    one = measure(made, judged("red", yellow=3, red=1), within=["image"])["each"][0]
    second = 1 / math.log2(3)
    assert one["ndcg@10"] == pytest.approx((1 + 3 * second) / (3 + second))


def test_ties_count_against_the_model(made):
    """Of a query that is neither, green and blue have one score; whichever is right comes last."""
    for name in ("green", "blue"):
        assert measure(made, judged("red", **{name: 1}), within=["image"])["each"][0]["rank"] == 4


def test_what_has_no_vector_there_is_never_found(made):
    """The item `hum` is a sound alone; to be among the first of 4 pictures would be no merit of the model."""
    told = measure(made, judged("blue", hum=1), judged("blue", blue=1, hum=1), within=["image"])
    assert told["unreachable"] == 1 and [one["rank"] for one in told["each"]] == [None, 1]
    assert [one["map"] for one in told["each"]] == [0, 0.5] and told["each"][0]["ndcg@10"] == 0
    assert told["metrics"]["recall@10"] == 0.5 and told["metrics"]["median_rank"] == 2.5
    assert told["metrics"]["recall@5/chance"] == 0.5
    few = measure(made, judged("red", green=1), within=["image"], depth=2)
    assert few["each"][0]["rank"] is None and few["metrics"]["median_rank"] == 4 and few["unreachable"] == 0


def test_queries_are_those_of_a_search(made, root):
    asked = [judged('"red" - "green"', red=1), judged("image:images/blue.png", hum=1, blue=1), judged("green", green=1)]
    told = measure(made, *asked, root=root / "files")
    assert [one["rank"] for one in told["each"]] == [1, 1, 1]
    with pytest.raises(SensoriumError, match=r"the query of line 7: .*no\.png: no such file"):
        measure(made, replace(judged("image:no.png", red=1), line=7))


def test_a_perfect_order_has_the_largest_numbers_and_chance_is_below_it(made):
    asked = judged("red", red=1), judged("green", green=1), judged("blue", blue=1, hum=1)
    numbers = measure(made, *asked)["metrics"]
    for name in ("recall@1", "map", "ndcg@10"):
        assert numbers[name] == numbers[f"{name}/low"] == 1 > numbers[f"{name}/chance"]


TABLE = (
    'query,item,grade\na red thing,red,2\na red thing,images/yellow.png,\n"""red"" - ""blue""",red,1\nblue,blue,0\nblue,hum,1\n'
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("judged.csv", TABLE),
        ("judged.tsv", TABLE.replace(",", "\t")),
        (
            "judged.jsonl",
            '{"query": "a red thing", "item": "red", "grade": 2}\n{"query": "a red thing", "item": "images/yellow.png"}\n\n'
            '{"query": "\\"red\\" - \\"blue\\"", "item": "red"}\n{"query": "blue", "item": "blue", "grade": 0}\n'
            '{"query": "blue", "item": "hum"}\n',
        ),
    ],
)
def test_a_file_is_read_and_its_items_are_found_by_id_and_by_path(made, tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text)
    found = items(made, read(path), path)
    assert [(one.query, one.grades) for one in found] == [
        ("a red thing", {"red": 2, "yellow": 1}),
        ('"red" - "blue"', {"red": 1}),
        ("blue", {"blue": 0, "hum": 1}),
    ]
    assert [one.line for one in found] == ([1, 4, 5] if name.endswith("l") else [2, 4, 5])


def test_paths_from_here_and_whole_ones_are_items_too(made, root, tmp_path, monkeypatch):
    monkeypatch.chdir(root)
    for item in ("files/images/yellow.png", root / "files/images/yellow.png"):
        assert items(made, [judged("red", **{str(item): 1})], tmp_path)[0].grades == {"yellow": 1}
    with pytest.raises(BadFile, match=r"'images/red.png' is an item that this query has by another name"):
        items(made, [judged("red", **{"red": 1, "images/red.png": 1})], tmp_path)


def test_qrels_of_trec_and_tables_of_beir(tmp_path):
    qrels, beir, tsv, lines = (tmp_path / name for name in ("a.qrels", "b.tsv", "queries.tsv", "queries.jsonl"))
    qrels.write_text("301 0 red 2\n301 0 blue -1\n\n302 0 blue 1\n")
    beir.write_text("query-id\tcorpus-id\tscore\n301\tred\t2\n301\tblue\t0\n302\tblue\t1\n")
    tsv.write_text('301\ta red thing\n302\tblue: it\'s "so"\n303\tnobody judged this\n')
    lines.write_text('{"_id": "301", "text": "a red thing"}\n{"_id": 302, "text": "blue: it\'s \\"so\\""}\n')
    for path in (qrels, beir):
        for queries in (tsv, lines):
            assert [(one.query, one.grades) for one in read(path, queries)] == [
                ("a red thing", {"red": 2, "blue": 0}),
                ('blue: it\'s "so"', {"blue": 1}),
            ]
    with pytest.raises(BadFile, match=r"its columns are 301 0 red 2: expected query, item .*with --queries"):
        read(qrels)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("query,item\n", "nothing is judged|columns are none"),
        ("", "the file is empty"),
        ("query,thing\nred,red\n", "its columns are query, thing: expected query, item"),
        ("query,item\nred,red\nred,blue,1\n", "line 3: 3 values for 2 columns"),
        ("query,item\nred,red\nblue,\n", "line 3: the item is empty"),
        ("query,item\nred,red\nred,blue\nred,red\n", "line 4: the item 'red' was judged for this query before, from line 2"),
        ("query,item,grade\nred,red,good\n", "line 2: the grade is 'good': expected a number from 0"),
        ("query,item,grade\nred,red,-1\n", "line 2: the grade is '-1'"),
        ("query,item,grade\nred,red,nan\n", "line 2: the grade is 'nan'"),
        ("query,item,grade\nblue,blue,1\nred,red,0\nred,blue,0\n", "line 3: no item is right for 'red'"),
    ],
)
def test_bad_files_say_where(tmp_path, text, said):
    path = tmp_path / "judged.csv"
    path.write_text(text)
    with pytest.raises(BadFile, match=rf"judged\.csv.*({said})"):
        read(path)


def test_bad_lines_of_json_qrels_and_queries_say_where(tmp_path):
    path, queries = tmp_path / "judged.jsonl", tmp_path / "queries.tsv"
    path.write_text('{"query": "a", "item": "b"}\n{"query": \n')
    with pytest.raises(BadFile, match=r"judged\.jsonl, line 2: Expecting value"):
        read(path)
    queries.write_text("1\tred\n2 blue\n")
    with pytest.raises(BadFile, match=r"queries\.tsv, line 2: expected an id, a tab and what is asked"):
        read(path, queries)
    queries.write_text("1\tred\n1\tblue\n")
    with pytest.raises(BadFile, match=r"queries\.tsv, line 2: the query '1' is there twice"):
        read(path, queries)
    queries.write_text("1\tred\n")
    path = tmp_path / "a.qrels"
    path.write_text("1 0 red 1\n1 0 red\n")
    with pytest.raises(BadFile, match=r"a\.qrels, line 2: 3 words: expected four"):
        read(path, queries)
    path.write_text("1 0 red 1\n2 0 red 1\n")
    with pytest.raises(BadFile, match=r"a\.qrels, line 2: .*queries\.tsv says nothing of a query '2'"):
        read(path, queries)


def test_unknown_items_are_said_with_their_query(made, tmp_path):
    asked = [judged("red", red=1), replace(judged("blue", bleu=1, blou=1), line=9)]
    with pytest.raises(BadFile, match=r"judged\.csv: the query 'blue' from line 9 on: .*no item 'bleu'.*mean 'blue'\? \(2 of"):
        items(made, asked, tmp_path / "judged.csv")
