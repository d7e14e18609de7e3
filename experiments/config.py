"""What a run is, as frozen dataclasses. Every field is a flag of the command line; its docstring is the help."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from typing import Annotated, Any

import tyro

from experiments.errors import UsageError, unknown

# Fields that say where and how a run is carried out, not what it computes.
RUNTIME_FIELDS = (
    *("out", "resume", "data_dir", "download", "checkpoint_every", "preset"),
    *("devices", "coordinator", "processes", "process", "probe", "probe_every"),
)
REGIMES = ("full", "ignored", "separate")
PROBE_NAMES = ("spectrum", "saturation", "gradient", "norm")  # see experiments.training.probes


def _check(condition: bool, name: str, value: Any, remedy: str) -> None:
    if not condition:
        raise UsageError(f"--{name.replace('_', '-')} {value}: {remedy}.")


def _positive(config: Any, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        _check(value is None or value >= 1, name, value, "give at least 1")
        _check(value is None or value < 2**31, name, value, "give less than 2^31, what steps are counted up to")


@dataclass(frozen=True)
class Model:
    """The network: a recurrent cell and a linear output layer."""

    cell: str = "asrnn"
    """Recurrent cell, a name of asrnn_jax.cells.CELLS."""
    hidden: int = 128
    """Number of hidden units n."""
    map: str | None = None
    """Orthogonal cells: cayley, scaled_cayley or expm. None: the cell's default."""
    init: str | None = None
    """Orthogonal cells: henaff, cayley, haar or identity. None: the cell's default."""
    dynamic: bool | None = None
    """Orthogonal cells: dynamic trivialisation, see --rebase-every."""
    rho: float | None = None
    """Scaled Cayley: share of -1 signs."""
    saturation: str | None = None
    """asRNN: abs (the paper's D_f = |s| + eps) or bounded (bounded ratio, trains safely from a small start)."""
    a: float | None = None
    """asRNN: s starts uniformly in [a, b]."""
    b: float | None = None
    """asRNN: see --a."""
    eps: float | None = None
    """asRNN: floor of D_f."""
    slope: float | None = None
    """asRNN: derivative of |s| at 0; 0 as in the authors' framework."""
    kappa: float | None = None
    """asRNN, bounded: largest ratio max(D_f) / min(D_f)."""
    activation: str | None = None
    """Cell orthogonal: modrelu or linear."""
    forget_bias: float | None = None
    """LSTM: initial bias of the forget gate."""
    options: tuple[str, ...] = ()
    """Any other option of the cell as NAME=VALUE, for example surrogate=slayer; its docstring has them."""
    embedding: int | None = None
    """Width of a linear input layer, for example of an embedding of characters. None: no such layer."""
    layers: int = 1
    """Cells on top of each other."""
    residual: bool = False
    """Each in a residual block (layer norm, cell, gated output) of width --hidden, behind a linear input layer."""
    dropout: float = 0.0
    """Residual blocks: share dropped, outside the recurrence."""
    trained_start: bool = False
    """Train the state that sequences start from. Text begins with every epoch, and of streams, which never end, one a
    window begins anew, in turn."""

    def __post_init__(self):
        _positive(self, "hidden", "layers", "embedding")
        _check(not (self.residual and self.embedding), "embedding", self.embedding, "--residual has an input layer")
        _check(0 <= self.dropout < 1, "dropout", self.dropout, "give a number in [0, 1)")
        _check(self.residual or self.dropout == 0, "dropout", self.dropout, "it belongs to --residual, add that")
        for name in ("rho", "a", "b", "eps", "slope", "kappa", "forget_bias"):
            value = getattr(self, name)
            _check(value is None or math.isfinite(value), name, value, "give a finite number")

    def cell_flags(self) -> dict[str, Any]:
        """The cell options that were set by flags of their own."""
        own = ("cell", "hidden", "options", "embedding", "layers", "residual", "dropout", "trained_start")
        return {
            name: value for name, value in dataclasses.asdict(self).items() if name not in own and value is not None
        }


