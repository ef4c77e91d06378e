"""Every recipe: arguments that are JSON, a full-size model that fits its fields, and two steps that move it."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium import truth
from sensorium.core.trainer import Trainer
from sensorium.data.questions import even
from sensorium.data.synthetic import write_world
from sensorium.decoders import Drawing
from sensorium.losses import total
from sensorium.modalities import Audio, Image, Text, Video
from sensorium.recipes import RECIPES, WORLDLY
from sensorium.recipes.anything import PROMPTS
from sensorium.recipes.makers import layouts
from sensorium.recipes.senses import senses
from sensorium.recipes.start import begun, keep
from sensorium.recipes.towers import space
from sensorium.sensorium import Sensorium
from sensorium.training import Experiment, fit
from sensorium.training.experiment import Start
from sensorium.world import caption, scene


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """A folder of 24 scenes."""
    folder = tmp_path_factory.mktemp("world")
    scenes = scene.distinct("train", 24)
    write_world(folder, scenes, [caption.render(scenes, "list"), caption.render(scenes, "short")])
    return folder


SPACES = ("folder", "senses")
SLOTTED = ("pictures", "clips", "anything")
"""Their sketch reads tokens alone, and nothing else teaches what makes the condition: the vector of no condition stays 0."""
SMALL = {"width": 16, "depth": 1}
"""Dials of a small network, for recipes that have them; `anything` has decoders of one size."""


def small(name: str) -> dict[str, int]:
    known = inspect.signature(RECIPES[name]).parameters
    return {dial: value for dial, value in SMALL.items() if dial in known}


@pytest.fixture
def make(name, world) -> Callable[..., Experiment]:
    """The recipe, given what it cannot do without."""
    given = {"folder": {"path": world}, "anything": {"init": untrained()}}.get(name, {})
    return lambda **dials: RECIPES[name](**given, **dials)


def untrained() -> Start:
    """A space as it is before training."""
    experiment = senses(width=16)
    return Start("nowhere", "0", experiment.model, experiment.fields, lambda: experiment.model.build(0))


def shapes(experiment: Experiment) -> dict[str, jax.ShapeDtypeStruct]:
    """Of a batch, by what its source reads."""
    read = experiment.source.read(np.arange(2))
    return {key: jax.ShapeDtypeStruct((experiment.batch * len(x) // 2, *x.shape[1:]), x.dtype) for key, x in read.items()}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_at_full_size_every_shape_fits(name, make):
    experiment = make()
    rows = shapes(experiment)
    for field in experiment.fields:
        for key, x in field.blank().items():
            shape = rows[key].shape
            read = shape[1:] if name != "questions" else shape[len(shape) - x.ndim :]  # which has several a scene
            assert (read, rows[key].dtype) == (x.shape, x.dtype), key
    graph, state = nnx.split(nnx.eval_shape(lambda: experiment.model.build(0)))

    def loss(state, batch):
        outputs = nnx.merge(graph, state)(batch, jax.random.key(0))
        return outputs, total(experiment.losses, outputs, batch, 0)

    outputs, (value, parts) = jax.eval_shape(loss, state, rows)
    assert value.shape == () and set(parts) == set(experiment.losses)
    if name in SPACES:
        width = experiment.arguments["width"]
        assert {key: x.shape for key, x in outputs.items() if key != "scale"} == {
            f"{field.name}/unit": (experiment.batch, width) for field in experiment.fields
        }
        assert len(parts) == 3, "three pairs of three fields"


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_its_arguments_are_json_that_makes_it_again(name, make):
    experiment = make(steps=7, batch=4, seed=3)
    assert experiment.recipe == name and (experiment.steps, experiment.batch, experiment.seed) == (7, 4, 3)
    arguments = json.loads(json.dumps(experiment.arguments))
    assert arguments == experiment.arguments
    if "path" in arguments:
        arguments["path"] = Path(arguments["path"])
    if "init" in arguments:
        arguments["init"] = untrained()
    again = RECIPES[name](**arguments)
    assert (again.arguments, again.fields, again.model) == (experiment.arguments, experiment.fields, experiment.model)
    assert json.loads(json.dumps(experiment.model.arguments)) == experiment.model.arguments


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_a_few_steps_of_a_small_batch_move_every_parameter_that_trains(name, make):
    experiment = make(steps=2 if name in SPACES else 10, batch=8, **small(name))
    model, history = fit(experiment)
    assert all(np.isfinite(record["loss"]) for record in history[1:])
    before = nnx.to_flat_state(nnx.state(experiment.model.build(0)))
    for (path, old), (_, new) in zip(before, nnx.to_flat_state(nnx.state(model)), strict=True):
        still = (name == "anything" and path[0] == "space") or (name in SLOTTED and path[-1] == "nothing")
        assert jnp.isfinite(new[...]).all() and (new[...] != old[...]).any() != still, path


def test_anything_reads_what_people_say_and_learns_to_write_in_reading_order():
    experiment = RECIPES["anything"](init=untrained())
    batch = experiment.source.read(np.arange(64))
    scenes = scene.draw("train", np.arange(64), 0, 2)
    text = next(field for field in experiment.fields if isinstance(field, Text) and field.name == "text")
    said, written = ([text.show(ids) for ids in batch[name]] for name in ("text", "text_told"))
    assert written == caption.render(scenes, "reading") and [field.name for field in experiment.fields][-1] == "plan"
    styles = caption.styles(scenes, PROMPTS)
    assert said == caption.render(scenes, styles) and len(set(styles)) == 4


def test_a_run_of_anything_is_gone_on_with_from_what_it_began_with(tmp_path):
    first = RECIPES["anything"](init=untrained())
    assert first.start is not None
    keep(first.start, tmp_path)
    init = begun(tmp_path)
    assert init is not None
    again = RECIPES["anything"](init=init)
    assert (again.model, again.fields, again.arguments) == (first.model, first.fields, first.arguments)


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize("most", [2, 3])
def test_layouts_are_read_whole_and_word_by_word(most, moves):
    field = layouts(most, moves)
    style = caption.MOVING_LAYOUT if moves else caption.LAYOUT
    said = caption.render(scene.draw("train", np.arange(2000), 0, most), style)
    assert [field.measure(one) for one in said] == [(len(one.split()) + 2, field.length) for one in said]
    assert max(len(one.split()) + 2 for one in said) == field.length
    assert [field.show(field.prepare(one)[field.name]) for one in said] == said


@pytest.mark.parametrize("target", [Audio(), Video(size=64, frames=16, seconds=2.0)], ids=lambda field: field.kind)
def test_sounds_and_clips_are_made_out_of_a_space_too(target):
    fields = (Image(size=64), target)
    card = space(fields, 16, {"video": {"width": 16, "depth": 1}})
    start = Start("nowhere", "0", card, fields, lambda: card.build(0))
    experiment = RECIPES["anything"](init=start, targets=(target.name,), steps=4, batch=2)
    model, history = fit(experiment)
    assert all(np.isfinite(record["loss"]) for record in history[1:])
    before = nnx.to_flat_state(nnx.state(experiment.model.build(0), nnx.Param))
    moved = {
        path: (new[...] != old[...]).any()
        for (path, old), (_, new) in zip(before, nnx.to_flat_state(nnx.state(model, nnx.Param)), strict=True)
    }
    assert {path[0] for path, moves in moved.items() if moves} == {"decoders", "planner", "prefix"}
    made = Sensorium(model, experiment.fields, experiment.model)
    (one,) = made.generate(target.name, image=np.zeros((64, 64, 3), np.uint8), how=Drawing(steps=1, guidance=1.0))
    assert np.isfinite(np.asarray(one[0], np.float32)).all() and np.asarray(one[0]).std() > 0


@pytest.mark.parametrize("name", ["captions", "pictures", "joint"])
def test_what_writes_texts_trains_in_bfloat16_as_well(name, make):
    """As `precision="auto"` does on a GPU: a cache of float32 took no keys of bfloat16."""
    losses = {}
    for precision in ("float32", "bfloat16"):
        experiment = make(steps=1, batch=2, trainer=Trainer(precision=precision), **small(name))
        with jax.numpy_dtype_promotion("standard"):  # as whoever trains has it
            _, history = fit(experiment)
        losses[precision] = next(record["loss"] for record in history if "loss" in record)
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)


@pytest.mark.parametrize("name", sorted(set(WORLDLY) - {"senses"}))
def test_what_it_says_of_the_truth_can_be_said_before_it_has_learned(name, make, monkeypatch):
    experiment, distinct = make(**small(name)), scene.distinct
    monkeypatch.setattr(scene, "distinct", lambda split, n, *rest: distinct(split, 4, *rest))
    monkeypatch.setattr(truth, "even", lambda split, n, types, seed: even(split, 1, types, seed))
    found = experiment.truth(Sensorium(experiment.model.build(0), experiment.fields, experiment.model))
    assert all(np.isfinite(value) for value in found.values())
    ways = (
        ("text->image/", "audio->image/", "image->text/", "audio->text/", "text->image->text/") if name == "anything" else ("",)
    )
    number = "accuracy" if name == "questions" else "motion" if name == "clips" else "exact"
    assert {f"{way}{split}/{number}" for way in ways for split in truth.SPLITS} <= set(found)
