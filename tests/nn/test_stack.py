"""Published towers with less memory, and as one program: the same numbers and gradients."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from training.tiny import experiment

from sensorium.core.trainer import BadDial, Trainer
from sensorium.encoders import PublishedText, PublishedViT
from sensorium.optim.lora import lora
from sensorium.recipes.towers import space
from sensorium.training.beginning import prepared

LAYERS = {"width": 8, "depth": 3, "heads": 2, "hidden": 12, "activation": "quick_gelu"}
PIXELS = {"scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3}


def towers() -> nnx.Dict:
    rngs = nnx.Rngs(1)
    image = PublishedViT((8, 8), 4, LAYERS, PIXELS, "clip", rngs=rngs)
    return nnx.Dict({"image": image, "text": PublishedText(11, 6, LAYERS, "clip", end=9, rngs=rngs)})


def loss_and_gradients(remat: bool, scan: bool):
    made = towers()
    for tower in made.values():
        tower.remat, tower.scan = remat, scan
    graph, state = nnx.split(made)
    pictures = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3)), jnp.uint8)
    ids, mask = jnp.asarray([[1, 2, 3, 4, 9, 9], [5, 6, 9, 9, 9, 9]]), jnp.asarray([[True] * 6, [True] * 3 + [False] * 3])

    def loss(state):
        model = nnx.merge(graph, state)
        return jnp.sum(jnp.sin(3 * model["image"](pictures).pooled) * model["text"](ids, mask).pooled)

    value, gradients = jax.jit(jax.value_and_grad(loss))(state)
    return float(value), {".".join(map(str, path)): np.asarray(x[...]) for path, x in nnx.to_flat_state(gradients)}


def test_neither_remat_nor_scan_changes_what_is_computed_or_a_parameter_s_name():
    value, gradients = loss_and_gradients(False, False)
    assert abs(value) > 0.1
    for dials in ((True, False), (True, True)):
        other, others = loss_and_gradients(*dials)
        assert other == pytest.approx(value, rel=1e-5) and others.keys() == gradients.keys()
        for name, x in gradients.items():
            np.testing.assert_allclose(others[name], x, atol=1e-5 * (1 + np.abs(x).max()), err_msg=name)


def test_layers_that_are_not_alike_cannot_be_scanned():
    model = lora(towers()["text"], 2, patterns=("layers.1.*",), key=jax.random.key(0))
    model.scan = True
    with pytest.raises(ValueError, match="scan: layer 1 is not made as layer 0 is"):
        model(jnp.zeros((1, 6), jnp.int32))


def test_the_dials_of_a_run_set_all_its_towers_and_are_told_where_there_are_none():
    run = experiment(trainer=Trainer(remat=True, scan=True))
    with pytest.raises(BadDial, match=r"remat=True: none of the towers .image: ConvNet, text: TextTransformer. is a stack"):
        prepared(run)
    card = space(run.fields, 8)
    image = {"encoder": "vit", "size": 8, "patch": 4, "width": 8, "depth": 1, "heads": 2}
    card = replace(card, arguments={**card.arguments, "encoders": {**card.arguments["encoders"], "image": image}})
    model, _ = prepared(replace(run, model=card))
    assert model.encoders["image"].transformer.remat and model.encoders["image"].transformer.scan  # type: ignore[union-attr]
