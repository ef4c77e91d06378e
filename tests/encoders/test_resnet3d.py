"""R3D against torchvision's r3d_18: its size, its names, its numbers; clips that are filled up; statistics."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.encoders import ResNet3D
from sensorium.encoders.resnet3d import KINETICS_MEAN, KINETICS_STD, standardised

WIDTHS = (4, 4, 6, 8)
PUBLISHED = 33_371_472  # torchvision's r3d_18 with its `fc` of 400 classes
EVALUATED = [
    [1.170268, 0.5201491, 0.0619128, 0.001618418, 0.0, 0.0, 0.4290906, 0.2297529],
    [1.900959, 0.4148723, 0.01577371, 0.3294404, 0.0, 0.02923781, 0.4878813, 0.0],
]
TRAINED = [
    [1.356106, 0.831212, 0.353574, 0.315036, 0.997026, 0.938625, 0.08417, 0.582586],
    [1.182949, 0.376303, 1.407337, 0.388386, 0.354079, 0.719453, 0.787807, 1.072294],
]
"""What torchvision 0.28's VideoResNet (PyTorch 2.13, CPU) makes of `clips()` with WIDTHS and the weights of `drawn`."""


def drawn(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Weights in PyTorch's layout, each drawn from its name: the same on both sides."""
    source = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return source.uniform(0.5, 2, shape).astype(np.float32)
    if name.endswith(("running_mean", "bias")):
        return (0.1 * source.standard_normal(shape)).astype(np.float32)
    if len(shape) == 1:
        return source.uniform(0.5, 1.5, shape).astype(np.float32)
    return (source.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))).astype(np.float32)


ENDS = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def filled(encoder: ResNet3D) -> ResNet3D:
    """The encoder with the drawn weights, brought in by the simple rules that loading a checkpoint will use."""
    state = nnx.state(encoder)
    for path, variable in nnx.to_flat_state(state):
        name = ".".join(map(str, (*path[:-1], ENDS[str(path[-1])])))
        shape = variable.shape
        convolution = len(shape) == 5
        weight = drawn(name, (shape[4], shape[3], *shape[:3]) if convolution else shape)
        variable[...] = jnp.asarray(weight.transpose(2, 3, 4, 1, 0) if convolution else weight)
    nnx.update(encoder, state)
    return encoder


def run(encoder: ResNet3D, *arguments):
    graph, state = nnx.split(encoder)
    return jax.jit(lambda state, *rest: nnx.merge(graph, state)(*rest))(state, *arguments)


def clips() -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).uniform(0, 1, (2, 5, 18, 14, 3)), jnp.float32) * 2 - 1


@pytest.fixture(scope="module")
def encoder() -> ResNet3D:
    return filled(ResNet3D(5, WIDTHS, rngs=nnx.Rngs(0)))


def test_built_by_default_it_has_the_parameters_and_the_names_of_torchvision():
    full = nnx.eval_shape(lambda: ResNet3D(rngs=nnx.Rngs(0)))
    parameters = nnx.to_flat_state(nnx.state(full, nnx.Param))
    assert sum(np.prod(leaf.shape) for _, leaf in parameters) == PUBLISHED - (512 * 400 + 400)
    names = {".".join(map(str, path)) for path, _ in nnx.to_flat_state(nnx.state(full))}
    assert {"stem.0.kernel", "stem.1.mean", "layer1.0.conv1.0.kernel", "layer4.1.conv2.1.var"} <= names
    assert {name.split(".")[0] for name in names if "downsample" in name} == {"layer2", "layer3", "layer4"}
    x = jax.ShapeDtypeStruct((1, 16, 112, 112, 3), jnp.float32)
    encoding = nnx.eval_shape(lambda model, x: model(x), full, x)
    assert encoding.tokens.shape == (1, 2 * 7 * 7, 512) and encoding.pooled.shape == (1, 512)


def test_it_gives_what_torchvision_gives(encoder):
    np.testing.assert_allclose(run(encoder, clips()).pooled, EVALUATED, atol=2e-5)


def test_in_training_it_norms_by_the_batch_and_keeps_the_statistics(encoder):
    graph, state = nnx.split(encoder)

    @jax.jit
    def step(state, x):
        model = nnx.merge(graph, state)
        return model(x, train=True).pooled, model.stem[1].mean[...]

    pooled, mean = step(state, clips())
    np.testing.assert_allclose(pooled, TRAINED, atol=2e-4)
    np.testing.assert_allclose(mean, [0.0951, -0.0975, -0.0703, 0.0825], atol=1e-4)


def test_statistics_have_no_gradient(encoder):
    """So that an optimizer that holds every variable leaves them where they are."""
    graph, state = nnx.split(encoder)
    gradient = jax.jit(jax.grad(lambda state: jnp.sum(nnx.merge(graph, state)(clips()).pooled)))(state)
    moved = {str(path[-1]): bool(jnp.abs(leaf[...]).max() > 0) for path, leaf in nnx.to_flat_state(gradient)}
    assert moved == {"kernel": True, "scale": True, "bias": True, "mean": False, "var": False}


@pytest.mark.parametrize("frames", [1, 3])
def test_a_clip_that_is_filled_up_gives_what_the_short_one_gives(encoder, frames):
    x, mask = clips(), jnp.arange(5)[None] < jnp.array([[frames], [frames]])
    garbage = jnp.where(mask[:, :, None, None, None], x, jnp.nan)
    short = ResNet3D(frames, WIDTHS, rngs=nnx.Rngs(0))
    nnx.update(short, nnx.state(encoder))
    expected, got = run(short, x[:, :frames]), run(encoder, garbage, mask)
    np.testing.assert_allclose(got.pooled, expected.pooled, atol=1e-5)
    assert not np.allclose(got.pooled, run(encoder, x).pooled, atol=1e-2)


def test_kinetics_is_taken_out():
    x = jnp.asarray(KINETICS_MEAN)[None, None, None, None] * 2 - 1
    np.testing.assert_allclose(standardised(x), jnp.zeros((1, 1, 1, 1, 3)), atol=1e-6)
    np.testing.assert_allclose(standardised(jnp.ones((1, 1, 1, 1, 3)))[0, 0, 0, 0, 0], (1 - KINETICS_MEAN[0]) / KINETICS_STD[0])
    white = jnp.full((1, 1, 1, 1, 3), 255, jnp.uint8)
    np.testing.assert_allclose(standardised(white), standardised(jnp.ones((1, 1, 1, 1, 3))))


def test_there_are_four_stages():
    with pytest.raises(ValueError, match=r"\(4, 8\): expected four"):
        ResNet3D(4, (4, 8), rngs=nnx.Rngs(0))
