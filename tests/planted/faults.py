"""The faults: a sign, an off-by-one, a missing `where`, a swapped axis, a wrong type, a lost reset."""

from typing import NamedTuple


class Fault(NamedTuple):
    file: str
    """In asrnn_jax."""
    right: str
    """Occurs once in the file."""
    wrong: str
    tests: str
    """Where it should be noticed: these run first."""


LAWS = "tests/test_laws.py"
PILOT = "tests/pilot asrnn_jax/pilot"
FAULTS = [
    Fault("__init__.py", "if name in _LATER:", "if name not in _LATER:", "tests/test_docs.py asrnn_jax"),
    Fault("analysis/bounds.py", "slopes.min(axis=-1) / kappa", "slopes.min(axis=-1) * kappa", "tests/analysis"),
    Fault("analysis/dynamics.py", "jnp.concatenate([flat(carry)[None], states])", "states", "tests/analysis"),
    Fault("analysis/gradients.py", "[cts, own[-1:]]", "[own[-1:], cts]", "tests/analysis"),
    Fault("analysis/jacobian.py", "every - 1 :: every", "::every", "tests/analysis"),
    Fault("analysis/lyapunov.py", "rates = logs / every", "rates = logs", "tests/analysis"),
    Fault("analysis/matrices.py", "(turned + turned.conj().T) / 2", "(turned + turned.T) / 2", "tests/analysis"),
    Fault("analysis/products.py", "gap = 1 - rho**2", "gap = 1 - rho", "tests/analysis"),
    Fault("analysis/saturation.py", "slope < threshold)", "value < threshold)", "tests/analysis"),
    Fault("analysis/temporal.py", "(states[s:t], xs[s:t])", "(states[s:t], xs[s + 1 : t + 1])", "tests/analysis"),
    Fault("__main__.py", "if arguments[0] not in COMMANDS:", "if arguments[0] in COMMANDS:", "tests/audit"),
    Fault(
        "audit/audited.py",
        "gain = interval(signed(own), signed(base[name]), seed=seed)",
        "gain = interval(signed(own), seed=seed)",
        "tests/audit",
    ),
    Fault("audit/callables.py", "np.where(resets[:, t, None], np.zeros_like(tail), tail)", "tail", "tests/audit"),
    Fault("audit/command.py", "if rate != sounds.rate:", "if rate == sounds.rate:", "tests/audit"),
    Fault("audit/found.py", "not np.isfinite(value) else value", "np.isfinite(value) else value", "tests/audit"),
    Fault("audit/measures.py", "self.part.sum(0) / np.maximum(whole, 1)", "self.part.mean(0)", "tests/audit"),
    Fault("audit/models.py", "carry=state, reset=resets", "carry=state", "tests/audit"),
    Fault("audit/onnx_files.py", "zip((y, *pairs.values())", "zip((*pairs.values(), y)", "tests/audit"),
    Fault("audit/pasts.py", "if worse.value >= loss", "if worse.value < loss", "tests/audit"),
    Fault("audit/recordings.py", "table.stream.codes == code", "table.stream.codes >= code", "tests/audit"),
    Fault("audit/sources.py", "found.stop - 1] = True, True", "found.stop - 2] = True, True", "tests/audit"),
    Fault("audit/states.py", "np.roll(np.arange(batch), 1)", "np.arange(batch)", "tests/audit"),
    Fault("audit/verdict.py", "row.gain.value <= -margin", "row.gain.value >= margin", "tests/audit"),
    Fault("audit/walk.py", "since[:, None] + 1 + times", "since[:, None] + times", "tests/audit"),
    Fault(
        "cell/arguments.py",
        "if xs.shape[-1] != cell.inputs:",
        "if xs.shape[0] != cell.inputs:",
        "tests/test_wrong_calls.py",
    ),
    Fault("cell/contract.py", "if self.training.start is None:", "if True:", LAWS),
    Fault("cell/factory.py", "p.astype(dtype), params)", "p, params)", "tests/test_cell.py"),
    Fault("cells/__init__.py", "if name not in CELLS:", "if not name:", "tests/cells tests/test_wrong_calls.py"),
    Fault("cells/asrnn.py", "M = W_f @ W @ W_f_inv", "M = W_f_inv @ W @ W_f", LAWS),
    Fault("cells/checks.py", "or value <= least:", "or value < least:", "tests/cells"),
    Fault(
        "cells/compose.py", "[ys_forward, ys_backward]", "[ys_backward, ys_forward]", "tests/cells tests/test_laws.py"
    ),
    Fault("cells/composite.py", "if reverse:", "if not reverse:", LAWS),
    Fault("cells/dense.py", "dtype if kind is None else complex_of(dtype)", "dtype", LAWS),
    Fault("cells/diagonal.py", "hs.imag.astype(C_im.dtype) @ C_im", "hs.real.astype(C_im.dtype) @ C_im", LAWS),
    Fault("cells/differential.py", "dt * gamma * d_velocity", "gamma * d_velocity", LAWS),
    Fault("cells/feedback.py", "ct * (n - prev) * i * (1 - i)", "ct * (prev - n) * i * (1 - i)", LAWS),
    Fault("cells/gru.py", "d_r = d_n * a_n * r * (1 - r)", "d_r = d_n * a_n * r", LAWS),
    Fault("cells/lru.py", "-jnp.expm1(2 * log_a)", "-jnp.expm1(log_a)", LAWS),
    Fault(
        "cells/lstm.py",
        "return Carry(jnp.zeros_like(prev.h), d_c * f), d, d",
        "return Carry(jnp.zeros_like(prev.h), d_c), d, d",
        LAWS,
    ),
    Fault("cells/minimal.py", "total = 2 * one + e_f + e_i", "total = one + e_f + e_i", LAWS),
    Fault(
        "cells/nonnormal.py", ".set(sin).at[even, even + 1].set(-sin)", ".set(sin).at[even, even + 1].set(sin)", LAWS
    ),
    Fault(
        "cells/orthogonal.py",
        "mix=lambda weights, h: h @ weights.W_hh,",
        "mix=lambda weights, h: h @ weights.W_hh.T,",
        LAWS,
    ),
    Fault(
        "cells/s5.py", 'jnp.minimum(wide["Lambda_re"], -1e-4)', 'wide["Lambda_re"]', "tests/cells tests/test_laws.py"
    ),
    Fault("cells/spiking.py", "rho * carry.a + (1 - rho) * s", "rho * carry.a + rho * s", LAWS),
    Fault("cells/surrogate.py", "jnp.maximum(0, 1 - jnp.abs(k * v))", "jnp.maximum(0, 1 - k * v)", "tests/cells"),
    Fault("cells/unitary.py", "[-W.imag, W.real]", "[W.imag, W.real]", LAWS),
    Fault("cells/vanilla.py", "delta = ct * (1 - h * h)", "delta = ct * (1 - h)", LAWS),
    Fault(
        "cells/wrappers.py",
        "jnp.broadcast_to(c.astype(k.dtype), (*batch_shape, *c.shape))",
        "jnp.broadcast_to(jnp.zeros_like(c, k.dtype), (*batch_shape, *c.shape))",
        LAWS,
    ),
    Fault(
        "checks.py", "first = jnp.argmin(good.ravel())", "first = jnp.argmax(good.ravel())", "tests/test_wrong_calls.py"
    ),
    Fault("dtypes.py", "return promoted(dtype, jnp.float32)", "return jnp.dtype(dtype)", "tests/test_cell.py"),
    Fault("estimators/arrow.py", "np.where(missing, np.nan, seconds)", "seconds", "tests/estimators"),
    Fault("estimators/arrow_text.py", "commas and found", "found", "tests/estimators/test_tables.py"),
    Fault("estimators/base.py", "self.rate_ / 3", "self.rate_ * 3", "tests/estimators/test_classifier.py"),
    Fault(
        "estimators/class_answers.py",
        "np.arange(steps) + 1.0",
        "np.ones(steps)",
        "tests/estimators/test_classifier.py",
    ),
    Fault(
        "estimators/classifier.py",
        "logits[place[one.name]] = class_answers.whole(ys)",
        "logits[0] = class_answers.whole(ys)",
        "tests/estimators/test_classifier.py",
    ),
    Fault(
        "estimators/endless.py",
        "length = len(one.xs)\n",
        "length = len(one.xs) - 1\n",
        "tests/estimators/test_training.py",
    ),
    Fault(
        "estimators/fitting.py",
        "elif i - best_step >= plan.patience * plan.every:",
        "elif i - best_step > plan.patience * plan.every:",
        "tests/estimators/test_training.py",
    ),
    Fault(
        "estimators/forecaster.py",
        "return mean, mean - half, mean + half",
        "return mean, mean - half / 4, mean + half / 4",
        "tests/estimators/test_forecaster.py",
    ),
    Fault(
        "estimators/live_session.py",
        "np.where(valid[..., None], xs, np.float32(np.nan))  #",
        "xs  #",
        "tests/estimators/test_classifier.py",
    ),
    Fault(
        "estimators/number_answers.py",
        "[..., :steps, :] for old, new in zip(before, made)]",
        "[..., -steps:, :] for old, new in zip(before, made)]",
        "tests/estimators/test_forecaster.py",
    ),
    Fault("estimators/outputs.py", "found[i] = whole[row,", "found[row] = whole[row,", "tests/estimators"),
    Fault("estimators/parameters.py", "setattr(self, name, value)", "pass", "tests/estimators/test_classifier.py"),
    Fault(
        "estimators/rows.py",
        "found[one.rows[there]] = own[there]",
        "found[: there.sum()] = own[there]",
        "tests/estimators",
    ),
    Fault("estimators/splits.py", "if all(left[c] > 1", "if all(left[c] > 0", "tests/estimators/test_training.py"),
    Fault("estimators/stored.py", "arrays.items()} != wanted:", "arrays.items()} == wanted:", "tests/estimators"),
    Fault(
        "estimators/training.py",
        "carry=state.carry, mask=window.valid",
        "carry=state.carry",
        "tests/estimators/test_training.py",
    ),
    Fault(
        "estimators/channels.py",
        "(high - low) / NORMAL",
        "(high - low) * NORMAL",
        "tests/estimators/test_preparation.py",
    ),
    Fault("estimators/columns.py", "table[codes], tuple(distinct)", "codes, tuple(distinct)", "tests/estimators"),
    Fault(
        "estimators/csv_blocks.py", "rows += block.num_rows", "rows = block.num_rows", "tests/estimators/test_files.py"
    ),
    Fault(
        "estimators/delimited.py",
        "and not any(field.strip() for field in row[width:])",
        "",
        "tests/estimators/test_files.py",
    ),
    Fault("estimators/dialect.py", "commas > points", "commas < points", "tests/estimators/test_files.py"),
    Fault("estimators/encodings.py", "if len(run) > 1)", "if len(run) > 0)", "tests/estimators/test_files.py"),
    Fault("estimators/files.py", 'table["stream"] + first', 'table["stream"]', "tests/estimators/test_files.py"),
    Fault("estimators/findings.py", "count == 1 else", "count != 1 else", "tests/estimators"),
    Fault(
        "estimators/labels.py",
        "begins = (here >= 0) &",
        "begins = (here >= 0) |",
        "tests/estimators/test_preparation.py",
    ),
    Fault(
        "estimators/live.py", "fine = times > before", "fine = times >= before", "tests/estimators/test_preparation.py"
    ),
    Fault(
        "estimators/order.py",
        "np.delete(rows, again)",
        "np.delete(rows, again + 1)",
        "tests/estimators/test_preparation.py",
    ),
    Fault(
        "estimators/preparation.py",
        "found.missing or found.infinite]",
        "found.missing]",
        "tests/estimators/test_preparation.py",
    ),
    Fault(
        "estimators/series.py",
        "state, found = steps.advance(",
        "_, found = steps.advance(",
        "tests/estimators/test_preparation.py",
    ),
    Fault("estimators/steps.py", "owner, owner - 1)", "owner, owner)", "tests/estimators/test_preparation.py"),
    Fault(
        "estimators/tables.py",
        "np.repeat(made.codes, lengths)",
        "np.tile(made.codes, max(lengths))",
        "tests/estimators/test_tables.py",
    ),
    Fault("estimators/times.py", '- _offset(found.get("zone"))', '+ _offset(found.get("zone"))', "tests/estimators"),
    Fault(
        "estimators/ts_files.py",
        "np.stack(columns, axis=1)",
        "np.stack(columns[::-1], axis=1)",
        "tests/estimators/test_files.py",
    ),
    Fault("evaluate.py", "(jnp.arange(steps)", "(jnp.arange(1, steps + 1)", "tests/test_run.py tests/test_laws.py"),
    Fault("export.py", "f, s) for f, s in zip", "s, f) for f, s in zip", "tests/test_export.py"),
    Fault("features.py", "np.hanning(size)", "np.hamming(size)", "tests/test_features.py"),
    Fault("interop/flax.py", 'tree["if_"] = tree.pop("if")', "pass", "tests/test_interop.py"),
    Fault("interop/ours.py", 'params["W_hh"].shape[0]', 'params["W_xh"].shape[0]', "tests/test_interop.py"),
    Fault("interop/torch.py", "b_ih[2 * hidden :]]", "both[2 * hidden :]]", "tests/test_interop.py"),
    Fault(
        "flags.py", "(last_bad >= latest(reset))", "(last_bad > latest(reset))", "tests/test_laws.py tests/test_run.py"
    ),
    Fault("linen.py", "options = {**made, **given}", "options = {**given, **made}", "tests/test_linen.py"),
    Fault("loop/blocks.py", "(rest if reverse else main)(init)", "(main if reverse else rest)(init)", LAWS),
    Fault(
        "loop/forward.py", "return where(bad, lax.stop_gradient(ys),", "return where(~bad, lax.stop_gradient(ys),", LAWS
    ),
    Fault("loop/linear.py", "decays = zeros_where(reset, decays)", "pass", LAWS),
    Fault("loop/masks.py", "return new if mask is None else where(mask, new, old)", "return new", LAWS),
    Fault("loop/gradient.py", "d_prev = where(afresh, zeros(d_prev), d_prev)", "pass", LAWS),
    Fault("losses/arguments.py", "np.asarray(values)[~np.asarray(good)][0]", "np.asarray(values)[0]", "tests/losses"),
    Fault(
        "losses/distributions.py",
        "0.5 * jnp.expm1(2 * wider) - wider",
        "0.5 * jnp.expm1(wider) - wider",
        "tests/losses",
    ),
    Fault(
        "losses/predicted.py",
        "high = predicted.quantile((1 + level) / 2)",
        "high = predicted.quantile(level)",
        "tests/losses",
    ),
    Fault("losses/regression.py", "weight * (1 - m) * unknown", "weight * unknown", "tests/losses"),
    Fault("losses/student.py", "y**2 * (1 / 192", "y**2 * (1 / 96", "tests/losses"),
    Fault(
        "losses/dual.py",
        "push = rate * jnp.clip((target - jnp.asarray(entropy))",
        "push = rate * jnp.clip((jnp.asarray(entropy) - target)",
        "tests/losses",
    ),
    Fault("losses/informative.py", "(jnp.asarray(labels) >= 0)", "(jnp.asarray(labels) > 0)", "tests/losses"),
    Fault(
        "losses/objective.py",
        "jnp.where(m < 1, weight * (1 - m) * _kl",
        "jnp.where(m < 1, weight * _kl",
        "tests/losses",
    ),
    Fault("made.py", "self.made_by == other.made_by", "self.made_by[0] == other.made_by[0]", "tests/test_cell.py"),
    Fault(
        "nnx.py",
        "super().__init__(cell, rngs, params, partition)\n        self.dtype = dtype",
        "super().__init__(cell, rngs, params, partition)\n        self.dtype = None",
        "tests/test_nnx.py",
    ),
    Fault("optim.py", 'if kind == "base":', 'if kind == "bases":', "tests/test_boxes.py tests/test_cell.py"),
    Fault(
        "orthogonal/__init__.py",
        "signs[: round(rho * n)] = -1",
        "signs[: round(rho * n)] = 1",
        "tests/test_orthogonal.py",
    ),
    Fault("orthogonal/inits.py", "Q.at[:, 0].multiply(jnp.sign(jnp.linalg.det(Q)))", "Q", "tests/test_orthogonal.py"),
    Fault("orthogonal/maps.py", "return upper - upper.T", "return upper + upper.T", "tests/test_orthogonal.py"),
    Fault(
        "real_only.py", "a.real * b.imag + a.imag * b.real", "a.real * b.imag - a.imag * b.real", "tests/test_export.py"
    ),
    Fault("parallel.py", "lax.pmean(tree, AXIS)", "tree", "tests/test_parallel.py"),
    Fault(
        "placement.py",
        "batch = jax.typeof(xs).sharding.spec[1:-1]",
        "batch = jax.typeof(xs).sharding.spec[0:-2]",
        "tests/test_modes.py",
    ),
    Fault("__main__.py", "if arguments[0] not in COMMANDS:", "if arguments[0] in COMMANDS:", PILOT),
    Fault("pilot/__init__.py", "verbose=verbose)", "verbose=verbose) and {}", PILOT),
    Fault("pilot/baselines.py", "np.where(answers == classes, -1, answers)", "answers", PILOT),
    Fault("pilot/checklist.py", "share >= target - NEAR", "share >= target + NEAR", PILOT),
    Fault("pilot/classification.py", "return found & ~inside", "return found", PILOT),
    Fault("pilot/classified.py", "named) == found.label", "named) != found.label", PILOT),
    Fault("pilot/command.py", 'print(f"error: {text}", file=sys.stderr)', 'print(f"error: {text}")', PILOT),
    Fault("pilot/contributions.py", "drop = known[-1] - known[:-1]", "drop = known[:-1] - known[-1]", PILOT),
    Fault("pilot/disturbed.py", "deviations * spread[name][1]", "deviations * spread[name][0]", PILOT),
    Fault("pilot/figures.py", '"Date": None', '"Date": "1970"', PILOT),
    Fault("pilot/folder.py", "if config[name] != before.get(name)", "if config[name] == before.get(name)", PILOT),
    Fault("pilot/forecasted.py", "np.diff(one.times) > JUMP * step", "np.diff(one.times) < JUMP * step", PILOT),
    Fault("pilot/forecasting.py", "mean - half, mean + half)", "mean, mean)", PILOT),
    Fault("pilot/joined.py", "(labels >= 0) & (changes | starts)", "(labels >= 0) & changes", PILOT),
    Fault("pilot/naive.py", "targets[horizon:]", "targets[:-horizon]", PILOT),
    Fault("pilot/networks.py", "if file.exists() and said.exists():", "if False:", PILOT),
    Fault("pilot/numbers.py", "100 * v:.1f} %", "v:.1f} %", PILOT),
    Fault("pilot/page.py", "autoescape=True", "autoescape=False", PILOT),
    Fault("pilot/reading.py", "if not table.rows:", "if table.rows is None:", PILOT),
    Fault("pilot/rolling.py", "moments - middle * sums", "moments", PILOT),
    Fault("pilot/script.py", 'options.stream or "stream"', '"stream"', PILOT),
    Fault("pilot/splits.py", "+ 10 * lost", "", PILOT),
    Fault("pilot/stability.py", "-1 - REACH // 2", "REACH // 2 - 1", PILOT),
    Fault("pilot/watched.py", "min(usual, TIGHTER * seen)", "usual", PILOT),
    Fault(
        "pilot/whole.py",
        'shutil.copyfile(out / "networks" / f"{best}.safetensors", out / folder.NAMES["model"])',
        "pass",
        PILOT,
    ),
    Fault("plot/audit.py", "by_gain[-1:], *by_gain[:1]", "by_gain[:1]", "tests/audit"),
    Fault("plot/streams.py", "return axes[:, 0]", "return axes[::-1, 0]", "tests/test_plot.py"),
    Fault("plot/style.py", "if values.ndim not in ranks:", "if values.ndim in ranks:", "tests/test_plot.py"),
    Fault("plot/curves.py", "log[-1] if relative else 0", "log[0] if relative else 0", "tests/test_plot.py"),
    Fault(
        "plot/spectra.py", "[0, 0.25, 0.5, 0.75, 1], axis=1", "[0, 0.25, 0.5, 0.75, 1], axis=0", "tests/test_plot.py"
    ),
    Fault(
        "pretrained/__init__.py",
        'if wrong := _differs(like, arrays):\n        raise ValueError(f"{path} does',
        'if wrong := "":\n        raise ValueError(f"{path} does',
        "tests/test_pretrained.py",
    ),
    Fault(
        "hashes.py", "for name, array in sorted(arrays.items()):", "for name, array in ():", "tests/test_pretrained.py"
    ),
    Fault("narrowed.py", '"int8" else to) - 1) - 1', '"int8" else to) - 1)', "tests/test_export.py"),
    Fault("names.py", 'separator="."', 'separator="/"', "tests/test_boxes.py tests/test_pretrained.py"),
    Fault(
        "pairs.py",
        "[array.real, array.imag], axis=-1)\n\n\ndef from_side",
        "[array.imag, array.real], axis=-1)\n\n\ndef from_side",
        LAWS,
    ),
    Fault("run.py", "start = where_reset(reset, fresh, carry)", "start = carry", LAWS),
    Fault("saved.py", "whole = stored == hashes.of_file(found, about)", "whole = True", "tests/test_pretrained.py"),
    Fault("streaming/gaps.py", "< 0.1", "< 0.9", "tests/streaming"),
    Fault(
        "streaming/monitors.py",
        "keep * before + (1 - keep) * new",
        "(1 - keep) * before + keep * new",
        "tests/streaming",
    ),
    Fault("streaming/policies.py", "high & (count == patience - 1)", "high & (count == patience)", "tests/streaming"),
    Fault("streaming/advance.py", "begins=begins & ~here", "begins=begins", "tests/streaming"),
    Fault(
        "streaming/calibration.py", "np.ceil(top * bins).astype(int) - 1", "(top * bins).astype(int)", "tests/streaming"
    ),
    Fault(
        "streaming/events.py",
        "answer >= 0) & gap & (since >= grace)",
        "answer >= 0) & gap & (since > grace)",
        "tests/streaming",
    ),
    Fault(
        "streaming/scores.py",
        "index = rng.integers(size, size=size)",
        "index = rng.permutation(size)",
        "tests/streaming",
    ),
    Fault("streaming/chunks.py", "[..., 1:, :]", "[..., :-1, :]", "tests/streaming"),
    Fault("streaming/options.py", "if fallback is not None and", "if fallback is None and", "tests/streaming"),
    Fault("streaming/stored.py", "atol=_near(answers, dtype)", "atol=np.inf", "tests/streaming"),
    Fault("streaming/session.py", "self.steps += steps", "self.steps += 1", "tests/streaming"),
    Fault(
        "streaming/streams.py",
        "labels[at + max(low, gap) : at + high]",
        "labels[at + low : at + high]",
        "tests/streaming",
    ),
    Fault(
        "tasks.py",
        "randint(k_second, (batch,), half, length)",
        "randint(k_second, (batch,), 0, half)",
        "tests/test_tasks.py",
    ),
]
