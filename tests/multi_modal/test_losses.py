"""The guide's losses: every call form by hand and against the house's own, what is missing, and what cannot be meant."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.core.errors import UnknownName
from sensorium.core.objective import LossRows
from sensorium.losses import InfoNCE, Sigmoid, total
from sensorium.multi_modal.losses import (
    contrastive_loss,
    cycle_consistency,
    cycle_loss,
    reconstruction_loss,
    reconstruction_rows,
)
from sensorium.nn.norms import unit

ROWS, WIDTH = 6, 4


def embeddings(number: int = 3, seed: int = 0) -> list[jax.Array]:
    x = np.random.default_rng(seed).normal(size=(number, ROWS, WIDTH)).astype(np.float32)
    return [jnp.asarray(each) for each in x]


IMAGE, TEXT, AUDIO = embeddings()
HERE = jnp.array([True, True, False, True, False, True])


def test_logits_by_hand():
    """Seed 002's call: the mean of both cross-entropies of the matrix as it is."""
    logits = jnp.log(jnp.array([[3.0, 1.0], [1.0, 1.0]]))
    expected = ((math.log(4 / 3) + math.log(2)) / 2 + (math.log(4 / 3) + math.log(2)) / 2) / 2
    assert contrastive_loss(logits) == pytest.approx(expected, rel=1e-6)
    lopsided = jnp.log(jnp.array([[1.0, 3.0], [1.0, 1.0]]))
    rows, columns = (math.log(4) + math.log(2)) / 2, (math.log(2) + math.log(4)) / 2
    assert contrastive_loss(lopsided) == pytest.approx((rows + columns) / 2, rel=1e-6)
    one_way = jnp.log(jnp.array([[1.0, 3.0], [1.0, 5.0]]))
    assert contrastive_loss(one_way, symmetric=False) == pytest.approx((math.log(4) + math.log(6 / 5)) / 2, rel=1e-6)
    assert contrastive_loss(one_way) == pytest.approx(
        (math.log(4) + math.log(6 / 5) + math.log(2) + math.log(8 / 5)) / 4, rel=1e-6
    )


def test_the_temperature_of_logits_divides_them_where_it_is_given():
    """[V] The sample takes `temperature` and ignores it."""
    logits = IMAGE @ TEXT.T
    cold, plain = contrastive_loss(logits, 0.07), contrastive_loss(logits)
    assert cold == pytest.approx(float(contrastive_loss(logits / 0.07)), rel=1e-5) and abs(cold - plain) > 0.1
    assert contrastive_loss(logits, temperature=0.07) == cold
    assert contrastive_loss(logits, jnp.float32(0.07)) == pytest.approx(float(cold), rel=1e-6)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_two_embeddings_are_the_house_loss_whatever_their_length(form):
    kind = {"softmax": InfoNCE, "sigmoid": Sigmoid}[form]("image", "text")
    outputs = {"image/unit": unit(IMAGE), "text/unit": unit(TEXT), "scale": jnp.float32(1 / 0.2)}
    batch = {"group": jnp.array([0, 1, 0, 2, 3, 4]), "text/here": HERE}
    expected, _ = total({"it": (1.0, kind)}, outputs, batch)
    got = contrastive_loss(3.0 * IMAGE, TEXT, temperature=0.2, groups=batch["group"], here=(None, HERE), form=form)
    assert got == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_a_large_batch_is_contrasted_block_by_block_and_has_the_same_value_and_gradient(form):
    rows, random = 1300, np.random.default_rng(0)
    x = [jnp.asarray(random.normal(size=(rows, WIDTH)).astype(np.float32)) for _ in range(2)]
    groups, here = jnp.asarray(random.integers(0, 1200, rows).astype(np.int32)), jnp.asarray(random.random(rows) < 0.9)
    weights = jnp.asarray(random.random(rows).astype(np.float32))
    loss = partial(contrastive_loss, groups=groups, here=here, weights=weights, form=form)

    def dense(x):
        scores = unit(x[0]) @ unit(x[1]).T / 0.2 - (0.0 if form == "softmax" else 10.0)
        return loss(scores)

    runs = [jax.jit(jax.value_and_grad(f)) for f in (lambda x: loss(*x, temperature=0.2), dense)]
    (value, gradients), (expected, right) = (run(x) for run in runs)
    assert value == pytest.approx(float(expected), rel=1e-5)
    for gradient, want in zip(gradients, right, strict=True):
        np.testing.assert_allclose(gradient, want, atol=2e-5 * float(jnp.abs(want).max()))
    flat, table = (run.lower(x).compile().memory_analysis() for run in runs)
    assert flat is not None and table is not None and flat.temp_size_in_bytes < 0.8 * table.temp_size_in_bytes


