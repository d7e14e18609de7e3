"""Figures: arrays in, matplotlib Axes out. Needs matplotlib (the extra "experiments")."""

from asrnn_jax.plot.curves import gradient_reach, learning_curves, lyapunov
from asrnn_jax.plot.spectra import saturation_map, spectrum, spectrum_map, temporal_spectrum
from asrnn_jax.plot.streams import stream
from asrnn_jax.plot.style import COLOURS, STYLES

__all__ = [
    "COLOURS",
    "STYLES",
    "gradient_reach",
    "learning_curves",
    "lyapunov",
    "saturation_map",
    "spectrum",
    "spectrum_map",
    "stream",
    "temporal_spectrum",
]
