"""What the sample code of the documents gets wrong is right here, and the page that says so says what was measured."""

import json
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from multi_modal.faults import PROBES, ours
from multi_modal.probe import Fault, expect, refused

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
RESULT = BENCHMARKS / "results" / "sample_code.json"
PAGE = BENCHMARKS.parent / "docs" / "guide" / "sample_code.md"
api = cache(ours)


@pytest.mark.parametrize("id", sorted(PROBES))
def test_it_is_right_here(id):
    assert PROBES[id].check(api())


def test_every_fault_was_seen_in_the_sample_code_and_none_here():
    rows = {row["id"]: row for row in json.loads(RESULT.read_text(encoding="utf-8"))["probes"]}
    assert list(rows) == sorted(PROBES)
    for id, row in rows.items():
        assert (row["fault"], row["right"]) == (PROBES[id].fault, PROBES[id].right)
        assert row["sample"]["passed"] is (False if PROBES[id].shown else None), id
        assert row["ours"]["passed"] is True, id


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return import_module("sample_code")


def test_the_page_is_made_of_the_results(benchmark):
    assert PAGE.read_text(encoding="utf-8") == benchmark.page(json.loads(RESULT.read_text(encoding="utf-8")))


def test_of_a_document_what_it_defines_is_taken_and_nothing_is_run(benchmark):
    document = (
        "Text\n```python\nfrom artifex.data import thing\nimport math\ndef root(x):\n    return math.sqrt(x)\nraise SystemExit\n"
        "```\n```bash\nexit\n```\n```python\nclass Twice:\n    of = staticmethod(lambda x: 2 * root(x))\n```\n"
    )
    names = benchmark.definitions(document)
    assert names["Twice"].of(9.0) == 6.0
    assert "thing" not in names


def test_a_probe_tells_what_it_saw():
    assert expect(True, "3 of 3") == "3 of 3"
    with pytest.raises(Fault, match="1 of 3"):
        expect(False, "1 of 3")
    assert refused(lambda: int("x"), "literal", "x") == "ValueError: invalid literal for int() with base 10: 'x'"
    with pytest.raises(Fault, match="ValueError"):
        refused(lambda: int("x"), "depth", "x")
    with pytest.raises(Fault, match="accepted: 3"):
        refused(lambda: int("3"), "", "3")
