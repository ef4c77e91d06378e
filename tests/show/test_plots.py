import numpy as np
import pytest
from matplotlib.figure import Figure

from sensorium.show.plots import axes, plot_curves, plot_embedding, plot_similarity, project


def test_the_rows_of_a_similarity_map_run_down_and_its_columns_right():
    matrix = np.array([[0.1, 0.2, 0.9], [0.4, 0.5, -0.6]])
    figure = plot_similarity(matrix, ["row a", "row b"], ["col a", "col b", "col c"], title="cosines")
    assert isinstance(figure, Figure)
    ax = figure.axes[0]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["row a", "row b"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["col a", "col b", "col c"]
    assert ax.get_ylim() == (1.5, -0.5)  # the first row is on top
    np.testing.assert_array_equal(ax.images[0].get_array(), matrix)
    at = {text.get_position(): text.get_text() for text in ax.texts}
    assert at[(2, 0)] == ".90" and at[(0, 1)] == ".40" and at[(2, 1)] == "-.60"  # (x, y) = (column, row)
    assert ax.get_title(loc="left") == "cosines"


def test_the_values_of_a_large_map_are_not_written():
    assert not plot_similarity(np.zeros((13, 13)), ["r"] * 13, ["c"] * 13).axes[0].texts


def test_labels_have_to_fit_the_matrix():
    with pytest.raises(ValueError, match=r"\(2, 3\) with 3 row and 2 column labels"):
        plot_similarity(np.zeros((2, 3)), ["a", "b", "c"], ["a", "b"])


def test_a_value_can_be_read_on_its_colour():
    ax = plot_similarity(np.array([[0.0, 1.0]]), ["r"], ["a", "b"]).axes[0]
    assert [text.get_color() for text in ax.texts] == ["#ffffff", "#000000"]


def test_figures_can_be_drawn_into_axes_that_are_given():
    ax = axes(3, 2)
    figure = plot_similarity(np.eye(2), ["a", "b"], ["a", "b"], ax=ax)
    assert figure.axes[0] is ax and tuple(figure.get_size_inches()) == (3, 2)


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
