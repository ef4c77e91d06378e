"""What every generator of pictures and sounds must do: rows apart, masks that count, an honest loss, and learning."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from multi_modal.grids import NAMES, SAMPLES, batch, built, loss_and_gradients, loud
from nn.once import run

from sensorium.core.errors import UnknownName
from sensorium.multi_modal.to_audio import ImageToAudioGenerator, TextToAudioGenerator
from sensorium.multi_modal.to_image import AudioToImageGenerator, TextToImageGenerator


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_its_rows_one_by_one_and_jit_is_eager(name):
    """[V] The sample code pools over the batch: (4, 7) tokens gave (7, 16000), or an error."""
    generator, source = loud(name), name.split("-")[0]
    x = batch()[source]
    made = run(generator, x)
    ones = np.stack([run(generator, row) for row in x])
    np.testing.assert_allclose(made, ones, atol=1e-5)
    np.testing.assert_allclose(made, np.asarray(generator(x)), atol=1e-6)
    if name == "image-audio":  # op by op; the parts are those of the others
        np.testing.assert_allclose(made, np.asarray(generator.make(jnp.asarray(x), None)), atol=1e-5)
    assert np.abs(made[0] - made[1]).max() > 1e-3
    low = 0 if name.endswith("image") else -1
    assert low <= made.min() and made.max() <= 1


@pytest.mark.parametrize("name", NAMES)
def test_a_row_that_lacks_a_sense_is_as_if_it_were_not_there(name):
    source, target = name.split("-")
    generator, data = built(name), batch()
    masked = {key: value.copy() for key, value in data.items()} | {f"{source}/here": np.array([True, False, True, True])}
    masked[f"{target}/here"] = np.array([True, True, False, True])
    for field, row in ((source, 1), (target, 2)):
        if field != "text":
            masked[field][row] = np.nan
    value, gradients = loss_and_gradients(generator, masked)
    expected, whole = loss_and_gradients(generator, {key: data[key][[0, 3]] for key in (source, target)})
    assert value == pytest.approx(expected, rel=1e-5)
    for a, b in zip(gradients, whole, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    nothing, gone = loss_and_gradients(generator, masked | {f"{target}/here": np.zeros(4, bool)})
    assert nothing == 0 and all((leaf == 0).all() for leaf in gone)


def test_the_masked_part_of_a_sound_is_not_read_and_not_aimed_at():
    data, mask = batch(), np.arange(SAMPLES)[None].repeat(4, 0) < 100
    broken, silent = np.where(mask, data["audio"], np.nan), np.where(mask, data["audio"], np.float32(0))
    reads, _ = loss_and_gradients(built("audio-image"), data | {"audio": broken, "audio/mask": mask})
    assert reads == pytest.approx(loss_and_gradients(built("audio-image"), data | {"audio": silent})[0], rel=1e-6)
    generator = loud("image-audio")
    aims, gradients = loss_and_gradients(generator, data | {"audio": broken, "audio/mask": mask})
    expected = np.square(run(generator, data["image"]) - data["audio"])[:, :100].mean()
    assert aims == pytest.approx(float(expected), rel=1e-4) and all(np.isfinite(leaf).all() for leaf in gradients)
    with pytest.raises(ValueError, match="for pictures, which have none"):
        generator.generate(data["image"], mask)


@pytest.mark.parametrize("name", NAMES)
def test_the_loss_is_the_mean_squared_error_and_every_layer_has_a_gradient(name):
    source, target = name.split("-")
    generator, data = loud(name), batch()
    value, gradients = loss_and_gradients(generator, data)
    assert value == pytest.approx(float(np.square(run(generator, data[source]) - data[target]).mean()), rel=1e-4)
    assert all(np.isfinite(leaf).all() and (leaf != 0).any() for leaf in gradients)


def test_fitting_lowers_the_loss_and_one_seed_gives_one_result():
    histories = []
    for _ in range(2):
        generator, data = built("image-audio"), batch(16)
        histories.append(generator.fit([data] * 30, 30, lr=1e-2))
    first, second = ([record["loss"] for record in history[1:]] for history in histories)
    assert first == second and np.mean(first[-3:]) < 0.8 * np.mean(first[:3])


def test_what_a_batch_lacks_is_named():
    generator, data = built("text-image"), batch()
    with pytest.raises(UnknownName, match=r"no 'image', which this generator reads.*Known: audio, text"):
        generator.loss({key: data[key] for key in ("text", "audio")})
    with pytest.raises(ValueError, match=r"'text' \(3, 6\) and 'image' \(4, 8, 12, 3\): expected rows first, as many of each"):
        generator.loss(data | {"text": data["text"][:3]})


def test_the_sizes_that_a_laptop_can_hold():
    """256×256 pictures and ten seconds of sound in fewer than 20 M numbers, at the guide's vocabulary and the widest words."""
    makers = (
        lambda: TextToImageGenerator(10_000, 512, (256, 256, 3), rngs=nnx.Rngs(0)),
        lambda: TextToAudioGenerator(10_000, 512, 160_000, rngs=nnx.Rngs(0)),
        lambda: ImageToAudioGenerator((256, 256, 3), 160_000, rngs=nnx.Rngs(0)),
        lambda: AudioToImageGenerator(160_000, (256, 256, 3), rngs=nnx.Rngs(0)),
    )
    for make in makers:
        size = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(nnx.eval_shape(make))))
        assert size < 20_000_000, f"{inspect.getsource(make).strip()}: {size:,}"
