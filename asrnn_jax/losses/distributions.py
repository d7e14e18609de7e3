"""Predicted distributions of numbers: Gaussian and Student t, from the outputs of a network and from data.

Each is a NamedTuple of arrays that broadcast to ``(..., K)``, K targets that are independent given the outputs, and a
pytree: it goes through `jax.jit` and comes out of scans. Location and scale are in the units of the targets. Its
methods ask for leaves of one dtype and rank, which `spread` and `whole` make.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, ndtri
from jax.typing import ArrayLike

from asrnn_jax.dtypes import at_least_float32, promoted
from asrnn_jax.losses import student
from asrnn_jax.losses.arguments import expand, fits
from asrnn_jax.losses.student import FAR

WIDEST = 40.0  # log of a ratio of scales: beyond, its square leaves float32
LEAST_RAW = -80.0  # e^80 is the last that float32 holds comfortably


class Gaussian(NamedTuple):
    """Independent Gaussian distributions of K targets."""

    location: Any
    """The mean, ``(..., K)``."""
    log_scale: Any
    """log of the standard deviation, ``(..., K)``."""

    def log_density(self, values: jax.Array) -> jax.Array:
        z = _deviates(self, values)
        return -self.log_scale - 0.5 * z * z - 0.5 * math.log(2 * math.pi)

    def log_two_tails(self, values: jax.Array) -> jax.Array:
        """log of the probability to be at least as far from the location as this."""
        return math.log(2) + log_ndtr(-jnp.abs(_deviates(self, values)))

    def quantile(self, q: float) -> jax.Array:
        return self.location + jnp.exp(self.log_scale) * ndtri(jnp.asarray(q, jnp.result_type(self.location)))

    def divergence(self, other: Gaussian) -> jax.Array:
        """KL(self || other), exactly 0 if they are equal.

        ``log(s_o / s) + ((s / s_o)^2 - 1) / 2 + ((mu - mu_o) / s_o)^2 / 2``
        """
        wider = jnp.minimum(self.log_scale - other.log_scale, WIDEST)
        z = _deviates(other, self.location)
        return 0.5 * jnp.expm1(2 * wider) - wider + 0.5 * z * z


class StudentT(NamedTuple):
    """Independent Student t distributions of K targets: as Gaussian ones, with heavier tails."""

    location: Any
    """The median and mean, ``(..., K)``."""
    log_scale: Any
    """``(..., K)``; the standard deviation is the scale times ``sqrt(degrees / (degrees - 2))``."""
    degrees: Any
    """Degrees of freedom, above 1: few mean heavy tails, 1e9 is Gaussian."""

    def log_density(self, values: jax.Array) -> jax.Array:
        return student.log_density(_deviates(self, values), self.degrees) - self.log_scale

    def log_two_tails(self, values: jax.Array) -> jax.Array:
        """log of the probability to be at least as far from the location as this."""
        return student.log_two_tails(_deviates(self, values), self.degrees)

    def quantile(self, q: float) -> jax.Array:
        return self.location + jnp.exp(self.log_scale) * student.quantile(q, self.degrees)

    def divergence(self, other: StudentT) -> jax.Array:
        """KL(self || other) by quadrature, there being no closed form; exactly 0 if they are equal.

        65 nodes, placed for `self`. As long as `other` is at least half as wide the error is below 1e-5 of it, at a
        tenth of the width about 1e-3, and a few percent where it is narrower than the distance of two nodes.
        """
        own, others = self.degrees, other.degrees
        wider = self.log_scale - other.log_scale
        t, w = student.nodes(own)
        t = t.reshape((1,) * own.ndim + t.shape)
        away = _deviates(other, self.location)
        t_other = away[..., None] + jnp.exp(jnp.minimum(wider, WIDEST))[..., None] * t
        shapes = student.log_shape(t, own[..., None]) - student.log_shape(t_other, others[..., None])
        return (w * shapes).sum(-1) + student.log_constant(own) - student.log_constant(others) - wider


def gaussian(outputs: ArrayLike, marginal: Gaussian | None = None, *, floor: float = 1e-3) -> Gaussian:
    """The Gaussian distributions that a network's outputs mean, relative to the marginal one.

        location = mu + sigma a        scale = sigma (floor + (1 - floor) e^b)        outputs = [a, b]

    Outputs of 0 are exactly the marginal, "don't know", as equal logits are for classes.

    Args:
      outputs: ``(..., 2 K)``: K locations, then K logarithms of scales.
      marginal: ``mu, log sigma``, see `asrnn_jax.losses.marginal`; None is the standard one, for standardised targets.
      floor: the least scale, as a share of the marginal's.

    Raises:
      ValueError: outputs that are not floating-point ``(..., 2 K)``, a floor outside (0, 1).
    """
    marginal = Gaussian(0.0, 0.0) if marginal is None else marginal
    (a, b), around = _parts(outputs, 2, marginal)
    return Gaussian(around.location + jnp.exp(around.log_scale) * a, around.log_scale + _log_width(b, floor))


def student_t(outputs: ArrayLike, marginal: StudentT | None = None, *, floor: float = 1e-3) -> StudentT:
    """The Student t distributions that a network's outputs mean, relative to the marginal one, as `gaussian`.

    Args:
      outputs: ``(..., 2 K)``, with the marginal's degrees of freedom everywhere; or ``(..., 3 K)`` for
        `marginal` with K targets, where the last K are learned: ``degrees = 1 + (marginal's - 1) e^c``.
      marginal: its leaves say K; None is the standard one with 5 degrees, and outputs ``(..., 2 K)``.
      floor: as for `gaussian`.

    Raises:
      ValueError: as `gaussian`; a marginal with degrees of 1 or less.
    """
    learned = marginal is not None and jnp.shape(outputs)[-1:] == (3 * _targets(marginal),)
    marginal = StudentT(0.0, 0.0, 5.0) if marginal is None else marginal
    parts, around = _parts(outputs, 3 if learned else 2, marginal)
    degrees = around.degrees
    if learned:
        degrees = degrees + (degrees - 1) * jnp.expm1(jnp.clip(parts[2], LEAST_RAW, WIDEST / 2))
    location = around.location + jnp.exp(around.log_scale) * parts[0]
    return StudentT(location, around.log_scale + _log_width(parts[1], floor), degrees)


def predict(outputs: ArrayLike, marginal: Gaussian | StudentT | None = None) -> Gaussian | StudentT:
    """What a network's outputs mean, by the family of the marginal: `student_t` for a Student t, else `gaussian`.

    Raises:
      ValueError: as those.
    """
    return student_t(outputs, marginal) if isinstance(marginal, StudentT) else gaussian(outputs, marginal)


def marginal(
    targets: ArrayLike, informative: ArrayLike | None = None, *, degrees: float | None = math.inf
) -> Gaussian | StudentT:
    """The distribution of the targets whatever the inputs are, from training data: what "don't know" means for numbers.

    Args:
      targets: ``(..., K)``; what is not finite is left out.
      informative: ``(...)``; steps of 0 are left out. None: all count.
      degrees: infinity for the Gaussian of the same mean and standard deviation; a number for the Student t of maximum
        likelihood with so many degrees of freedom; None to choose them too, from 1.5 to 200.

    Returns:
      Leaves ``(K,)``, float32.

    Raises:
      ValueError: shapes that do not fit, a target that is constant or has fewer than 2 values, degrees of 1 or less.

    Example:
      >>> import numpy as np
      >>> from asrnn_jax import losses
      >>> around = losses.marginal(np.array([[1.0], [3.0], [np.nan]]))
      >>> float(around.location[0]), round(float(np.exp(around.log_scale[0])), 3)
      (2.0, 1.0)
    """
    values = np.asarray(targets, float)
    if values.ndim < 2:
        raise ValueError(f"targets has shape {values.shape}: pass (..., K), K is 1 for one target.")
    if degrees is not None and not degrees > 1:
        raise ValueError(f"degrees={degrees}: give a number above 1, infinity for a Gaussian, None to choose it.")
    counted = np.isfinite(values)
    if informative is not None:
        counted &= np.asarray(fits("informative", informative, values.shape[:-1]))[..., None] > 0
    rows = []
    for k in range(values.shape[-1]):
        own = values[..., k][counted[..., k]]
        if len(own) < 2 or own.std() == 0:
            raise ValueError(f"targets: target {k} has {len(own)} values that count, all equal: leave it out.")
        rows.append((own.mean(), math.log(own.std())) if degrees == math.inf else _most_likely(own, degrees))
    leaves = [jnp.asarray(column, jnp.float32) for column in zip(*rows)]
    return Gaussian(*leaves) if degrees == math.inf else StudentT(*leaves)


def spread(distribution: Any, shape: tuple[int, ...], dtype: Any, name: str, *, thin: bool = False) -> Any:
    """The distribution with all leaves of this shape and dtype; `thin`: with axes of length 1 where they do not change.

    Raises:
      TypeError: it is none.
      ValueError: shapes that do not fit.
    """
    if not isinstance(distribution, Gaussian | StudentT):
        raise TypeError(f"{name} is {type(distribution).__name__}: pass losses.Gaussian or losses.StudentT.")
    leaves = {name: jnp.asarray(leaf, dtype) for name, leaf in distribution._asdict().items()}
    full = [fits(f"{name}.{field}", leaf, shape, "target") for field, leaf in leaves.items()]
    return type(distribution)(*((expand(leaf, len(shape)) for leaf in leaves.values()) if thin else full))


def whole(distribution: Any, name: str = "predicted") -> Any:
    """The same, of the shape and type that its leaves have together."""
    leaves = jax.tree.leaves(distribution)
    shape = jnp.broadcast_shapes(*map(jnp.shape, leaves))
    return spread(distribution, shape, at_least_float32(promoted(*leaves)), name)


def _targets(distribution: Any) -> int:
    return (1, *jnp.broadcast_shapes(*map(jnp.shape, distribution)))[-1]


def _parts(outputs: ArrayLike, number: int, around: Any) -> tuple[list[jax.Array], Any]:
    """Outputs as so many parts ``(..., K)``, with the marginal of that shape."""
    outputs = jnp.asarray(outputs)
    size = outputs.shape[-1] if outputs.ndim else 0
    if not jnp.issubdtype(outputs.dtype, jnp.floating) or size < number or size % number:
        raise ValueError(
            f"outputs has dtype {outputs.dtype}, shape {outputs.shape}: pass floating-point (..., {number} K)."
        )
    outputs = outputs.astype(at_least_float32(outputs.dtype))
    parts = jnp.split(outputs, number, axis=-1)
    return parts, spread(around, parts[0].shape, outputs.dtype, "marginal")


def _log_width(b: jax.Array, floor: float) -> jax.Array:
    """``log(floor + (1 - floor) e^b)``, exactly 0 at 0."""
    if not 0 < floor < 1:
        raise ValueError(f"floor={floor}: give a share of the marginal's scale, in (0, 1).")
    b = jnp.maximum(b, LEAST_RAW)
    return b + jnp.log1p(floor * jnp.expm1(-b))


def _deviates(around: Gaussian | StudentT, values: jax.Array) -> jax.Array:
    """``(values - location) / scale``, up to where its square leaves float32."""
    return jnp.clip((values - around.location) * jnp.exp(-around.log_scale), -FAR, FAR)


def _most_likely(values: np.ndarray, degrees: float | None) -> tuple[float, float, float]:
    """Location, log scale and degrees of maximum likelihood: expectation maximisation, degrees from a grid."""
    grid = np.geomspace(1.5, 200, 50) if degrees is None else [degrees]
    fits_, location, scale = [], np.median(values), values.std()
    for nu in grid:
        for _ in range(200):
            before = location, scale
            weights = (nu + 1) / (nu + ((values - location) / scale) ** 2)
            location = float((weights * values).sum() / weights.sum())
            scale = max(float(np.sqrt((weights * (values - location) ** 2).mean())), 1e-12 * float(values.std()))
            if np.allclose(before, (location, scale), rtol=1e-8, atol=1e-10 * scale):
                break
        constant = math.lgamma((nu + 1) / 2) - math.lgamma(nu / 2) - 0.5 * math.log(math.pi * nu) - math.log(scale)
        likelihood = constant - (nu + 1) / 2 * np.log1p(((values - location) / scale) ** 2 / nu).mean()
        fits_.append((likelihood, location, math.log(scale), float(nu)))
    return max(fits_)[1:]
