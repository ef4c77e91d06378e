"""Runs that begin with a trained model: the recorded small CLIP, on a few scenes of the built-in world."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sensorium
from sensorium.core.errors import BadFile
from sensorium.core.trainer import BadDial, Trainer
from sensorium.data.synthetic import write_world
from sensorium.losses import InfoNCE, Sigmoid
from sensorium.optim.lora import adapted, lora, merge
from sensorium.optim.names import parameters
from sensorium.recipes.folder import folder
from sensorium.recipes.start import RATE, RATE_LORA, OtherFields, begun
from sensorium.run import OtherRun, train
from sensorium.training.beginning import prepared, what_trains
from sensorium.training.experiment import Card, Experiment, Start
from sensorium.training.weights import arrays
from sensorium.world import caption, scene

RECORDED = Path(__file__).parents[1] / "pretrained" / "recorded"
CLIP = RECORDED / "clip"


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("world")
    scenes = scene.distinct("train", 24)
    write_world(root, scenes, [caption.render(scenes, "list")], senses=("image", "text", "audio"))
    return root


@pytest.fixture(scope="module")
def published():
    return sensorium.load(CLIP)


@pytest.fixture(scope="module")
def small(published, tmp_path_factory) -> Path:
    """A checkpoint of one layer a tower, whose programs are quick to compile."""
    folder, arguments = tmp_path_factory.mktemp("small"), json.loads(json.dumps(published.card.arguments))
    for tower in arguments["encoders"].values():
        tower["layers"]["depth"] = 1
    card = Card("space", arguments)
    sensorium.Sensorium(card.build(0), published.fields, card, "clip").save_pretrained(folder)
    return folder


def tuned(world: Path, init: Path | Start, trainer: Trainer | None = None, **dials) -> Experiment:
    """Without an evaluation, which is tested elsewhere."""
    return replace(folder(world, init=init, batch=8, trainer=trainer, **dials), validation=())


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray], names=None) -> bool:
    return all((a[name] == b[name]).all() for name in (names or a))


def test_it_begins_as_the_checkpoint(world, published):
    experiment = tuned(world, CLIP, steps=24)
    assert same(arrays(prepared(experiment)[0]), arrays(published.model)), "step 0 is the checkpoint, bit by bit"
    assert experiment.fields == published.fields and experiment.losses["image-text"] == (1.0, InfoNCE("image", "text"))
    assert experiment.arguments["width"] == published.model.width and experiment.arguments["lr"] == RATE
    assert "audio of 24 items is not read: " in "".join(experiment.left_out)
    assert tuned(world, CLIP, Trainer(lora=2), steps=2).arguments["lr"] == RATE_LORA
    assert isinstance(tuned(world, RECORDED / "siglip", steps=2).losses["image-text"][1], Sigmoid)


def test_the_loss_falls_and_the_model_is_given_back_in_its_layout(world, small, tmp_path):
    run = train(tuned(world, small, steps=24, lr=1e-3))
    losses = [record["loss"] for record in run.history[1:]]
    assert np.mean(losses[-4:]) < np.mean(losses[:4]) - 0.3, losses
    run.sensorium.save_pretrained(tmp_path / "clip", family="clip")
    again = sensorium.load(tmp_path / "clip")
    assert again.family == "clip" and same(arrays(again.model), arrays(run.sensorium.model))
    assert not same(arrays(again.model), arrays(sensorium.load(small).model), ["log_scale"])


def test_adapters_train_alone_beside_the_kernels_of_layers(world, small):
    experiment = tuned(world, small, Trainer(lora=2), steps=4)
    adapters, frozen = prepared(experiment)
    moving = parameters(adapters).keys() - set(frozen)
    parts = ("query", "key", "value", "out", "up", "down")
    assert {name.rpartition(".lora.")[0] for name in moving} == {
        f"encoders.{field}.layers.0.{part}" for field in ("image", "text") for part in parts
    }
    rows = {row.group: row for row in what_trains(experiment)}
    assert rows["encoders.image"].how == "LoRA r=2" and rows["projections.image"].how == "frozen"
    assert rows["total"].trained == sum(parameters(adapters)[name].size for name in moving)


def test_a_locked_tower_keeps_its_vectors(world, small):
    model, frozen = prepared(tuned(world, small, Trainer(lit="image"), steps=4))
    assert set(frozen) == {name for name in parameters(model) if name.startswith(("encoders.image.", "projections.image."))}


def test_a_model_with_adapters_is_saved_with_them_folded_in(published, tmp_path):
    import jax

    model = lora(published.model, 2, patterns=("encoders.*.layers.*",), key=jax.random.key(0))
    for i, adapter in enumerate(adapted(model).values()):
        adapter.b.kernel[...] = 0.1 * jax.random.normal(jax.random.key(i), adapter.b.kernel.shape)
    made = sensorium.Sensorium(model, published.fields, published.card)
    for where, family in (("own", None), ("clip", "clip")):
        made.save_pretrained(tmp_path / where, family)
        again = sensorium.load(tmp_path / where)
        assert same(arrays(again.model), arrays(merge(model)))
    words = ["a red circle", "two of them"]
    assert np.abs(again.encode(text=words)["text"] - made.encode(text=words)["text"]).max() < 1e-5
    assert np.abs(again.encode(text=words)["text"] - published.encode(text=words)["text"]).max() > 1e-2


def test_what_is_locked_stands_still_and_a_run_goes_on_without_what_it_began_with(world, small, tmp_path, monkeypatch):
    """LiT with adapters; the plug is pulled after step 3, and the checkpoint is gone when the run goes on."""
    own = tmp_path / "own"
    shutil.copytree(small, own)
    published = sensorium.load(small)

    def experiment(init: Path | Start) -> Experiment:
        return tuned(world, init, Trainer(lora=2, lit="image", save_every=2), steps=4, lr=1e-2)

    def pull(record):
        if record["step"] == 3:
            raise KeyboardInterrupt

    whole = train(experiment(own), tmp_path / "whole")
    before, after = arrays(published.model), arrays(whole.sensorium.model)
    assert before.keys() == after.keys(), "adapters are folded in"
    moved = {name for name in before if (before[name] != after[name]).any()}
    assert moved == {f"encoders.text.layers.0.{part}.kernel" for part in ("query", "key", "value", "out", "up", "down")}
    with pytest.raises(KeyboardInterrupt):
        train(experiment(own), tmp_path / "cut", pull)
    shutil.rmtree(own)
    monkeypatch.chdir(tmp_path)
    start = begun("cut", "own")
    assert begun("whole", CLIP) is None, "another one"
    assert start is not None and start.fingerprint == published.fingerprint
    again = train(experiment(start), tmp_path / "cut", resume=True)
    assert same(arrays(again.sensorium.model), after) and again.sensorium.fingerprint == whole.sensorium.fingerprint
    assert json.loads((tmp_path / "cut" / "run.json").read_text())["arguments"]["init_fingerprint"] == published.fingerprint
    with pytest.raises(BadFile, match="no model here"):
        start.read()
    with pytest.raises(OtherRun, match="init"):
        train(experiment(CLIP), tmp_path / "cut", resume=True)


def test_what_does_not_go_together_is_told(world, tmp_path):
    scenes = scene.distinct("train", 4)
    write_world(tmp_path / "heard", scenes, [caption.render(scenes, "list")], senses=("text", "audio"))
    with pytest.raises(OtherFields, match=r"heard holds audio, text, and .*clip reads image, text: it has no image"):
        folder(tmp_path / "heard", init=CLIP)
    with pytest.raises(BadDial, match="that reads image: a contrast needs a space of two fields"):
        folder(world, init=RECORDED / "vit")
    with pytest.raises(BadDial, match=r"width=64: .*clip has vectors of \d+ numbers"):
        folder(world, init=CLIP, width=64)
