import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorium.core.errors import SensoriumError
from sensorium.search.reading import Unreadable
from sensorium.search.rows import column, named
from sensorium.search.where import Compare, Every, Not, Some, parse


def test_and_binds_more_than_or_and_not_most_of_all():
    assert parse("a = 1 or not b = 'x' and `c d` > -2") == Some(
        (Compare("a", "=", 1.0), Every((Not(Compare("b", "=", "x")), Compare("c d", ">", -2.0))))
    )
    assert parse("(a = 1 OR b <> 2) AND c is missing") == Every(
        (Some((Compare("a", "=", 1.0), Compare("b", "!=", 2.0))), Not(Compare("c", "known")))
    )
    assert parse('a not in ("x", 2, true)') == Not(Compare("a", "in", ("x", 2.0, True)))


@pytest.mark.parametrize(
    ("text", "cause", "at"),
    [
        ("year > video", "a text stands in quotes: 'video'", 7),
        ("year > 'video", "a quote that is not closed", 7),
        ("year >", "expected a number", 6),
        ("year 2020", "expected =, !=, <", 5),
        ("(year > 1", "expected “)”, got the end", 9),
        ("year > 1 year < 2", "expected “and”, “or” or the end, got 'year'", 9),
        ("year > 1; drop table rows", "';' means nothing here", 8),
        ("year in 1", "expected “(” after “in”", 8),
        ("a = 1 and", "the name of a column", 9),
        ("a is 3", "“known” or “missing”", 5),
        ("", "an empty filter: expected a condition such as year > 2020, or no filter at all", 0),
        ("camera-model = 'x'", "after 'camera'; a name with spaces or signs stands in backquotes: `camera-model`", 6),
        ("camera model = 'x'", "stands in backquotes", 7),
        ("(" * 60 + "a = 1" + ")" * 60, "more than 50", 51),
    ],
)
def test_errors_point_at_the_place(text, cause, at):
    with pytest.raises(Unreadable) as error:
        parse(text)
    message, line, mark = str(error.value).split("\n")
    assert cause in message and line == f"  {text}" and mark == f"  {' ' * at}^"


def test_a_filter_by_what_is_no_value_is_refused():
    for make in (
        lambda: Compare("a", "like", "x"),
        lambda: Compare("a", "=", None),
        lambda: Compare("a", "in", "x"),
        lambda: parse("a = 1e999"),
    ):
        with pytest.raises(SensoriumError, match="a filter"):
            make()


@given(st.text())
def test_columns_are_plain_words_and_give_their_names_back(name):
    spelt = column("word", name)
    assert named(spelt) == name and spelt.isascii() and spelt.replace("_", "").isalnum() and spelt == spelt.lower()
