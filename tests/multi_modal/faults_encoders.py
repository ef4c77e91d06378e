"""Probes of encoders, CLIP, the contrastive loss and retrieval: rows S21, S22, S26 to S30 and S45 to S48."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from multi_modal.probe import apart, compiled, expect, probe, refused, run

IDS = jnp.array([[3, 4, 5, 6, 7, 8], [3, 9, 8, 7, 6, 5], [3, 5, 7, 9, 4, 6], [3, 8, 4, 9, 5, 7]], jnp.int32)


def cosine(a, b) -> float:
    a, b = (np.asarray(x, np.float64).ravel() for x in (a, b))
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def pictures(side: int = 64) -> jax.Array:
    return jax.random.uniform(jax.random.key(0), (4, side, side, 3))


def reader(api):
    return api.TextEncoder(vocab_size=20, embed_dim=16, max_len=12, rngs=nnx.Rngs(0))


@probe("S21.batch", "Attention runs over the batch: another sample changes this one.", "Samples do not meet.")
def others(api):
    read = compiled(reader(api))
    change = apart(read(IDS)[0], read(IDS.at[3].set(2))[0])
    return expect(change < 1e-5, f"another text in row 3 changes row 0 by up to {change:.2g}")


@probe("S21.words", "Only the first word counts: texts that begin alike are alike.", "Every word counts.")
def own(api):
    read = compiled(reader(api))
    change = apart(read(IDS)[0], read(IDS.at[0, 1:].set(IDS[1, 1:]))[0])
    return expect(change > 1e-4, f"other words after the first change a text's vector by up to {change:.2g}")


@probe("S21.vocabulary", "An id outside the vocabulary fails inside a look-up.", "The error says how large the vocabulary is.")
def vocabulary(api):
    model = reader(api)
    return refused(lambda: model(jnp.full((1, 4), 25, jnp.int32)), "20", "id 25 of a vocabulary of 20")


@probe("S22.builds", "The model cannot be built.", "It is built, and gives a logit for every pair.")
def builds(api):
    logits = run(api.CLIPModel(16, rngs=nnx.Rngs(0)), pictures(), IDS)
    return expect(logits.shape == (4, 4), f"logits of shape {logits.shape}")


@probe("S22.sharp", "A lower temperature makes the logits flatter.", "Half the temperature, twice the logits.")
def sharp(api):
    warm, cold = (run(api.CLIPModel(16, t, rngs=nnx.Rngs(0)), pictures(), IDS) for t in (0.14, 0.07))
    ratio = float(np.mean(np.abs(cold)) / np.mean(np.abs(warm)))
    return expect(abs(ratio - 2) < 1e-3, f"logits at temperature 0.07 are {ratio:.2f} times those at 0.14")


@probe("S26.temperature", "The temperature of the loss is not used.", "It is.")
def temperature(api):
    logits = jax.random.normal(jax.random.key(0), (4, 4))
    one, other = (float(api.contrastive_loss(logits, temperature=t)) for t in (1.0, 0.1))
    return expect(abs(one - other) > 0.1, f"the loss is {one:.3f} at temperature 1 and {other:.3f} at 0.1")


def listener(api):
    return api.AudioEncoder(16, 4000, rngs=nnx.Rngs(0)), 0.3 * jax.random.normal(jax.random.key(0), (3, 4000))


@probe("S27.unit", "Vectors of sounds are not normalised, those of pictures and texts are.", "All have length 1.")
def unit_length(api):
    model, sounds = listener(api)
    lengths = np.linalg.norm(np.asarray(run(model, sounds[:, None])), axis=-1)
    return expect(np.allclose(lengths, 1, atol=1e-4), f"lengths from {lengths.min():.2f} to {lengths.max():.2f}")


@probe("S27.plain", "Sounds as rows raise.", "Rows of samples are what it takes.")
def plain(api):
    model, sounds = listener(api)
    found = run(model, sounds)
    return expect(found.shape == (3, 16), f"three sounds give {found.shape}")


def clip(frames: int) -> jax.Array:
    return jax.random.uniform(jax.random.key(0), (1, frames, 32, 32, 3))


@probe("S28.runs", "Clips as batch, frames, channels, as its sampling takes them, raise.", "A clip gives a vector.")
def video(api):
    found = run(api.VideoEncoder(16, 4, rngs=nnx.Rngs(0)), clip(16))
    return expect(found.shape == (1, 16), f"a clip gives {found.shape}")


@probe("S28.frames", "In the layout that its network takes it counts colours, and never leaves out a frame.", "It samples.")
def frames(api):
    look, twelve = compiled(api.VideoEncoderAsRead(16, 4, rngs=nnx.Rngs(0))), clip(12)
    base = look(twelve)
    read = sum(apart(base, look(twelve.at[:, i].set(1.0))) > 1e-5 for i in range(12))
    return expect(read == 4, f"{read} of 12 frames are looked at, where num_frames is 4")


class Towers:
    """A model of two modalities that needs no weights: a picture's mean colour, and three words told apart."""

    def encode_image(self, images):
        return np.asarray(images, np.float32).mean((1, 2))

    def encode_text(self, text):
        return np.eye(3, dtype=np.float32)[np.asarray(text)[:, 0] - 2]


