import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox
from matplotlib.patches import Rectangle
from PIL import Image

from sensorium import show
from sensorium.show.heat import overlaid, panels, plot_attention, plot_similarity
from sensorium.show.plots import axes


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


def test_the_short_names_are_the_same_functions():
    assert show.similarity is plot_similarity and show.attention is plot_attention


def test_long_labels_are_wrapped_and_none_is_cut_off_by_the_figure():
    long = "a photograph of a rather small cat which plays with a great deal of paint on an old wooden floor in the sun"
    names = [long, "rock statue", "", "x" * 80, "jellyfish"]
    for ax in (None, *panels(1, 2)):
        figure = plot_similarity(np.zeros((5, 5)), names, names, ax=ax, title="five", pairs=True)
        figure.draw_without_rendering()
        width, height = figure.bbox.size
        for part in figure.axes if ax is None else [ax]:
            box = part.get_tightbbox()
            assert box is not None and box.x0 >= -2 and box.y0 >= -2 and box.x1 <= width + 2 and box.y1 <= height + 2
    rows = [t.get_text() for t in plot_similarity(np.zeros((5, 5)), names, names).axes[0].get_yticklabels()]
    assert (
        rows[0] == "a photograph of a rather\nsmall cat which plays with\na great deal of paint on …" and rows[1:3] == names[1:3]
    )


def test_a_label_may_be_a_picture():
    red = Image.new("RGB", (40, 20), "red")
    ax = plot_similarity(np.eye(2), [red, np.zeros((4, 4, 3), np.uint8)], ["a", red]).axes[0]
    boxes = [artist for artist in ax.get_children() if isinstance(artist, AnnotationBbox)]
    assert sorted(box.xy for box in boxes) == [(0, 0), (0, 1), (1, 0)]
    assert [t.get_text() for t in ax.get_yticklabels()] == ["", ""] and ax.get_xticklabels()[0].get_text() == "a"


def test_pairs_are_framed_and_counted_both_ways():
    matrix = np.array([[0.9, 0.1, 0.0], [0.2, 0.1, 0.8]])
    ax = plot_similarity(matrix, ["a", "b"], ["c", "d", "e"], title="two", pairs=True).axes[0]
    frames = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [frame.get_center().tolist() for frame in frames] == [pytest.approx([0, 0]), pytest.approx([1, 1])]
    assert ax.get_title(loc="left") == "two\nright: 1 of 2 →, 1 of 2 ↓"


def test_maps_share_their_colours_where_limits_are_given():
    places = panels(1, 2)
    for place, matrix in zip(places, (np.eye(2), np.eye(2) / 2), strict=True):
        figure = plot_similarity(matrix, ["a", "b"], ["c", "d"], ax=place, limits=(-1, 1))
    assert {place.images[0].get_clim() for place in places} == {(-1, 1)} and places[0].get_figure() is figure
    with pytest.raises(ValueError, match="nothing to show"):
        plot_similarity(np.zeros((0, 2)), [], ["a", "b"])


def test_a_picture_is_light_where_its_map_is_high():
    picture = Image.new("RGB", (36, 28), (40, 90, 200))
    values = np.zeros((3, 4), np.float32)  # patches of 9: of the 28 rows, one is left over
    values[1, 3] = 0.02
    x = overlaid(picture, values)
    assert x.shape == (7 * 28, 7 * 36, 3) and x.min() >= 0 and x.max() <= 1
    bright = np.argwhere(x.sum(-1) > 0.9 * x.sum(-1).max())
    assert (bright.min(0) >= (63, 189)).all() and (bright.max(0) < (126, 252)).all()  # row 1, column 3
    assert np.ptp(x[:, :63], axis=(0, 1)).max() < 0.02 and np.ptp(x[0, 0]) == pytest.approx(0, abs=0.03), "grey elsewhere"
    assert np.isfinite(overlaid(picture, np.zeros((3, 4), np.float32))).all()


def test_each_map_has_its_place_and_its_title():
    pictures = [Image.new("RGB", (8, 8), name) for name in ("red", "blue", "green")] * 2
    maps = np.random.default_rng(0).uniform(size=(6, 2, 2)).astype(np.float32)
    figure = plot_attention(pictures, maps, list("abcdef"))
    assert [ax.get_title() for ax in figure.axes] == [*"abcdef", "", "", "", ""]
    for ax, picture, one in zip(figure.axes, pictures, maps, strict=False):
        np.testing.assert_array_equal(ax.images[0].get_array(), overlaid(picture, one))
    assert len(plot_attention(pictures[0], maps[0]).axes) == 1
    with pytest.raises(ValueError, match="6 maps with 5 pictures"):
        plot_attention(pictures[:5], maps)
    with pytest.raises(ValueError, match="leave out ax"):
        plot_attention(pictures, maps, ax=axes(2, 2))