@dataclass(frozen=True)
class Optimizer:
    """How parameters move."""

    optimizer: str = "rmsprop"
    """rmsprop, adam, adamw, nadam, adagrad, sgd, momentum or lion (optax)."""
    lr: float = 1e-3
    """Learning rate."""
    lr_orthogonal: float | None = None
    """Learning rate of the orthogonal recurrent matrix. None: lr / 10."""
    decay: float = 0.99
    """RMSprop: decay of the mean square."""
    weight_decay: float = 0.0
    """AdamW and Lion: weight decay."""
    clip: float | None = 10.0
    """Clip the global norm of the gradient to this. None: no clipping."""
    schedule: str = "constant"
    """Learning rate over time: constant, cosine or linear (both to 0 at the last step)."""
    warmup: int = 0
    """Steps of linear warm-up from 0."""
    rebase_every: int = 100
    """Dynamic trivialisation: steps between moves of the base (the papers' K)."""
    project_every: int = 100
    """Dynamic trivialisation: every so many rebases the base is sent to the nearest orthogonal matrix."""
    freeze: tuple[str, ...] = ()
    """Parameters that stay as they start, by name, for example D_f."""

    def __post_init__(self):
        for name in ("lr", "lr_orthogonal", "clip"):
            value = getattr(self, name)
            good = value is None or (math.isfinite(value) and value > 0)
            _check(good, name, value, "give a finite number above 0")
        _check(0 <= self.decay < 1, "decay", self.decay, "give a number in [0, 1)")
        _check(
            self.weight_decay >= 0 and math.isfinite(self.weight_decay),
            "weight_decay",
            self.weight_decay,
            "give a finite number, at least 0",
        )
        _check(self.warmup >= 0, "warmup", self.warmup, "give at least 0")
        decays = self.optimizer in ("adamw", "lion")
        _check(decays or self.weight_decay == 0, "weight_decay", self.weight_decay, "it belongs to adamw and lion")
        _positive(self, "rebase_every", "project_every")


@dataclass(frozen=True)
class Training:
    """How long, how often, where."""

    batch: int = 128
    """Sequences a step."""
    seed: int = 0
    """Everything random follows from it."""
    log_every: int = 20
    """Steps between lines of metrics.jsonl (means over those steps)."""
    eval_every: int | None = None
    """Steps between evaluations. None: every epoch, or ten times a run for tasks without epochs."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    out: str | None = None
    """Run folder. None: runs/ and a name made of task, cell and size."""
    resume: bool = False
    """Go on with the run in --out, bit for bit."""
    probe: tuple[str, ...] = ()
    """Quantities to record from inside the network while it trains, for two test sequences: spectrum (singular values
    of the Jacobian), saturation, gradient (how far it reaches), norm. A recording of all four takes 0.05 s at the
    paper's size (784 steps, 122 units; two CPU cores), half a training step."""
    probe_every: int = 100
    """Steps between recordings."""
    devices: int | None = None
    """CPU devices that share each batch. None: one a core."""
    coordinator: str | None = None
    """Train in several processes, on one host or many: HOST:PORT of the first, or auto where a scheduler (Slurm, Open
    MPI, ...) says it. Each is started with the same flags but --process-id; the first one writes the run folder."""
    processes: int | None = None
    """With --coordinator: how many processes there are. None: as the cluster's scheduler says."""
    process: Annotated[int | None, tyro.conf.arg(aliases=("--process-id",))] = None
    """With --coordinator: which one this is, from 0. None: as the cluster's scheduler says."""

    def __post_init__(self):
        _positive(self, "batch", "log_every", "eval_every", "checkpoint_every", "probe_every", "devices", "processes")
        for name in self.probe:
            if name not in PROBE_NAMES:
                raise unknown("--probe", name, PROBE_NAMES)
        for name in ("processes", "process"):
            value = getattr(self, name)
            _check(value is None or self.coordinator is not None, name, value, "it belongs to --coordinator, add that")
        _check(
            self.process is None or 0 <= self.process < (self.processes or math.inf),
            "process",
            self.process,
            "give a number from 0, below --processes",
        )
        _check((self.devices or 1) <= 1024, "devices", self.devices, "give at most 1024, one a core is best")
        _check(0 <= self.seed < 2**31, "seed", self.seed, "give a whole number from 0 to 2^31 - 1")


