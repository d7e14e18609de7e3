"""The commands that train: a task each, with the parts of every run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from experiments.choices import check_choices
from experiments.config.checks import above_zero, check, counts, not_negative
from experiments.config.parts import Model, Optimizer, Stability, Training

Images = Literal["digits", "mnist", "fashion_mnist"]
Samples = Literal["digits", "mnist", "fashion_mnist", "speech"]
Regime = Literal["full", "ignored", "separate"]
Start = Literal["auto", "zero", "passed", "shuffled", "noise", "mixture"]
Gap = Literal["silence", "white", "uniform", "walk", "hum", "clicks", "distractor"]


@dataclass(frozen=True)
class Config:
    """What every task has."""

    preset: str | None = None
    """Name of a recipe that sets all flags; python -m experiments presets lists them. Flags that are given too win over
    it; --options are added to the recipe's. With another --cell, only --hidden is kept of the recipe's network."""
    model: tyro.conf.OmitArgPrefixes[Model] = field(default_factory=Model)
    optim: tyro.conf.OmitArgPrefixes[Optimizer] = field(default_factory=Optimizer)
    stability: tyro.conf.OmitArgPrefixes[Stability] = field(default_factory=Stability)
    training: tyro.conf.OmitArgPrefixes[Training] = field(default_factory=Training)


@dataclass(frozen=True)
class CopyMemory(Config):
    """Copying memory: recall `symbols` symbols after a delay. Loss: cross-entropy over all delay + 2 symbols steps."""

    symbols: int = 10
    """Number of symbols to recall, the paper's K."""
    delay: int = 200
    """Number of blank steps between the symbols and the recall, the paper's L."""
    steps: int = 2000
    """Optimiser steps."""

    def __post_init__(self):
        counts(self, "symbols", "delay", "steps")


@dataclass(frozen=True)
class Adding(Config):
    """Adding problem: sum the two marked numbers of a sequence. Loss: mean square error; always saying 1 gives 1/6."""

    length: int = 200
    """Steps of a sequence."""
    steps: int = 5000
    """Optimiser steps."""

    def __post_init__(self):
        counts(self, "steps")
        check(self.length >= 2, "length", self.length, "give at least 2, for two numbers are marked")


@dataclass(frozen=True)
class Pixels(Config):
    """Images as sequences: sequential and permuted MNIST, Fashion-MNIST, digits."""

    dataset: Images = "digits"
    """digits is embedded (8x8); the others are IDX files in --data-dir, or from TFDS."""
    data_dir: str | None = None
    """Folder with the IDX files, zipped or not, or with data sets that TFDS has prepared."""
    download: bool = False
    """Let TFDS download the data set (needs the extra 'prepare')."""
    permute: bool = False
    """Shuffle the pixels by the paper's fixed permutation (NumPy RandomState(92916))."""
    rows: bool = False
    """Take one row of the image a step, not one pixel."""
    epochs: int = 10
    """Passes over the training images."""
    validation: int = 0
    """Number of training images that are held out, always the same ones, to choose the epoch to report."""
    label_smoothing: float = 0.0
    """Share of each label that is spread over all classes in training. The test's loss has none."""
    shift: int = 0
    """Move each training image by up to so many pixels along both axes, at random; what leaves the image is lost."""
    teacher: str | None = None
    """Distillation: a trained network of the same task, whose outputs are learned too. A name of asrnn_jax.pretrained,
    or a file, for example best.safetensors of a run."""
    teach: float = 0.9
    """Distillation: weight of the teacher's outputs in the loss, in [0, 1]; the labels have the rest."""
    temperature: float = 4.0
    """Distillation: the logits of teacher and student are divided by it."""

    def __post_init__(self):
        check_choices(self)
        counts(self, "epochs")
        for name in ("teach", "temperature"):
            value, alone = getattr(self, name), self.teacher is None
            check(not alone or value == getattr(Pixels, name), name, value, "it belongs to --teacher, add that")
        check(0 <= self.teach <= 1, "teach", self.teach, "give a share in [0, 1]")
        above_zero(self, "temperature")
        check(self.validation >= 0, "validation", self.validation, "give at least 0")
        check(self.shift >= 0, "shift", self.shift, "give at least 0")
        share = self.label_smoothing
        check(0 <= share < 1, "label_smoothing", share, "give a share in [0, 1)")


