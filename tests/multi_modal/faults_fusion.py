"""Probes of fusion: rows S10, S12, S23, S24, S29 and S35."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from multi_modal.probe import apart, compiled, expect, probe, refused, run


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def raw(rows: int | None = None, word: int = 7):
    """A small picture, text and sound, or a batch of each."""
    size = () if rows is None else (rows,)
    picture = jax.random.uniform(jax.random.key(0), (*size, 4, 4, 3))
    return picture, jnp.full((*size, 6), word, jnp.int32), 0.1 * normal(1, *size, 20)


@probe("S10.magnitude", "Token ids are joined to pixels as magnitudes.", "No id weighs more than another.")
def magnitude(api):
    low, high = (float(np.square(np.asarray(api.early_fusion(*raw(word=word)), np.float64)).sum()) for word in (2, 999))
    ratio = max(low, high) / min(low, high)
    return expect(ratio < 1.1, f"the energy with words 999 is {ratio:,.4g} times that with words 2")


@probe("S10.batch", "A batch is flattened to one vector.", "A batch gives a row each, as one by one.")
def early_batch(api):
    picture, text, sound = raw(3)
    rows = api.early_fusion(picture, text, sound)
    one = np.asarray(api.early_fusion(picture[1], text[1], sound[1]))
    right = rows.shape == (3, *one.shape) and apart(rows[1], one) < 1e-5
    return expect(right, f"three samples give an array of shape {rows.shape}")


def fusion(api, heads: int = 4, width: int = 64):
    return api.MultiModalAttentionFusion(width, heads, rngs=nnx.Rngs(0))


def vectors(width: int = 64) -> list[jax.Array]:
    return [normal(seed, width) for seed in range(3)]


@probe("S12.heads", "num_heads is ignored: 1 and 64 heads give the same.", "The number of heads matters.")
def heads(api):
    one, many = (run(fusion(api, heads), *vectors(), deterministic=True) for heads in (1, 64))
    change = apart(one, many)
    return expect(change > 1e-3, f"1 head or 64 change the result by {change:.2g}")


@probe("S12.divides", "3 heads of a width of 64 are accepted.", "They are refused.")
def divides(api):
    return refused(lambda: run(fusion(api, 3), *vectors(), deterministic=True), "3", "3 heads of a width of 64")


@probe("S12.order", "Swapping picture and text changes nothing.", "Each modality is known for what it is.")
def order(api):
    fuse, (image, text, audio) = compiled(fusion(api), deterministic=True), vectors()
    change = apart(fuse(image, text, audio), fuse(text, image, audio))
    return expect(change > 1e-3, f"picture and text swapped change the result by {change:.2g}")


@probe("S12.batch", "A batch raises.", "A batch gives a row each, as one by one.")
def attention_batch(api):
    model, batch = fusion(api), [normal(seed, 3, 64) for seed in range(3)]
    rows, one = run(model, *batch, deterministic=True), run(model, *(x[1] for x in batch), deterministic=True)
    right = rows.shape == (3, 64) and apart(rows[1], one) < 1e-4
    return expect(right, f"three samples give an array of shape {rows.shape}")


@probe("S12.missing", "A missing modality raises.", "None is left out, and the others still count.")
def missing(api):
    fuse, (image, text, _) = compiled(fusion(api), deterministic=True), vectors()
    change = apart(fuse(image, text, None), fuse(image, -text, None))
    return expect(change > 1e-3, f"without sound, another text changes the result by {change:.2g}")


@probe("S23.visual", "With vectors, the picture has no effect.", "Both inputs change the result.")
def visual(api):
    fuse, text = compiled(api.MultiModalFusion(16, 16, 16, rngs=nnx.Rngs(0)), deterministic=True), normal(9, 2, 16)
    change = apart(fuse(normal(0, 2, 16), text), fuse(normal(1, 2, 16), text))
    return expect(change > 1e-3, f"another picture changes the result by {change:.2g}")


@probe("S23.tokens", "Token sequences raise.", "Every token of both sides changes the result.")
def tokens(api):
    fuse = compiled(api.MultiModalFusion(16, 16, 16, rngs=nnx.Rngs(0)), deterministic=True)
    image, text = normal(0, 2, 3, 16), normal(1, 2, 5, 16)
    base = fuse(image, text)
    changed = [(image.at[:, i].mul(-1.0), text) for i in range(3)] + [(image, text.at[:, i].mul(-1.0)) for i in range(5)]
    felt = sum(apart(base, fuse(*both)) > 1e-4 for both in changed)
    return expect(felt == 8, f"{felt} of 3 + 5 tokens have an effect")


@probe("S24.runs", "No shape of input gets through.", "Latents attend to inputs, and every input counts.")
def perceiver(api):
    attend = compiled(api.PerceiverAttention(16, 4, rngs=nnx.Rngs(0)))
    latent, inputs = normal(0, 2, 4, 16), normal(1, 2, 6, 16)
    base = attend(latent, inputs)
    felt = sum(apart(base, attend(latent, inputs.at[:, i].mul(-1.0))) > 1e-4 for i in range(6))
    return expect(base.shape == (2, 4, 16) and felt == 6, f"{felt} of 6 inputs have an effect, result {base.shape}")


@probe("S29.count", "Two features for three projections are accepted.", "The wrong number is refused.")
def count(api):
    model = api.MultiModalProjector([8, 8, 8], 16, 4, rngs=nnx.Rngs(0))
    return refused(lambda: model(normal(0, 2, 8), normal(1, 2, 8)), "", "two features for three projections")


@probe("S29.middle", "A missing middle one cannot be told; left out, the last takes its projection.", "Each keeps its own.")
def middle(api):
    model, (image, text, audio) = api.MultiModalProjector([8, 8, 8], 16, 4, rngs=nnx.Rngs(0)), (normal(s, 2, 8) for s in range(3))
    without = model(image, None, audio)
    change = apart(without, model(image, audio, None))
    known = apart(without, model(image, text, audio))
    return expect(min(change, known) > 1e-3, f"the last one's features as the middle's change the result by {change:.2g}")


def kept(api, key: jax.Array) -> jax.Array:
    """Which of three modalities 64 rows keep."""
    batch = {name: jnp.ones((64, 4)) for name in ("image", "text", "audio")}
    return jnp.stack([*api.ModalityDropout(0.5)(batch, key=key).values()], axis=-1)


@probe("S35.jit", "Modality dropout fails inside jit.", "It can be compiled.", shown=False)
def dropout_jit(api):
    found = np.asarray(jax.jit(lambda key: kept(api, key))(jax.random.key(0)))
    return expect(found.any(1).all() and not found.all(), f"compiled, it keeps {found.mean():.0%}, and something of every row")


@probe("S35.varies", "Every call of modality dropout keeps the first modality only.", "Each draws anew.", shown=False)
def dropout_varies(api):
    draws = np.stack([np.asarray(kept(api, jax.random.key(seed))) for seed in (0, 1)])
    shares = draws.mean((0, 1))
    right = (draws[0] != draws[1]).any() and shares.min() > 0.2
    return expect(right, f"keeps {', '.join(f'{share:.0%}' for share in shares)} of pictures, texts, sounds")
