"""CLIPModel: its logits by hand, its scale, its two heads, and the faults of the sample code."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from nn.once import run

from sensorium.core.errors import UnknownName
from sensorium.multi_modal.clip import CLIPModel
from sensorium.multi_modal.image_text import ImageEncoder, TextEncoder
from sensorium.multi_modal.simple import SimpleImageEncoder, SimpleTextEncoder
from sensorium.multi_modal.synthetic import create_synthetic_multi_modal_dataset
from sensorium.training import Step, adamw, minimise

PICTURES = jax.random.uniform(jax.random.key(0), (3, 8, 8, 3))
IDS = jnp.array([[4, 5, 6, 1], [4, 3, 1, 0], [7, 1, 0, 0], [8, 8, 8, 1]])


def model(temperature: float | None = None, head: str = "softmax") -> CLIPModel:
    image, text = SimpleImageEncoder(8, 6, rngs=nnx.Rngs(0)), SimpleTextEncoder(11, 6, rngs=nnx.Rngs(1))
    return CLIPModel(6, temperature, rngs=nnx.Rngs(2), image_encoder=image, text_encoder=text, head=head)


def test_it_can_be_built_as_the_sample_code_cannot():
    """torch.log(0.07) is a TypeError; and exp(log 0.07) multiplied the cosines by 0.07 where CLIP divides by it."""
    logits = jax.eval_shape(
        lambda images, tokens: CLIPModel(embed_dim=512, temperature=0.07, rngs=nnx.Rngs(0))(images, tokens),
        jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32),
        jax.ShapeDtypeStruct((2, 77), jnp.int32),
    )
    assert logits.shape == (2, 2)
    assert float(model().log_scale[...]) == pytest.approx(2.659, abs=1e-3)
    assert float(run(model(0.5), PICTURES, IDS, method="embed").scale) == pytest.approx(2.0)


def test_logits_are_scaled_cosines_of_all_pairs():
    clip = model(0.05)
    images, texts, scale, bias = run(clip, PICTURES, IDS, method="embed")
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1, rtol=1e-5)
    assert float(scale) == pytest.approx(20) and float(bias) == 0
    expected = [[20 * float(np.dot(a, b)) for b in np.asarray(texts)] for a in np.asarray(images)]
    np.testing.assert_allclose(run(clip, PICTURES, IDS), expected, atol=1e-4)
    np.testing.assert_allclose(clip(PICTURES, IDS), expected, atol=1e-4)  # not compiled


def test_one_picture_or_one_text_takes_its_axis_away():
    clip, whole = model(), run(model(), PICTURES, IDS)
    assert whole.shape == (3, 4)
    np.testing.assert_allclose(run(clip, PICTURES[1], IDS), whole[1], atol=1e-4)
    np.testing.assert_allclose(run(clip, PICTURES, IDS[2]), whole[:, 2], atol=1e-4)
    np.testing.assert_allclose(run(clip, PICTURES[1], IDS[2]), whole[1, 2], atol=1e-4)


def test_the_mask_reaches_the_texts():
    clip = model()
    garbage = jnp.where(IDS == 0, 9, IDS)
    np.testing.assert_allclose(run(clip, PICTURES, garbage, IDS != 0), run(clip, PICTURES, IDS), atol=1e-5)


def test_the_sigmoid_head_starts_as_siglip_does():
    clip = model(head="sigmoid")
    images, texts, scale, bias = run(clip, PICTURES, IDS, method="embed")
    assert float(scale) == pytest.approx(10) and float(bias) == -10
    np.testing.assert_allclose(run(clip, PICTURES, IDS), 10 * np.asarray(images) @ np.asarray(texts).T - 10, atol=1e-4)
    assert float(run(model(0.05, "sigmoid"), PICTURES, IDS, method="embed").scale) == pytest.approx(20)
    assert isinstance(clip.bias, nnx.Param) and model().bias is None


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
def test_every_parameter_learns(head):
    graph, state = nnx.split(model(head=head), nnx.Param)

    def loss(state):
        return jnp.mean(jnp.square(nnx.merge(graph, state)(PICTURES, IDS) - jnp.arange(12.0).reshape(3, 4)))

    for path, gradient in nnx.to_flat_state(jax.jit(jax.grad(loss))(state)):
        assert jnp.isfinite(gradient[...]).all() and jnp.abs(gradient[...]).max() > 0, path


def test_the_scale_settles_at_a_hundred_and_comes_back():
    clip = model()
    clip.settle()
    assert float(clip.log_scale[...]) == pytest.approx(math.log(1 / 0.07)), "a scale below the limit is left as it is"
    clip.log_scale[...] = jnp.float32(9.0)
    graph, state = nnx.split(clip, nnx.Param)
    gradient = jax.jit(jax.grad(lambda state: jnp.sum(jnp.square(nnx.merge(graph, state)(PICTURES, IDS)))))(state)
    assert float(gradient["log_scale"][...]) > 0, "above the limit it still has a gradient"
    clip.settle()
    assert float(run(clip, PICTURES, IDS, method="embed").scale) == pytest.approx(100, rel=1e-5)


def test_encoders_of_other_widths_are_named_with_them():
    image, text = SimpleImageEncoder(8, 4, rngs=nnx.Rngs(0)), SimpleTextEncoder(11, 6, rngs=nnx.Rngs(1))
    with pytest.raises(ValueError, match=r"image_encoder gives vectors of 4, text_encoder gives vectors of 6, .* embed_dim=6"):
        CLIPModel(6, rngs=nnx.Rngs(2), image_encoder=image, text_encoder=text)


def test_dials_that_cannot_be_are_errors():
    with pytest.raises(UnknownName, match=r"no head of a CLIP is called 'softmin'\. Did you mean 'softmax'"):
        model(head="softmin")
    for temperature in (0.0, -1.0, 0.001, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"temperature=.*: expected at least 0.01"):
            model(temperature)


def test_encode_gives_what_it_is_given():
    clip = model()
    images, texts, _, _ = run(clip, PICTURES, IDS, method="embed")
    graph, state = nnx.split(clip)
    both = jax.jit(lambda state: nnx.merge(graph, state).encode(image=PICTURES, text=IDS))(state)
    assert set(both) == set(clip.modalities) == {"image", "text"}
    np.testing.assert_allclose(both["image"], images, atol=1e-6)
    np.testing.assert_allclose(both["text"], texts, atol=1e-6)
    assert set(jax.jit(lambda state: nnx.merge(graph, state).encode(text=IDS))(state)) == {"text"} and not clip.encode()
    assert clip.supports("image") and not clip.supports("audio")


def test_it_learns_which_synthetic_text_belongs_to_which_picture():
    """Among a hundred texts it finds the one of a picture that it has never seen, where a guess is right once in a hundred."""
    spec = {"image_shape": (16, 16, 3), "text_vocab_size": 11, "text_sequence_length": 33}
    data = create_synthetic_multi_modal_dataset(["image", "text"], 1536, 0.95, rngs=0, **spec).read(range(1536))
    unseen = create_synthetic_multi_modal_dataset(["image", "text"], 100, 0.95, rngs=0, split="validation", **spec).read(
        range(100)
    )
    eye = ImageEncoder(64, rngs=nnx.Rngs(0), image_size=16, backbone="convnet", width=64)
    reader = TextEncoder(11, 64, 33, rngs=nnx.Rngs(1), num_layers=1, num_heads=4, pooling="flatten")
    clip = CLIPModel(64, rngs=nnx.Rngs(2), image_encoder=eye, text_encoder=reader)

    def objective(clip, batch, key, updates):
        logits = clip(batch["image"], batch["text"])
        both = jnp.diag(jax.nn.log_softmax(logits, axis=0)) + jnp.diag(jax.nn.log_softmax(logits, axis=1))
        return -0.5 * jnp.mean(both), {}

    order = [np.random.default_rng(epoch).permutation(1536)[at : at + 64] for epoch in range(4) for at in range(0, 1536, 64)]
    stream = ({"image": data["image"][rows], "text": data["text"][rows]} for rows in order)
    minimise(clip, objective, stream, adamw(3e-3, len(order)), len(order))
    logits = run(clip, jnp.asarray(unseen["image"]), jnp.asarray(unseen["text"]))
    found = np.mean(logits.argmax(axis=1) == np.arange(100))
    assert found > 0.8, found


def test_no_update_takes_the_scale_above_a_hundred():
    """Nobody calls `settle` here: what is forward of the parameter holds by itself, and the parameter still has its gradient."""
    clip = model()
    clip.log_scale[...] = jnp.float32(math.log(99.0))
    easy = {"image": PICTURES[:1], "text": IDS[:1]}
    step = Step(clip, lambda clip, batch, key, updates: (-clip.embed(batch["image"], batch["text"]).scale, {}), adamw(0.2, 20))
    for _ in range(6):
        step(easy)
    learned = step.model()
    assert float(learned.log_scale[...]) > math.log(110)
    images, texts, scale, _ = run(learned, PICTURES, IDS, method="embed")
    assert float(scale) == pytest.approx(100, rel=1e-6)
    np.testing.assert_allclose(run(learned, PICTURES, IDS), 100 * images @ texts.T, atol=1e-3)
