from sensorium.show.tables import DirectionRow, SplitTable


def test_a_table_has_a_column_for_each_k_that_any_row_has():
    rows = [DirectionRow("a → b", 9, dict.fromkeys(ks, 0.5), {}, {}, 1, {}) for ks in ((10, 1), (1, 5))]
    assert SplitTable("held out", rows=rows).ks == [1, 5, 10]
    assert SplitTable("empty").ks == []
