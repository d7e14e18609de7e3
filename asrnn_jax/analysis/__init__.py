"""Looking inside a cell: Jacobian spectra, how far gradients reach, Lyapunov exponents, saturation.

Every function takes a cell, its params (or prepared weights) and inputs ``(*B, T, I)``, works under `jax.jit`, and
knows nothing of a particular cell but the contract `asrnn_jax.Cell`, `asrnn_bounds` and `asrnn_saturation` aside.
Where a state has several parts or complex numbers, it is taken as D real numbers: see `coordinate_names`.
"""

from asrnn_jax.analysis.bounds import AsrnnSaturation, Bounds, asrnn_bounds, asrnn_saturation
from asrnn_jax.analysis.dynamics import coordinate_names
from asrnn_jax.analysis.jacobian import (
    TopSingularValues,
    gradient_norms,
    jacobian_spectrum,
    step_jacobian,
    temporal_jacobian,
    temporal_spectrum,
    top_singular_values,
)
from asrnn_jax.analysis.lyapunov import Lyapunov, lyapunov_spectrum
from asrnn_jax.analysis.matrices import non_normality, numerical_range, orthogonality_error, spectral_radius
from asrnn_jax.analysis.saturation import Drift, Saturation, Settling, norm_drift, saturated_share, saturation, settling

__all__ = [
    "AsrnnSaturation",
    "Bounds",
    "Drift",
    "Lyapunov",
    "Saturation",
    "Settling",
    "TopSingularValues",
    "asrnn_bounds",
    "asrnn_saturation",
    "coordinate_names",
    "gradient_norms",
    "jacobian_spectrum",
    "lyapunov_spectrum",
    "non_normality",
    "norm_drift",
    "numerical_range",
    "orthogonality_error",
    "saturated_share",
    "saturation",
    "settling",
    "spectral_radius",
    "step_jacobian",
    "temporal_jacobian",
    "temporal_spectrum",
    "top_singular_values",
]
