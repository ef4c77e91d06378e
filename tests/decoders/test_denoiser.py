"""A denoiser: what it is trained on, what it forgets, what guidance does, and that it learns to draw what it is told."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from models.makers import PICTURES, shaken

from sensorium.core.encoding import Encoding
from sensorium.core.errors import UnknownName
from sensorium.decoders import Denoiser, Drawing
from sensorium.diffusion import Cosine, LogitNormal, Rectified, Uniform, draw_noise
from sensorium.losses import Denoise, Outline, total

KEY, ROWS = jax.random.key(3), 4
MIDDLE, SCALE = -0.25, 1.5


def built(**more) -> Denoiser:
    return shaken(Denoiser(**PICTURES, vector=6, tokens=5, middle=MIDDLE, scale=SCALE, rngs=nnx.Rngs(0), **more))


def about(seed: int = 1) -> Encoding:
    random = np.random.default_rng(seed)
    tokens, pooled = (jnp.asarray(random.normal(size=shape), jnp.float32) for shape in ((ROWS, 2, 5), (ROWS, 6)))
    return Encoding(tokens, jnp.ones((ROWS, 2), bool), pooled)


@cache
def drawer(how: Drawing):
    graph, state = nnx.split(built())
    run = jax.jit(lambda told, keys: nnx.merge(graph, state).draw(told, keys, how))
    return lambda told, keys: np.asarray(run(told, keys)).astype(int)


@cache
def trained(says: str, unconditional: float):
    """What a call gives and the gradient of the sum of each row's `said` wrt the condition, compiled; and the pictures."""
    graph, state, rest = nnx.split(built(says=says, unconditional=unconditional), nnx.Param, ...)
    x = jax.random.randint(jax.random.key(0), (ROWS, 16, 16, 3), 0, 256).astype(jnp.uint8)

    def call(told: Encoding, state, key: jax.Array):
        given = told._replace(mask=jnp.ones(told.tokens.shape[:2], bool))
        denoised = nnx.merge(graph, state, rest)(x, given, key)
        return jnp.sum(denoised.said), denoised

    told = about()
    run = jax.jit(
        jax.grad(lambda parts, state, key: call(Encoding(parts[0], told.mask, parts[1]), state, key), (0, 1), has_aux=True)
    )
    return (*run((told.tokens, told.pooled), state, KEY), x)


KEYS = jax.random.split(jax.random.key(7), ROWS)
FEW = Drawing(steps=2, guidance=2.0)


def test_the_same_key_draws_the_same_whatever_is_drawn_beside_it():
    draw, order = drawer(FEW), np.array([3, 0, 0, 1])
    first = draw(about(), KEYS)
    assert first.shape == (ROWS, 8, 8, 3) and (draw(about(), KEYS) == first).all()
    turned = draw(jax.tree.map(lambda a: a[order], about()), KEYS[order])
    assert np.abs(turned - first[order]).max() <= 1, "but for a rounding"
    other = draw(about(), KEYS[order])
    assert np.abs(other - first).max((1, 2, 3)).min() > 1, "another key draws another thing"


@pytest.mark.parametrize(("eta", "sketch"), [(0.0, False), (1.0, False), (0.0, True)])
def test_a_network_that_is_drawn_by_in_parts_draws_the_same(monkeypatch, eta, sketch):
    how = Drawing(steps=3, guidance=2.0, sampler="ddim", eta=eta)
    model = sketched() if sketch else built()
    whole = np.asarray(model.draw(about(), KEYS, how)).astype(int)
    monkeypatch.setattr(type(model.network), "at_once", 2)
    told = []
    parts = np.asarray(jax.jit(lambda told_of, keys: model.draw(told_of, keys, how, told.append))(about(), KEYS)).astype(int)
    jax.effects_barrier()
    assert np.abs(parts - whole).max() <= 1 and sorted(map(int, told)) == [0, 0, 1, 1, 2, 2]