def test_three_are_the_mean_over_their_pairs_and_the_default_temperature_is_that_of_the_guide():
    pairs = [contrastive_loss(a, b) for a, b in ((IMAGE, TEXT), (IMAGE, AUDIO), (TEXT, AUDIO))]
    together = contrastive_loss(IMAGE, TEXT, AUDIO)
    assert together == pytest.approx(float(sum(pairs)) / 3, rel=1e-6)
    assert together == contrastive_loss(IMAGE, TEXT, AUDIO, temperature=0.07) == contrastive_loss(IMAGE, TEXT, AUDIO, 0.07)
    chosen = contrastive_loss(IMAGE, TEXT, AUDIO, pairs=((0, 1), (2, 1)))
    assert chosen == pytest.approx(float(pairs[0] + pairs[2]) / 2, rel=1e-6)
    assert len({float(x) for x in pairs}) == 3


def test_a_modality_that_is_absent_from_the_batch_changes_nothing():
    alone = contrastive_loss(IMAGE, TEXT)
    assert contrastive_loss(IMAGE, TEXT, None) == alone
    masked = contrastive_loss(IMAGE, TEXT, jnp.full_like(AUDIO, jnp.nan), here=(None, None, jnp.zeros(ROWS, bool)))
    assert masked == pytest.approx(float(alone), rel=1e-6)


@pytest.mark.parametrize("form", ["softmax", "sigmoid"])
def test_missing_rows_contribute_nothing_and_no_nan_even_where_none_is_complete(form):
    def loss(arrays, here):
        return contrastive_loss(*arrays, here=here, form=form)

    loss = jax.jit(jax.value_and_grad(loss))
    some = (None, HERE, HERE[::-1])
    broken = [
        jnp.where(jnp.ones(ROWS, bool)[:, None] if m is None else m[:, None], x, jnp.nan)
        for x, m in zip((IMAGE, TEXT, AUDIO), some, strict=True)
    ]
    value, gradients = loss([IMAGE, TEXT, AUDIO], some)
    again, gradients_again = loss(broken, some)
    assert value == again and value > 0
    for gradient, same, here in zip(gradients, gradients_again, some, strict=True):
        np.testing.assert_array_equal(gradient, same)
        assert here is None or (
            not np.asarray(gradient)[~np.asarray(here)].any() and np.asarray(gradient)[np.asarray(here)].any(1).all()
        )
    kept = np.flatnonzero(HERE)
    expected = contrastive_loss(IMAGE[kept], TEXT[kept], form=form)
    assert contrastive_loss(IMAGE, TEXT, here=(None, HERE), form=form) == pytest.approx(float(expected), rel=1e-5)
    odd = jnp.arange(ROWS) % 2 == 0
    value, gradients = loss([IMAGE, TEXT, jnp.zeros_like(AUDIO)], (odd, ~odd, jnp.zeros(ROWS, bool)))
    assert value == 0 and all((gradient == 0).all() for gradient in gradients)


def test_rows_of_one_group_are_positives_of_each_other():
    """Khosla et al. 2020, eq. 2, by hand: logits 0 everywhere among three candidates, two alike."""
    logits = jnp.log(jnp.array([[2.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0]]))
    value = contrastive_loss(logits, groups=jnp.array([7, 7, 9]), symmetric=False)
    assert value == pytest.approx((0.5 * (math.log(2) + math.log(4)) + math.log(3) + math.log(3)) / 3, rel=1e-6)


def test_rectangular_logits_go_by_their_groups_and_rows_without_an_answer_do_not_count():
    logits = jnp.log(jnp.array([[1.0, 2.0, 1.0], [5.0, 1.0, 1.0]]))
    value = contrastive_loss(logits, groups=(jnp.array([4, 8]), jnp.array([5, 4, 6])), symmetric=False)
    assert value == pytest.approx(math.log(2), rel=1e-6)
    both = contrastive_loss(logits, groups=(jnp.array([4, 8]), jnp.array([5, 4, 6])))
    assert both == pytest.approx((math.log(2) + math.log(3 / 2)) / 2, rel=1e-6)


