"""A batch of no rows is a batch: what comes out has no rows either, and a loss of nothing is 0."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.multi_modal import encoders, fusion, generators

PICTURES, SOUNDS, CLIPS = (
    np.zeros((0, 8, 8, 3), np.float32),
    np.zeros((0, 160), np.float32),
    np.zeros((0, 4, 8, 8, 3), np.float32),
)
IDS = np.zeros((0, 6), np.int32)
FEW = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2}
SENSES = {
    "convnet": (lambda r: encoders.ImageEncoder(6, rngs=r, image_size=8, backbone="convnet", width=8), PICTURES),
    "vit": (lambda r: encoders.ImageEncoder(6, rngs=r, image_size=8, patch=4, width=8, depth=1), PICTURES),
    "text": (lambda r: encoders.TextEncoder(11, 6, 6, rngs=r, num_layers=1, num_heads=2, pooling="map"), IDS),
    "flat text": (lambda r: encoders.TextEncoder(11, 6, 6, rngs=r, num_layers=1, num_heads=2, pooling="flatten"), IDS),
    "audio": (lambda r: encoders.AudioEncoder(6, 160, rngs=r, sample_rate=4000, width=8, depth=1), SOUNDS),
    "video": (lambda r: encoders.VideoEncoder(6, 2, rngs=r, size=8, width=8), CLIPS),
    "r3d": (lambda r: encoders.VideoEncoder(6, 2, rngs=r, backbone="r3d_18", width=2), CLIPS),
    "sensor": (lambda r: encoders.SensorEncoder(6, 2, 16, rngs=r, width=8), np.zeros((0, 16, 2), np.float32)),
}
FUSIONS = {
    "attention": lambda r: fusion.MultiModalAttentionFusion(8, 2, ("image", "text"), rngs=r),
    "early": lambda r: fusion.EarlyFusion({"image": 8, "text": 8}, 6, 2, 1, rngs=r),
    "gated": lambda r: fusion.GatedFusion({"image": 8, "text": 8}, 6, rngs=r),
    "projector": lambda r: fusion.MultiModalProjector({"image": 8, "text": 8}, 6, 6, rngs=r),
}


@pytest.mark.parametrize("name", SENSES)
def test_encoders(name):
    build, nothing = SENSES[name]
    assert build(nnx.Rngs(0))(nothing).shape == (0, 6)


@pytest.mark.parametrize("name", FUSIONS)
def test_fusions(name):
    fused = FUSIONS[name](nnx.Rngs(0))
    vectors, tokens = jnp.zeros((0, 8)), jnp.zeros((0, 3, 8))
    assert fused(vectors, tokens).shape[0] == 0
    with pytest.raises(ValueError, match=r"'text' has the shape \(2, 0, 8\), a sequence of 0 tokens: give None"):
        fused(jnp.zeros((2, 8)), jnp.zeros((2, 0, 8)))


def test_fusions_without_parameters():
    assert fusion.early_fusion(PICTURES, IDS).shape == (0, 192 + 6 * 32)
    assert fusion.late_fusion(jnp.zeros((0, 4)), jnp.zeros((0, 4))).shape == (0, 4)
    with pytest.raises(ValueError, match=r"'text' has the shape \(2, 0\): there is nothing in it"):
        fusion.early_fusion(np.zeros((2, 8, 8, 3), np.float32), np.zeros((2, 0), np.int32))


def test_generators():
    painter = generators.TextToImageGenerator(20, 8, (8, 8, 3), rngs=nnx.Rngs(0), max_length=6, hidden_dim=16)
    player = generators.ImageToAudioGenerator((8, 8, 3), 160, 16, rngs=nnx.Rngs(0))
    writer = generators.ImageToTextGenerator((8, 8, 3), 12, 6, rngs=nnx.Rngs(0), **FEW)
    assert painter(IDS).shape == (0, 8, 8, 3) and player(PICTURES).shape == (0, 160)
    assert writer(PICTURES).shape == (0, 6) and np.shape(writer.generate(PICTURES, beams=2)) == (0, 6)
    assert generators.VideoToTextGenerator((4, 8, 8, 3), 12, 6, rngs=nnx.Rngs(0), **FEW)(CLIPS).shape == (0, 6)
    for learner in (painter, writer):
        assert float(learner.loss({"image": PICTURES, "text": IDS})) == 0.0
