"""Figures show the numbers they were given. What they look like, a person checks."""

import matplotlib

matplotlib.use("Agg")

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from asrnn_jax import analysis, cells, plot


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def drawn(ax):
    ax.figure.canvas.draw()
    return [np.asarray(line.get_ydata(), float) for line in ax.lines]


def test_spectrum_draws_the_median_and_the_bounds():
    values = np.random.default_rng(0).uniform(0.1, 2, (3, 20, 6))
    ax = plot.spectrum(values, bounds=(np.full((3, 20), 0.05), np.full((3, 20), 2.1)))
    median, low, high, one = drawn(ax)
    np.testing.assert_allclose(median, np.median(values, axis=(0, 2)))
    assert (low == 0.05).all()
    assert (high == 2.1).all()
    assert (one == 1).all()
    assert ax.get_yscale() == "log"
    assert "h_t" in ax.get_ylabel()
    assert "carry" in plot.spectrum(values[0], coordinates="carry").get_ylabel()
    assert plot.spectrum(np.zeros((4, 2))).get_yscale() == "linear"  # a singular value of 0 has no logarithm


def test_maps_show_every_unit_and_step():
    slope = np.random.default_rng(0).uniform(size=(12, 5))
    (mesh,) = plot.saturation_map(slope).collections
    assert mesh.get_array().shape == (5, 12)
    np.testing.assert_allclose(np.sort(mesh.get_array().mean(axis=1)), np.sort(slope.mean(axis=0)))
    (mesh,) = plot.spectrum_map(np.array([[10.0, 0.1], [1.0, 0.0]])).collections
    np.testing.assert_allclose(mesh.get_array(), [[1, 0], [-1, -1]])  # nothing is as blue as it gets
    assert mesh.norm.vmin == -mesh.norm.vmax


def test_reach_and_spans_in_logarithms():
    ax = plot.gradient_reach({"a": np.array([[0.0, 1e-4, 1e-2, 1.0], [0.0, 1e-2, 1e-2, 1.0]])})
    (line,) = drawn(ax)
    np.testing.assert_allclose(line, [np.nan, 1e-3, 1e-2, 1])
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [3, 2, 1, 0])
    ax = plot.temporal_spectrum([1, 10], {"a": np.array([[0.0, -1.0, -2.0], [0.0, -10.0, -1e30]])})
    np.testing.assert_allclose(drawn(ax)[1] * np.log(10), [-1, -5])


def test_lyapunov_takes_the_result_or_plain_numbers():
    cell = cells.orthogonal(1, 3, activation="linear")
    found = analysis.lyapunov_spectrum(cell, cell.init(jax.random.key(0)), jnp.ones((100, 1)))
    ax = plot.lyapunov({"linear": found, "numbers": [0.5, -1.0]})
    assert ax.get_legend_handles_labels()[1] == ["linear", "numbers"]
    np.testing.assert_allclose(drawn(ax)[0], found.exponents)


def test_stream_has_a_panel_for_what_it_is_given():
    xs, p = np.zeros((30, 4)), np.full((30, 3), 1 / 3)
    assert len(plot.stream(xs, p)) == 2
    everything = plot.stream(
        xs[:, :1], p, labels=np.full(30, -1), informative=np.ones(30), norm=np.ones(30), classes="abc"
    )
    assert len(everything) == 4
    assert [t.get_text() for t in everything[2].get_yticklabels()] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "call",
    [
        lambda: plot.spectrum(np.ones(3)),
        lambda: plot.spectrum(np.ones((3, 3)), coordinates="g"),
        lambda: plot.spectrum_map(np.ones((2, 3, 3))),
        lambda: plot.saturation_map(np.ones(3)),
        lambda: plot.temporal_spectrum([1], {"a": np.ones(3)}),
        lambda: plot.lyapunov({"a": np.ones((2, 3))}),
        lambda: plot.stream(np.ones((3, 1)), np.ones((4, 2))),
        lambda: plot.stream(np.ones(3), np.ones((3, 2))),
    ],
)
def test_arrays_of_other_shapes_are_named(call):
    with pytest.raises(ValueError, match=r"shape|steps"):
        call()
