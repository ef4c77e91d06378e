"""Probes of the synthetic data, its generators, the paired data and the folder's: rows S01 to S09, and S25."""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from multi_modal.probe import apart, expect, probe, refused
from PIL import Image

SMALL = {"image_shape": (8, 8, 3), "text_vocab_size": 100, "text_sequence_length": 12, "audio_sample_rate": 2000}


def latents(rows: int, seed: int = 0) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), (rows, 32))


def made(generate, latents, strength: float, **settings) -> np.ndarray:
    """A generator's samples of several latents, a row each."""
    return np.asarray(jax.jit(jax.vmap(lambda latent: generate(latent, strength, **settings)))(latents))


def told(generate, **settings) -> str:
    """That each of the 32 numbers of a latent changes what is generated without noise."""
    latent = latents(1)
    changed = jnp.concatenate([latent, latent + jnp.eye(32)])
    samples = made(generate, changed, 1.0, **settings)
    heard = sum(apart(samples[0], sample) > 1e-4 for sample in samples[1:])
    return expect(heard == 32, f"{heard} of 32 numbers of the latent have an effect")


@probe("S01.seed", "The data are the same whatever the seed.", "Another seed, other data.", shown=False)
def seed(api):
    one, other = (api.create_synthetic_multi_modal_dataset(["image"], 4, rngs=nnx.Rngs(seed), **SMALL) for seed in (0, 1))
    change = apart(one[0]["image"], other[0]["image"])
    return expect(change > 0.01, f"first pictures of seeds 0 and 1 differ by up to {change:.2f}")


@probe("S01.validation", "The validation set is the beginning of the training set.", "They share no sample.", shown=False)
def validation(api):
    rngs = nnx.Rngs(0)
    train = api.create_synthetic_multi_modal_dataset(["text"], 64, rngs=rngs, **SMALL)
    other = api.create_synthetic_multi_modal_dataset(["text"], 16, rngs=rngs, **SMALL)
    known = {np.asarray(train[i]["latent"]).tobytes() for i in range(64)}
    shared = sum(np.asarray(other[i]["latent"]).tobytes() in known for i in range(16))
    return expect(shared == 0, f"{shared} of 16 validation samples are training samples")


@probe("S01.speed", "A loop of Python makes each sample, token by token.", "A sample takes less than 50 ms, once compiled.")
def speed(api):
    rows, seconds = list(latents(9)), []
    for row in rows:
        start = time.perf_counter()
        jax.block_until_ready(api.generate_aligned_sample(row, 0.8))
        seconds.append(time.perf_counter() - start)
    milliseconds = 1000 * min(seconds[1:])  # the quickest: a busy machine is nobody's fault
    return expect(milliseconds < 50, f"{milliseconds:.3g} ms a sample")


@probe("S03.one-meaning", "One strength means different things in pictures and in sounds.", "The same correlation in each.")
def one_meaning(api):
    rows, words, worst = latents(256), [], 0.0
    for strength in (0.3, 0.8):
        found = []
        for generate in (api.generate_image_from_latent, api.generate_audio_from_latent):
            noisy, clean = (made(generate, rows, a).reshape(256, -1).astype(np.float64) for a in (strength, 1.0))
            noisy, clean = (x - x.mean(1, keepdims=True) for x in (noisy, clean))
            cosines = (noisy * clean).sum(1) / np.sqrt((noisy**2).sum(1) * (clean**2).sum(1))
            found.append(float(cosines.mean()))
        words.append(f"at {strength} {found[0]:.2f} (picture), {found[1]:.2f} (sound)")
        worst = max(worst, abs(found[0] - found[1]))
    return expect(worst < 0.05, "correlation with the noise-free form: " + "; ".join(words))


