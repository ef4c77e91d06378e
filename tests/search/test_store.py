from sensorium.search.memory import Memory
from sensorium.search.store import Row, Store


def test_memory_fits_the_protocol(tmp_path):
    assert isinstance(Memory.create(tmp_path), Store)


def test_a_row_has_nothing_unless_told():
    assert Row("a") == Row(id="a", paths={}, captions=(), metadata={})
