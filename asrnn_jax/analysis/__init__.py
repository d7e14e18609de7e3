"""Looking inside a cell: Jacobian spectra, how far gradients reach, Lyapunov exponents, saturation.

Every function takes a cell, its params (or prepared weights) and inputs ``(*B, T, I)``, and works under `jax.jit`.
None knows a particular cell, except `asrnn_bounds` and `asrnn_saturation`.

    >>> import jax, jax.numpy as jnp, asrnn_jax
    >>> from asrnn_jax import analysis
    >>> cell = asrnn_jax.cells.asrnn(inputs=1, hidden=6)  # or any other cell
    >>> params = cell.init(jax.random.key(0))
    >>> xs = jax.random.normal(jax.random.key(1), (2, 12, 1))

**One step.** The singular values of ``dh_t / dh_{t-1}``: 1 passes a gradient on unchanged, near 0 forgets. For asRNN
the equation gives bounds:

    >>> sigma = analysis.jacobian_spectrum(cell, params, xs)
    >>> sigma.shape
    (2, 12, 6)
    >>> bounds = analysis.asrnn_bounds(cell, params, xs, spectrum=sigma)
    >>> bool((sigma.max(-1) <= bounds.upper * 1.001).all())
    True

**Many steps.** The singular values of ``dh_t / dh_0``, as logarithms, because they leave the range of floating point:

    >>> logs = analysis.temporal_spectrum(cell, params, xs[0], 0, [1, 6, 12])
    >>> logs.shape
    (3, 6)

**A loss.** How strongly it depends on the state at each step, ``|dL / dh_t|``:

    >>> reach = analysis.gradient_norms(cell, params, xs, lambda ys: ys[-1].sum())

**In the long run.** Lyapunov exponents: how fast nearby states part, on average. Positive ones mean chaos:

    >>> exponents = analysis.lyapunov_spectrum(cell, params, xs[0], k=2).exponents

**Saturation.** How far the nonlinearities saturate, how far gates are open, how often units spike:

    >>> saturated = analysis.saturation(cell, params, xs)["tanh"].by_unit()

Draw all of it with `asrnn_jax.plot`, for example ``plot.spectrum(sigma, bounds=(bounds.lower, bounds.upper))``. The
notebooks show what comes out. In training, ``--probe spectrum saturation gradient norm stability`` of ``python -m
experiments`` records the inside of the network every ``--probe-every`` steps. What these functions measure,
`asrnn_jax.losses.lyapunov_penalty` and `jacobian_penalty` hold where it should be.

**Coordinates.** What is shown is the state h of the paper, never what the loop keeps. A state with several parts, or
of complex numbers, is taken as D real numbers: see `coordinate_names`.
"""

from asrnn_jax.analysis.bounds import AsrnnSaturation, Bounds, asrnn_bounds, asrnn_saturation
from asrnn_jax.analysis.dynamics import coordinate_names
from asrnn_jax.analysis.gradients import gradient_norms
from asrnn_jax.analysis.jacobian import jacobian_spectrum, step_jacobian
from asrnn_jax.analysis.lyapunov import Lyapunov, lyapunov_spectrum
from asrnn_jax.analysis.matrices import non_normality, numerical_range, orthogonality_error, spectral_radius
from asrnn_jax.analysis.saturation import Drift, Saturation, Settling, norm_drift, saturated_share, saturation, settling
from asrnn_jax.analysis.temporal import TopSingularValues, temporal_jacobian, temporal_spectrum, top_singular_values

__all__ = ["jacobian_spectrum", "step_jacobian"]
__all__ += ["TopSingularValues", "temporal_jacobian", "temporal_spectrum", "top_singular_values"]
__all__ += ["Lyapunov", "gradient_norms", "lyapunov_spectrum"]
__all__ += ["Drift", "Saturation", "Settling", "norm_drift", "saturated_share", "saturation", "settling"]
__all__ += ["AsrnnSaturation", "Bounds", "asrnn_bounds", "asrnn_saturation"]
__all__ += ["coordinate_names", "non_normality", "numerical_range", "orthogonality_error", "spectral_radius"]
