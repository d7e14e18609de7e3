"""The papers' recipes by name.

Results quoted as "paper" are from the tables of arXiv:2304.11790 (best test accuracy over 70 epochs).
Times are for 2 CPU cores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from experiments.config import Config, CopyMemory, Model, Optimizer, Pixels, Training


@dataclass(frozen=True)
class Preset:
    """A named recipe: its config and what to expect of it."""

    config: Config
    about: str


def _pixels(size: str, hidden: int, lr: float, permute: bool, minutes: int, accuracy: float) -> dict[str, Preset]:
    name = f"paper-{'p' if permute else 's'}mnist-{size}"
    config = Pixels(
        preset=name,
        dataset="mnist",
        permute=permute,
        epochs=70,
        model=Model("asrnn", hidden, map="cayley", init="cayley", saturation="abs", a=0.02, b=0.02, eps=0.01, slope=0.0),
        optim=Optimizer("rmsprop", lr=lr, lr_orthogonal=lr / 10, decay=0.99, clip=10.0),
        training=Training(batch=128, log_every=50),
    )
    about = (
        f"asRNN n={hidden} on {'permuted' if permute else 'sequential'} MNIST, 70 epochs of about {minutes} min. "
        f"Paper: {accuracy} %. Command: python -m experiments pixels --preset {name} --data-dir FOLDER"
    )
    return {name: Preset(config, about)}


def _copy(delay: int, minutes: int) -> dict[str, Preset]:
    name = f"paper-copy-{delay}"
    config = CopyMemory(
        preset=name,
        symbols=10,
        delay=delay,
        steps=4000,
        model=Model("asrnn", 138, map="expm", init="henaff", dynamic=True, saturation="abs", a=0.0, b=0.0, eps=1e-5, slope=0.0),
        optim=Optimizer("rmsprop", lr=2e-4, lr_orthogonal=2e-5, decay=0.9, clip=10.0, rebase_every=100, project_every=100),
        training=Training(batch=128, log_every=10, eval_every=200),
    )
    about = (
        f"asRNN n=138 on copying memory with delay {delay}, 4,000 iterations in about {minutes} min. Paper: below the "
        "baseline by about iteration 300, near 0 by 1,500. "
        f"Command: python -m experiments copy-memory --preset {name}"
    )
    return {name: Preset(config, about)}


def _lstm(permute: bool, accuracy: float) -> dict[str, Preset]:
    base = next(iter(_pixels("69k", 257, 1e-3, permute, 0, 0).values())).config
    name = f"paper-{'p' if permute else 's'}mnist-lstm-69k"
    assert isinstance(base, Pixels)
    config = replace(
        base,
        preset=name,
        model=Model("lstm", 128, forget_bias=1.0),
        optim=Optimizer("rmsprop", lr=1e-3, decay=0.9, clip=1.0),
    )
    about = (
        f"LSTM n=128 on {'permuted' if permute else 'sequential'} MNIST, 70 epochs of about 7 min. Paper: {accuracy} %. "
        f"Command: python -m experiments pixels --preset {name} --data-dir FOLDER"
    )
    return {name: Preset(config, about)}


PRESETS: dict[str, Preset] = {
    **_pixels("16k", 122, 7e-4, False, 2, 98.89),
    **_pixels("69k", 257, 5e-4, False, 6, 99.21),
    **_pixels("137k", 364, 3e-4, False, 11, 99.30),
    **_pixels("16k", 122, 1e-3, True, 2, 95.41),
    **_pixels("69k", 257, 7e-4, True, 6, 96.88),
    **_pixels("137k", 364, 5e-4, True, 11, 96.96),
    **_lstm(False, 81.9),
    **_lstm(True, 79.5),
    **_copy(1000, 30),
    **_copy(2000, 60),
}
