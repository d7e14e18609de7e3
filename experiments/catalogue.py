"""All runs behind the results: the papers' tables, an ablation, a sensitivity grid, stability, character text."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from experiments.config import Config, CopyMemory, Model, Optimizer, Option, Pixels, Schedule, Stability, Text, Training
from experiments.presets import CAYLEY, PRESETS

BOUNDED: dict[str, Option] = {"saturation": "bounded", "kappa": 10.0, "gain": 1.0}  # before D_f had a gain
LSTM_16K = Model("lstm", 61, {"forget_bias": 1.0})  # as many params as the papers' other cells have, not 69,000
ADAM = Optimizer(optimizer="adam", lr=2e-3, clip=1.0, schedule="cosine")  # what people train an LSTM with today
LONG_EPOCHS, EPOCHS = 70, 20  # of asRNN, of its peers
HELD_OUT = 5000
BEST = "best.safetensors"
RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
STARTS = (0.01, 0.1, 0.3, 1.0, 3.0)  # of D_f


def runs() -> dict[str, Config]:
    """All runs by name, without their folders."""
    found: dict[str, Config] = {"copy-1000-asrnn": PRESETS["paper-copy-1000"].config}
    for name in ("dtriv", "scornn", "lstm", "tanh-rnn"):
        found[f"copy-1000-{name}"] = PRESETS[f"paper-copy-1000-{name}"].config
    for task in ("smnist", "pmnist"):
        found[f"{task}-asrnn"] = _pixels(f"paper-{task}-16k", LONG_EPOCHS)
        for name in ("exprnn", "scornn", "tanh-rnn", "gru"):
            found[f"{task}-{name}"] = _pixels(f"paper-{task}-16k-{name}", EPOCHS)
        by_cayley = found[f"{task}-asrnn"]  # the authors' code takes the exponential map
        by_expm = replace(by_cayley.model, options=by_cayley.model.options | {"map": "expm", "init": "exprnn"})
        found[f"{task}-asrnn-expm"] = replace(by_cayley, preset=None, epochs=EPOCHS, model=by_expm)
        found[f"{task}-lstm"] = _pixels(f"paper-{task}-lstm-69k", EPOCHS)
        found[f"{task}-lstm-16k"] = replace(found[f"{task}-lstm"], preset=None, model=LSTM_16K, optim=ADAM)
    asrnn = found["smnist-asrnn"]  # which diverges: other seeds, by either map, and what keeps it from that
    for name in ("smnist-asrnn", "smnist-asrnn-expm"):
        found[f"{name}-1"] = replace(found[name], training=replace(asrnn.training, seed=1))
    bounded = replace(asrnn.model, options={"map": "cayley", "init": "cayley", **BOUNDED})
    found["smnist-asrnn-bounded"] = replace(asrnn, preset=None, model=bounded)
    cosine = replace(asrnn.optim, schedule="cosine")
    found["smnist-asrnn-cosine"] = replace(asrnn, preset=None, model=bounded, epochs=EPOCHS, optim=cosine)
    found["copy-2000-asrnn"] = PRESETS["paper-copy-2000"].config
    found["copy-2000-dtriv"] = PRESETS["paper-copy-2000-dtriv"].config
    return found | _recommended() | _recipe() | _text() | _ablation() | _sensitivity() | _distillation() | _stability()


ANGLES: dict[str, dict[str, Option]] = {
    "small": {"init": "exprnn", "angle_scale": 0.3},
    "exprnn": {"init": "exprnn"},
    "wide": {"init": "cayley"},
    "log": {"init": "log"},
}
PEERS = {"exprnn": Model("exprnn", 170, {"init": "exprnn"}), "scornn": Model("scornn", 170), "lstm": LSTM_16K}
PEERS["lstm-chrono"] = Model("lstm", 61, {"t_max": 784.0})  # gates that start with memories up to the whole sequence
PEERS["lem"] = Model("lem", 62)


def _recommended() -> dict[str, Config]:
    """The recipes asrnn-stable in three sizes, from other angles, and for other cells with as many params."""
    found: dict[str, Config] = {}
    for delay in (1000, 2000):
        stable = PRESETS[f"asrnn-stable-copy-{delay}"].config
        for seed in range(5):
            found[f"stable-copy-{delay}-{seed}"] = replace(stable, training=replace(stable.training, seed=seed))
    for task in ("smnist", "pmnist"):
        for size, seeds in (("16k", 5), ("69k", 2), ("137k", 1)):
            stable = PRESETS[f"asrnn-stable-{task}-{size}"].config
            for seed in range(seeds):
                name = f"{task}-stable-{seed}" if size == "16k" else f"{task}-stable-{size}-{seed}"
                found[name] = replace(stable, training=replace(stable.training, seed=seed))
        stable = replace(PRESETS[f"asrnn-stable-{task}-16k"].config, preset=None)
        for about, angles in ANGLES.items():
            kept = {name: stable.model.options[name] for name in ("map", "saturation")}
            if kept | angles != stable.model.options:
                found[f"{task}-angles-{about}"] = replace(stable, model=replace(stable.model, options=kept | angles))
        for about, model in PEERS.items():
            options: dict[str, Option] = {"rho": 0.5 if task == "pmnist" else 0.1} if about == "scornn" else {}
            optim = replace(ADAM, ema=stable.optim.ema) if about in ("lstm", "lstm-chrono", "lem") else stable.optim
            model = replace(model, options=model.options | options)
            found[f"{task}-peer-{about}"] = replace(stable, model=model, optim=optim)
    return found


RECIPE: dict[str, dict[str, Option]] = {  # options of the cell, beside those of the first
    "angles up to 1, kappa 30, gain 20, Cayley": {"map": "cayley", "saturation": "bounded", "init": "exprnn"},
    "angles up to 0.3": ANGLES["small"],
    "angles up to a right one": ANGLES["wide"],
    "log-uniform angles": ANGLES["log"],
    "gain 1": {"gain": 1.0},
    "gain 5": {"gain": 5.0},
    "kappa 3": {"kappa": 3.0},
    "kappa 10": {"kappa": 10.0},
    "kappa 100": {"kappa": 100.0},
    "exponential map": {"map": "expm"},
    "D_f of the paper": {"saturation": "abs"},
    "W_f is D_f alone": {"rotate": False},
}


def recipe_name(about: str, seed: int) -> str:
    """The name of a run with one part of the recipe changed."""
    return f"recipe-{re.sub('[^A-Za-z_0-9]+', '-', about)}-{seed}"


def _recipe() -> dict[str, Config]:
    """What each part of the recipe asrnn-stable is worth: MNIST by rows, 10 epochs, where its first angles are neither
    those of sequential nor those of permuted pixels."""
    stable = PRESETS["asrnn-stable-smnist-16k"].config
    assert isinstance(stable, Pixels)
    standard = next(iter(RECIPE.values()))
    found: dict[str, Config] = {}
    for seed in range(3):
        training = replace(stable.training, seed=seed)
        for about, changes in RECIPE.items():
            model = Model("asrnn", 109, standard | changes)  # a row has 28 inputs
            found[recipe_name(about, seed)] = replace(
                stable, preset=None, rows=True, epochs=10, model=model, training=training
            )
    return found


def _pixels(preset: str, epochs: int) -> Config:
    config = PRESETS[preset].config
    assert isinstance(config, Pixels)
    return replace(config, epochs=epochs, validation=HELD_OUT)


TEXT_RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2)


def _text() -> dict[str, Config]:
    """asRNN and LSTM with about 300,000 parameters each. Short runs choose the rates of the long ones by validation."""
    models = {
        "asrnn": Model("asrnn", 466, {**CAYLEY, "a": 0.8, "b": 3.0, "eps": 0.0}),
        "lstm": Model("lstm", 224),
    }
    chosen = {"asrnn": 2e-3, "lstm": 3.2e-2}
    training = Training(batch=128, log_every=50)

    def config(cell: str, lr: float, epochs: int, schedule: Schedule = "constant") -> Config:
        optim = Optimizer(lr=lr, decay=0.9, clip=1.0, schedule=schedule)
        return Text(model=models[cell], optim=optim, epochs=epochs, training=training)

    found = {f"text-rate-{cell}-{lr:g}": config(cell, lr, 2) for cell in models for lr in TEXT_RATES}
    for cell, lr in chosen.items():
        found |= {f"text-{cell}": config(cell, lr, 10), f"text-{cell}-cosine": config(cell, lr, 10, "cosine")}
    return found


ABLATION: dict[str, dict[str, Option]] = {  # options of the cell
    "as in the paper": {},
    "D_f stays at 0.001": {"a": 0.0, "b": 0.0, "eps": 1e-3},
    "D_f stays at 1": {"a": 1.0, "b": 1.0, "eps": 0.0},
    "bounded kappa": BOUNDED,
    "W_hh by Cayley": {"map": "cayley", "dynamic": False},
    "W_hh by expm": {"map": "expm", "dynamic": False},
    "W_hh by dtriv": {"map": "expm", "dynamic": True},
}
OWN = {"copy": "W_hh by dtriv", "rows": "W_hh by Cayley"}  # what the paper does itself on this task: not run again


def _ablation() -> dict[str, Config]:
    """asRNN without adaptivity or with another map of W_hh, on copying (L = 500) and sequential MNIST by rows."""
    copying = PRESETS["paper-copy-1000"].config
    assert isinstance(copying, CopyMemory)
    copying = replace(copying, preset=None, delay=500, steps=1500)
    rows = _pixels("paper-smnist-16k", 10)
    assert isinstance(rows, Pixels)
    found: dict[str, Config] = {}
    for seed in range(3):
        for about, changes in ABLATION.items():
            for task, base in (("copy", copying), ("rows", replace(rows, preset=None, rows=True))):
                if about == OWN[task]:
                    continue
                options = base.model.options | changes
                if about == "bounded kappa":
                    options = {name: value for name, value in options.items() if name not in ("a", "b", "eps", "slope")}
                if (options["map"], options["init"]) == ("expm", "cayley"):  # as in the authors' code
                    options = options | {"init": "exprnn"}
                config = replace(
                    base,
                    model=replace(base.model, options=options),
                    optim=replace(base.optim, freeze=("D_f",) if about.startswith("D_f stays") else ()),
                    training=replace(base.training, seed=seed),
                )
                found[f"ablation-{task}-{about.replace(' ', '-')}-{seed}"] = config
    return found


def _sensitivity() -> dict[str, Config]:
    """asRNN at several learning rates and initial values of D_f, and tanh RNN and LSTM: digits by pixels."""
    found: dict[str, Config] = {}
    for lr in RATES:
        models = {
            f"asrnn-{start:g}": Model("asrnn", 64, {"map": "cayley", "a": start, "b": start, "eps": 0.0})
            for start in STARTS
        }
        models |= {"tanh_rnn": Model("tanh_rnn", 64), "lstm": Model("lstm", 64)}
        for name, model in models.items():
            found[f"sensitivity-{name}-{lr:g}"] = Pixels(
                dataset="digits",
                epochs=30,
                model=model,
                optim=Optimizer(lr=lr, clip=10.0),
                training=Training(batch=64, log_every=20),
            )
    return found


STABLE: dict[str, Stability] = {
    "no penalty": Stability(),
    "12 Lyapunov exponents": Stability(lyapunov_penalty=1.0, lyapunov_exponents=12),
    "12 Lyapunov exponents, every 10th step": Stability(lyapunov_penalty=1.0, lyapunov_exponents=12, penalty_every=10),
    "singular values": Stability(jacobian_penalty=1.0),
}


def stable_name(about: str, task: str, cell: str) -> str:
    """The name of a run with a penalty."""
    return f"stability-{task}-{cell}-{about.replace(' ', '-').replace(',', '')}"


def _stability() -> dict[str, Config]:
    """Penalties on three cells: copying memory with a short delay, and MNIST by rows."""
    found: dict[str, Config] = {}
    for cell in ("tanh_rnn", "gru", "asrnn"):
        for about, stability in STABLE.items():
            parts: dict[str, Any] = {"model": Model(cell, 48), "stability": stability}
            training, optim = Training(batch=64, log_every=100), Optimizer(clip=1.0)
            copying = CopyMemory(symbols=3, delay=30, steps=800, optim=optim, training=training, **parts)
            rows = Pixels(dataset="mnist", rows=True, epochs=1, training=Training(log_every=100), **parts)
            found |= {stable_name(about, "copy", cell): copying, stable_name(about, "rows", cell): rows}
    return found


def _distillation() -> dict[str, Config]:
    """A GRU with 140,000 params teaches an asRNN with 16,000: MNIST by rows, with and without the teacher."""
    rows = _pixels("paper-smnist-16k", EPOCHS)
    assert isinstance(rows, Pixels)
    small = replace(rows, preset=None, rows=True, model=replace(rows.model, hidden=109))  # a row has 28 inputs
    found: dict[str, Config] = {"distill-0-teacher": replace(small, model=Model("gru", 200), optim=ADAM)}
    for seed in range(3):
        for name, teacher in (("alone", None), ("taught", f"distill-0-teacher/{BEST}")):
            training = replace(rows.training, seed=seed)
            found[f"distill-{name}-{seed}"] = replace(small, teacher=teacher, training=training)
    return found
