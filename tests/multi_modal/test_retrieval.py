"""Retrieval: every modality indexed, once; ids with scores; every number by hand; refusals that say what to do."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.errors import BadFile, SensoriumError, UnknownName
from sensorium.multi_modal.retrieval import Hit, MultiModalRetrieval

AXES = np.eye(4, dtype=np.float32)
ANGLES = np.array([10.0, 25.0, 40.0, 80.0], np.float32)


def f32(numbers) -> np.ndarray:
    return np.array(numbers, np.float32)


def on_circle(degrees) -> np.ndarray:
    """Vectors of two numbers, of lengths other than one."""
    radians = np.deg2rad(np.asarray(degrees, np.float32)).reshape(-1)
    return 3.0 * np.stack([np.cos(radians), np.sin(radians)], 1)


class Counting:
    """Encoders that remember the sizes of their batches: an angle is a picture `[1]`, a text is an angle in words."""

    def __init__(self):
        self.batches: dict[str, list[int]] = {"image": [], "text": [], "audio": []}

    def image(self, batch: jax.Array) -> np.ndarray:
        self.batches["image"].append(len(batch))
        return on_circle(batch)

    def text(self, batch: list[str]) -> np.ndarray:
        self.batches["text"].append(len(batch))
        return on_circle([float(text.split()[0]) for text in batch])

    def audio(self, batch: jax.Array) -> np.ndarray:
        self.batches["audio"].append(len(batch))
        return on_circle(batch)

    @property
    def encoders(self) -> dict:
        return {"image": self.image, "text": self.text, "audio": self.audio}


def example(**more) -> tuple[MultiModalRetrieval, Counting]:
    counting = Counting()
    texts = [f"{angle:g} degrees" for angle in (12, 27, 44, 70)]
    made = MultiModalRetrieval(None, ANGLES[:, None], texts, encoders=counting.encoders, fingerprint="circle", **more)
    return made, counting


def test_every_database_is_embedded_in_batches_and_the_last_one_is_whole():
    """[V] The sample indexes pictures only, so that every search for a text fails."""
    retrieval, counting = example(audio_db=ANGLES[:3, None])
    assert retrieval.index_database(batch_size=3) == {"image": 4, "text": 4, "audio": 3}
    assert counting.batches == {"image": [3, 1], "text": [3, 1], "audio": [3]}
    assert [hit.id for hit in retrieval.retrieve_image_to_text(f32([26]), k=4)] == [1, 0, 2, 3]
    for size in (1, 2, 4, 100):
        other, _ = example(audio_db=ANGLES[:3, None])
        other.index_database(batch_size=size)
        assert other.retrieve_image_to_text(f32([26]), k=4) == retrieval.retrieve_image_to_text(f32([26]), k=4)


def test_hits_have_ids_and_cosines_best_first_in_any_direction():
    retrieval, _ = example(ids={"image": ["ten", "a quarter", "forty", "eighty"]}, audio_db=ANGLES[:, None])
    retrieval.index_database()
    hits = retrieval.retrieve_text_to_image("30 degrees", k=3)
    assert [hit.id for hit in hits] == ["a quarter", "forty", "ten"]
    np.testing.assert_allclose([hit.score for hit in hits], np.cos(np.deg2rad([5, 10, 20])), rtol=1e-5)
    assert hits[0] == Hit("a quarter", hits[0].score) and hits == retrieval.retrieve("text", "image", "30 degrees", 3)
    assert [hit.id for hit in retrieval.retrieve("audio", "image", f32([75]), 1)] == ["eighty"]
    assert [hit.id for hit in retrieval.retrieve("image", "image", f32([36]), 2)] == ["forty", "a quarter"]


def test_several_queries_give_a_list_of_hits_each():
    retrieval, _ = example()
    retrieval.index_database()
    texts = ["30 degrees", "80 degrees"]
    assert retrieval.retrieve_text_to_image(texts, 2) == [retrieval.retrieve_text_to_image(text, 2) for text in texts]
    pictures = f32([[11], [69]])
    assert retrieval.retrieve_image_to_text(pictures, 1) == [retrieval.retrieve_image_to_text(x, 1) for x in pictures]


def test_equal_scores_come_in_the_order_of_the_database():
    retrieval = MultiModalRetrieval(None, AXES, encoders={"image": lambda x: x})
    retrieval.index_database()
    assert [hit.id for hit in retrieval.retrieve("image", "image", AXES[2], 4)] == [2, 0, 1, 3]


def test_a_second_call_embeds_only_what_is_new(tmp_path):
    retrieval, counting = example()
    retrieval.index_database()
    counting.batches = {"image": [], "text": [], "audio": []}
    assert retrieval.index_database() == {"image": 0, "text": 0}
    retrieval.databases["text"][3] = "33 degrees"
    retrieval.databases["image"][0] = 31.0
    assert retrieval.index_database() == {"image": 1, "text": 1}
    assert counting.batches == {"image": [1], "text": [1], "audio": []}
    assert retrieval.retrieve_text_to_image("30 degrees", 1)[0].id == 0
    assert retrieval.retrieve_image_to_text(f32([33]), 1)[0].id == 3


def test_equal_items_are_embedded_once_and_files_are_known_by_what_is_in_them(tmp_path):
    sizes = []

    def read(paths):
        sizes.append(len(paths))
        return on_circle([float(Path(path).read_text()) for path in paths])

    for name, angle in (("a", "10"), ("b", "50"), ("c", "50")):
        (tmp_path / name).write_text(angle)
    retrieval = MultiModalRetrieval(None, [tmp_path / "a", tmp_path / "b", tmp_path / "b"], encoders={"image": read})
    assert retrieval.index_database() == {"image": 2} and sizes == [2]
    (tmp_path / "b").write_text("20")
    assert retrieval.index_database() == {"image": 1}
    assert retrieval.retrieve("image", "image", tmp_path / "c", 3)[0] == pytest.approx((1, math.cos(math.radians(30))))


def test_a_model_with_two_towers_needs_no_more_and_changed_weights_are_seen():
    class Towers(nnx.Module):
        def __init__(self, rngs: nnx.Rngs):
            self.image, self.text = nnx.Linear(3, 4, rngs=rngs), nnx.Embed(9, 4, rngs=rngs)

        def encode_image(self, images: jax.Array) -> jax.Array:
            return self.image(images)

        def encode_text(self, text: jax.Array) -> jax.Array:
            return self.text(text).mean(1)

    model = Towers(nnx.Rngs(0))
    images, texts = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32), np.arange(6, dtype=np.int32).reshape(3, 2)
    retrieval = MultiModalRetrieval(model, images, jnp.asarray(texts))
    assert retrieval.index_database(batch_size=2) == {"image": 5, "text": 3}
    a, b = np.asarray(model.encode_image(jnp.asarray(images))), np.asarray(model.encode_text(jnp.asarray(texts)))
    cosines = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (b / np.linalg.norm(b, axis=1, keepdims=True)).T
    hits = retrieval.retrieve_image_to_text(images[3], 3)
    assert [hit.id for hit in hits] == np.argsort(-cosines[3]).tolist()
    np.testing.assert_allclose([hit.score for hit in hits], np.sort(cosines[3])[::-1], rtol=1e-4, atol=1e-5)
    model.image.kernel[...] = -model.image.kernel[...]
    with pytest.raises(SensoriumError, match="changed since its databases were indexed"):
        retrieval.retrieve_image_to_text(images[3], 3)
    assert retrieval.index_database() == {"image": 5, "text": 3}
    assert retrieval.retrieve_text_to_image(texts[0], 5)[-1].id == int(np.argmax(cosines[:, 0]))


class Sensorial:
    """What a `Sensorium` is to retrieval: lists of raw things in, unit vectors out; pictures are paths or arrays."""

    fields, fingerprint = (), "of the weights"

    def encode(self, **raws) -> dict[str, np.ndarray]:
        assert all(isinstance(raw, list) for raw in raws.values())
        return {name: np.stack([AXES[int(np.ravel(x)[0])] for x in raw]) for name, raw in raws.items()}


def test_a_sensorium_is_given_raw_things_in_lists():
    retrieval = MultiModalRetrieval(Sensorial(), [np.array([2]), np.array([0])], np.array([[0], [2], [3]]))
    retrieval.index_database()
    assert retrieval.retrieve_image_to_text(np.array([2]), 1) == [Hit(1, 1.0)]


def test_an_index_is_saved_whole_and_read_by_its_own_model_only(tmp_path):
    retrieval, _ = example(ids={"text": ["a", "b", "c", "d"]})
    with pytest.raises(SensoriumError, match=r"index_database\(\) first"):
        retrieval.save(tmp_path)
    retrieval.index_database()
    retrieval.save(tmp_path / "index")
    counting = Counting()
    again = MultiModalRetrieval(None, encoders=counting.encoders, fingerprint="circle").load(tmp_path / "index")
    assert again.retrieve_text_to_image("30 degrees", 4) == retrieval.retrieve_text_to_image("30 degrees", 4)
    assert [hit.id for hit in again.retrieve_image_to_text(f32([45]), 2)] == ["c", "b"]
    more = MultiModalRetrieval(
        None, np.append(ANGLES, 60.0)[:, None].astype(np.float32), encoders=counting.encoders, fingerprint="circle"
    )
    assert more.load(tmp_path / "index").index_database() == {"image": 1}
    assert more.retrieve_text_to_image("61 degrees", 1)[0].id == 4
    more.save(tmp_path / "index")
    assert len(list((tmp_path / "index").iterdir())) == 2, "what was replaced is gone"
    with pytest.raises(SensoriumError, match="fingerprint circle, this one has square"):
        MultiModalRetrieval(None, encoders=counting.encoders, fingerprint="square").load(tmp_path / "index")
    vectors = next((tmp_path / "index").glob("*.npz"))
    vectors.write_bytes(vectors.read_bytes()[:-7])
    with pytest.raises(BadFile, match="not what was written"):
        MultiModalRetrieval(None, encoders=counting.encoders, fingerprint="circle").load(tmp_path / "index")
    with pytest.raises(BadFile, match="no index is here"):
        MultiModalRetrieval(None, encoders=counting.encoders, fingerprint="circle").load(tmp_path)
    unnamed = MultiModalRetrieval(None, ANGLES[:, None], encoders=counting.encoders)
    unnamed.index_database()
    with pytest.raises(SensoriumError, match="give fingerprint="):
        unnamed.save(tmp_path / "other")


def by_eye() -> MultiModalRetrieval:
    """Pictures are the four axes; a text is its vector, so its numbers are (up to its length) the four scores."""
    made = MultiModalRetrieval(None, AXES, AXES, encoders={"image": lambda x: x, "text": lambda x: x})
    made.index_database()
    return made


QUERIES = [
    (f32([0.9, 0.1, 0.3, 0.2]), [0, 3]),  # places 1 and 3
    (f32([0.5, 0.4, 0.8, 0.1]), [1]),  # place 3
    (f32([0.7, 0.7, 0.7, 0.7]), [2]),  # all tie: place 4
    (f32([0.1, 0.6, 0.5, 0.6]), [0, 3]),  # 3 ties with 1: places 2 and 4
]


def test_every_number_of_an_evaluation_by_hand():
    """[V] The sample asks with the word "text_to_image", and takes K from the number of right answers."""
    found = by_eye().evaluate_retrieval({"text_to_image": QUERIES, "image_to_text": [(AXES[1], [1])]}, k=(1, 2, 3, 10))
    assert set(found) == {"text_to_image", "image_to_text"}
    one = found["text_to_image"]
    assert [one[f"R@{k}"] for k in (1, 2, 3, 10)] == [0.25, 0.5, 0.75, 1.0]
    assert one["MedR"] == 2.5 and one["MRR"] == pytest.approx((1 + 1 / 3 + 1 / 4 + 1 / 2) / 4)
    assert one["mAP"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 3 + 1 / 4 + (1 / 2 + 2 / 4) / 2) / 4)
    second, third, fourth = 1 / math.log2(3), 1 / 2, 1 / math.log2(5)
    gains = (1 + third) / (1 + second) + third + fourth + (second + fourth) / (1 + second)
    assert one["nDCG@10"] == pytest.approx(gains / 4)
    assert one["R@1/chance"] == pytest.approx((2 / 4 + 1 / 4 + 1 / 4 + 2 / 4) / 4) and one["R@10/chance"] == 1
    assert one["queries"] == one["gallery"] == 4
    for name in ("R@2", "MedR", "MRR", "mAP", "nDCG@10"):
        assert one[f"{name}/low"] < one[name] < one[f"{name}/high"]
    other = found["image_to_text"]
    assert all(other[name] == 1 for name in ("R@1", "MedR", "MRR", "mAP", "nDCG@10")) and other["queries"] == 1


def test_blocks_of_queries_change_nothing(monkeypatch):
    import sensorium.multi_modal.retrieval as module

    whole = by_eye().evaluate_retrieval({"text_to_image": QUERIES})
    monkeypatch.setattr(module, "_CELLS", 4 * 3)
    assert by_eye().evaluate_retrieval({"text_to_image": QUERIES}) == whole


def indexed(**more) -> MultiModalRetrieval:
    made, _ = example(**more)
    made.index_database()
    return made


class Blind:
    """Neither towers nor `encode`."""


WRONG = {
    "not indexed": (lambda: example()[0].retrieve_text_to_image("1 degree", 1), r"'image' is not indexed.*index_database\(\)"),
    "no such database": (lambda: indexed().retrieve("text", "audio", "1 degree", 1), "of 'audio'.*Known: image, text"),
    "no such source": (lambda: indexed().retrieve("txt", "image", "1 degree", 1), "no encoder for 'txt'.*Did you mean 'text'"),
    "too many": (lambda: indexed().retrieve_text_to_image("1 degree"), "k is 5: 4 items of 'image'.*1 to 4"),
    "none": (lambda: indexed().retrieve_text_to_image("1 degree", 0), "k is 0"),
    "nothing asked": (lambda: indexed().retrieve_text_to_image([], 1), "empty list of queries"),
    "a query of another kind": (lambda: indexed().retrieve_image_to_text(np.array([5]), 1), r"int64\[1\]; .*float32\[1\]"),
    "a query of another rank": (lambda: indexed().retrieve_image_to_text(f32(5), 1), r"float32\[\]; .*float32\[1\]"),
    "no direction": (
        lambda: MultiModalRetrieval(None, 0 * AXES, encoders={"image": lambda x: x}).index_database(),
        "item 0 of image_db: its vector has no direction",
    ),
    "nan": (
        lambda: MultiModalRetrieval(None, AXES * np.float32(np.nan), encoders={"image": lambda x: x}).index_database(),
        "item 0 of image_db.*nan",
    ),
    "unlike widths": (
        lambda: MultiModalRetrieval(
            None, AXES, AXES, encoders={"image": lambda x: x, "text": lambda x: x[:, :2] + 1}
        ).index_database(),
        "unlike widths.*'image': 4, 'text': 2",
    ),
    "no encoder": (lambda: MultiModalRetrieval(None, AXES, encoders={"imgae": lambda x: x}), "no encoder for 'image'.*'imgae'"),
    "blind": (lambda: MultiModalRetrieval(Blind(), AXES), r"Blind has neither encode"),
    "no databases": (lambda: MultiModalRetrieval(None, encoders={}).index_database(), "no database was given"),
    "empty": (lambda: MultiModalRetrieval(None, AXES[:0], encoders={"image": lambda x: x}), "image_db is empty"),
    "a string": (lambda: MultiModalRetrieval(None, "a.png", encoders={"image": lambda x: x}), "image_db is a str"),
    "a keyword": (lambda: example(audio=AXES), "takes no 'audio'.*audio_db="),
    "twice": (lambda: example(ids={"image": [1, 1, 2, 3]}), "two items of image_db have the id 1"),
    "too few ids": (lambda: example(ids={"image": [1, 2]}), "2 ids for the 4 items of image_db"),
    "ids of nothing": (lambda: example(ids={"images": [1]}), "ids for 'images'.*Did you mean 'image'"),
    "no queries": (lambda: indexed().evaluate_retrieval({"text_to_image": []}), "'text_to_image': no queries"),
    "no answers": (lambda: indexed().evaluate_retrieval({"text_to_image": [("1", [0]), ("2", [])]}), "query 1 has no relevant"),
    "unknown id": (lambda: indexed().evaluate_retrieval({"text_to_image": [("1", [0, 9])]}), "query 0 names 9, which is no id"),
    "a direction": (lambda: indexed().evaluate_retrieval({"text_image": [("1", [0])]}), "no direction.*'text_to_image'"),
    "no directions": (lambda: indexed().evaluate_retrieval({}), "nothing to measure"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_answered_is_an_error_that_says_what_to_do(case):
    call, message = WRONG[case]
    with pytest.raises((ValueError, TypeError, SensoriumError), match=message) as caught:
        call()
    assert "TypeCheck" not in type(caught.value).__name__
    if case in ("no such database", "no such source", "no encoder", "a direction"):
        assert isinstance(caught.value, UnknownName)


def test_one_k_is_a_number():
    whole = by_eye().evaluate_retrieval({"text_to_image": QUERIES}, k=(2,))
    assert by_eye().evaluate_retrieval({"text_to_image": QUERIES}, k=2) == whole and "R@2" in whole["text_to_image"]
