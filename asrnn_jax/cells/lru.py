"""Linear recurrent units: LRU, and Griffin's real gated one."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from asrnn_jax.cell import Cell, factory
from asrnn_jax.cells import checks, diagonal
from asrnn_jax.cells.dense import affine
from asrnn_jax.dtypes import at_least_float32


@factory
def lru(
    inputs: int,
    hidden: int,
    *,
    outputs: int | None = None,
    r_min: float = 0.0,
    r_max: float = 1.0,
    max_phase: float = 2 * math.pi,
    dtype=jnp.float32,
) -> Cell:
    """Linear recurrent unit with complex diagonal recurrence; it also runs in parallel over time.

        h_t = lambda * h_{t-1} + exp(gamma_log) * (B x_t)        lambda = exp(-exp(nu_log) + i exp(theta_log))
        y_t = Re(C h_t) + D x_t

    The modulus of lambda is below 1 for any params. In the paper it is the middle of a `asrnn_jax.cells.residual`
    block.

    Args:
      inputs: I.
      hidden: H, complex numbers.
      outputs: O; None: H. With O = I, D is elementwise as in the paper, else a kernel.
      r_min, r_max: lambda starts uniform on the ring between these radii,
      max_phase: with angles in (0, max_phase). For long memories: r_min 0.9, max_phase pi / 10.
      dtype: of the params.

    Params: ``{"nu_log", "theta_log", "gamma_log": (H,), "B_re", "B_im": (I, H), "C_re", "C_im": (H, O), "D": (O,) or
    (I, O)}``; gamma starts at ``sqrt(1 - |lambda|^2)``. The carry is complex, in at least float32.

    Raises:
      ValueError: sizes below 1, radii that are no ring inside the unit circle, max_phase of 0 or less.

    Source: Orvieto et al. 2023, arXiv:2303.06349.
    """
    outputs = hidden if outputs is None else outputs
    if not 0 <= r_min < r_max <= 1:
        raise ValueError(f"r_min={r_min}, r_max={r_max}: give a ring inside the unit circle, 0 <= r_min < r_max <= 1.")
    checks.above("max_phase", max_phase, 0.0)

    def init(key):
        k_nu, k_theta, k_B, k_Bi, k_C, k_Ci, k_D = jax.random.split(key, 7)
        # radius^2 uniform: uniform on the ring. The least keeps the logarithms finite.
        radius2 = jax.random.uniform(k_nu, (hidden,), dtype, max(r_min**2, 1e-6), r_max**2 * (1 - 1e-6))
        phase = jax.random.uniform(k_theta, (hidden,), dtype, 1e-6, max_phase)

        def normal(key, rows, columns, variance):
            return jax.random.normal(key, (rows, columns), dtype) * math.sqrt(variance)

        return {
            "nu_log": jnp.log(-0.5 * jnp.log(radius2)),
            "theta_log": jnp.log(phase),
            "gamma_log": 0.5 * jnp.log1p(-radius2),
            "B_re": normal(k_B, inputs, hidden, 0.5 / inputs),
            "B_im": normal(k_Bi, inputs, hidden, 0.5 / inputs),
            "C_re": normal(k_C, hidden, outputs, 1 / hidden),
            "C_im": normal(k_Ci, hidden, outputs, 1 / hidden),
            "D": diagonal.feedthrough(k_D, inputs, outputs, dtype),
        }

    def prepare(params):
        # In a narrow type the decays of slow units would round to 1.
        wide = at_least_float32(params["nu_log"].dtype)
        nu, theta = (jnp.exp(params[name].astype(wide)) for name in ("nu_log", "theta_log"))
        gamma = jnp.exp(params["gamma_log"])[None]
        B = (params["B_re"] * gamma, params["B_im"] * gamma)
        return diagonal.Weights(exp_complex(-nu, theta), B, (params["C_re"], -params["C_im"]), params["D"])

    return diagonal.state_space("lru", inputs, hidden, outputs, init, prepare)


def exp_complex(re: jax.Array, im: jax.Array) -> jax.Array:
    """``exp(re + i im)``, in at least complex64."""
    wide = at_least_float32(re.dtype)
    return jnp.exp(jax.lax.complex(re.astype(wide), im.astype(wide)))


class Gates(NamedTuple):
    W_xh: jax.Array  # (I, H)
    b: jax.Array  # (H,)
    W_g: tuple[jax.Array, jax.Array]  # (H, H) of recurrence gate and input gate
    b_g: tuple[jax.Array, jax.Array]  # (H,)
    rate: jax.Array  # (H,): c softplus(Lambda)


@factory
def rg_lru(inputs: int, hidden: int, *, c: float = 8.0, dtype=jnp.float32) -> Cell:
    """Real-gated linear recurrent unit (Griffin) behind a linear layer; it also runs in parallel over time.

        u      = W_xh x_t + b
        r, i   = sigmoid(W_a u + b_a), sigmoid(W_i u + b_i)
        log a  = -c softplus(Lambda) * r
        h_t    = a * h_{t-1} + sqrt(1 - a^2) * (i * u)

    Args:
      inputs: I.
      hidden: H.
      c: how far the recurrence gate can speed up forgetting.
      dtype: of the params.

    Params: ``{"W_xh": (I, H), "b": (H,), "W_a", "W_i": (H, H), "b_a", "b_i": (H,), "Lambda": (H,)}``; kernels start
    LeCun normal, Lambda such that a at r = 1 is uniform in (0.9, 0.999).

    Raises:
      ValueError: sizes below 1, c not above 0.

    Source: De et al. 2024, arXiv:2402.19427, eq. 1 to 4, with Lambda's sign as in its appendix (log a = -c softplus r).
    """
    checks.above("c", c, 0.0)

    def init(key):
        k_x, k_a, k_i, k_L = jax.random.split(key, 4)
        kernel = jax.nn.initializers.lecun_normal()
        rate = -jnp.log(jax.random.uniform(k_L, (hidden,), dtype, 0.9, 0.999)) / c
        return {
            "W_xh": kernel(k_x, (inputs, hidden), dtype),
            "b": jnp.zeros(hidden, dtype),
            "W_a": kernel(k_a, (hidden, hidden), dtype),
            "b_a": jnp.zeros(hidden, dtype),
            "W_i": kernel(k_i, (hidden, hidden), dtype),
            "b_i": jnp.zeros(hidden, dtype),
            "Lambda": jnp.log(jnp.expm1(rate)),
        }

    def prepare(params):
        W_g, b_g = ((params[f"{kind}_a"], params[f"{kind}_i"]) for kind in "Wb")
        return Gates(params["W_xh"], params["b"], W_g, b_g, c * jax.nn.softplus(params["Lambda"]))

    def project(weights, xs):
        u = affine(xs, weights.W_xh, weights.b)
        r, i = (jax.nn.sigmoid(affine(u, W, b)) for W, b in zip(weights.W_g, weights.b_g))
        log_a = -r * jnp.broadcast_to(weights.rate, r.shape)
        # 1 - a^2 without cancellation, and above 0, where the root has no derivative
        room = jnp.maximum(-jnp.expm1(2 * log_a), jnp.finfo(log_a.dtype).tiny)
        return diagonal.Element(jnp.exp(log_a), jnp.sqrt(room) * i * u)

    return diagonal.gated_diagonal("rg_lru", inputs, hidden, init, prepare, project)
