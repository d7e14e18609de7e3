"""Makes modern.npz: what other packages' state spaces, matrix states, attention and LEM give, with gradients.

/path/to/python tests/references/make_modern.py        needs torch, transformers, xlstm, mambapy, torchrecurrent,
discretax. With --time it makes nothing, and compares the time of a training step with that of our cells instead.

Where a package has only the recurrence, the projections before it are written here. Of each kind there are the arrays
as the package has them, ``xs``, ``weight``, ``ys``, and the gradients ``d_*`` of sum(weight * ys) by all but `weight`.
"""

import sys
from importlib.metadata import version
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch
from discretax.sequence_mixers import LinOSSSequenceMixer, S4DSequenceMixer
from mambapy.mamba import MambaBlock, MambaConfig
from torch.nn import functional
from torchrecurrent import LEMCell
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb
from transformers.models.qwen3_next import modeling_qwen3_next as qwen3_next
from xlstm.blocks.mlstm.backends import parallel_stabilized_simple
from xlstm.blocks.slstm.src.vanilla.slstm import slstm_forward_pointwise

TIMED = sys.argv[1:] == ["--time"]
if TIMED:
    torch.set_num_threads(1)
else:
    jax.config.update("jax_enable_x64", True)
    torch.set_default_dtype(torch.float64)

B, T, INPUTS, H, HEADS, N, WINDOW = (32, 100, 64, 64, 1, 16, 32) if TIMED else (2, 11, 3, 8, 2, 4, 5)
D = H // HEADS
KEY = jax.random.key(0)


def split(a):
    """``(B, T, H)`` as ``(B, HEADS, T, D)``."""
    return a.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def merged(a):
    return a.transpose(1, 2).flatten(-2)


def lem(xs, **p):
    """torchrecurrent: its code puts c(t - 1) where its docstring and the paper have c(t), so it is called twice (but
    for its time)."""
    cell = LEMCell(INPUTS, H, dt=0.7, dtype=torch.get_default_dtype())
    h, c, ys = torch.zeros(B, H), torch.zeros(B, H), []
    for x in xs.unbind(1):
        h_early, c = torch.func.functional_call(cell, p, (x, (h, c)))
        h, _ = (h_early, c) if TIMED else torch.func.functional_call(cell, p, (x, (h, c)))
        ys.append(h)
    return torch.stack(ys, 1)


def slstm(xs, W, R, b):
    """xlstm's step, with one head."""
    states, ys = torch.zeros(4, B, H), []
    for x in xs.unbind(1):
        states, _ = slstm_forward_pointwise(x @ W, states[0] @ R, b, states, {})
        ys.append(states[0])
    return torch.stack(ys, 1)


def mlstm(xs, W, b, W_gates, b_gates):
    """xlstm's parallel form. Its eps, which the paper does not have, is 0 here; the cap is that of xLSTM 7B."""
    q, k, v, o = (xs @ W + b).chunk(4, -1)
    i, f = (a.transpose(1, 2)[..., None] for a in (xs @ W_gates + b_gates).chunk(2, -1))
    h = parallel_stabilized_simple(split(q), split(k), split(v), 2 * torch.tanh(i / 2), f, eps=0.0)
    return torch.sigmoid(o) * merged(h)


def gated_delta(xs, W, W_alpha, W_beta, A_log, dt_bias):
    """transformers' loop of Qwen3-Next, which computes in float32; its chunks where time counts."""
    q, k, v = (functional.silu(a).unflatten(-1, (HEADS, -1)) for a in (xs @ W).chunk(3, -1))
    g = -A_log.exp() * functional.softplus(xs @ W_alpha + dt_bias)
    beta = torch.sigmoid(xs @ W_beta)
    rule = qwen3_next.torch_chunk_gated_delta_rule if TIMED else qwen3_next.torch_recurrent_gated_delta_rule
    ys, _ = rule(q, k, v, g=g, beta=beta, use_qk_l2norm_in_kernel=True)
    return ys.flatten(-2)


