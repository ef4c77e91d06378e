"""Distillation by hand and by loops: a teacher that stays as it is, and rows that lie to one another as it says."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sensorium.losses import Distill, mean

STUDENT = {"x/unit": jnp.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])}
TEACHER = jnp.array([[5.0, 0.0], [0.0, 2.0], [0.0, -3.0]])


def test_a_feature_by_hand():
    loss, batch = Distill("x"), {"x/teacher": TEACHER}
    np.testing.assert_allclose(loss(STUDENT, batch).values, [0.0, 0.2, 2.0], atol=1e-6)
    by_call = Distill("x", teacher=lambda batch: {"x/unit": batch["x"] @ jnp.eye(2)})
    np.testing.assert_allclose(by_call(STUDENT, {"x": TEACHER}).values, [0.0, 0.2, 2.0], atol=1e-6)
    gradient = jax.grad(lambda t: mean(loss(STUDENT, {"x/teacher": t})))(TEACHER)
    assert not gradient.any(), "the teacher is frozen"


def kl(p: list[float], q: list[float], hot: float, hot_q: float) -> float:
    p, q = ([math.exp(x / t) for x in row] for row, t in ((p, hot), (q, hot_q)))
    return sum(x / sum(p) * math.log((x / sum(p)) / (y / sum(q))) for x, y in zip(p, q, strict=True))


def test_relations_by_hand():
    """Row 0: the student has cosines 0.6 and 0 with the two others, the teacher 0 and 0; and so on."""
    batch = {"x/teacher": TEACHER}
    values = Distill("x", "relational", temperature=0.5, teacher_temperature=2.0)(STUDENT, batch).values
    rows = ([0.0, 0.0], [0.6, 0.0]), ([0.0, -1.0], [0.6, 0.8]), ([0.0, -1.0], [0.0, 0.8])
    np.testing.assert_allclose(values, [kl(*row, 2.0, 0.5) for row in rows], rtol=1e-5)
    turned = STUDENT["x/unit"] @ jnp.array([[0.0, 1.0], [-1.0, 0.0]])
    same = Distill("x", "relational")(STUDENT, {"x/teacher": jnp.concatenate([turned, jnp.zeros((3, 4))], axis=1)}).values
    np.testing.assert_allclose(same, [0, 0, 0], atol=1e-5)  # the same relations in another frame and width


def test_relations_to_another_field_and_in_strips():
    random = np.random.default_rng(0)
    rows = 1100
    x = {name: jnp.asarray(random.normal(size=(rows, 4)).astype(np.float32)) for name in ("a", "b", "ta", "tb")}
    outputs = {"a/unit": x["a"], "b/unit": x["b"]}
    batch = {"a/teacher": x["ta"], "b/teacher": x["tb"], "b/teacher/here": jnp.asarray(random.random(rows) < 0.9)}
    np_unit = {name: np.asarray(v, np.float64) / np.linalg.norm(v, axis=1, keepdims=True) for name, v in x.items()}
    here = np.flatnonzero(batch["b/teacher/here"])
    row = int(here[3])
    p, q = ([float(np_unit[a][row] @ np_unit[b][j]) for j in here] for a, b in (("ta", "tb"), ("a", "b")))

    def run(tiled):
        loss = Distill("a", "relational", "b", 0.2, tiled=tiled)
        return jax.jit(jax.value_and_grad(lambda o: (lambda v: (jnp.sum(v), v))(loss(o, batch).values), has_aux=True))(outputs)

    ((_, values), gradient), ((_, dense), gradients) = run(True), run(False)
    assert values[row] == pytest.approx(kl(p, q, 0.2, 0.2), rel=1e-4)
    np.testing.assert_allclose(values, dense, rtol=1e-4, atol=1e-6)
    for name, want in gradients.items():
        np.testing.assert_allclose(gradient[name], want, atol=1e-5 * float(jnp.abs(want).max()))


WRONG = {
    "a form": (lambda: Distill("x", "relation"), "form='relation'"),
    "among": (lambda: Distill("x", among="y"), 'belongs to form="relational"'),
    "cold": (lambda: Distill("x", "relational", teacher_temperature=0.0), "above 0"),
    "no teacher": (lambda: Distill("x")(STUDENT, {"x": TEACHER}), "no 'x/teacher' in the batch"),
    "widths": (lambda: Distill("x")(STUDENT, {"x/teacher": jnp.ones((3, 4))}), "2 numbers in the student and 4 in the teacher"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_told(case):
    call, message = WRONG[case]
    with pytest.raises(ValueError, match=message):
        call()
