"""The parts of every run: network, optimiser, stability, training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from experiments.choices import check_choices
from experiments.config.checks import above_zero, check, counts, not_negative
from experiments.config.options import SPEC, Option, words

OptimizerName = Literal["rmsprop", "adam", "adamw", "nadam", "adagrad", "sgd", "momentum", "lion"]
Schedule = Literal["constant", "cosine", "linear"]
Probe = Literal["spectrum", "saturation", "gradient", "norm", "stability"]
OnDivergence = Literal["stop", "skip", "rollback"]


@dataclass(frozen=True)
class Model:
    """The network: a recurrent cell and a linear output layer."""

    cell: str = "asrnn"
    """Name of the recurrent cell; python -m experiments list shows all."""
    hidden: int = 128
    """Number of hidden units n."""
    options: Annotated[dict[str, Option], SPEC] = field(default_factory=dict)
    """Options of the cell, for example map=expm kappa=30 for asrnn or surrogate=slayer for lif. The docstring of each
    cell in asrnn_jax.cells explains its own. An option that is not given has the preset's value, or the cell's
    default."""
    embedding: int | None = None
    """Width of a linear input layer, for example of an embedding of characters. None: no such layer."""
    layers: int = 1
    """Number of layers: cells on top of each other."""
    residual: bool = False
    """Put each layer in a residual block (layer norm, cell, gated output) of width --hidden, behind a linear input
    layer."""
    dropout: float = 0.0
    """Residual blocks: share of their outputs that is set to 0 in training. The recurrence has no dropout."""
    trained_start: bool = False
    """Train the state that sequences start from; it is 0 otherwise. A text starts once an epoch. A stream never ends,
    so in each window one stream of the batch, in turn, starts anew."""
    convolution: int = 0
    """Steps of a short convolution before the cell of each layer, as in Mamba's and xLSTM's blocks. 0: none."""
    attention_every: int = 0
    """A hybrid: each so many-th layer is attention to the last steps in place of the cell. 0: none."""

    def __post_init__(self):
        not_negative(self, "convolution", "attention_every")
        counts(self, "hidden", "layers", "embedding")
        check(not (self.residual and self.embedding), "embedding", self.embedding, "--residual has an input layer")
        for word, value in zip(words(self.options), self.options.values()):
            finite = not isinstance(value, float) or math.isfinite(value)
            check(finite, "options", word, "give a finite number")
        check(0 <= self.dropout < 1, "dropout", self.dropout, "give a number in [0, 1)")
        check(self.residual or self.dropout == 0, "dropout", self.dropout, "it belongs to --residual, add that")


@dataclass(frozen=True)
class Optimizer:
    """How the parameters are updated."""

    optimizer: OptimizerName = "rmsprop"
    """Optimiser, from optax."""
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
    schedule: Schedule = "constant"
    """Learning rate over time; cosine and linear fall to 0 at the last step."""
    warmup: int = 0
    """Steps of linear warm-up from 0."""
    rebase_every: int = 100
    """Dynamic trivialisation: steps between moves of the base (the papers' K)."""
    project_every: int = 100
    """Dynamic trivialisation: moves of the base until it is replaced by the nearest orthogonal matrix."""
    freeze: tuple[str, ...] = ()
    """Names of parameters that keep their initial values, for example D_f."""
    ema: float | None = None
    """Evaluate and save an exponential moving average of the parameters over steps, with this decay, for example 0.999.
    Orthogonal matrices stay orthogonal. None: the parameters of the last step."""

    def __post_init__(self):
        check_choices(self)
        above_zero(self, "lr", "lr_orthogonal", "clip")
        check(0 <= self.decay < 1, "decay", self.decay, "give a number in [0, 1)")
        not_negative(self, "weight_decay")
        check(self.warmup >= 0, "warmup", self.warmup, "give at least 0")
        check(self.ema is None or 0 <= self.ema < 1, "ema", self.ema, "give a number in [0, 1)")
        decays = self.optimizer in ("adamw", "lion")
        check(decays or self.weight_decay == 0, "weight_decay", self.weight_decay, "it belongs to adamw and lion")
        counts(self, "rebase_every", "project_every")


@dataclass(frozen=True)
class Stability:
    """What keeps a run from diverging, and what it does when it diverges all the same."""

    on_divergence: OnDivergence = "stop"
    """When a number is no longer finite. stop: the run ends, with its last checkpoint. skip: batches whose gradient is
    not finite, or 10 times its running norm or more, are left out. rollback: the run goes back to its last checkpoint
    and on from there at half the rate; it also saves one at each evaluation. Both are told in metrics.jsonl, and are
    the same in a run that is resumed."""
    recoveries: int | None = None
    """Batches that may be left out, or times that the run may go back; after more it stops. None: 100 batches, 10
    times."""
    lyapunov_penalty: float = 0.0
    """Weight of the mean square of the largest Lyapunov exponents in the loss, which holds them near 0 (gradient
    flossing). It is taken of the first 8 sequences of a batch."""
    lyapunov_exponents: int = 1
    """--lyapunov-penalty: how many exponents."""
    lyapunov_bound: float | None = None
    """--lyapunov-penalty: only what exceeds this counts, in nats a step. None: they are held near 0."""
    jacobian_penalty: float = 0.0
    """Weight of a penalty on the singular values of single steps, which holds them near 1. It is taken of every eighth
    step of the first 8 sequences of a batch."""
    jacobian_bound: float | None = None
    """--jacobian-penalty: only the largest counts, and only what exceeds this. None: all are held near 1."""
    penalty_every: int = 1
    """Steps of the optimiser from one with the penalties to the next."""

    def __post_init__(self):
        check_choices(self)
        counts(self, "recoveries", "lyapunov_exponents", "penalty_every")
        not_negative(self, "lyapunov_penalty", "jacobian_penalty")
        recovers = self.on_divergence != "stop"
        check(
            recovers or self.recoveries is None, "recoveries", self.recoveries, "add --on-divergence skip or rollback"
        )
        for kind, names in (("lyapunov", ("exponents", "bound")), ("jacobian", ("bound",))):
            for name in (f"{kind}_{each}" for each in names):
                value, alone = getattr(self, name), getattr(self, f"{kind}_penalty") == 0
                check(not alone or value == getattr(Stability, name), name, value, f"it belongs to --{kind}-penalty")
        finite = self.lyapunov_bound is None or math.isfinite(self.lyapunov_bound)
        check(finite, "lyapunov_bound", self.lyapunov_bound, "give a finite number")
        above_zero(self, "jacobian_bound")
        penalised = self.lyapunov_penalty > 0 or self.jacobian_penalty > 0
        check(penalised or self.penalty_every == 1, "penalty_every", self.penalty_every, "add a penalty")


@dataclass(frozen=True)
class Training:
    """Batches, logs, checkpoints, and the machines that share the work."""

    batch: int = 128
    """Sequences a step."""
    seed: int = 0
    """Seed of everything random: initial parameters, batches, dropout."""
    log_every: int = 20
    """Steps between two lines of metrics.jsonl; a line has the means over these steps."""
    eval_every: int | None = None
    """Steps between evaluations. None: once an epoch, or ten times a run for tasks without epochs."""
    checkpoint_every: int = 200
    """Steps between checkpoints."""
    out: str | None = None
    """Run folder. None: a folder in runs/, named after task, cell and size."""
    resume: bool = False
    """Go on with the run in --out. The result is the same, bit for bit, as without the interruption."""
    probe: tuple[Probe, ...] = ()
    """What to record from inside the network while it trains, on two test sequences: spectrum (singular values of the
    Jacobian), saturation, gradient (how far back in time it reaches), norm (of the state), stability (the largest
    Lyapunov exponent and singular value, the condition number of asRNN's D_f). Recording the first four takes half as
    long as a training step: 0.05 s at the paper's size (784 steps, 122 units) on two CPU cores."""
    probe_every: int = 100
    """Steps between recordings."""
    devices: int | None = None
    """CPU devices that share each batch. None: one for each core."""
    coordinator: str | None = None
    """Train in several processes, on one host or many: HOST:PORT of the first process, or auto under a scheduler that
    knows it (Slurm, Open MPI, ...). Start every process with the same flags, except --process-id. The first one writes
    the run folder."""
    processes: int | None = None
    """With --coordinator: number of processes. None: the scheduler knows it."""
    process: Annotated[int | None, tyro.conf.arg(aliases=("--process-id",))] = None
    """With --coordinator: the number of this process, from 0. None: the scheduler knows it."""

    def __post_init__(self):
        check_choices(self)
        counts(self, "batch", "log_every", "eval_every", "checkpoint_every", "probe_every", "devices", "processes")
        for name in ("processes", "process"):
            value = getattr(self, name)
            check(value is None or self.coordinator is not None, name, value, "it belongs to --coordinator, add that")
        check(
            self.process is None or 0 <= self.process < (self.processes or math.inf),
            "process",
            self.process,
            "give a number from 0, below --processes",
        )
        check((self.devices or 1) <= 1024, "devices", self.devices, "give at most 1024; one for each core is best")
        check(0 <= self.seed < 2**31, "seed", self.seed, "give a whole number from 0 to 2^31 - 1")
