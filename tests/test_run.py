"""A run from its first step to its directory, and what retrieval counts as right."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from training.tiny import FIELDS, experiment, items

import sensorium
from sensorium import Sensorium, evaluate, train
from sensorium.core.protocols import Item
from sensorium.core.trainer import Trainer
from sensorium.run import versions

VALIDATION = tuple(items()[:5])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train(experiment(4, validation=VALIDATION), tmp_path_factory.mktemp("runs") / "a" / "b")


def read(path: Path):
    return json.loads(path.read_text())


def test_the_directory_holds_the_run(run):
    made = {"run.json", "config.json", "model.safetensors", "log.jsonl", "metrics.json", "README.md", "checkpoints", "lock"}
    assert {path.name for path in run.path.iterdir()} == made
    about = read(run.path / "run.json")
    dials = json.loads(json.dumps(asdict(Trainer())))
    assert about["recipe"] == "tiny" and about["arguments"] == {"steps": 4, "batch": 8, "seed": 0, **dials}
    assert about["versions"] == versions() and set(about["versions"]) == {"python", "sensorium", "jax", "flax", "optax", "numpy"}
    assert about["seconds"] > 0 and isinstance(about["command"], str) and "/" not in about["command"].split()[0]
    assert [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()] == run.history
    assert read(run.path / "metrics.json") == run.metrics


def test_it_is_measured_on_its_validation_items(run):
    metrics = run.metrics
    assert metrics == evaluate(run.sensorium, VALIDATION)
    assert (metrics["text->image/queries"], metrics["text->image/gallery"]) == (10, 5)
    assert (metrics["image->text/queries"], metrics["image->text/gallery"]) == (5, 10)
    assert metrics["text->image/recall@1/chance"] == pytest.approx(0.2)
    assert metrics["text->image/recall@5"] == 1


def test_loaded_it_gives_the_same_vectors(run):
    again = sensorium.load(run.path)
    raws = {"image": [item.raws["image"][0] for item in VALIDATION], "text": ["red and blue", "white"]}
    for name, vectors in run.sensorium.encode(**raws).items():
        np.testing.assert_array_equal(again.encode(**raws)[name], vectors)
    assert again.fingerprint == run.sensorium.fingerprint


def test_without_a_directory_nothing_is_written_and_without_pairs_nothing_measured(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = []
    done = train(experiment(2), tell=told.append)
    assert done.path is None and done.metrics == {} and told == done.history and not list(tmp_path.iterdir())
    assert train(experiment(2, validation=VALIDATION[:1])).metrics == {}


class Given(Sensorium):
    """Vectors by hand: what `encode` gives is looked up."""

    fields = FIELDS

    def __init__(self, vectors: dict[str, list[float]]):
        self.vectors = vectors

    def encode(self, **raws):
        return {name: np.array([self.vectors[raw] for raw in some], np.float32) for name, some in raws.items()}


A, B, C = np.eye(3).tolist()
ITEMS = (
    Item("0", {"image": ("picture 0",), "text": ("a red dog", "a house")}),
    Item("1", {"image": ("picture 1",), "text": ("A Red  dog",)}),
    Item("2", {"image": ("picture 2",), "text": ("a blue cat",)}),
    Item("3", {"text": ("without a picture",)}),
)
VECTORS = {
    "picture 0": A,
    "picture 1": B,
    "picture 2": C,
    "a red dog": B,
    "a house": A,
    "A Red  dog": A,
    "a blue cat": A,
    "without a picture": B,
}


def test_every_caption_of_an_item_is_right_and_so_is_an_equal_caption_of_another():
    """'a red dog' finds picture 1, which is not its own but is captioned alike; 'a blue cat' finds picture 0: wrong."""
    metrics = evaluate(Given(VECTORS), ITEMS, ks=(1, 2))
    to_image = {name.removeprefix("text->image/"): value for name, value in metrics.items() if name.startswith("text->image/")}
    assert to_image["recall@1"] == 3 / 4 and to_image["median_rank"] == 1
    assert (to_image["queries"], to_image["gallery"], to_image["excluded"]) == (4, 3, 1)
    assert to_image["recall@1/chance"] == pytest.approx((2 + 1 + 2 + 1) / 4 / 3)
    to_text = {name.removeprefix("image->text/"): value for name, value in metrics.items() if name.startswith("image->text/")}
    # Ties count against the model: 'a blue cat' is as near to picture 0, and 'without a picture' to picture 1, as what is right.
    assert to_text["recall@1"] == 0 and to_text["recall@2"] == pytest.approx(2 / 3) and to_text["median_rank"] == 2
    assert (to_text["queries"], to_text["gallery"], to_text["excluded"]) == (3, 5, 0)
    assert to_text["recall@1/chance"] == pytest.approx((3 + 2 + 1) / 3 / 5)


def test_without_the_equal_caption_the_same_vectors_are_wrong():
    other = VECTORS | {"A red cow": A}
    items = (ITEMS[0], Item("1", {"image": ("picture 1",), "text": ("A red cow",)}), *ITEMS[2:])
    metrics = evaluate(Given(other), items, ks=(1,))
    assert metrics["text->image/recall@1"] == 1 / 4, "only 'a house' finds its own"


def test_fields_without_a_pair_are_not_measured():
    assert evaluate(Given(VECTORS), (Item("0", {"text": ("a house",)}), Item("2", {"image": ("picture 2",)}))) == {}
    assert evaluate(Given(VECTORS), ()) == {}