def test_weights_weigh_rows_and_their_level_does_not_matter():
    logits = jnp.log(jnp.array([[3.0, 1.0], [1.0, 1.0]]))
    one_way = partial(contrastive_loss, logits, symmetric=False)
    assert one_way(weights=jnp.array([0.9, 0.3])) == pytest.approx((3 * math.log(4 / 3) + math.log(2)) / 4, rel=1e-6)
    assert one_way(weights=jnp.array([1.0, 0.0])) == pytest.approx(math.log(4 / 3), rel=1e-6)
    assert one_way(weights=jnp.array([0.4, 0.4])) == pytest.approx(float(one_way()), rel=1e-6)
    assert (
        one_way(weights=jnp.zeros(2)) == 0
        and jnp.isfinite(jax.grad(lambda x: contrastive_loss(x, weights=jnp.zeros(2)))(logits)).all()
    )


def test_weights_a_pair_are_a_column_each():
    weights = jnp.asarray(np.random.default_rng(3).uniform(size=(ROWS, 3)).astype(np.float32))
    alone = [
        contrastive_loss(a, b, weights=weights[:, at]) for at, (a, b) in enumerate(((IMAGE, TEXT), (IMAGE, AUDIO), (TEXT, AUDIO)))
    ]
    assert contrastive_loss(IMAGE, TEXT, AUDIO, weights=weights) == pytest.approx(float(sum(alone)) / 3, rel=1e-5)
    zero = weights.at[:, 1].set(0.0)
    assert contrastive_loss(IMAGE, TEXT, AUDIO, weights=zero) == pytest.approx(float(alone[0] + alone[2]) / 2, rel=1e-5)


def test_the_sigmoid_form_and_its_bias_by_hand():
    eye = jnp.eye(2)
    value = contrastive_loss(eye, eye, temperature=0.5, form="sigmoid", bias=-1.0)
    assert value == pytest.approx(2 * math.log(1 + math.exp(-1)), rel=1e-6)
    of_logits = contrastive_loss(2.0 * eye - 1.0, form="sigmoid")
    assert of_logits == pytest.approx(float(value), rel=1e-6)
    assert contrastive_loss(eye, eye, form="sigmoid") == contrastive_loss(eye, eye, form="sigmoid", bias=-10.0)


def test_label_smoothing_by_hand():
    logits = jnp.log(jnp.array([[3.0, 1.0], [1.0, 3.0]]))
    expected = -(0.95 * math.log(3 / 4) + 0.05 * math.log(1 / 4))  # a tenth of the target to both candidates alike
    assert contrastive_loss(logits, label_smoothing=0.1) == pytest.approx(expected, rel=1e-6)


def test_compiled_it_is_the_same_and_a_temperature_can_be_learned():
    def loss(arrays, temperature):
        return contrastive_loss(*arrays, temperature=temperature)

    arrays, t = [IMAGE, TEXT, AUDIO], jnp.float32(0.1)
    assert jax.jit(loss)(arrays, t) == pytest.approx(float(loss(arrays, t)), rel=1e-5)
    step = 1e-3
    slope = (loss(arrays, t + step) - loss(arrays, t - step)) / (2 * step)
    assert jax.jit(jax.grad(loss, 1))(arrays, t) == pytest.approx(float(slope), rel=1e-2)
    zeros = jax.jit(jax.grad(loss))([jnp.zeros_like(x) for x in arrays], t)
    assert all(jnp.isfinite(x).all() for x in zeros)


