import numpy as np
import pytest
from data.trees import half, three_folders, write
from hypothesis import given, settings
from hypothesis import strategies as st
from modalities.samples import save, smooth

from sensorium import data
from sensorium.core.protocols import Item, Source, Taking
from sensorium.data import Folder, Stream, batches
from sensorium.data.augment import Augmented
from sensorium.data.mixture import Mixed, Mixture
from sensorium.data.orders import Order
from sensorium.data.synthetic import World
from sensorium.modalities import Audio, Image, Text

FIELDS = (Image(size=8), Text(length=16), Audio(rate=8000, seconds=0.1))


def texts(n, word="x"):
    return Folder([Item(f"{word}{i}", {"text": (f"{word} {i}",)}) for i in range(n)], (Text(length=16),))


@pytest.fixture
def pools(tmp_path):
    """Pictures with captions, and pictures with sounds."""
    three_folders(tmp_path / "a", 4)
    three_folders(tmp_path / "b", 3)
    for i in range(4):
        (tmp_path / "a" / "audio" / f"item{i}.wav").unlink()
    for i in range(3):
        (tmp_path / "b" / "captions" / f"item{i}.txt").unlink()
    return str(tmp_path / "a"), str(tmp_path / "b")


def test_rows_lack_what_their_pool_lacks(pools):
    mixture = data.open(pools, FIELDS, weights=[2, 1])
    assert isinstance(mixture, Source) and isinstance(mixture, Taking) and len(mixture) == 7 and mixture.fields == FIELDS
    batch = mixture.read([5, 0, 6, 3])
    assert batch["image/here"].all()
    assert batch["text/here"].tolist() == [False, True, False, True]
    assert batch["audio/here"].tolist() == [True, False, True, False]
    assert not batch["text"][0].any() and batch["group"].tolist() == [5, 0, 6, 3]
    second = data.open(pools[1], FIELDS).read([1, 2])
    for key in ("image", "audio"):
        assert np.array_equal(batch[key][[0, 2]], second[key])
    assert mixture.source_of(5) == (pools[1], 1) and mixture.source_of(3) == (pools[0], 3)


def test_a_field_that_a_source_has_not_is_blank(pools):
    image, text = Image(size=8), Text(length=16)
    mixture = Mixture({"words": texts(3), "pictures": Folder(data.scan(pools[1]).items, (image,))})
    assert mixture.fields == (text, image)
    batch = mixture.read([3, 0])
    assert batch["image/here"].tolist() == [True, False] and batch["text/here"].tolist() == [False, True]
    assert batch["text/mask"].dtype == text.blank()["text/mask"].dtype and not batch["text/mask"][0].any()
    assert np.array_equal(batch["image"][1], image.blank()["image"])


def test_groups_of_different_sources_differ():
    fields = (Image(size=64),)
    worlds = {"a": World(fields, items=4), "b": World(fields, items=4), "c": World(fields, items=4, seed=1)}
    batch = Mixture(worlds).read(range(12))
    assert batch["group"].dtype == np.int32 and len(set(batch["group"].tolist())) == 12
    assert np.array_equal(batch["group"], Mixture(worlds).read(range(12))["group"])
    own = worlds["b"].read(range(4))["group"]
    again = Mixture(worlds).read([5, 5, 4])["group"]
    assert again[0] == again[1] != again[2] and len(set(own.tolist())) == 4


def test_what_is_broken_in_any_source_is_told_with_its_file(pools):
    half_path = data.scan(pools[1]).items[0].raws["image"][0]
    half(half_path)
    mixture = data.open(pools, FIELDS)
    taken = mixture.take([4, 1])
    assert [reject.file for reject in taken.rejects] == [str(half_path)] and taken.asked == 4
    assert taken.batch["image/here"].tolist() == [False, True]
    assert mixture.fingerprint() == data.open(pools, FIELDS).fingerprint() != data.open(pools[::-1], FIELDS).fingerprint()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 9)), min_size=1, max_size=4), st.integers(1, 9), st.integers(0, 99))