def test_guidance_goes_from_nothing_through_what_is_told_and_beyond():
    """Of one step from pure noise the outcome is what the network says of it."""
    made, told = built(), about()
    noise = draw_noise(jax.vmap(jax.random.fold_in, (0, None))(KEYS, 0), made.shape)
    nothing = made.without(told, jnp.ones(ROWS, bool))
    assert not nothing.mask.any() and (nothing.pooled == made.nothing[...][None]).all()
    with_it, without = (np.asarray(made.network(noise, jnp.ones(ROWS), made.network.hear(x))) for x in (told, nothing))
    low, high = ((end - MIDDLE) * SCALE for end in (-1, 1))
    bounded = [np.clip(x, low, high) for x in (with_it, without)]
    assert np.abs(bounded[0] - bounded[1]).max() > 0.1
    for guidance in (0.0, 1.0, 3.0):
        expected = np.clip(bounded[1] + guidance * (bounded[0] - bounded[1]), low, high) / SCALE + MIDDLE
        drawn = drawer(Drawing(steps=1, guidance=guidance))(told, KEYS)
        assert np.abs(drawn - (expected + 1) * 127.5).max() < 0.51, guidance


def test_guidance_works_within_its_interval_and_as_far_as_contrasts_allow():
    told, how = about(), Drawing(steps=4, guidance=4.0)
    made = drawer(how)(told, KEYS).astype(int)
    plain = drawer(replace(how, guidance=1.0))(told, KEYS).astype(int)
    late = drawer(replace(how, interval=(0.6, 1.0)))(told, KEYS).astype(int)
    assert np.abs(late - plain).max() > 1 and np.abs(late - made).max() > 1
    last = replace(how, interval=(0.0, 0.2))  # of the times 1, 0.75, 0.5 and 0.25 none
    assert (drawer(last)(told, KEYS) == plain).all()
    calm = drawer(replace(how, rescale=1.0))(told, KEYS)
    assert np.abs(calm.astype(int) - made).max() > 1 and calm.std() < made.std()
    assert replace(last, guidance=1.0, rescale=0.5).compiled()[0] == Drawing(4, 1.0).compiled()[0], "one program without guidance"
    assert replace(last, interval=[0.0, 0.2]) == last and hash(last)


def test_temperature_is_the_deviation_of_the_noise_that_is_begun_with():
    made, told = built(), about()
    noise = 0.5 * draw_noise(jax.vmap(jax.random.fold_in, (0, None))(KEYS, 0), made.shape)
    said = np.asarray(made.network(noise, jnp.ones(ROWS), made.network.hear(told)))
    low, high = ((end - MIDDLE) * SCALE for end in (-1, 1))
    expected = np.clip(said, low, high) / SCALE + MIDDLE
    drawn = [drawer(Drawing(steps=1, guidance=1.0, temperature=t))(told, KEYS) for t in (0.5, 1.0)]
    assert np.abs(drawn[0] - (expected + 1) * 127.5).max() < 0.51 and np.abs(drawn[0] - drawn[1]).max() > 1
    cold = drawer(Drawing(steps=2, temperature=0.0))
    assert (cold(told, KEYS) == cold(told, KEYS[::-1])).all(), "without noise keys make no difference"


def test_a_denoiser_says_itself_how_it_is_drawn_unless_told_otherwise():
    told = about()
    made = Denoiser(**PICTURES, vector=6, tokens=5, drawn={"steps": 1, "guidance": 3.0}, rngs=nnx.Rngs(0))
    assert made.drawn == Drawing(1, 3.0)
    assert (np.asarray(made.draw(told, KEYS)) == np.asarray(made.draw(told, KEYS, Drawing(1, 3.0)))).all()
    assert built().drawn == Drawing()


def test_schedules_and_times_take_their_arguments():
    made = Denoiser(
        **PICTURES,
        vector=6,
        tokens=5,
        schedule={"schedule": "cosine", "offset": 0.1},
        times={"times": "logit_normal", "mean": 1.0},
        rngs=nnx.Rngs(0),
    )
    assert made.schedule == Cosine(0.1) and made.times == LogitNormal(1.0)
    assert built().schedule == Rectified() and built().times == Uniform()


def test_without_guidance_the_condition_has_no_effect():
    draw = drawer(Drawing(steps=1, guidance=0.0))
    assert (draw(about(1), KEYS) == draw(about(2), KEYS)).all()
    assert (drawer(FEW)(about(1), KEYS) != drawer(FEW)(about(2), KEYS)).any()