WRONG = {
    "not square": (lambda: contrastive_loss(jnp.zeros((2, 3))), r"\[2, 3\] are not square.*groups="),
    "one vector": (lambda: contrastive_loss(IMAGE[0], TEXT[0]), r"embedding 0: expected a batch.*\[4\]"),
    "ids": (lambda: contrastive_loss(IMAGE, jnp.zeros((ROWS, WIDTH), jnp.int32)), r"embedding 1: .*floats.*int32"),
    "unlike shapes": (lambda: contrastive_loss(IMAGE, TEXT[:3]), r"\[6, 4\].*\[3, 4\]"),
    "two temperatures": (lambda: contrastive_loss(IMAGE, TEXT, 0.1, temperature=0.2), "two temperatures"),
    "temperature 0": (lambda: contrastive_loss(IMAGE, TEXT, temperature=0.0), "temperature is 0.0"),
    "nothing": (lambda: contrastive_loss(), "nothing to contrast"),
    "one and None": (lambda: contrastive_loss(IMAGE, None), "nothing to contrast"),
    "bias of a softmax": (lambda: contrastive_loss(IMAGE, TEXT, bias=-1.0), 'form="sigmoid"'),
    "smoothed sigmoid": (lambda: contrastive_loss(IMAGE, TEXT, form="sigmoid", label_smoothing=0.1), "softmax"),
    "too few masks": (lambda: contrastive_loss(IMAGE, TEXT, here=(HERE,)), "1 masks for 2 modalities"),
    "mask of another length": (lambda: contrastive_loss(IMAGE, TEXT, here=HERE[:2]), r"bool\[6\]"),
    "negative weights": (lambda: contrastive_loss(IMAGE, TEXT, weights=-jnp.ones(ROWS)), "negative"),
    "weights of other pairs": (lambda: contrastive_loss(IMAGE, TEXT, weights=jnp.ones((ROWS, 3))), r"f32\[6 1\].*\[6, 3\]"),
    "no such pair": (lambda: contrastive_loss(IMAGE, TEXT, pairs=((0, 2),)), r"pair \(0, 2\)"),
    "a form": (lambda: contrastive_loss(IMAGE, TEXT, form="sigmoit"), "Did you mean 'sigmoid'"),
    "modality first": (lambda: reconstruction_loss(IMAGE, IMAGE, IMAGE), "Give the modality first"),
    "a modality": (lambda: reconstruction_loss("imgae", IMAGE, IMAGE), "Did you mean 'image'"),
    "an error": (lambda: reconstruction_loss("image", jnp.zeros((2, 2, 3)), jnp.zeros((2, 2, 3)), error="squarred"), "'squared'"),
    "regression on ids": (
        lambda: reconstruction_loss("text", jnp.array([2, 3]), jnp.array([2, 3])),
        "ids have no distance and no gradient.*logits",
    ),
    "an unknown word": (lambda: reconstruction_loss("text", jnp.array([2, 9]), jnp.zeros((2, 5))), "ids from 2 to 9"),
    "channels first": (
        lambda: reconstruction_loss("image", jnp.zeros((4, 8, 8, 3)), jnp.zeros((4, 3, 8, 8))),
        r"channels come last.*moveaxis",
    ),
    "rank": (lambda: reconstruction_loss("audio", jnp.zeros((2, 5, 1)), jnp.zeros((2, 5, 1))), "audio has 1 axes, a batch 2"),
    "a mask": (
        lambda: reconstruction_loss("audio", jnp.zeros((2, 5)), jnp.zeros((2, 5)), jnp.ones(3, bool)),
        r"bool\[2\] or bool\[2, 5\]",
    ),
    "a cycle": (lambda: cycle_consistency(IMAGE, TEXT[:2]), "must be equal"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_an_error_that_says_so(case):
    call, message = WRONG[case]
    with pytest.raises((ValueError, UnknownName), match=message):
        call()


def random(*shape: int, seed: int = 0) -> jax.Array:
    return jax.random.uniform(jax.random.key(seed), shape)


SHAPES = {"image": (4, 4, 3), "video": (3, 2, 2, 3), "sensor": (5, 2), "audio": (300,)}


@pytest.mark.parametrize("modality", SHAPES)
def test_a_batch_is_its_samples_one_by_one_and_numpy_is_as_good(modality):
    target, prediction = random(2, *SHAPES[modality]), random(2, *SHAPES[modality], seed=1)
    rows = jax.jit(partial(reconstruction_rows, modality))(target, prediction)
    one = jax.jit(partial(reconstruction_loss, modality))
    alone = [float(one(target[i], prediction[i])) for i in range(2)]
    np.testing.assert_allclose(rows.values, alone, rtol=1e-5)
    whole = reconstruction_loss(modality, np.asarray(target), np.asarray(prediction))
    assert whole == pytest.approx(sum(alone) / 2, rel=1e-5)
    assert alone[0] != alone[1] and one(target[0], target[0]) < 1e-7  # compiled, the two are rounded apart
    weighted = jax.jit(partial(reconstruction_loss, modality))(target, prediction, weights=jnp.array([3.0, 1.0]))
    assert weighted == pytest.approx((3 * alone[0] + alone[1]) / 4, rel=1e-5)


def test_reconstructions_by_hand():
    target, prediction = jnp.zeros((2, 1, 1, 3)), jnp.array([[[[0.0, 0.0, 3.0]]], [[[1.0, 1.0, 1.0]]]])
    assert reconstruction_loss("image", target, prediction) == 2.0
    assert reconstruction_loss("image", target, prediction, error="absolute") == 1.0
    assert reconstruction_loss("image", target, prediction, jnp.array([False, True])) == 1.0
    assert reconstruction_loss("image", jnp.full((1, 1, 3), 51, jnp.uint8), jnp.full((1, 1, 3), 0.2)) == pytest.approx(
        0, abs=1e-12
    )
    trace, present = jnp.array([[1.0], [jnp.nan], [3.0]]), jnp.array([True, False, True])
    assert reconstruction_loss("sensor", trace, jnp.zeros((3, 1)), present) == 5.0
    wave = reconstruction_loss("audio", random(300), random(300, seed=1))
    parts = [reconstruction_loss("audio", random(300), random(300, seed=1), error=error) for error in ("squared", "spectral")]
    assert wave == pytest.approx(float(sum(parts)), rel=1e-5)


def test_text_is_read_word_by_word_and_padding_is_no_word():
    """Logits (ln 3, 0, 0) give 3/5 and 1/5: a nearer id is no nearer word."""
    logits = jnp.broadcast_to(jnp.log(jnp.array([1.0, 1.0, 3.0])), (2, 3, 3))
    text = jnp.array([[2, 1, 0], [2, 2, 1]])
    values, _ = reconstruction_rows("text", text, logits)
    right, wrong = math.log(5 / 3), math.log(5)
    np.testing.assert_allclose(values, [(right + wrong) / 2, (2 * right + wrong) / 3], rtol=1e-6)
    assert reconstruction_loss("text", text[0], logits[0]) == pytest.approx((right + wrong) / 2, rel=1e-6)
    only_first = jnp.array([[True, False, False]] * 2)
    assert reconstruction_loss("text", text, logits, only_first) == pytest.approx(right, rel=1e-6)
    assert reconstruction_loss("text", text, logits, jnp.array([True, False])) == pytest.approx((right + wrong) / 2, rel=1e-6)


def test_a_measure_of_ones_own_goes_in_the_place_of_the_modality():
    def largest(target, prediction, mask):
        return LossRows(jnp.where(mask, jnp.abs(target - prediction).max(1), 0.0), mask)

    assert reconstruction_loss(largest, jnp.zeros((2, 3)), jnp.array([[0.0, 2.0, 1.0], [4.0, 0.0, 0.0]])) == 3.0


def test_cycles():
    assert cycle_consistency(jnp.array([1.0, 3.0]), jnp.array([2.0, 1.0])) == 1.5
    assert cycle_consistency(IMAGE, 5.0 * IMAGE, form="cosine") == pytest.approx(0, abs=1e-6)
    assert cycle_consistency(IMAGE, -IMAGE, form="cosine") == pytest.approx(2, rel=1e-6)
    rows = jnp.array([[1.0], [5.0]]), jnp.array([[2.0], [jnp.nan]]), jnp.array([True, False])
    assert cycle_consistency(*rows) == 1.0
    turn = jnp.asarray(np.linalg.qr(np.random.default_rng(0).normal(size=(WIDTH, WIDTH)))[0].astype(np.float32))
    assert cycle_loss(lambda x: x @ turn, lambda y: y @ turn.T, IMAGE, TEXT) == pytest.approx(0, abs=1e-5)
    assert cycle_loss(lambda x: 2.0 * x, lambda y: y, IMAGE) == pytest.approx(float(jnp.abs(IMAGE).mean()), rel=1e-5)
    both = float(jnp.abs(IMAGE).mean() + jnp.abs(TEXT).mean())
    assert cycle_loss(lambda x: 2.0 * x, lambda y: y, IMAGE, TEXT) == pytest.approx(both, rel=1e-5)
