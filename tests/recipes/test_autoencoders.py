"""The recipes of autoencoders: arguments that are JSON, and models whose losses fit their fields at full size."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.trainer import BadDial
from sensorium.decoders.latent import Latent
from sensorium.losses import total
from sensorium.modalities import Text
from sensorium.models import JointVAE, Maker, PictureVAE
from sensorium.recipes.joint import joint
from sensorium.recipes.latent import form_of, in_latents, latent
from sensorium.recipes.makers import denoiser, maker
from sensorium.recipes.pictures import pictures
from sensorium.sensorium import Sensorium
from sensorium.training import Card, Experiment


def loss_of(experiment: Experiment) -> dict[str, tuple[int, ...]]:
    """The shapes of the losses, for a batch as its source gives it."""
    read = experiment.source.read([0, 1])
    graph, state = nnx.split(experiment.model.shapes())

    def parts(state, batch, key):
        outputs = nnx.merge(graph, state)(batch, key)
        return total(experiment.losses, outputs, batch, jnp.int32(5))[1]

    return {name: x.shape for name, x in jax.eval_shape(parts, state, read, jax.random.key(0)).items()}


@pytest.mark.parametrize(
    "recipe", [lambda **d: joint(fields=("image", "text", "audio", "sensor"), **d), latent], ids=["joint", "latent"]
)
def test_arguments_are_json_and_losses_are_numbers(recipe):
    experiment = recipe(steps=7, batch=4, seed=3)
    assert json.loads(json.dumps(experiment.arguments)) == experiment.arguments and len(experiment.source) == 28
    assert json.loads(json.dumps(experiment.model.arguments)) == experiment.model.arguments
    assert isinstance(experiment.model.shapes(), JointVAE | PictureVAE)
    assert all(shape == () for shape in loss_of(experiment).values()) and len(experiment.losses) == 2


def test_the_nats_of_the_latent_are_let_in_by_and_by_and_weights_fit_the_fields():
    weight, _ = joint(beta=0.5, warm=10).losses["kl"]
    assert callable(weight)
    np.testing.assert_allclose([float(weight(jnp.float32(step))) for step in (0, 4, 9, 500)], [0.05, 0.25, 0.5, 0.5])
    with pytest.raises(BadDial, match="expected one for each of image, text"):
        joint(weights=[1.0])
    with pytest.raises(BadDial, match="each field once, and a multiple of 16"):
        joint(size=30)
    with pytest.raises(BadDial, match="each field once, and a multiple of 16"):
        joint(fields=("image", "image"))
    with pytest.raises(BadDial, match="factor=3: expected one of 4, 8"):
        latent(factor=3)


def test_pictures_are_painted_in_the_latents_of_a_trained_autoencoder(tmp_path):
    small = form_of(width=8)
    card = Card("picture_vae", {"vae": small})
    vae = card.build(0)
    assert isinstance(vae, PictureVAE)
    vae.vae.seen[...] += 1.0
    vae.vae.squares[...] += 1.0
    painting = pictures(steps=5, batch=2)
    _, told, image = painting.fields
    assert isinstance(told, Text)
    decoder = denoiser({"form": "latent", **small}, [16, 16], 8, [2, 2], 16, 1)
    painting = replace(painting, model=maker(told, "image", decoder))
    begun = in_latents(painting, Sensorium(vae, [image], card), "runs/latent")
    assert begun.trainer.freeze == ("decoder.form.*",) and begun.start is not None
    model = begun.start.read()
    assert isinstance(model, Maker) and isinstance(model.decoder.form, Latent)
    np.testing.assert_array_equal(model.decoder.form.vae.read.project.kernel[...], vae.vae.read.project.kernel[...])
    other = Sensorium(model, painting.fields, painting.model)
    with pytest.raises(BadDial, match="an autoencoder of pictures is needed"):
        in_latents(painting, other, "runs/pictures")
    Sensorium(vae, [image], card).save_pretrained(tmp_path / "latent")
    learned = pictures(steps=5, batch=2, width=16, depth=1, latent=str(tmp_path / "latent"))
    assert learned.start is not None and learned.arguments["latent"] == str(tmp_path / "latent")
    model = learned.start.read()
    assert isinstance(model, Maker) and isinstance(model.decoder.form, Latent)
    np.testing.assert_array_equal(model.decoder.form.vae.read.project.kernel[...], vae.vae.read.project.kernel[...])
    (drawn,) = Sensorium(model, learned.fields, learned.model).generate("image", plan="a red ring")
    assert drawn.size == (64, 64)
    other.save_pretrained(tmp_path / "pictures")
    with pytest.raises(BadDial, match="expected a run of the recipe latent"):
        pictures(latent=str(tmp_path / "pictures"))