@probe("S03.perfect", "At strength 1 texts are still drawn from nearly even odds.", "At strength 1 a text tells its latent.")
def perfect(api):
    rows = latents(2000)
    text = made(api.generate_text_from_latent, rows, 1.0)
    counts = (text[:, :, None] % 32 == np.arange(32)).sum(1)  # where the sample code keeps what it tells
    features = np.concatenate([counts, text, np.ones((2000, 1))], axis=1).astype(np.float64)
    features /= features.std(0) + 1
    learn, test, z = features[:1500], features[1500:], np.asarray(rows, np.float64)
    weights = np.linalg.solve(learn.T @ learn + 0.1 * np.eye(features.shape[1]), learn.T @ z[:1500])
    explained = 1 - np.square(test @ weights - z[1500:]).mean() / z[1500:].var()
    return expect(explained > 0.9, f"a linear reader of the text explains {explained:.0%} of the latent")


@probe("S03.range", "Any strength is taken.", "A strength outside [0, 1] is refused.")
def strength_in_range(api):
    return refused(lambda: api.generate_image_from_latent(latents(1)[0], 1.5), "strength", "a strength of 1.5")


@probe("S04.batches", "Every call gives the same batch.", "Each call gives the next one of a shuffled walk.", shown=False)
def batches(api):
    data = api.create_synthetic_multi_modal_dataset(["text"], 64, rngs=nnx.Rngs(0), **SMALL)
    rows = np.concatenate([np.asarray(data.get_batch(16)["latent"]) for _ in range(4)])
    different = len({row.tobytes() for row in rows})
    return expect(different == 64, f"4 batches of 16 hold {different} different samples of 64")


@probe("S04.size", "A batch larger than the data fails deep inside JAX.", "The error says both numbers.", shown=False)
def size(api):
    data = api.create_synthetic_multi_modal_dataset(["text"], 8, rngs=nnx.Rngs(0), **SMALL)
    return refused(lambda: data.get_batch(9, rngs=nnx.Rngs(0)), "8", "a batch of 9 out of 8")


def paired(api, pairs=(("image", "text"),)):
    data = {"image": jnp.zeros((4, 2, 2, 3)), "text": jnp.ones((4, 5), jnp.int32)}
    return api.MultiModalPairedDataset(pairs=list(pairs), data=data, alignments=jnp.ones((4,)))


@probe("S05.pairs", "A pair of which one side has no data is accepted.", "It is refused by name.", shown=False)
def pairs(api):
    return refused(lambda: paired(api, [("image", "depth")]), "depth", "the pair image, depth without depth")


@probe("S05.jit", "A sample holds strings, which no compiled function takes.", "A sample goes through jit.", shown=False)
def jit(api):
    sample = paired(api)[0]
    total = jax.jit(lambda sample: sample["image"].sum() + sample["text"].sum().astype(jnp.float32))(sample)
    return expect(float(total) == 5.0 and list(sample["pairs"]) == [("image", "text")], "a jitted function read the sample")


@probe("S05.batch", "There is no get_batch.", "get_batch gives batches.", shown=False)
def batch(api):
    found = paired(api).get_batch(3)["image"].shape
    return expect(found == (3, 2, 2, 3), f"pictures of shape {found}")


@probe("S07.noise", "The noise is one constant: at strength 0 all pictures are the same.", "Each picture has its own.")
def image_noise(api):
    first, second = made(api.generate_image_from_latent, latents(2), 0.0)
    change = apart(first, second)
    return expect(change > 0.01, f"two pictures at strength 0 differ by up to {change:.2g}")


@probe("S07.colour", "The three colours tell the same: the signal is grey.", "Colours differ.")
def colour(api):
    (picture,) = made(api.generate_image_from_latent, latents(1), 1.0)
    change = apart(picture[..., 0], picture[..., 2])
    return expect(change > 0.01, f"red and blue differ by up to {change:.2g}")


@probe("S07.factors", "Pictures use 8 of the 32 numbers of the latent.", "All 32 reach the picture.")
def image_factors(api):
    return told(api.generate_image_from_latent)


