"""Probes of what generates one modality from another: rows S13 to S15."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from multi_modal.probe import apart, compiled, expect, parameters, probe, run

TEXT = jnp.array([5, 6, 7, 8, 9], jnp.int32)


def painter(api, side: int = 8):
    return api.TextToImageGenerator(vocab_size=20, embed_dim=16, image_shape=(side, side, 3), rngs=nnx.Rngs(0))


def speaker(api, samples: int = 640):
    return api.TextToAudioGenerator(vocab_size=20, embed_dim=16, audio_length=samples, rngs=nnx.Rngs(0))


def writer(api):
    return api.ImageToTextGenerator((8, 8, 3), 50, 10, hidden_dim=32, rngs=nnx.Rngs(0))


def pictures(rows: int = 4) -> jax.Array:
    return jax.random.uniform(jax.random.key(0), (rows, 8, 8, 3))


def row_by_row(model, batch, shape) -> str:
    """That a batch of inputs gives a batch of outputs, each the same as alone."""
    generate = compiled(model)
    rows = generate(batch)
    right = rows.shape == (len(batch), *shape)
    change = max(apart(row, generate(x)) for row, x in zip(rows, batch, strict=True)) if right else float("nan")
    seen = f"inputs of shape {batch.shape} give {rows.shape}"
    return expect(right and change < 1e-4, seen + (f", at most {change:.1g} from one by one" if right else ""))


@probe("S13.batch", "A batch raises: words are averaged over the samples.", "A batch gives a picture each, as one by one.")
def painter_batch(api):
    return row_by_row(painter(api), jnp.stack([TEXT, TEXT[::-1], TEXT + 3]), (8, 8, 3))


@probe("S13.order", "The order of the words changes nothing.", "It changes the picture.")
def painter_order(api):
    paint = compiled(painter(api))
    change = apart(paint(TEXT), paint(TEXT[::-1]))
    return expect(change > 1e-4, f"the words in reverse change the picture by up to {change:.2g}")


@probe("S13.padding", "Padding changes the picture.", "It does not.")
def painter_padding(api):
    model = painter(api)
    change = apart(run(model, TEXT), run(model, jnp.pad(TEXT, (0, 3))))
    return expect(change < 1e-5, f"three pads change the picture by up to {change:.2g}")


@probe("S13.size", "Parameters grow with the number of pixels.", "Four times the pixels need less than twice the parameters.")
def painter_size(api):
    small, large = (parameters(painter(api, side)) for side in (32, 64))
    return expect(large < 2 * small, f"{small:,} parameters for 32×32 pixels, {large:,} for 64×64")


@probe("S14.words", "Every word is drawn from the same odds, the greedy ones are all one word.", "Words depend on their place.")
def writer_words(api):
    write = compiled(writer(api))
    texts = np.asarray([write(picture) for picture in pictures()])
    various = sum(len(set(text.tolist())) > 1 for text in texts)
    return expect(various == len(texts), f"greedy ids of a new model: {' '.join(map(str, texts[0].tolist()))}")


@probe("S14.sampling", "nnx.Rngs(0) is ignored in silence.", "It samples; another seed gives another text.")
def writer_sampling(api):
    model, picture = writer(api), pictures()[0]
    texts = {np.asarray(model(picture, rngs=nnx.Rngs(seed))).tobytes() for seed in range(5)}
    return expect(len(texts) > 1, f"5 seeds give {len(texts)} different text" + "s" * (len(texts) > 1))


@probe("S14.batch", "A batch raises.", "A batch gives a text each, as one by one.")
def writer_batch(api):
    return row_by_row(writer(api), pictures(3), (10,))


@probe("S15.batch", "A batch is averaged over its samples, in silence.", "A batch gives a sound each, as one by one.")
def speaker_batch(api):
    return row_by_row(speaker(api), jnp.arange(2, 14, dtype=jnp.int32).reshape(3, 4), (640,))


@probe("S15.size", "Parameters grow with the length of the sound.", "Four times the length needs less than twice the parameters.")
def speaker_size(api):
    small, large = (parameters(speaker(api, samples)) for samples in (4000, 16000))
    return expect(large < 2 * small, f"{small:,} parameters for 0.25 s, {large:,} for 1 s")