def test_a_row_that_is_learned_without_its_condition_sees_nothing_of_it():
    ((tokens, pooled), parameters), _, _ = trained("x0", 0.5)
    dropped = np.asarray(jax.random.uniform(jax.random.split(KEY, 3)[2], (ROWS,)) < 0.5)
    assert 0 < dropped.sum() < ROWS
    for gradient in (tokens, pooled):
        assert not gradient[dropped].any(), "exactly zero"
        assert np.abs(gradient[~dropped]).reshape((~dropped).sum(), -1).max(1).min() > 0
    assert np.abs(parameters["nothing"][...]).max() > 0, "what stands in its place is learned"


def test_it_is_asked_for_the_thing_or_the_noise_and_the_cleaner_the_more_it_counts():
    _, denoised, x = trained("x0", 0.5)
    made = built()
    t = np.asarray(made.times(jax.random.split(KEY, 3)[0], ROWS))
    np.testing.assert_allclose(denoised.wanted, (made.form.into(x) - MIDDLE) * SCALE, atol=1e-6)
    np.testing.assert_allclose(denoised.weight, 1 / np.maximum(t, 0.5) ** 2, rtol=1e-6)
    assert len(set(denoised.weight.tolist())) > 1 and denoised.sketch is None
    assert denoised.outputs("a").keys() == {"a/said", "a/wanted", "a/weight", "a/rows", "a/clean"}
    _, noisy, _ = trained("eps", 0.0)
    np.testing.assert_allclose(noisy.wanted, jax.random.normal(jax.random.split(KEY, 3)[1], noisy.wanted.shape), atol=1e-6)
    assert (noisy.weight == 1).all()


def sketched(apart: bool = False, **more) -> Denoiser:
    sketch = {"patch": [4, 4], "width": 8, "depth": 1, "heads": 2}
    network = PICTURES["network"] | {"looks": False, "apart": apart, "sketch": sketch}
    return Denoiser(**(PICTURES | {"network": network}), vector=6, tokens=5, **more, rngs=nnx.Rngs(0))


def test_the_sketch_learns_from_all_rows_and_the_rest_from_some_of_them():
    graph, state, rest = nnx.split(shaken(sketched(stride=3, unconditional=0.0)), nnx.Param, ...)
    x = jax.random.randint(jax.random.key(0), (ROWS, 16, 16, 3), 0, 256).astype(jnp.uint8)

    @jax.jit
    def slopes(told: Encoding):
        def value(pooled, loss):
            out = nnx.merge(graph, state, rest)(x, told._replace(pooled=pooled), KEY).outputs("a")
            return total({"it": (1.0, loss)}, out, {"a": x})[0], out

        return [jax.grad(value, has_aux=True)(told.pooled, loss) for loss in (Denoise("a"), Outline("a"))]

    (some, out), (every, _) = slopes(about())
    assert out["a/rows"].tolist() == [0, 3] and len(out["a/said"]) == len(out["a/weight"]) == 2 and len(out["a/sketch"]) == ROWS
    assert np.abs(some).max(1).astype(bool).tolist() == [True, False, False, True]
    assert np.abs(every).max(1).astype(bool).all()
    with pytest.raises(ValueError, match="no sketch that learns"):
        Denoiser(**PICTURES, vector=6, tokens=5, stride=2, rngs=nnx.Rngs(0))


