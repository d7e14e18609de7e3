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


def equation(*rows: str) -> str:
    """The law that holds these rows of tests/naive to their equation."""
    return " ".join(f"{LAWS}::test_run_equals_the_naive_loop_of_the_equation[{row}]" for row in rows)


FAULTS = [
    Fault("__init__.py", "if name in _LATER:", "if name not in _LATER:", "asrnn_jax/__init__.py"),
    Fault(
        "__main__.py", "if arguments[0] not in COMMANDS:", "if arguments[0] in COMMANDS:", "tests/pilot asrnn_jax/pilot"
    ),
    Fault(
        "analysis/bounds.py",
        "slopes.min(axis=-1) / kappa",
        "slopes.min(axis=-1) * kappa",
        "tests/analysis/test_jacobian.py::test_every_singular_value_of_asrnn_is_inside_its_bounds",
    ),
    Fault(
        "analysis/dynamics.py",
        "jnp.concatenate([flat(carry)[None], states])",
        "states",
        "tests/analysis/test_jacobian.py::test_temporal_jacobian_is_the_product_of_the_steps",
    ),
    Fault(
        "analysis/gradients.py",
        "[cts, own[-1:]]",
        "[own[-1:], cts]",
        "tests/analysis/test_jacobian.py::test_gradient_norms_are_those_of_moved_states",
    ),
    Fault(
        "analysis/jacobian.py",
        "every - 1 :: every",
        "::every",
        "tests/analysis/test_jacobian.py::test_chunks_and_jit_change_nothing",
    ),
    Fault(
        "analysis/lyapunov.py",
        "xs[skipped:].reshape(-1, every",
        "xs[:-skipped].reshape(-1, every",
        "tests/analysis/test_lyapunov.py",
    ),
    Fault(
        "analysis/matrices.py",
        "(turned + turned.conj().T) / 2",
        "(turned + turned.T) / 2",
        "tests/analysis/test_saturation.py::test_matrix_properties_have_their_known_values",
    ),
    Fault(
        "analysis/products.py",
        "u_p - rho**2 * tau * u_q",
        "u_p + rho**2 * tau * u_q",
        "tests/analysis/test_jacobian.py::test_graded_products_equal_dense_ones",
    ),
    Fault(
        "analysis/saturation.py",
        "slope < threshold)",
        "value < threshold)",
        "tests/analysis/test_saturation.py::test_lstm_gates_are_those_of_the_equation",
    ),
    Fault(
        "analysis/temporal.py",
        "(states[s:t], xs[s:t])",
        "(states[s:t], xs[s + 1 : t + 1])",
        "tests/analysis/test_jacobian.py::test_temporal_jacobian_is_the_product_of_the_steps",
    ),
    Fault(
        "audit/audited.py",
        "pair = own.signed(better), base[name].signed(better)",
        "pair = (own.signed(better),)",
        "tests/audit/test_numbers.py::test_scores_by_place_and_time_are_those_by_hand",
    ),
    Fault(
        "audit/callables.py",
        "np.where(resets[:, t, None], np.zeros_like(tail), tail)",
        "tail",
        "tests/audit/test_files.py::test_the_context_is_the_end_of_the_x_before_and_gone_after_a_reset",
    ),
    Fault(
        "audit/command.py",
        "if rate != sounds.rate:",
        "if rate == sounds.rate:",
        "tests/audit/test_files.py::test_the_command_on_a_network_of_the_package",
    ),
    Fault(
        "audit/results.py",
        "not np.isfinite(value) else value",
        "np.isfinite(value) else value",
        "tests/audit/test_results.py",
    ),
    Fault(
        "audit/measures.py",
        "self.part.sum(0) / np.maximum(whole, 1)",
        "self.part.mean(0)",
        "tests/audit/test_numbers.py::test_scores_by_place_and_time_are_those_by_hand",
    ),
    Fault(
        "audit/models.py",
        "carry=state, reset=resets",
        "carry=state",
        "tests/audit/test_numbers.py::test_a_function_gives_what_its_cell_gives",
    ),
    Fault(
        "audit/onnx_files.py",
        "zip((y, *pairs.values())",
        "zip((*pairs.values(), y)",
        "tests/audit/test_files.py::test_a_file_gives_what_its_equation_gives",
    ),
    Fault(
        "audit/collapse.py",
        "if worse.value >= loss",
        "if worse.value < loss",
        "tests/audit/test_verdict.py::test_a_planted_collapse_is_found_at_its_step",
    ),
    Fault(
        "audit/recordings.py",
        "table.stream.codes == code",
        "table.stream.codes >= code",
        "tests/audit/test_files.py::test_a_table_is_its_streams_in_order_of_time",
    ),
    Fault(
        "audit/sources.py",
        "found.stop - 1] = True, True",
        "found.stop - 2] = True, True",
        "tests/audit/test_numbers.py::test_arrays_end_where_their_label_changes",
    ),
    Fault(
        "audit/states.py",
        "np.roll(np.arange(batch), 1)",
        "np.arange(batch)",
        "tests/audit/test_numbers.py::test_remembrance_is_the_distance_of_runs_with_other_pasts",
    ),
    Fault(
        "audit/verdict.py",
        "row.gain.value <= -margin",
        "row.gain.value >= margin",
        "tests/audit/test_verdict.py::test_a_model_that_has_to_warm_up_is_harmed",
    ),
    Fault(
        "audit/walk.py",
        "since[:, None] + 1 + times",
        "since[:, None] + times",
        "tests/audit/test_numbers.py::test_scores_by_place_and_time_are_those_by_hand",
    ),
    Fault(
        "cell/arguments.py",
        "if xs.shape[-1] != cell.inputs:",
        "if xs.shape[0] != cell.inputs:",
        "tests/test_wrong_calls.py::test_the_message_names_what_is_wrong",
    ),
    Fault(
        "cell/contract.py",
        "if self.training.start is None:",
        "if True:",
        "tests/cells/test_compose.py::test_a_trained_start_is_where_sequences_begin_and_begin_again",
    ),
    Fault(
        "cell/factory.py",
        "p.astype(dtype), params)",
        "p, params)",
        "tests/test_cell.py::test_initial_values_are_finite_and_train_in_every_dtype",
    ),
    Fault(
        "cells/__init__.py",
        "if name not in CELLS:",
        "if not name:",
        "tests/test_pretrained.py::test_what_does_not_fit_is_named",
    ),
    Fault("cells/asrnn.py", "M = W_f @ W @ W_f_inv", "M = W_f_inv @ W @ W_f", equation("asrnn")),
    Fault("cells/attention.py", "second * cos + first * sin", "second * cos - first * sin", equation("attention")),
    Fault("cells/checks.py", "or value <= least:", "or value < least:", "tests/cells/test_structure.py"),
    Fault(
        "cells/compose.py",
        "[ys_forward, ys_backward]",
        "[ys_backward, ys_forward]",
        "tests/cells/test_compose.py::test_bidirectional_is_both_directions_side_by_side",
    ),
    Fault("cells/composite.py", "if reverse:", "if not reverse:", "tests/cells/test_compose.py"),
    Fault("cells/convolution.py", "carry[..., 1:, :]", "carry[..., :-1, :]", equation("short_conv")),
    Fault("cells/delta.py", "z.alpha[..., 0] * old", "old", f"{LAWS}::test_chunks_of_time_at_once_equal_steps"),
    Fault("cells/dense.py", "dtype if kind is None else complex_of(dtype)", "dtype", equation("urnn")),
    Fault(
        "cells/diagonal.py", "hs.imag.astype(C_im.dtype) @ C_im", "hs.real.astype(C_im.dtype) @ C_im", equation("lru")
    ),
    Fault("cells/differential.py", "dt * gamma * d_velocity", "gamma * d_velocity", equation("cornn")),
    Fault(
        "cells/feedback.py",
        "ct * (n - prev) * i * (1 - i)",
        "ct * (prev - n) * i * (1 - i)",
        equation("surprisal", "input_gated"),
    ),
    Fault("cells/gru.py", "d_r = d_n * a_n * r * (1 - r)", "d_r = d_n * a_n * r", equation("gru")),
    Fault("cells/lem.py", "a[0], dt * of_y, z[3]", "carry.y, dt * of_y, z[3]", equation("lem")),
    Fault("cells/linoss.py", "(p * state.y - state.z)", "(p * state.y + state.z)", equation("linoss")),
    Fault("cells/lru.py", "-jnp.expm1(2 * log_a)", "-jnp.expm1(log_a)", equation("rg_lru", "lru")),
    Fault(
        "cells/lstm.py",
        "return Carry(jnp.zeros_like(prev.h), d_c * f), d, d",
        "return Carry(jnp.zeros_like(prev.h), d_c), d, d",
        equation("lstm"),
    ),
    Fault("cells/matrices.py", "-(second @ L", "(second @ L", "tests/cells/test_structure.py"),
    Fault(
        "cells/minimal.py",
        "total = 2 * one + e_f + e_i",
        "total = one + e_f + e_i",
        equation("min_lstm-positive", "min_gru-positive"),
    ),
    Fault(
        "cells/orthogonal.py",
        ".set(sin).at[even, even + 1].set(-sin)",
        ".set(sin).at[even, even + 1].set(sin)",
        equation("nnrnn"),
    ),
    Fault("cells/s4d.py", '2 * params["C_re"], -2', '2 * params["C_re"], 2', equation("s4d")),
    Fault(
        "cells/s5.py",
        'jnp.minimum(wide["Lambda_re"], -1e-4)',
        'wide["Lambda_re"]',
        "tests/cells/test_structure.py::test_s5_forgets_whatever_is_learned",
    ),
    Fault("cells/selective.py", "u @ weights.W_C", "u @ weights.W_B", equation("s6")),
    Fault("cells/spiking.py", "rho * carry.a + (1 - rho) * s", "rho * carry.a + rho * s", equation("alif")),
    Fault(
        "cells/surrogate.py",
        "jnp.maximum(0, 1 - jnp.abs(k * v))",
        "jnp.maximum(0, 1 - k * v)",
        "tests/cells/test_structure.py::test_surrogate_derivatives_are_those_of_their_smooth_steps",
    ),
    Fault("cells/unitary.py", "[-W.imag, W.real]", "[W.imag, W.real]", equation("urnn")),
    Fault("cells/vanilla.py", "delta = ct * (1 - h * h)", "delta = ct * (1 - h)", equation("tanh_rnn")),
    Fault(
        "cells/wrappers.py",
        "jnp.broadcast_to(c.astype(k.dtype), (*batch_shape, *c.shape))",
        "jnp.broadcast_to(jnp.zeros_like(c, k.dtype), (*batch_shape, *c.shape))",
        "tests/cells/test_compose.py::test_a_trained_start_is_where_sequences_begin_and_begin_again",
    ),
    Fault("cells/xlstm.py", "jnp.maximum(log_f + carry.m, log_i)", "jnp.maximum(log_f, log_i)", equation("slstm")),
    Fault(
        "checks.py",
        "first = jnp.argmin(good.ravel())",
        "first = jnp.argmax(good.ravel())",
        "tests/test_wrong_calls.py::test_checked_says_inside_jit_what_is_wrong",
    ),
    Fault(
        "dtypes.py",
        "return promoted(dtype, jnp.float32)",
        "return jnp.dtype(dtype)",
        "tests/test_cell.py::test_initial_values_are_finite_and_train_in_every_dtype",
    ),
    Fault("estimators/reading/arrow.py", "np.where(missing, np.nan, seconds)", "seconds", "tests/estimators"),
    Fault("estimators/reading/arrow_text.py", "commas and found", "found", "tests/estimators/test_tables.py"),
    Fault("estimators/base.py", "self.rate_ / 3", "self.rate_ * 3", "tests/estimators/test_classifier.py"),
    Fault(
        "estimators/preparing/channels.py",
        "(high - low) / NORMAL",
        "(high - low) * NORMAL",
        "tests/estimators/test_preparation.py",
    ),
    Fault(
        "estimators/answering/class_answers.py",
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
        "estimators/reading/columns.py", "table[codes], tuple(distinct)", "codes, tuple(distinct)", "tests/estimators"
    ),
    Fault(
        "estimators/reading/csv_blocks.py",
        "rows += block.num_rows",
        "rows = block.num_rows",
        "tests/estimators/test_files.py",
    ),
    Fault(
        "estimators/reading/delimited.py",
        "and not any(field.strip() for field in row[width:])",
        "",
        "tests/estimators/test_files.py",
    ),
    Fault("estimators/reading/dialect.py", "commas > points", "commas < points", "tests/estimators/test_files.py"),
    Fault("estimators/reading/encodings.py", "if len(run) > 1)", "if len(run) > 0)", "tests/estimators/test_files.py"),
    Fault(
        "estimators/learning/endless.py",
        "length = len(one.xs)\n",
        "length = len(one.xs) - 1\n",
        "tests/estimators/test_training.py",
    ),
    Fault(
        "estimators/reading/files.py", 'table["stream"] + first', 'table["stream"]', "tests/estimators/test_files.py"
    ),
    Fault("estimators/findings.py", "count == 1 else", "count != 1 else", "tests/estimators"),
    Fault(
        "estimators/learning/fitting.py",
        "elif i - best_step >= plan.patience * plan.every:",
        "elif i - best_step > plan.patience * plan.every:",
        "tests/estimators/test_training.py",
    ),
    Fault(
        "estimators/answering/intervals.py",
        "self.odds * now.odds / of.odds",
        "self.odds * of.odds / now.odds",
        "tests/estimators/test_forecaster.py",
    ),
    Fault(
        "estimators/forecaster.py",
        "return mean, mean - half, mean + half",
        "return mean, mean - half / 4, mean + half / 4",
        "tests/estimators/test_forecaster.py",
    ),
    Fault(
        "estimators/preparing/labels.py",
        "begins = (here >= 0) &",
        "begins = (here >= 0) |",
        "tests/estimators/test_preparation.py",
    ),
    Fault(
        "estimators/preparing/live.py",
        "fine = times > before",
        "fine = times >= before",
        "tests/estimators/test_preparation.py",
    ),
    Fault(
        "estimators/live_session.py",
        "np.where(valid[..., None], xs, np.float32(np.nan))  #",
        "xs  #",
        "tests/estimators/test_classifier.py",
    ),
    Fault(
        "estimators/answering/number_answers.py",
        "[..., :steps, :] for old, new in zip(before, made)]",
        "[..., -steps:, :] for old, new in zip(before, made)]",
        "tests/estimators/test_forecaster.py",
    ),
    Fault(
        "estimators/preparing/order.py",
        "np.delete(rows, again)",
        "np.delete(rows, again + 1)",
        "tests/estimators/test_preparation.py",
    ),
    Fault("estimators/answering/outputs.py", "found[i] = whole[row,", "found[row] = whole[row,", "tests/estimators"),
    Fault("estimators/parameters.py", "setattr(self, name, value)", "pass", "tests/estimators/test_classifier.py"),
    Fault(
        "estimators/preparing/preparation.py",
        "found.missing or found.infinite]",
        "found.missing]",
        "tests/estimators/test_preparation.py",
    ),
    Fault(
        "estimators/rows.py",
        "found[one.rows[there]] = own[there]",
        "found[: there.sum()] = own[there]",
        "tests/estimators",
    ),
    Fault(
        "estimators/preparing/series.py",
        "state, found = steps.advance(",
        "_, found = steps.advance(",
        "tests/estimators/test_preparation.py",
    ),
    Fault(
        "estimators/learning/splits.py", "if all(left[c] > 1", "if all(left[c] > 0", "tests/estimators/test_training.py"
    ),
    Fault(
        "estimators/preparing/steps.py", "owner, owner - 1)", "owner, owner)", "tests/estimators/test_preparation.py"
    ),
    Fault("estimators/stored.py", "arrays.items()} != wanted:", "arrays.items()} == wanted:", "tests/estimators"),
    Fault(
        "estimators/reading/tables.py",
        "np.repeat(made.codes, lengths)",
        "np.tile(made.codes, max(lengths))",
        "tests/estimators/test_tables.py",
    ),
    Fault(
        "estimators/reading/times.py",
        '- _offset(found.get("zone"))',
        '+ _offset(found.get("zone"))',
        "tests/estimators",
    ),
    Fault(
        "estimators/learning/training.py",
        "carry=begin, mask=window.valid",
        "carry=begin",
        "tests/estimators/test_training.py",
    ),
    Fault(
        "estimators/reading/ts_files.py",
        "np.stack(columns, axis=1)",
        "np.stack(columns[::-1], axis=1)",
        "tests/estimators/test_files.py",
    ),
    Fault(
        "evaluate.py",
        "(jnp.arange(steps)",
        "(jnp.arange(1, steps + 1)",
        "tests/test_laws.py::test_lengths_equal_truncation",
    ),
    Fault(
        "export.py",
        "f, s) for f, s in zip",
        "s, f) for f, s in zip",
        "tests/test_export.py::test_stablehlo_steps_through_a_stream_and_starts_afresh_where_told",
    ),
    Fault("features.py", "np.hanning(size)", "np.hamming(size)", "tests/test_features.py"),
    Fault(
        "flags.py",
        "(last_bad >= latest(reset))",
        "(last_bad > latest(reset))",
        "tests/test_laws.py::test_nan_crosses_neither_padding_nor_resets",
    ),
    Fault(
        "hashes.py", "for name, array in sorted(arrays.items()):", "for name, array in ():", "tests/test_pretrained.py"
    ),
    Fault("interop/flax.py", 'tree["if_"] = tree.pop("if")', "pass", "tests/test_interop.py::test_nnx_cells"),
    Fault(
        "interop/ours.py",
        'params["W_hh"].shape[0]',
        'params["W_xh"].shape[0]',
        "tests/test_interop.py::test_torch_round_trip",
    ),
    Fault(
        "interop/torch.py",
        "b_ih[2 * hidden :]]",
        "both[2 * hidden :]]",
        "tests/test_interop.py::test_stored_torch_layers_give_the_same_outputs",
    ),
    Fault(
        "linen.py",
        "options = {**made, **given}",
        "options = {**given, **made}",
        "tests/test_linen.py::test_every_option_of_run tests/test_linen.py::test_dtype",
    ),
    Fault(
        "loop/blocks.py",
        "(rest if reverse else main)(init)",
        "(main if reverse else rest)(init)",
        "tests/test_laws.py::test_fused_gradient_equals_autodiff_of_the_scan",
    ),
    Fault(
        "loop/chunked.py",
        "jnp.flip(a, 0) for a in",
        "a for a in",
        "tests/test_laws.py::test_chunks_of_time_at_once_equal_steps",
    ),
    Fault(
        "loop/forward.py",
        "return where(bad, lax.stop_gradient(ys),",
        "return where(~bad, lax.stop_gradient(ys),",
        "tests/test_laws.py::test_fused_gradient_equals_autodiff_of_the_scan",
    ),
    Fault("loop/gradient.py", "d_prev = where(afresh, zeros(d_prev), d_prev)", "pass", equation("tanh_rnn")),
    Fault(
        "loop/linear.py",
        "decays = zeros_where(reset, decays)",
        "pass",
        "tests/test_laws.py::test_parallel_equals_sequential",
    ),
    Fault(
        "loop/masks.py",
        "return new if mask is None else where(mask, new, old)",
        "return new",
        equation("tanh_rnn"),
    ),
    Fault("losses/arguments.py", "np.asarray(values)[~np.asarray(good)][0]", "np.asarray(values)[0]", "tests/losses"),
    Fault(
        "losses/distributions.py",
        "0.5 * jnp.expm1(2 * wider) - wider",
        "0.5 * jnp.expm1(wider) - wider",
        "tests/losses",
    ),
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
    Fault(
        "losses/predicted.py",
        "high = predicted.quantile((1 + level) / 2)",
        "high = predicted.quantile(level)",
        "tests/losses",
    ),
    Fault("losses/regression.py", "weight * (1 - m) * unknown", "weight * unknown", "tests/losses"),
    Fault("losses/stability.py", ".sum(axis=0) - target**2", ".sum(axis=0) - target", "tests/losses"),
    Fault("losses/student.py", "y**2 * (1 / 192", "y**2 * (1 / 96", "tests/losses"),
    Fault(
        "made.py",
        "self.made_by == other.made_by",
        "self.made_by[0] == other.made_by[0]",
        "tests/test_cell.py::test_cells_with_other_options_differ",
    ),
    Fault(
        "names.py",
        'separator="."',
        'separator="/"',
        "tests/test_pretrained.py::test_the_network_of_copying_memory_recalls_after_a_thousand_steps",
    ),
    Fault(
        "narrowed.py",
        "2 ** (bits - 1) - 1)",
        "2 ** (bits - 1))",
        "tests/test_export.py::test_whole_numbers_of_so_many_bits",
    ),
    Fault(
        "nnx.py",
        "super().__init__(cell, rngs, params, partition)\n        self.dtype = dtype",
        "super().__init__(cell, rngs, params, partition)\n        self.dtype = None",
        "tests/test_nnx.py::test_dtype",
    ),
    Fault(
        "optim.py",
        'if kind == "base":',
        'if kind == "bases":',
        "tests/test_boxes.py::test_labels_are_found_in_every_holder",
    ),
    Fault(
        "orthogonal/__init__.py",
        "signs[: round(rho * n)] = -1",
        "signs[: round(rho * n)] = 1",
        "tests/test_orthogonal.py::test_scaled_cayley_reaches_eigenvalue_minus_one",
    ),
    Fault(
        "orthogonal/inits.py",
        "Q.at[:, 0].multiply(jnp.sign(jnp.linalg.det(Q)))",
        "Q",
        "tests/test_orthogonal.py::test_haar_has_the_moments_of_uniform_rotations",
    ),
    Fault(
        "orthogonal/maps.py",
        "return upper - upper.T",
        "return upper + upper.T",
        "tests/test_orthogonal.py::test_maps_equal_scipy",
    ),
    Fault(
        "pairs.py",
        "[array.real, array.imag], axis=-1)\n\n\ndef from_side",
        "[array.imag, array.real], axis=-1)\n\n\ndef from_side",
        "tests/test_export.py::test_complex_numbers_written_out_as_real_ones " + equation("lru", "urnn"),
    ),
    Fault("parallel.py", "lax.pmean(tree, AXIS)", "tree", "tests/test_parallel.py"),
    Fault("pilot/__init__.py", "verbose=verbose)", "verbose=verbose) and {}", "tests/pilot asrnn_jax/pilot"),
    Fault("pilot/baselines.py", "np.where(answers == classes, -1, answers)", "answers", "tests/pilot asrnn_jax/pilot"),
    Fault("pilot/checklist.py", "share >= target - NEAR", "share >= target + NEAR", "tests/pilot asrnn_jax/pilot"),
    Fault(
        "pilot/classification.py", "np.where(inside, -1, 0)", "np.where(inside, 0, -1)", "tests/pilot asrnn_jax/pilot"
    ),
    Fault(
        "pilot/classification_scores.py",
        "named) == found.label",
        "named) != found.label",
        "tests/pilot asrnn_jax/pilot",
    ),
    Fault(
        "pilot/command.py",
        'print(f"error: {text}", file=sys.stderr)',
        'print(f"error: {text}")',
        "tests/pilot asrnn_jax/pilot",
    ),
    Fault(
        "pilot/contributions.py",
        "drop = known[-1] - known[:-1]",
        "drop = known[:-1] - known[-1]",
        "tests/pilot asrnn_jax/pilot",
    ),
    Fault(
        "pilot/disturbances.py",
        "deviations * spread[name][1]",
        "deviations * spread[name][0]",
        "tests/pilot asrnn_jax/pilot",
    ),
    Fault("pilot/figures.py", '"Date": None', '"Date": "1970"', "tests/pilot asrnn_jax/pilot"),
    Fault(
        "pilot/folder.py",
        "if config[name] != before.get(name)",
        "if config[name] == before.get(name)",
        "tests/pilot asrnn_jax/pilot",
    ),
    Fault(
        "pilot/forecast_scores.py",
        "np.diff(one.times) > JUMP * step",
        "np.diff(one.times) < JUMP * step",
        "tests/pilot asrnn_jax/pilot",
    ),
    Fault("pilot/forecasting.py", "mean - half, mean + half)", "mean, mean)", "tests/pilot asrnn_jax/pilot"),
    Fault(
        "pilot/concatenated.py",
        "(labels >= 0) & (changes | starts)",
        "(labels >= 0) & changes",
        "tests/pilot asrnn_jax/pilot",
    ),
    Fault("pilot/naive.py", "np.where(last >= 0, column[last], 0)", "column[last]", "asrnn_jax/pilot/naive.py"),
    Fault("pilot/networks.py", "if file.exists() and said.exists():", "if False:", "tests/pilot asrnn_jax/pilot"),
    Fault("pilot/numbers.py", "100 * v:.1f} %", "v:.1f} %", "tests/pilot asrnn_jax/pilot"),
    Fault("pilot/page.py", "autoescape=True", "autoescape=False", "tests/pilot asrnn_jax/pilot"),
    Fault("pilot/reading.py", "if not table.rows:", "if table.rows is None:", "tests/pilot asrnn_jax/pilot"),
    Fault("pilot/rolling.py", "moments - middle * sums", "moments", "tests/pilot asrnn_jax/pilot"),
    Fault("pilot/script.py", 'options.stream or "stream"', '"stream"', "tests/pilot asrnn_jax/pilot"),
    Fault("pilot/splits.py", "+ 10 * lost", "", "tests/pilot asrnn_jax/pilot"),
    Fault("pilot/stability.py", "-1 - REACH // 2", "-1", "tests/pilot asrnn_jax/pilot"),
    Fault("pilot/monitors.py", "min(usual, TIGHTER * seen)", "usual", "tests/pilot asrnn_jax/pilot"),
    Fault(
        "pilot/pipeline.py",
        'shutil.copyfile(out / "networks" / f"{best}.safetensors", out / folder.NAMES["model"])',
        "pass",
        "tests/pilot asrnn_jax/pilot",
    ),
    Fault(
        "placement.py",
        "batch = jax.typeof(xs).sharding.spec[1:-1]",
        "batch = jax.typeof(xs).sharding.spec[0:-2]",
        "tests/test_modes.py::test_a_batch_sharded_over_a_mesh_with_explicit_axes_equals_one_that_is_not",
    ),
    Fault("plot/audit.py", "by_gain[-1:], *by_gain[:1]", "by_gain[:1]", "tests/audit/test_results.py"),
    Fault("plot/curves.py", "log[-1] if relative else 0", "log[0] if relative else 0", "tests/test_plot.py"),
    Fault(
        "plot/spectra.py", "[0, 0.25, 0.5, 0.75, 1], axis=1", "[0, 0.25, 0.5, 0.75, 1], axis=0", "tests/test_plot.py"
    ),
    Fault("plot/streams.py", "return axes", "return axes[::-1]", "tests/test_plot.py"),
    Fault("plot/style.py", "if values.ndim not in ranks:", "if values.ndim in ranks:", "tests/test_plot.py"),
    Fault(
        "pretrained/__init__.py",
        'if wrong := _differs(like, arrays):\n        raise ValueError(f"{path} does',
        'if wrong := "":\n        raise ValueError(f"{path} does',
        "tests/test_pretrained.py::test_what_does_not_fit_is_named",
    ),
    Fault(
        "real_only.py",
        "a.real * b.imag + a.imag * b.real",
        "a.real * b.imag - a.imag * b.real",
        "tests/test_export.py::test_complex_numbers_written_out_as_real_ones",
    ),
    Fault(
        "run.py",
        "start = where_reset(reset, fresh, carry)",
        "start = carry",
        "tests/test_laws.py::test_step_by_step_equals_run",
    ),
    Fault("saved.py", "whole = stored == hashes.of_file(found, about)", "whole = True", "tests/test_pretrained.py"),
    Fault(
        "streaming/advance.py",
        "begins=begins & ~here",
        "begins=begins",
        "tests/streaming/test_session.py::test_a_beginning_that_is_missing_is_not_lost_to_the_oracle",
    ),
    Fault(
        "streaming/calibration.py",
        "np.ceil(top * bins).astype(int) - 1",
        "(top * bins).astype(int)",
        "tests/streaming/test_scores.py",
    ),
    Fault(
        "streaming/chunks.py",
        "[..., 1:, :]",
        "[..., :-1, :]",
        "tests/streaming/test_session.py::test_hold_repeats_the_last_finite_value_across_chunks",
    ),
    Fault(
        "streaming/events.py",
        "answer >= 0) & gap & (since >= grace)",
        "answer >= 0) & gap & (since > grace)",
        "tests/streaming/test_scores.py",
    ),
    Fault("streaming/gaps.py", "< 0.1", "< 0.9", "tests/streaming/test_streams.py"),
    Fault(
        "streaming/monitors.py",
        "keep * before + (1 - keep) * new",
        "(1 - keep) * before + keep * new",
        "tests/streaming/test_session.py::test_readings_are_of_every_step_and_are_saved_and_loaded",
    ),
    Fault(
        "streaming/options.py",
        "if fallback is not None and",
        "if fallback is None and",
        "tests/streaming/test_session.py::test_wrong_calls_say_what_is_wrong",
    ),
    Fault(
        "streaming/policies.py",
        "high & (count == patience - 1)",
        "high & (count == patience)",
        "tests/streaming/test_session.py::test_policies_that_look_back_reset_by_what_came_out",
    ),
    Fault(
        "streaming/scores.py",
        "index = rng.integers(size, size=size)",
        "index = rng.permutation(size)",
        "tests/streaming/test_scores.py",
    ),
    Fault(
        "streaming/session.py",
        "self.steps += steps",
        "self.steps += 1",
        "tests/streaming/test_session.py::test_chunks_of_any_size_equal_one_run",
    ),
    Fault(
        "streaming/starts.py",
        "ring[jnp.argsort(ring) - 1]",
        "ring[jnp.argsort(ring)]",
        "tests/streaming/test_starts.py",
    ),
    Fault(
        "streaming/stored.py",
        "atol=_near(answers, dtype)",
        "atol=np.inf",
        "tests/streaming/test_session.py::test_a_saved_session_that_does_not_fit_is_refused",
    ),
    Fault(
        "streaming/streams.py",
        "labels[at + max(low, gap) : at + high]",
        "labels[at + low : at + high]",
        "tests/streaming/test_streams.py",
    ),
    Fault(
        "tasks.py",
        "randint(k_second, (batch,), half, length)",
        "randint(k_second, (batch,), 0, half)",
        "tests/test_tasks.py",
    ),
]