@dataclass(frozen=True)
class Config:
    """What every task has."""

    preset: str | None = None
    """A named recipe that sets all other flags; flags given beside it win, and another --cell leaves the recipe's cell
    options behind. See python -m experiments presets."""
    model: tyro.conf.OmitArgPrefixes[Model] = field(default_factory=Model)
    optim: tyro.conf.OmitArgPrefixes[Optimizer] = field(default_factory=Optimizer)
    training: tyro.conf.OmitArgPrefixes[Training] = field(default_factory=Training)


@dataclass(frozen=True)
class CopyMemory(Config):
    """Copying memory: recall `symbols` symbols after a delay. Loss: cross-entropy over all delay + 2 symbols steps."""

    symbols: int = 10
    """Symbols to recall (the paper's K)."""
    delay: int = 200
    """Blank steps between seeing and recalling (the paper's L)."""
    steps: int = 2000
    """Optimiser steps."""

    def __post_init__(self):
        _positive(self, "symbols", "delay", "steps")


@dataclass(frozen=True)
class Adding(Config):
    """Adding problem: sum the two marked numbers of a sequence. Loss: mean square error; 1/6 is guessing 1."""

    length: int = 200
    """Steps of a sequence."""
    steps: int = 5000
    """Optimiser steps."""

    def __post_init__(self):
        _positive(self, "steps")
        _check(self.length >= 2, "length", self.length, "two numbers are marked, give at least 2")


@dataclass(frozen=True)
class Pixels(Config):
    """Images as sequences: sequential and permuted MNIST, Fashion-MNIST, digits."""

    dataset: str = "digits"
    """mnist, fashion_mnist (IDX files in --data-dir, or TFDS) or digits (8x8, embedded)."""
    data_dir: str | None = None
    """Folder with the IDX files (.gz or not), or with prepared TFDS data sets."""
    download: bool = False
    """Let TFDS download the data set (needs the extra 'prepare')."""
    permute: bool = False
    """Shuffle the pixels by the paper's fixed permutation (NumPy RandomState(92916))."""
    rows: bool = False
    """One row a step instead of one pixel a step."""
    epochs: int = 10
    """Passes over the training images."""
    validation: int = 0
    """Training images held out (always the same ones), on which the epoch to report is chosen."""
    teacher: str | None = None
    """Distillation: a trained network of the same task whose answers are learned too; a name of asrnn_jax.pretrained or
    a file, for example best.safetensors of a run."""
    teach: float = 0.9
    """Distillation: share of the loss that is the teacher's, in [0, 1]."""
    temperature: float = 4.0
    """Distillation: logits of both are divided by it."""

    def __post_init__(self):
        _positive(self, "epochs")
        for name in ("teach", "temperature"):
            value, alone = getattr(self, name), self.teacher is None
            _check(not alone or value == getattr(Pixels, name), name, value, "it belongs to --teacher, add that")
        _check(0 <= self.teach <= 1, "teach", self.teach, "give a share in [0, 1]")
        _check(0 < self.temperature < math.inf, "temperature", self.temperature, "give a finite number above 0")
        _check(self.validation >= 0, "validation", self.validation, "give at least 0")


@dataclass(frozen=True)
class Text(Config):
    """Character-level language model: predict the next character, the state carried from window to window."""

    data_dir: str | None = None
    """Folder with a training, a validation and a test file: *train*.txt, *valid*.txt and *test*.txt. Plain text, or
    Penn Treebank's characters separated by spaces (ptb.char.train.txt and so on)."""
    window: int = 150
    """Steps of a training window (truncated back-propagation through time)."""
    epochs: int = 10
    """Passes over the training text."""
    eval_batch: int = 10
    """Streams that validation and test text are cut into."""

    def __post_init__(self):
        _positive(self, "window", "epochs", "eval_batch")


