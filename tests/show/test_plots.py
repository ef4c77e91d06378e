import numpy as np
import pytest

from sensorium.show.plots import plot_curves, plot_embedding, project


def test_a_projection_keeps_the_directions_of_most_variance():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(200, 2)) * (5, 2)
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0][:2]
    points, share = project(flat @ turn + 3.0)
    assert share.sum() == pytest.approx(1)
    assert share[0] > share[1]
    distances = [np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (points, flat)]
    np.testing.assert_allclose(*distances, atol=1e-9)
    np.testing.assert_allclose(points.mean(0), 0, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_a_map_needs_points(shape):
    with pytest.raises(ValueError, match="at least two points of two numbers"):
        project(np.zeros(shape))


def test_a_map_joins_the_points_of_an_item():
    points = {name: np.random.default_rng(i).normal(size=(5, 8)) for i, name in enumerate(("image", "text", "audio"))}
    ax = plot_embedding(points).axes[0]
    dots = {c.get_label(): np.asarray(c.get_offsets()) for c in ax.collections}
    assert list(dots) == ["image", "text", "audio"]
    assert len(ax.lines) == 5
    joined = np.asarray(ax.lines[3].get_xydata())
    np.testing.assert_allclose(joined, [dots["image"][3], dots["text"][3], dots["audio"][3], dots["image"][3]])
    assert not plot_embedding(points, pairs=False).axes[0].lines


def test_pairs_need_as_many_points_in_each_field():
    with pytest.raises(ValueError, match="as many rows"):
        plot_embedding({"image": np.eye(3), "text": np.eye(4)[:, :3]})


def test_curves_run_over_the_steps_that_have_them():
    history = [{"step": 0, "loss": 4.0}, {"step": 10, "loss": 2.0, "speed": 99.0}, {"step": 20, "loss": 1.0}]
    ax = plot_curves(history, ["loss", "speed"]).axes[0]
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), [[0, 4], [10, 2], [20, 1]])
    np.testing.assert_array_equal(ax.lines[1].get_xydata(), [[10, 99]])
    legend = ax.get_legend()
    assert legend and [t.get_text() for t in legend.get_texts()] == ["loss, last 1", "speed, last 99"]
    with pytest.raises(ValueError, match="holds no 'los'"):
        plot_curves(history, ["los"])