def attention(xs, W, W_o):
    """torch's attention with a mask of the window's steps, and the rotation of transformers' Llama."""
    q, k, v = map(split, (xs @ W).chunk(3, -1))
    angles = torch.arange(T)[:, None] * 100.0 ** (-torch.arange(0, D, 2) / D)
    angles = torch.cat([angles, angles], -1)[None]
    q, k = apply_rotary_pos_emb(q, k, angles.cos(), angles.sin())
    age = torch.arange(T)[:, None] - torch.arange(T)
    return merged(functional.scaled_dot_product_attention(q, k, v, attn_mask=(age >= 0) & (age < WINDOW))) @ W_o


def s6(xs, W_in, b_in, x_proj, dt_proj, dt_bias, A_log, D):
    """mambapy's loop (its parallel scan where time counts), behind a linear layer; its block without convolution and
    gate."""
    block = MambaBlock(MambaConfig(d_model=H, n_layers=1, expand_factor=1, d_state=N))
    u = xs @ W_in + b_in
    step, B_t, C_t = (u @ x_proj).split([x_proj.shape[1] - 2 * N, N, N], -1)
    step = functional.softplus(step @ dt_proj + dt_bias)
    scan = block.selective_scan if TIMED else block.selective_scan_seq
    return scan(u, step, -A_log.exp(), B_t, C_t, D)


def short_conv(xs, W_in, kernel, bias):
    """torch's convolution, as Mamba's block calls it."""
    u = (xs @ W_in).transpose(1, 2)
    return functional.silu(functional.conv1d(u, kernel, bias, padding=3, groups=H)[..., :T]).transpose(1, 2)


def linoss(method):
    def run(xs, A, steps, B, C, D):
        """discretax, without damping; its complex B and C are real here, as in the paper."""
        mixer = LinOSSSequenceMixer(INPUTS, KEY, state_dim=H, discretization=method, damping=False)
        given = (A, B, C, D, steps)
        mixer = eqx.tree_at(lambda m: (m.A_diag, m.B, m.C, m.D, m.steps), mixer, given)
        return jax.vmap(lambda x: mixer(x, KEY))(xs)

    return run


def s4d(xs, W_in, b_in, C, log_dt, log_a_real, A_imag):
    """discretax, by a convolution, behind a linear layer; it has no D."""
    mixer = S4DSequenceMixer(H, KEY, state_dim=2 * N)
    given = (jax.lax.complex(C[..., 0], C[..., 1]), log_dt, log_a_real, A_imag)
    where = lambda m: (m.kernel.C, m.kernel.log_dt, m.kernel.log_a_real, m.kernel.A_imag)  # noqa: E731
    mixer = eqx.tree_at(where, mixer, given)
    return jax.vmap(lambda u: mixer(u, KEY))(xs @ W_in + b_in[None, None])


LEM = {"weight_ih": (4 * H, INPUTS), "weight_hh": (3 * H, H), "weight_ch": (H, H)}
LEM |= {"bias_ih": (4 * H,), "bias_hh": (3 * H,), "bias_ch": (H,)}
LINOSS = {"A": (H,), "steps": (H,), "B": (H, INPUTS, 2), "C": (INPUTS, H, 2), "D": (INPUTS,)}
KINDS = {
    "lem": (lem, LEM),
    "slstm": (slstm, {"W": (INPUTS, 4 * H), "R": (H, 4 * H), "b": (4 * H,)}),
    "mlstm": (mlstm, {"W": (INPUTS, 4 * H), "b": (4 * H,), "W_gates": (INPUTS, 2 * HEADS), "b_gates": (2 * HEADS,)}),
    "gated_delta": (
        gated_delta,
        {
            "W": (INPUTS, 3 * H),
            "W_alpha": (INPUTS, HEADS),
            "W_beta": (INPUTS, HEADS),
            "A_log": (HEADS,),
            "dt_bias": (HEADS,),
        },
    ),
    "attention": (attention, {"W": (INPUTS, 3 * H), "W_o": (H, H)}),
    "s6": (
        s6,
        {
            "W_in": (INPUTS, H),
            "b_in": (H,),
            "x_proj": (H, 2 + 2 * N),
            "dt_proj": (2, H),
            "dt_bias": (H,),
            "A_log": (H, N),
        }
        | {"D": (H,)},
    ),
    "short_conv": (short_conv, {"W_in": (INPUTS, H), "kernel": (H, 1, 4), "bias": (H,)}),
    "linoss-im": (linoss("IM"), LINOSS),
    "linoss-imex": (linoss("IMEX"), LINOSS),
    "s4d": (
        s4d,
        {"W_in": (INPUTS, H), "b_in": (H,), "C": (H, N, 2), "log_dt": (H,), "log_a_real": (H, N), "A_imag": (H, N)},
    ),
}


