"""The guide's fusion modules: one sample or a batch, every input and head counts, what is missing is as if it were not there."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from sensorium.core.errors import UnknownName
from sensorium.multi_modal.fusion import (
    EarlyFusion,
    GatedFusion,
    HierarchicalFusion,
    ModalityDropout,
    MultiModalAttentionFusion,
    MultiModalFusion,
    MultiModalProjector,
    PerceiverAttention,
    early_fusion,
    late_fusion,
)
from sensorium.training import adamw, minimise

A, B, C = (jax.random.normal(jax.random.key(i), (3, 8)) for i in range(3))
TOKENS = jax.random.normal(jax.random.key(3), (3, 5, 8))
SOME = jnp.array([True, False, True])
THREE: dict[str, int] = dict.fromkeys(["image", "text", "audio"], 8)


@cache
def module(kind: str) -> Any:
    rngs = nnx.Rngs(0)
    make = {
        "attention": lambda: MultiModalAttentionFusion(8, 2, rngs=rngs),
        "dropping": lambda: MultiModalAttentionFusion(8, 2, dropout=0.5, rngs=rngs),
        "hierarchical": lambda: HierarchicalFusion(8, 2, tree=("audio", ("image", "text")), rngs=rngs),
        "early": lambda: EarlyFusion(THREE, 8, 2, depth=1, rngs=rngs),
        "projector": lambda: MultiModalProjector(THREE, 8, 6, rngs=rngs),
        "listed": lambda: MultiModalProjector([8, 8, 8], 8, 6, rngs=rngs),
        "gated": lambda: GatedFusion(THREE, 6, rngs=rngs),
        "both": lambda: MultiModalFusion(8, 8, 12, 2, rngs=rngs),
        "perceiver": lambda: PerceiverAttention(8, 2, num_latents=4, rngs=rngs),
    }
    return make[kind]()


@cache
def compiled(kind: str, options: tuple = ()):
    graph, state = nnx.split(module(kind))
    program = jax.jit(lambda state, args, named: nnx.merge(graph, state)(*args, **named, **dict(options)))
    return lambda *args, **named: program(state, args, named)


close = np.testing.assert_allclose
of_three = pytest.mark.parametrize("kind", ["attention", "hierarchical", "early", "projector", "gated"])
of_each_sort = pytest.mark.parametrize("kind", ["attention", "gated"])  # of tokens, and of vectors


@of_three
def test_one_sample_and_a_batch_are_the_same_and_vmap_works(kind):
    fuse = compiled(kind)
    batch = fuse(A, B, C)
    assert batch.shape == (3, 6 if kind in ("projector", "gated") else 8)
    close(fuse(A[1], B[1], C[1]), batch[1], atol=1e-5)
    close(jax.vmap(fuse)(A, B, C), batch, atol=1e-5)
    if kind == "projector":
        close(module(kind)(np.asarray(A), np.asarray(B), np.asarray(C)), batch, atol=1e-5)


@of_three
def test_every_input_changes_the_output_and_swapping_two_does(kind):
    fuse = compiled(kind)
    whole = fuse(A, B, C)
    for other in (fuse(-A, B, C), fuse(A, -B, C), fuse(A, B, -C), fuse(B, A, C), fuse(A, C, B)):
        assert jnp.abs(other - whole).max(axis=1).min() > 1e-3


@of_three
def test_a_missing_modality_in_every_form_is_absent(kind):
    fuse = compiled(kind)
    without = fuse(A, None, C)
    close(fuse(image=A, audio=C), without, atol=1e-6)
    broken = jnp.where(SOME[:, None], B, jnp.nan)
    masked = fuse(A, broken, C, masks={"text": SOME})
    close(masked[1], without[1], atol=1e-5)
    close(masked[::2], fuse(A, B, C)[::2], atol=1e-5)
    assert jnp.abs(without - fuse(A, B, C)).max(axis=1).min() > 1e-3
    close(fuse(A[0], None, C[0]), without[0], atol=1e-5)


@of_each_sort
def test_sequences_count_their_real_tokens(kind):
    fuse = compiled(kind)
    mask = jnp.arange(5)[None] < jnp.array([[5], [3], [1]])
    masked = fuse(A, TOKENS, C, masks={"text": mask})
    close(fuse(A, jnp.where(mask[..., None], TOKENS, 9.0), C, masks={"text": mask}), masked, atol=1e-5)
    close(masked[1], fuse(A[1:2], TOKENS[1:2, :3], C[1:2])[0], atol=1e-5)
    close(masked[2], fuse(A[2], TOKENS[2, 0], C[2]), atol=1e-5)


@of_each_sort
def test_gradients_are_finite_at_zero_and_where_nothing_is_there(kind):
    graph, state = nnx.split(module(kind))
    nothing = {"image": SOME, "text": SOME, "audio": SOME}

    def loss(state, x):
        return jnp.sum(nnx.merge(graph, state)(x, x, x, masks=nothing) ** 2)

    gradients = jax.jit(jax.grad(loss, argnums=(0, 1)))(state, jnp.zeros((3, 8)))
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    assert not compiled(kind)(A, B, C, masks=nothing)[1].any()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: f(A, B), "no argument for audio"),
        (lambda f: f(A, B, C, A), "4 arguments for the 3 modalities"),
        (lambda f: f(image=A, txt=B), "no modality is called 'txt'.*Did you mean 'text'"),
        (lambda f: f(A, B, C, text=B), "given twice"),
        (lambda f: f(None, None, None), "nothing to fuse"),
        (lambda f: f(A, B[0], C), "one sample beside a batch"),
        (lambda f: f(A, B[:2], C), "numbers of rows differ"),
        (lambda f: f(A, B[:, :7], C), r"'text' has the shape \(3, 7\).*D = 8"),
        (lambda f: f(A, B, C, masks={"txt": SOME}), "a mask for 'txt'"),
        (lambda f: f(A, B, C, masks={"text": SOME[:2]}), r"the mask of 'text' has the shape \(2,\)"),
    ],
)
@of_each_sort
def test_what_does_not_fit_is_an_error(kind, call, words):
    with pytest.raises((ValueError, UnknownName), match=words):
        call(module(kind))


def test_attention_has_real_heads():
    with pytest.raises(ValueError, match="width 64 cannot be split into 3 heads"):
        MultiModalAttentionFusion(64, 3, rngs=nnx.Rngs(0))
    outputs = []
    for heads in (1, 8):
        graph, state = nnx.split(MultiModalAttentionFusion(8, heads, rngs=nnx.Rngs(0)))
        outputs.append(jax.jit(lambda state, graph=graph: nnx.merge(graph, state)(A, B, C))(state))
    assert jnp.abs(outputs[0] - outputs[1]).max() > 1e-4


def test_attention_weights_are_shares_of_the_modalities():
    fuse = compiled("attention", (("return_weights", True),))
    fused, weights = fuse(A, TOKENS, C, masks={"audio": SOME})
    close(fused, compiled("attention")(A, TOKENS, C, masks={"audio": SOME}), atol=1e-6)
    assert weights.shape == (3, 2, 3)
    close(weights.sum(-1), 1, atol=1e-6)
    assert not weights[1, :, 2].any() and weights[::2].min() > 0
    assert fuse(A[0], B[0], C[0])[1].shape == (2, 3)


def test_attention_takes_any_modalities():
    fusion = MultiModalAttentionFusion(8, 2, modalities=("video", "sensor"), rngs=nnx.Rngs(0))
    close(fusion(A, B), fusion(sensor=B, video_emb=A), atol=1e-6)


def test_dropout_needs_a_key_and_draws_by_it():
    with pytest.raises(ValueError, match="pass key="):
        module("dropping")(A, B, C)
    still = compiled("dropping", (("deterministic", True),))(A, B, C)
    one, again, other = (compiled("dropping")(A, B, C, key=jax.random.key(seed)) for seed in (1, 1, 2))
    close(one, again)
    assert jnp.abs(one - other).max() > 1e-3 and jnp.abs(one - still).max() > 1e-3


def test_cross_attention_of_two_vectors_hears_both():
    fuse = compiled("both")
    whole = fuse(A, B)
    assert whole.shape == (3, 12)
    assert jnp.abs(fuse(-A, B) - whole).max(1).min() > 1e-2, "the visual side"
    assert jnp.abs(fuse(A, -B) - whole).max(1).min() > 1e-2, "the text side"
    close(fuse(A[0], B[0]), whole[0], atol=1e-5)


def test_cross_attention_goes_both_ways_over_sequences_with_both_masks():
    fuse = compiled("both", (("return_tokens", True), ("return_weights", True)))
    visual, mask = TOKENS[:, :4], jnp.arange(5)[None] < jnp.array([[5], [3], [0]])
    fused, tokens, weights = fuse(visual, TOKENS, masks={"text": mask})
    assert tokens["visual"].shape == (3, 4, 12) and weights["visual"].shape == (3, 2, 4, 5)
    close(weights["visual"].sum(-1)[:2], 1, atol=1e-6)
    assert not weights["visual"][1, :, :, 3:].any() and not weights["visual"][2].any()
    close(fused[2], compiled("both")(visual, None)[2], atol=1e-5)
    changed = fuse(visual.at[0, 3].set(1.0), TOKENS, masks={"text": mask})[1]
    assert jnp.abs(changed["text"][0] - tokens["text"][0]).max() > 1e-3, "text hears the picture"
    changed = fuse(visual, TOKENS.at[0, 4].set(1.0), masks={"text": mask})[1]
    assert jnp.abs(changed["visual"][0] - tokens["visual"][0]).max() > 1e-3, "the picture hears the text"


def test_cross_attention_drops_out_where_a_key_is_given():
    assert jnp.abs(compiled("both")(A, B, key=jax.random.key(0)) - compiled("both")(A, B)).max() > 1e-3
    with pytest.raises(ValueError, match="pass key="):
        module("both")(A, B, deterministic=False)


def test_a_perceiver_has_latents_of_its_own_and_takes_others():
    fuse = compiled("perceiver")
    out = fuse(TOKENS)
    assert out.shape == (3, 4, 8)
    close(fuse(TOKENS[1]), out[1], atol=1e-5)
    own = module("perceiver").fusion.latents[...]
    close(fuse(own, TOKENS), out, atol=1e-5)
    assert fuse(own[:1], TOKENS).shape == (3, 1, 8) and fuse(own[:2], TOKENS[0]).shape == (2, 8)
    assert jnp.abs(fuse(TOKENS.at[1, 4].set(0.0)) - out)[1].max() > 1e-3, "the last input counts"
    assert jnp.abs(out[0, 0] - out[0, 1]).max() > 1e-2, "latents are unlike"


def test_a_perceiver_leaves_masked_inputs_out():
    fuse = compiled("perceiver", (("return_weights", True),))
    mask = jnp.arange(5)[None] < jnp.array([[5], [2], [0]])
    out, weights = fuse(jnp.where(mask[..., None], TOKENS, jnp.nan), mask=mask)
    close(out[1], compiled("perceiver")(TOKENS[1, :2]), atol=1e-5)
    assert not out[2].any() and not weights[1, :, :, 2:].any() and weights.shape == (3, 2, 4, 5)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda f: f(TOKENS[..., :7]), r"\(L, D\) or \(B, L, D\) with D = 8"),
        (lambda f: f(TOKENS, TOKENS[:2]), "latent first, then inputs"),
        (lambda f: f(TOKENS[..., :7], TOKENS), "latent first, then inputs"),
        (lambda f: f(None), "no inputs"),
    ],
)
def test_a_perceivers_misfits_are_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call(module("perceiver"))


def test_a_projector_keeps_each_projection_to_its_modality():
    listed = compiled("listed")
    whole = listed(A, B, C)
    close(listed(A, None, C), listed(A, B, C, masks={"input_1": jnp.zeros(3, bool)}), atol=1e-5)
    assert jnp.abs(listed(A, None, C) - listed(A, C, None)).max(1).min() > 1e-3, "C through the third projection"
    with pytest.raises(ValueError, match="no argument for input_2"):
        module("listed")(A, B)
    fused, shares = compiled("listed", (("return_weights", True),))(A, None, C)
    close(shares, [[0.5, 0, 0.5]] * 3, atol=1e-6)
    assert whole.shape == (3, 6) and fused.shape == (3, 6)


def test_gates_are_shares_of_every_channel():
    _, gates = compiled("gated", (("return_weights", True),))(A, None, C)
    assert gates.shape == (3, 3, 6) and not gates[:, 1].any()
    close(gates.sum(1), 1, atol=1e-6)
    assert jnp.ptp(gates[:, 0]) > 0.1, "they differ between rows and channels"


def test_a_hierarchy_joins_by_its_tree():
    _, weights = compiled("hierarchical", (("return_weights", True),))(A, B, C)
    assert {name: w.shape for name, w in weights.items()} == {"(image+text)": (3, 2, 2), "(audio+(image+text))": (3, 2, 2)}
    with pytest.raises(ValueError, match=r"each of .* has to be in it once"):
        HierarchicalFusion(8, 2, tree=("image", "text"), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="fewer than two children"):
        HierarchicalFusion(8, 2, tree=("image", ("text",), "audio"), rngs=nnx.Rngs(0))


def test_modality_dropout_compiles_draws_rows_apart_and_spares_the_last():
    drop = ModalityDropout(0.6)
    rows = {name: jnp.zeros((512, 2)) for name in THREE}
    draw = jax.jit(lambda key: drop(rows, key=key))
    kept = np.stack(list(draw(jax.random.key(0)).values()), 1)
    assert kept.any(1).all() and len(np.unique(kept, axis=0)) == 7
    assert (np.stack(list(draw(jax.random.key(1)).values()), 1) != kept).any()
    rngs = nnx.Rngs(0)
    first, second = (np.stack(list(drop(rows, key=rngs).values()), 1) for _ in range(2))
    assert (first != second).any(), "one Rngs, two draws"
    close(kept.mean(0), 0.4 + 0.6**3 / 3, atol=0.08)


def test_modality_dropout_keeps_to_what_is_there():
    drop, words = ModalityDropout(1.0), jnp.arange(5)[None] < jnp.array([[5], [3], [0]])
    masks = drop({"image": A, "text": TOKENS, "audio": None}, masks={"image": SOME, "text": words}, key=0)
    assert set(masks) == {"image", "text"}
    assert (masks["text"][1] == words[1]).all() and not masks["image"][1], "text is all that row 1 has"
    assert masks["image"][2] and not masks["text"][2].any()
    assert masks["image"][0] ^ masks["text"][0].any(), "one of two"
    assert (masks["text"] <= words).all()
    still = ModalityDropout(0.5)({"image": A, "text": TOKENS}, masks={"text": words}, deterministic=True)
    assert still["image"].all() and (still["text"] == words).all()
    with pytest.raises(ValueError, match="pass key="):
        ModalityDropout(0.5)({"image": A})
    with pytest.raises(ValueError, match="equal numbers of rows"):
        ModalityDropout(0.5)({"image": A, "text": B[:2]}, key=0)
    with pytest.raises(ValueError, match="from 0 to 1"):
        ModalityDropout(1.5)


def pointing(seed: int):
    """Batches in which `c` points at the one of `a` and `b` that is the answer."""
    draw = np.random.default_rng(seed)
    while True:
        a, b = draw.normal(size=(2, 64, 16)).astype(np.float32)
        flag = draw.random((64, 1)) < 0.5
        yield {"a": a, "b": b, "c": np.where(flag, 1, -1) * np.ones((64, 16), np.float32), "y": np.where(flag, a, b)}


def test_it_learns_which_modality_to_listen_to():
    fusion = MultiModalAttentionFusion(16, 2, modalities=("a", "b", "c"), rngs=nnx.Rngs(0))

    def objective(fusion, batch, key, updates):
        return jnp.mean((fusion(batch["a"], batch["b"], batch["c"]) - batch["y"]) ** 2), {}

    history = minimise(fusion, objective, pointing(0), adamw(1e-2, 400), 400)
    assert history[-1]["loss"] < 0.35, "with fixed weights it is 0.5 at best"


@pytest.mark.parametrize("form", ["projector", "gated", "late", "early"])
def test_every_fusion_takes_deterministic(form):
    a, b = jax.random.normal(jax.random.key(0), (2, 3, 8))
    fuse = {
        "projector": lambda: MultiModalProjector({"image": 8, "text": 8}, 8, 8, rngs=nnx.Rngs(0)),
        "gated": lambda: GatedFusion({"image": 8, "text": 8}, 8, rngs=nnx.Rngs(0)),
        "late": lambda: late_fusion,
        "early": lambda: lambda a, b, **named: early_fusion(sensor=a[None], other=b[None], **named),
    }[form]()
    for said in (True, False, None):
        np.testing.assert_array_equal(fuse(a, b, deterministic=said), fuse(a, b))


def test_early_fusion_tells_where_it_looked():
    fuse = EarlyFusion({"image": 6, "text": 5}, 8, 2, 1, rngs=nnx.Rngs(0))
    image, text = jax.random.normal(jax.random.key(0), (3, 4, 6)), jax.random.normal(jax.random.key(1), (3, 2, 5))
    real = jnp.array([[True, False], [True, True], [False, False]])
    fused, tokens, mask, weights = fuse(image, text, masks={"text": real}, return_tokens=True, return_weights=True)
    assert weights.shape == (3, 2, 6, 6) and tokens.shape == (3, 6, 8)
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal((np.asarray(weights) > 0).all((1, 2)), mask)
    again, seen = fuse(image, text, masks={"text": real}, return_weights=True)
    np.testing.assert_array_equal(again, fused)
    np.testing.assert_array_equal(seen, weights)


def test_one_sample_with_tokens_is_told_how_it_is_given():
    fuse = MultiModalAttentionFusion(8, 2, ("image", "text"), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"numbers of rows differ.*image \(5, 8\), text \(3, 8\).*row axis: x\[None\]"):
        fuse(jnp.ones((5, 8)), jnp.ones((3, 8)))
    assert fuse(jnp.ones((1, 5, 8)), jnp.ones((1, 3, 8))).shape == (1, 8)