def test_shares_are_exact_and_every_source_goes_through_its_epochs(sources, size, seed):
    lengths, weights = [n for n, _ in sources], [w for _, w in sources]
    order = Mixed(lengths, weights, size, seed)
    assert isinstance(order, Order)
    period = sum(weights) // int(np.gcd.reduce(weights))
    n = period * size * 3
    rows = np.concatenate([order.rows(i) for i in range(n // size)])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    which = np.searchsorted(starts, rows, side="right") - 1
    for k in range(n // period):
        counts = np.bincount(which[k * period : (k + 1) * period], minlength=len(sources))
        assert (counts * int(np.gcd.reduce(weights)) == weights).all()
    for i, length in enumerate(lengths):
        own = rows[which == i] - starts[i]
        for epoch in range(len(own) // length):
            assert sorted(own[epoch * length : (epoch + 1) * length]) == list(range(length))
    assert np.array_equal(Mixed(lengths, weights, size, seed).rows(2), order.rows(2))  # from the middle


def test_the_order_depends_on_the_seed_and_says_what_it_is():
    a, b = Mixed([5, 50], [1, 1], 20, 0), Mixed([5, 50], [1, 1], 20, 1)
    assert not np.array_equal(a.rows(0), b.rows(0)) and a.fingerprint != b.fingerprint
    assert a.fingerprint == {"sources": [5, 50], "shares": [1, 1], "batch_size": 20, "seed": 0} and a.per_epoch == 2
    assert Mixed([5, 50], [0.25, 0.75], 4).fingerprint["shares"] == [1, 3]
    assert Mixed([5, 50], [1 / 3, 2 / 3], 4).fingerprint["shares"] == [1, 2]
    assert not np.array_equal(a.rows(0), a.rows(1))


def test_a_stream_over_a_mixture_goes_on_where_it_stopped():
    mixture = Mixture({"few": texts(3, "few"), "many": texts(40, "many")}, {"many": 3, "few": 1})
    order = mixture.order(8, seed=4)
    with Stream(mixture, order, stop=6) as stream:
        whole = [batch["group"].tolist() for batch in stream]
    with Stream(mixture, order, start=3, stop=6) as stream:
        assert [batch["group"].tolist() for batch in stream] == whole[3:]
    assert sum(row < 3 for rows in whole for row in rows) == 12 and len(whole) == 6


def test_what_does_not_fit_together_is_an_error(pools, tmp_path):
    one = texts(2)
    other = Folder(one.items, (Text(length=8),))
    with pytest.raises(ValueError, match=r"the field 'text' differs between the sources 'a' .* and 'b'.*sources\['a'\]\.fields"):
        Mixture({"a": one, "b": other})
    with pytest.raises(ValueError, match="each needs rows"):
        Mixture({"a": one, "b": Folder([], one.fields)})
    with pytest.raises(ValueError, match="each needs rows"):
        Mixture({})
    with pytest.raises(ValueError, match="1 weights for 2 sources"):
        Mixture({"a": one, "b": texts(1)}, [1])
    with pytest.raises(ValueError, match=r"weights for \['a'\]"):
        Mixture({"a": one, "b": texts(1)}, {"a": 1})
    with pytest.raises(ValueError, match="expected positive numbers"):
        Mixture({"a": one, "b": texts(1)}, [1, 0]).order(2)
    mixture = Mixture({"a": one})
    for rows in ([2], [-1]):
        with pytest.raises(IndexError, match="a mixture of 2 rows"):
            mixture.read(rows)
    with pytest.raises(ValueError, match="no rows"):
        mixture.read([])
    with pytest.raises(ValueError, match="each once"):
        data.open([pools[0], pools[0]])
    with pytest.raises(ValueError, match="for a single source"):
        data.open(pools[0], weights=[1])
    save(tmp_path / "c" / "x.png", smooth(8, 8))
    write(tmp_path / "d" / "x.txt", "words of another pool")
    fields = data.open([tmp_path / "c", tmp_path / "d"]).fields
    assert [field.kind for field in fields] == ["image", "text"]


def test_batches_of_a_mixture_keep_its_weights_also_augmented():
    items = [Item(f"i{n}", {"text": (f"number {n}",)}) for n in range(30)]
    text = (Text(length=8),)
    mixture = Mixture({"a": Folder(items[:20], text), "b": Folder(items[20:], text)}, weights=[1, 9])
    for source in (mixture, Augmented(mixture, {"text": ()})):
        drawn = np.concatenate([mixture_rows(batch) for batch in batches(source, 20, 10)])
        assert [(drawn < 20).sum(), (drawn >= 20).sum()] == [20, 180]
    plain = np.concatenate([mixture_rows(batch) for batch in batches(mixture, 10, 3, shuffle=False)])
    assert plain.tolist() == list(range(30))


def mixture_rows(batch) -> np.ndarray:
    """The rows of a batch of the texts "number 0" to "number 29"."""
    known = {int(Text(length=8).prepare(f"number {n}")["text/id"]): n for n in range(30)}
    return np.array([known[int(identity)] for identity in batch["text/id"]])