def arrays_of(kind: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    _, shapes = KINDS[kind]
    given = {name: 0.5 * rng.standard_normal(shape) for name, shape in {"xs": (B, T, INPUTS), **shapes}.items()}
    if kind.startswith("linoss"):
        given["A"] = np.abs(given["A"]) + 0.1
        given["B"][..., 1] = given["C"][..., 1] = 0.0
    return given


def reference(kind: str) -> dict[str, np.ndarray]:
    """Arrays, outputs and gradients by name."""
    f, _ = KINDS[kind]
    rng = np.random.default_rng(0)
    given = arrays_of(kind, rng)
    if f in (s4d,) or kind.startswith("linoss"):
        arrays = {name: jnp.asarray(a) for name, a in given.items()}
        ys, pullback = jax.vjp(lambda arrays: f(**arrays), arrays)
        weight = rng.standard_normal(ys.shape)
        (gradients,) = pullback(jnp.asarray(weight))
    else:
        arrays = {name: torch.tensor(a, requires_grad=True) for name, a in given.items()}
        ys = f(**arrays)
        weight = rng.standard_normal(tuple(ys.shape))
        (torch.tensor(weight) * ys).sum().backward()
        gradients, ys = {name: a.grad for name, a in arrays.items()}, ys.detach()
    found = given | {"weight": weight, "ys": ys} | {f"d_{name}": g for name, g in gradients.items()}
    return {f"{kind}.{name}": np.asarray(a) for name, a in found.items()}


def their_step(kind: str):
    """A call that computes outputs and gradients of a package, in float32."""
    f, _ = KINDS[kind]
    given = {name: a.astype(np.float32) for name, a in arrays_of(kind, np.random.default_rng(0)).items()}
    if f is s4d or kind.startswith("linoss"):
        arrays = {name: jnp.asarray(a) for name, a in given.items()}
        step = jax.jit(jax.grad(lambda arrays: (f(**arrays) ** 2).sum()))
        return lambda: jax.block_until_ready(step(arrays))
    tensors = {name: torch.tensor(a, requires_grad=True) for name, a in given.items()}
    return lambda: (f(**tensors) ** 2).sum().backward()


def our_step(kind: str):
    """The same of our cell."""
    import asrnn_jax

    name, *method = kind.split("-")
    options = {"s6": {"rank": 2}, "attention": {"window": WINDOW}, "linoss": {"method": "".join(method)}}
    cell = asrnn_jax.cells.make(name, INPUTS, H, **options.get(name, {}))
    params, xs = cell.init(KEY), jax.random.normal(KEY, (B, T, INPUTS))
    step = jax.jit(jax.grad(lambda params, xs: (asrnn_jax.run(cell, params, xs)[1] ** 2).sum(), (0, 1)))
    return lambda: jax.block_until_ready(step(params, xs))


def times() -> None:
    """Prints medians over 15 rounds, in milliseconds. Start it with one core, and OMP_NUM_THREADS=1."""
    from experiments.tools.timing import interleaved

    for kind in KINDS:
        seconds = interleaved({"ours": our_step(kind), "theirs": their_step(kind)}, 15)
        ours, theirs = (1000 * float(np.median(seconds[who])) for who in ("ours", "theirs"))
        print(f"{kind:12s} ours {ours:7.1f} ms   theirs {theirs:7.1f} ms   {ours / theirs:.2f}")


if __name__ == "__main__":
    if TIMED:
        sys.exit(times())
    path = Path(__file__).with_name("modern.npz")
    arrays = {}
    for kind in KINDS:
        arrays |= reference(kind)
    np.savez_compressed(path, **arrays)
    packages = ("torch", "transformers", "xlstm", "mambapy", "torchrecurrent", "discretax")
    print(f"{path.name}: {path.stat().st_size} bytes, {', '.join(f'{name} {version(name)}' for name in packages)}")