@probe("S30.texts", "Looking for a text always fails: a name is not imported, and texts are never indexed.", "Both ways find.")
def both_ways(api):
    colours = np.broadcast_to(np.eye(3, dtype=np.float32)[:, None, None], (3, 4, 4, 3))
    engine = api.MultiModalRetrieval(Towers(), colours, np.array([[2], [3], [4]], np.int32))
    engine.index_database(2)
    found = [engine.retrieve_image_to_text(colour, k=1)[0].id for colour in colours]
    return expect(found == [0, 1, 2], f"red, green and blue find the texts {found}")


@probe("S45.callable", "The picture encoder cannot be called.", "It can.")
def simple_image(api):
    found = run(api.SimpleImageEncoder(32, 16, rngs=nnx.Rngs(0)), pictures(32))
    return expect(found.shape == (4, 16), f"four pictures give {found.shape}")


@probe("S46.order", "The order of the words changes nothing.", "It changes the vector.")
def simple_order(api):
    read = compiled(api.SimpleTextEncoder(20, 16, rngs=nnx.Rngs(0)))
    change = apart(read(IDS), read(IDS[:, ::-1]))
    return expect(change > 1e-3, f"the words in reverse change a vector by up to {change:.2g}")


@probe("S46.padding", "Padding moves the vector.", "It does not.")
def simple_padding(api):
    model = api.SimpleTextEncoder(20, 16, rngs=nnx.Rngs(0))
    similar = cosine(run(model, IDS[:1]), run(model, jnp.pad(IDS[:1], ((0, 0), (0, 3)))))
    return expect(similar > 0.9999, f"cosine {similar:.2f} with the same text and three pads")


@probe("S47.callable", "The model cannot be called.", "It can.")
def simple_model(api):
    found = run(api.SimpleMultimodalModel(32, 20, 16, 5, rngs=nnx.Rngs(0)), pictures(32), IDS)
    return expect(found.shape == (4, 5), f"four pairs give {found.shape}")


@probe("S48.gradient", "The gradient of the similarity at a zero vector is NaN.", "It is finite.")
def gradient(api):
    graph, state, rest = nnx.split(api.CompletedSimpleModel(32, 20, 16, 5, rngs=nnx.Rngs(0)), nnx.Param, ...)
    zero = jax.tree.map(jnp.zeros_like, state)
    similarity = jax.jit(jax.grad(lambda state: nnx.merge(graph, state, rest).compute_similarity(pictures(32), IDS).sum()))
    slopes = similarity(zero)
    bad = sum(int(np.isnan(np.asarray(x)).sum()) for x in jax.tree.leaves(slopes))
    return expect(bad == 0, f"{bad} numbers of the gradient are NaN")