@dataclass(frozen=True)
class Text(Config):
    """Character-level language model: predict the next character. The state is carried on from window to window."""

    data_dir: str | None = None
    """Folder with three files: *train*.txt, *valid*.txt and *test*.txt. They are plain text, or the characters of Penn
    Treebank separated by spaces (ptb.char.train.txt and so on)."""
    window: int = 150
    """Steps of a training window (truncated back-propagation through time)."""
    epochs: int = 10
    """Passes over the training text."""
    eval_batch: int = 10
    """Number of streams that the validation text and the test text are cut into."""

    def __post_init__(self):
        counts(self, "window", "epochs", "eval_batch")


@dataclass(frozen=True)
class Stream(Config):
    """Samples joined into endless streams with random gaps. The network learns to run for ever without a reset."""

    dataset: Samples = "digits"
    """digits is embedded (8x8); mnist and fashion_mnist are IDX files or from TFDS, speech a folder of WAV files."""
    by: Literal["rows", "pixels"] = "rows"
    """Whether one step is a row or a pixel of the image."""
    data_dir: str | None = None
    """Folder with the IDX or WAV files."""
    download: bool = False
    """Let TFDS download an image data set (needs the extra 'prepare')."""
    regime: Regime = "full"
    """What is learned. full: cross-entropy in samples, and uniform outputs in gaps. ignored: cross-entropy in samples,
    nothing in gaps. separate: cross-entropy on single samples, each from a fresh state."""
    kl: Literal["uniform_first", "model_first"] = "uniform_first"
    """--regime full: the divergence from uniform in gaps. uniform_first: KL(uniform || p). model_first:
    KL(p || uniform)."""
    weight: float | None = None
    """--regime full: weight of the gaps in the loss. None: it follows the training, so that the entropy in gaps
    becomes --target."""
    target: float = 0.985
    """--regime full without --weight: entropy to reach in gaps, as a share of the largest, log(classes)."""
    starts: Start = "auto"
    """What a training window starts from. zero: the fresh state. passed: the last state of its stream (of --regime
    separate: of a sample before). shuffled: the last state of another stream. noise: random numbers with mean and
    variance of the last states. mixture: one of these four, drawn anew each time. auto: zero for --regime separate,
    else passed. See asrnn_jax.streaming.starts."""
    network: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """A trained network to go on from, in place of initial parameters: a name of asrnn_jax.pretrained, or a file, for
    example best.safetensors of a run. --cell, --hidden and so on are then those of the network."""
    window: int = 100
    """Steps of a training window."""
    shortest: int = 10
    """Steps of the shortest gap."""
    longest: int = 60
    """Steps of the longest gap."""
    kinds: tuple[Gap, ...] = ("silence", "white", "walk", "clicks")
    """What gaps are made of: silence, five kinds of noise, or distractor (the steps of a sample in another order)."""
    steps: int = 3000
    """Optimiser steps."""
    samples: int = 1000
    """Number of samples in the test stream."""

    def __post_init__(self):
        check_choices(self)
        counts(self, "window", "steps", "samples")
        check(0 <= self.shortest <= self.longest, "longest", self.longest, f"give at least --shortest {self.shortest}")
        not_negative(self, "weight")
        check(self.weight is None or self.regime == "full", "weight", self.weight, "it belongs to --regime full")
        check(0 < self.target < 1, "target", self.target, "give a share in (0, 1)")
        alone = self.training.batch < 2 and self.starts in ("shuffled", "mixture")
        check(not alone, "starts", self.starts, "one stream has no other to take a state from, give --batch 2 or more")


COMMANDS: dict[str, type[Config]] = {
    "copy-memory": CopyMemory,
    "adding": Adding,
    "pixels": Pixels,
    "text": Text,
    "stream": Stream,
}


def command(config: Config) -> str:
    """The name of a config's command, for example "copy-memory"."""
    return next(name for name, kind in COMMANDS.items() if kind is type(config))
