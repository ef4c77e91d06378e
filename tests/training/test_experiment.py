"""A card is a model as JSON."""

import json

import jax
import numpy as np
import pytest
from flax import nnx
from training.tiny import card, experiment

from sensorium.core.errors import UnknownName
from sensorium.training import Card


def test_a_card_builds_the_same_model_for_the_same_seed_from_json():
    again = Card(**json.loads(json.dumps({"builder": card().builder, "arguments": card().arguments})))
    states = [jax.tree.leaves(nnx.state(made.build(seed))) for made, seed in ((card(), 3), (again, 3), (card(), 4))]
    for a, b in zip(states[0], states[1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert any((np.asarray(a) != np.asarray(b)).any() for a, b in zip(states[0], states[2], strict=True))


def test_an_unknown_builder_is_told():
    with pytest.raises(UnknownName, match="no model is called"):
        Card("spice", {}).build(0)


def test_an_experiment_shuffles_and_has_no_validation_unless_told():
    assert experiment().shuffle and experiment().validation == () and experiment(seed=4).seed == 4
