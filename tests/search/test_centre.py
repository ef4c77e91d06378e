"""Centred collections: the gap is closed, queries are moved as items are, and what was moved is remembered."""

import numpy as np
import pytest
from search.fake import Tricolour, folder

from sensorium.core.errors import SensoriumError
from sensorium.core.protocols import Item
from sensorium.search import Collection, centre
from sensorium.search.centre import Centred, suited
from sensorium.search.prefix import Prefix
from sensorium.search.taking import vectors


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("centred")
    folder(root)
    return root


@pytest.fixture(scope="module")
def made(root) -> Collection:
    return Collection.update(Tricolour(), folder(root), "memory:", root=root, centre=True)


def test_vectors_are_those_of_the_model_without_the_mean_of_their_field(made, root):
    plain = Collection.update(Tricolour(), folder(root), "memory:", root=root)
    for name in made.fields:
        ids, before = vectors(plain, name)
        same, after = vectors(made, name)
        moved = before - before.mean(0)
        assert ids == same
        np.testing.assert_allclose(after, moved / np.linalg.norm(moved, axis=1, keepdims=True), atol=1e-5)


def test_the_gap_is_told_before_and_after(made):
    told = made.store.about["centred"]
    assert told["items"] == 6 and told["fields"] == ["audio", "image", "text"]
    # by construction the fields lie apart in the last three numbers, and about equally in the first
    assert all(length > 0.7 for length in told["gap"].values()) and all(
        told["after"][p] < told["gap"][p] / 2 for p in told["gap"]
    )
    z = {"a": np.array([[1.0, 0.0], [1.0, 0.0]]), "b": np.array([[0.0, 1.0], [0.0, 0.0]])}
    assert centre.gaps(z) == {"a-b": pytest.approx(np.hypot(1, 0.5))}


def test_queries_are_moved_as_the_items_are(made, root):
    hits = made.query(Tricolour(), text="blue", k=2)
    mean = np.array(made.store.about["means"]["text"])
    z = Tricolour().encode(text=["blue"])["text"][0] - mean
    same = made.search({"text": z}, k=2)
    assert [hit.id for hit in hits] == [hit.id for hit in same] and hits[0].id == "blue" and hits[0].score > 0.9
    np.testing.assert_allclose([hit.score for hit in hits], [hit.score for hit in same], atol=1e-5)
    without = Collection.update(Tricolour(), folder(root), "memory:", root=root).query(Tricolour(), text="blue", k=2)
    assert without[0].score < 0.7  # the gap


def test_it_is_brought_up_to_date_by_the_means_that_it_has(root):
    items = folder(root)
    made = Collection.update(Tricolour(), items[:4], "memory:centred", root=root, centre=True)
    means = made.store.about["means"]
    again = Collection.update(Tricolour(), items, "memory:centred", root=root)
    assert again.changes.added == 2 and again.changes.unchanged == 4 and again.store.about["means"] == means
    with pytest.raises(SensoriumError, match="cannot be compared"):
        again.query(Tricolour(fingerprint="another"), text="blue")
    Collection.update(Tricolour(), items, "memory:not centred", root=root)
    with pytest.raises(SensoriumError, match=r"is there, and not centred: .*--centre --anew"):
        Collection.update(Tricolour(), items, "memory:not centred", root=root, centre=True)


def test_a_field_without_a_sample_stays_as_it_is(root):
    words = [Item(c, {"text": (c,)}) for c in ("red", "green", "blue")]
    made = Collection.update(Tricolour(), words, "memory:", centre=True)
    assert made.store.about["centred"]["fields"] == ["text"] and made.store.about["centred"]["gap"] == {}
    model = made.check(Tricolour())
    assert isinstance(model, Centred)
    picture = np.zeros((8, 8, 3), np.uint8)
    np.testing.assert_array_equal(model.encode(image=[picture])["image"], Tricolour().encode(image=[picture])["image"])
    with pytest.raises(SensoriumError, match="nothing to centre by: of the 1 items"):
        Collection.update(Tricolour(), words[:1], "memory:", centre=True)


def test_first_numbers_are_centred_too_and_what_is_kept_of_a_vector_is_that(root):
    made = Collection.update(Prefix(Tricolour(), 4), folder(root), "memory:", root=root, centre=True)
    model = suited(Tricolour(), made.store.about)
    assert isinstance(model, Centred) and model.fingerprint == made.fingerprint and made.store.about["dims"] == 4
    z = Tricolour().encode(text=["red and green"])["text"]
    np.testing.assert_allclose(model.kept("text", z), model.encode(text=["red and green"])["text"], atol=1e-6)


def test_the_means_are_of_a_sample_in_equal_steps(root, monkeypatch):
    monkeypatch.setattr(centre, "SAMPLE", 3)
    items = folder(root)
    model, told = centre.centred(Tricolour(), items, root)
    assert told["items"] == 3
    own, _ = centre.centred(Tricolour(), [items[0], items[2], items[4]], root)
    assert model.fingerprint == own.fingerprint
