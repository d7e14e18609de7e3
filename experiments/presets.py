"""The papers' recipes by name.

Results quoted as "paper" are from the tables of arXiv:2304.11790 (best test accuracy over 70 epochs). Times are for
2 CPU cores, from the median of a few steps; those of the runs under experiments/results are measured whole.
"""

from __future__ import annotations

from dataclasses import dataclass

from experiments.config import Config, CopyMemory, Model, Optimizer, Pixels, Training


@dataclass(frozen=True)
class Preset:
    """A named recipe: its config and what to expect of it."""

    config: Config
    about: str


def _pixels_name(permute: bool, size: str) -> str:
    return f"paper-{'p' if permute else 's'}mnist-{size}"


def _about_pixels(name: str, minutes: float, accuracy: float, ours: str) -> str:
    return (
        f"70 epochs of about {minutes:g} min; paper {accuracy:.2f} %{ours and ', ' + ours}: "
        f"python -m experiments pixels --preset {name} --data-dir FOLDER"
    )


def _pixels(
    size: str, hidden: int, lr: float, permute: bool, minutes: float, accuracy: float, ours: str = ""
) -> dict[str, Preset]:
    """asRNN on sequential or permuted MNIST, pixel by pixel."""
    name = _pixels_name(permute, size)
    config = Pixels(
        preset=name,
        dataset="mnist",
        permute=permute,
        epochs=70,
        model=Model(
            "asrnn", hidden, map="cayley", init="cayley", saturation="abs", a=0.02, b=0.02, eps=0.01, slope=0.0
        ),
        optim=Optimizer("rmsprop", lr=lr, lr_orthogonal=lr / 10, decay=0.99, clip=10.0),
        training=Training(batch=128, log_every=50),
    )
    return {name: Preset(config, _about_pixels(name, minutes, accuracy, ours))}


def _lstm(permute: bool, accuracy: float) -> dict[str, Preset]:
    """The papers' LSTM baseline at 69e3 parameters."""
    name = _pixels_name(permute, "lstm-69k")
    config = Pixels(
        preset=name,
        dataset="mnist",
        permute=permute,
        epochs=70,
        model=Model("lstm", 128, forget_bias=1.0),
        optim=Optimizer("rmsprop", lr=1e-3, decay=0.9, clip=1.0),
        training=Training(batch=128, log_every=50),
    )
    return {name: Preset(config, _about_pixels(name, 6.8, accuracy, ""))}


def _copy(delay: int, minutes: int, ours: str = "") -> dict[str, Preset]:
    """asRNN on copying memory: dynamic trivialisation and a D_f that stays at eps."""
    name = f"paper-copy-{delay}"
    config = CopyMemory(
        preset=name,
        symbols=10,
        delay=delay,
        steps=4000,
        model=Model(
            "asrnn", 138, map="expm", init="henaff", dynamic=True, saturation="abs", a=0.0, b=0.0, eps=1e-5, slope=0.0
        ),
        optim=Optimizer(
            "rmsprop", lr=2e-4, lr_orthogonal=2e-5, decay=0.9, clip=10.0, rebase_every=100, project_every=100
        ),
        training=Training(batch=128, log_every=10, eval_every=200),
    )
    about = (
        f"4,000 iterations in about {minutes} min; paper: below the baseline by about iteration 300, near 0 by 1,500"
        f"{ours}: python -m experiments copy-memory --preset {name}"
    )
    return {name: Preset(config, about)}


PRESETS: dict[str, Preset] = {
    **_pixels("16k", 122, 7e-4, False, 1.4, 98.89, "here 96.0 % after 5 epochs"),
    **_pixels("69k", 257, 5e-4, False, 4.4, 99.21),
    **_pixels("137k", 364, 3e-4, False, 6.5, 99.30),
    **_pixels("16k", 122, 1e-3, True, 1.4, 95.41, "here 94.3 % after 5 epochs"),
    **_pixels("69k", 257, 7e-4, True, 4.4, 96.88),
    **_pixels("137k", 364, 5e-4, True, 6.5, 96.96),
    **_lstm(False, 81.9),
    **_lstm(True, 79.5),
    **_copy(1000, 22, "; here below it from 240 on, 3e-5 at 1,500"),
    **_copy(2000, 43),
}