@dataclass(frozen=True)
class Stream(Config):
    """Samples joined into endless streams with random gaps: train once, then run for ever without a reset."""

    dataset: str = "digits"
    """digits (8x8, embedded), mnist, fashion_mnist (IDX files or TFDS), or speech (a folder of WAV files)."""
    by: str = "rows"
    """Images by rows or by pixels."""
    data_dir: str | None = None
    """Folder with the IDX or WAV files."""
    download: bool = False
    """Let TFDS download an image data set (needs the extra 'prepare')."""
    regime: str = "full"
    """full (cross-entropy in samples, don't know in gaps), ignored (cross-entropy in samples, gaps are ignored) or
    separate (cross-entropy on single samples, each from a fresh state)."""
    kl: str = "uniform_first"
    """Full: uniform_first is KL(uniform || p), model_first KL(p || uniform)."""
    weight: float | None = None
    """Full: weight of the gaps. None: it sets itself, so that the entropy in gaps is --target of the largest."""
    target: float = 0.985
    """Full: see --weight."""
    window: int = 100
    """Steps of a training window; the state goes on from one to the next."""
    shortest: int = 10
    """Steps of the shortest gap."""
    longest: int = 60
    """Steps of the longest gap."""
    kinds: tuple[str, ...] = ("silence", "white", "walk", "clicks")
    """What gaps are made of: silence, white, uniform, walk, hum, clicks (noises), distractor (the steps of a sample in
    another order)."""
    steps: int = 3000
    """Optimiser steps."""
    samples: int = 1000
    """Samples of the test stream."""

    def __post_init__(self):
        _positive(self, "window", "steps", "samples")
        _check(0 <= self.shortest <= self.longest, "longest", self.longest, f"give at least --shortest {self.shortest}")
        if self.by not in ("rows", "pixels"):
            raise unknown("--by", self.by, ("rows", "pixels"))
        if self.regime not in REGIMES:
            raise unknown("--regime", self.regime, REGIMES)
        if self.kl not in ("uniform_first", "model_first"):
            raise unknown("--kl", self.kl, ("uniform_first", "model_first"))
        good = self.weight is None or (math.isfinite(self.weight) and self.weight >= 0)
        _check(good, "weight", self.weight, "give a finite number, at least 0")
        _check(self.weight is None or self.regime == "full", "weight", self.weight, "it belongs to --regime full")
        _check(0 < self.target < 1, "target", self.target, "give a share in (0, 1)")


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


def to_json(config: Config) -> dict[str, Any]:
    """The config as JSON values: ``{"command": ..., field: ...}``."""
    return {"command": command(config), **json.loads(json.dumps(dataclasses.asdict(config)))}


def from_json(values: dict[str, Any]) -> Config:
    """Inverse of `to_json`.

    Raises:
      UsageError: not such values, or a field this version does not know.
    """
    parts = {"model": Model, "optim": Optimizer, "training": Training}
    try:
        kind = COMMANDS[values["command"]]
        fields = {name: value for name, value in values.items() if name != "command"}
        for part, name in (("model", "options"), ("optim", "freeze"), ("training", "probe")):
            if name in fields.get(part, {}):
                fields[part] = {**fields[part], name: tuple(fields[part][name])}
        if "kinds" in fields:
            fields["kinds"] = tuple(fields["kinds"])
        return kind(**{name: parts[name](**value) if name in parts else value for name, value in fields.items()})
    except (TypeError, KeyError, AttributeError) as e:
        raise UsageError(f"config.json was made by another version or program ({e}).") from e


def numerics(config: Config) -> dict[str, Any]:
    """The config flattened to what decides the numbers of a run: ``{field: value}``."""
    flat: dict[str, Any] = {}
    for name, value in to_json(config).items():
        flat |= value if isinstance(value, dict) else {name: value}
    return {name: value for name, value in flat.items() if name not in RUNTIME_FIELDS}


def differences(stored: dict[str, Any], config: Config) -> list[str]:
    """Where a stored config (JSON values) would give other numbers than `config`: ``["hidden 64 -> 128"]``.

    Fields that are not stored, because they came later, have their defaults.

    Raises:
      UsageError: as `from_json`.
    """
    before, now = numerics(from_json(stored)), numerics(config)
    differ = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    return [f"{name} {before.get(name)!r} -> {now.get(name)!r}" for name in differ]
