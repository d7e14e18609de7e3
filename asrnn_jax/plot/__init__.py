"""Figures: arrays in, matplotlib Axes out. Needs matplotlib (the extra "experiments").

Each function takes what a function of `asrnn_jax.analysis` returns, draws it, and returns the Axes:

    plot.spectrum(sigma, bounds=(bounds.lower, bounds.upper))   of analysis.jacobian_spectrum, asrnn_bounds
    plot.temporal_spectrum(logs, ...)                           of analysis.temporal_spectrum
    plot.gradient_reach(...)                                    of analysis.gradient_norms
    plot.lyapunov(...)                                          of analysis.lyapunov_spectrum
    plot.saturation_map(...)                                    of analysis.saturation
    plot.stream(...)                                            a stream and what a model says to it
    plot.learning_curves(...)                                   one line a run
    plot.audit(found)                                           of audit.resets

The notebooks show them all.
"""

from asrnn_jax.plot.audit import audit
from asrnn_jax.plot.curves import gradient_reach, learning_curves, lyapunov
from asrnn_jax.plot.spectra import saturation_map, spectrum, spectrum_map, temporal_spectrum
from asrnn_jax.plot.streams import stream
from asrnn_jax.plot.style import COLOURS, STYLES

__all__ = ["gradient_reach", "learning_curves", "lyapunov"]
__all__ += ["saturation_map", "spectrum", "spectrum_map", "temporal_spectrum"]
__all__ += ["COLOURS", "STYLES", "audit", "stream"]