@probe("S08.noise", "The draw is one constant: at strength 0 all texts are the same.", "Each text has its own.")
def text_noise(api):
    texts = made(api.generate_text_from_latent, latents(20), 0.0, vocab_size=100, seq_length=12)
    different = len({text.tobytes() for text in texts})
    return expect(different == 20, f"{different} different texts of 20 at strength 0")


@probe("S08.order", "A text is a bag of words: what stands beside a word does not matter.", "Neighbours agree.")
def text_order(api):
    texts = made(api.generate_text_from_latent, latents(400), 1.0)[:, :49]
    mixed = np.random.default_rng(0).permuted(texts, axis=0)  # each word from another text, from the same place
    found, chance = (len({*zip(x[:, :-1].ravel().tolist(), x[:, 1:].ravel().tolist(), strict=True)}) for x in (texts, mixed))
    return expect(found < 0.6 * chance, f"{found:,} different pairs of neighbours, {chance:,} with words of several texts mixed")


@probe("S08.words", "Words 32 apart in the vocabulary are equally likely for every latent.", "Each word means something.")
def words(api):
    text = np.asarray(api.generate_text_from_latent(latents(1)[0], 1.0, seq_length=1000))
    counts = np.bincount(text, minlength=1024).reshape(32, 32)  # a column holds the words of one remainder
    share = counts.max(0).sum() / counts.sum()
    return expect(share > 0.4, f"of words that differ by multiples of 32, the most frequent one makes {share:.0%}")


@probe("S09.noise", "Pictures and sounds get the same noise.", "Each has its own.")
def audio_noise(api):
    z = latents(64)
    picture, sound = (
        made(generate, z, 0.0).reshape(64, -1)[:, :3072].astype(np.float64)
        for generate in (api.generate_image_from_latent, api.generate_audio_from_latent)
    )
    within = np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(picture, sound, strict=True)])
    return expect(abs(within) < 0.1, f"picture and sound at strength 0 correlate by {within:.3f}")


@probe("S09.alias", "The latents 0.3 and 1.3 give the same sound.", "Different latents, different sounds.")
def alias(api):
    one, other = made(api.generate_audio_from_latent, jnp.eye(32)[:1] * jnp.array([[0.3], [1.3]]), 1.0)
    change = apart(one, other)
    return expect(change > 0.01, f"the sounds of 0.3 and 1.3 differ by up to {change:.2g}")


@probe("S09.rate", "The last sample is a step too far: the rate is off.", "Sample n is the sound at n / rate seconds.")
def rate(api):
    slow, fast = (np.asarray(api.generate_audio_from_latent(latents(1)[0], 1.0, sample_rate=r)) for r in (8000, 16000))
    slow, fast = slow / np.abs(slow).max(), fast[::2] / np.abs(fast[::2]).max()
    change = apart(slow, fast)
    return expect(change < 0.05, f"one sound at 8 and 16 kHz differs by up to {change:.2g} at the same moments")


@probe("S09.factors", "Sounds use 10 of the 32 numbers of the latent.", "All 32 reach the sound.")
def audio_factors(api):
    return told(api.generate_audio_from_latent)


@probe("S25.default", "Without a transform of one's own the data set cannot be made.", "It has one.")
def folder(api):
    with TemporaryDirectory() as path:
        root = Path(path)
        (root / "images").mkdir()
        (root / "captions").mkdir()
        Image.fromarray(np.full((40, 30, 3), 200, np.uint8)).save(root / "images" / "wall.png")
        (root / "captions" / "wall.txt").write_text("a white wall\n", encoding="utf-8")
        data = api.MultiModalDataset(path, _tokens)
        return expect(len(data) == 1, f"{len(data)} sample, picture {np.shape(data[0]['image'])}")


def _tokens(text: str) -> list[int]:
    return [2 + len(word) for word in text.split()]