def test_apart_the_condition_learns_from_the_sketch_alone_and_the_rest_from_noise():
    graph, state, rest = nnx.split(shaken(sketched(apart=True, unconditional=0.0)), nnx.Param, ...)
    x = jnp.zeros((ROWS, 16, 16, 3), jnp.uint8)

    @jax.jit
    def slopes(state, told: Encoding):
        def value(state, pooled, loss):
            out = nnx.merge(graph, state, rest)(x, told._replace(pooled=pooled), KEY).outputs("a")
            return total({"it": (1.0, loss)}, out, {"a": x})[0]

        return [jax.grad(value, (0, 1))(state, told.pooled, loss) for loss in (Denoise("a"), Outline("a"))]

    (noise, by_noise), (outline, by_outline) = slopes(state, about())
    size = lambda tree: max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(tree))  # noqa: E731
    assert not by_noise.any() and np.abs(by_outline).max() > 0
    assert size(noise["network"]["sketch"]) == 0 and size(outline["network"]["sketch"]) > 0
    for part in ("gist", "spread", "layers"):
        assert size(noise["network"][part]) > 0 and size(outline["network"][part]) == 0, part
    with pytest.raises(ValueError, match="apart=True: expected a sketch"):
        Denoiser(**(PICTURES | {"network": PICTURES["network"] | {"apart": True}}), vector=6, tokens=5, rngs=nnx.Rngs(0))


def test_a_network_that_has_learned_nothing_yet_says_its_sketch_and_of_noise_nothing():
    for says, share in (("x0", 1.0), ("v", 0.0)):
        made = sketched(says=says)
        made.network.sketch = shaken(made.network.sketch)
        said = made(jnp.zeros((ROWS, 16, 16, 3), jnp.uint8), about(), KEY)
        assert said.sketch is not None and np.abs(said.sketch).max() > 0.1
        np.testing.assert_allclose(said.said, share * said.sketch, atol=1e-6)


def test_it_learns_to_draw_what_it_is_told():
    """Of two vectors, one is told of white pictures and one of black ones."""
    graph, state, rest = nnx.split(Denoiser(**PICTURES, vector=2, tokens=2, rngs=nnx.Rngs(0)), nnx.Param, ...)
    which = jnp.arange(16) % 2
    told = Encoding(jnp.zeros((16, 1, 2)), jnp.zeros((16, 1), bool), jax.nn.one_hot(which, 2))
    x = jnp.broadcast_to((which * 255).astype(jnp.uint8)[:, None, None, None], (16, 16, 16, 3))
    rule = optax.adam(1e-2)

    @jax.jit
    def learn(state):
        def step(held, key):
            state, memory = held
            loss = lambda state: total(  # noqa: E731
                {"it": (1.0, Denoise("a"))}, nnx.merge(graph, state, rest)(x, told, key).outputs("a"), {"a": x}
            )[0]
            value, slopes = jax.value_and_grad(loss)(state)
            with jax.numpy_dtype_promotion("standard"):
                updates, memory = rule.update(slopes, memory)
            return (optax.apply_updates(state, updates), memory), value

        (state, _), values = jax.lax.scan(step, (state, rule.init(state)), jax.random.split(jax.random.key(0), 120))
        keys = jax.random.split(jax.random.key(1), 16)
        return values, nnx.merge(graph, state, rest).draw(told, keys, Drawing(steps=4, guidance=1.0))

    values, drawn = learn(state)
    assert values[-10:].mean() < 0.1 * values[:5].mean()
    light = np.asarray(drawn).astype(int).mean((1, 2, 3))
    assert light[1::2].min() > 200 and light[::2].max() < 55


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"steps": 0}, "steps=0"),
        ({"guidance": -0.5}, "guidance=-0.5"),
        ({"guidance": float("inf")}, "guidance=inf"),
        ({"temperature": 1.5}, "temperature=1.5"),
        ({"interval": (0.5, 0.2)}, r"interval=\(0.5, 0.2\)"),
        ({"rescale": 2.0}, "rescale=2.0"),
        ({"sampler": "oiler"}, "Did you mean 'euler'"),
    ],
)
def test_a_drawing_that_cannot_be_is_an_error(wrong, told):
    with pytest.raises((ValueError, UnknownName), match=told):
        Drawing(**wrong)


WRONG = [
    {"floor": 0.0},
    {"scale": 0.0},
    {"unconditional": 1.0},
    {"says": "x1"},
    {"schedule": {"schedule": "cosinus"}},
    {"times": {"times": "uniform", "men": 1}},
]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_denoiser_that_cannot_be_is_an_error(wrong: dict[str, Any]):
    with pytest.raises((ValueError, UnknownName)):
        Denoiser(**PICTURES, vector=6, tokens=5, rngs=nnx.Rngs(0), **wrong)
