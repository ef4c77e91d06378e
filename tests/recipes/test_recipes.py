"""Every recipe: arguments that are JSON, a full-size model that fits its fields, and two steps that move it."""

import json
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.data.synthetic import write_world
from sensorium.losses import total
from sensorium.recipes import RECIPES
from sensorium.training import Experiment, fit
from sensorium.world import caption, scene


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Path:
    """A folder of 24 scenes."""
    folder = tmp_path_factory.mktemp("world")
    scenes = scene.distinct("train", 24)
    write_world(folder, scenes, [caption.render(scenes, "list"), caption.render(scenes, "short")])
    return folder


@pytest.fixture
def make(name, world) -> Callable[..., Experiment]:
    """The recipe, given what it cannot do without."""
    given = {"senses": {}, "folder": {"path": world}}[name]
    return lambda **dials: RECIPES[name](**given, **dials)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_at_full_size_every_shape_fits(name, make):
    experiment = make()
    arrays = {key: x for field in experiment.fields for key, x in field.blank().items()}
    rows = {key: jax.ShapeDtypeStruct((experiment.batch, *x.shape), x.dtype) for key, x in arrays.items()}
    rows |= {f"{field.name}/here": jax.ShapeDtypeStruct((experiment.batch,), bool) for field in experiment.fields}
    rows |= {"group": jax.ShapeDtypeStruct((experiment.batch,), np.int32)}
    graph, state = nnx.split(nnx.eval_shape(lambda: experiment.model.build(0)))

    def loss(state, batch):
        outputs = nnx.merge(graph, state)(batch)
        return outputs, total(experiment.losses, outputs, batch)

    outputs, (value, parts) = jax.eval_shape(loss, state, rows)
    width = experiment.arguments["width"]
    assert {key: x.shape for key, x in outputs.items() if key != "scale"} == {
        f"{field.name}/unit": (experiment.batch, width) for field in experiment.fields
    }
    assert value.shape == () and len(parts) == 3, "three pairs of three fields"
    read = experiment.source.read([0, 1])
    assert {key: (x.shape[1:], x.dtype) for key, x in read.items()} == {key: (x.shape[1:], x.dtype) for key, x in rows.items()}


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_its_arguments_are_json_that_makes_it_again(name, make):
    experiment = make(steps=7, batch=4, seed=3)
    assert experiment.recipe == name and (experiment.steps, experiment.batch, experiment.seed) == (7, 4, 3)
    arguments = json.loads(json.dumps(experiment.arguments))
    assert arguments == experiment.arguments
    if "path" in arguments:
        arguments["path"] = Path(arguments["path"])
    again = RECIPES[name](**arguments)
    assert (again.arguments, again.fields, again.model) == (experiment.arguments, experiment.fields, experiment.model)
    assert json.loads(json.dumps(experiment.model.arguments))["width"] == arguments["width"]


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_two_steps_of_a_small_batch_move_every_parameter(name, make):
    experiment = make(steps=2, batch=8, width=16)
    model, history = fit(experiment)
    assert len(history) == 3 and all(np.isfinite(record["loss"]) for record in history[1:])
    before = nnx.to_flat_state(nnx.state(experiment.model.build(0)))
    for (path, old), (_, new) in zip(before, nnx.to_flat_state(nnx.state(model)), strict=True):
        assert jnp.isfinite(new[...]).all() and (new[...] != old[...]).any(), path
