"""The command line: python -m experiments COMMAND ..."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path

from experiments import machine
from experiments.choices import from_arguments
from experiments.config import COMMANDS, Config, Stream, command, from_json
from experiments.config.options import refuse_former
from experiments.errors import DivergedError, StoppedError, UsageError, unknown
from experiments.folder import read_json
from experiments.presets import with_preset
from experiments.training.networks import from_network

USAGE = """usage: python -m experiments COMMAND [flags]

  copy-memory   recall symbols after a delay
  adding        sum two marked numbers of a long sequence
  pixels        classify images as sequences: mnist, fashion_mnist, digits
  text          predict the next character of a text
  stream        classify images or speech in endless streams, without resets
  report        table and figure of finished runs, or the page of results
  list          the cells with family, size and source
  presets       the papers' recipes by name
  zoo           train every cell for a short while on two tasks
  papers        carry out the runs behind the results, one after another
  save          add the best network of a run, with its card, to the trained ones of the package
  evaluate      test a trained network and compare with its card
  robustness    test trained networks on disturbed inputs and with narrow weights
  export        write a trained network as files that run without this library
  never-reset   compare cells, training regimes and reset policies on streams
  coverage      repair networks that need resets by a few more steps from states that a running network visits
  forecast      compare forecasters on endless streams with and without resets
  voice         train a voice detector that is never reset and audit it beside another one
  faults        hurt small runs in every way that machines do, and count what was lost
  pilot         train on your own streams and write one page with the answer: as python -m asrnn_jax pilot
  bench         time a training step and compare with other libraries
  audit         does a streaming model need resets? The same as python -m asrnn_jax audit
  scaling       bytes exchanged in a step, and what to expect of many accelerators

  python -m experiments COMMAND --help explains every flag.
  A run is a folder (--out). --out FOLDER --resume continues it."""


# Module, what holds its flags (none: ""), function from them to the text that is printed.
TOOLS = {
    "report": ("report.report", "Report", "report"),
    "list": ("tools.zoo", "", "list_cells"),
    "presets": ("presets", "", "list_presets"),
    "zoo": ("tools.zoo", "Zoo", "zoo"),
    "papers": ("papers", "Papers", "papers"),
    "save": ("tools.evaluate", "Save", "save"),
    "evaluate": ("tools.evaluate", "Evaluate", "evaluate"),
    "robustness": ("tools.robustness", "Robustness", "robustness"),
    "export": ("tools.export", "Export", "export"),
    "never-reset": ("tools.never_reset", "NeverReset", "never_reset"),
    "coverage": ("tools.coverage", "Coverage", "coverage"),
    "forecast": ("tools.forecast", "Forecast", "forecast"),
    "voice": ("tools.voice", "Voice", "voice"),
    "faults": ("tools.faults", "Faults", "faults"),
    "bench": ("tools.bench", "Bench", "bench"),
    "scaling": ("tools.scaling", "Scaling", "scaling"),
}
PACKAGE = {"pilot": "asrnn_jax.pilot.command", "audit": "asrnn_jax.audit.command"}
"""Commands that come with the package, see `asrnn_jax.__main__`."""


def main(arguments: list[str]) -> int:
    """Carries out one command line and returns its exit code."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE)
        return 0
    name, rest = arguments[0], arguments[1:]
    if name in PACKAGE:
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        return importlib.import_module(PACKAGE[name]).main(rest, prog=f"python -m experiments {name}")
    try:
        if name in TOOLS:
            print(_tool(name, rest))
        elif name in COMMANDS:
            _train(name, rest)
        else:
            raise unknown("command", name, [*COMMANDS, *TOOLS, *PACKAGE])
    except UsageError as e:
        print(f"error: {e}", file=sys.stderr)
        return 2
    except (DivergedError, StoppedError) as e:
        print(f"error: {e}", file=sys.stderr)
        machine.leave(1)
        return 1
    except SystemExit as e:
        machine.leave(e.code if isinstance(e.code, int) else 1, together=True)
        raise
    except KeyboardInterrupt:
        print("interrupted; what was saved stays, --resume goes on with it", file=sys.stderr)
        return 130
    machine.leave(0, together=True)
    return 0


def _tool(name: str, rest: list[str]) -> str:
    module, flags, function = TOOLS[name]
    if name not in ("report", "list", "presets", "papers") or (name == "papers" and "--list" not in rest):
        machine.prepare()
    tool = importlib.import_module(f"experiments.{module}")
    if not flags:
        return getattr(tool, function)()
    return getattr(tool, function)(from_arguments(getattr(tool, flags), rest, name))


def _train(name: str, rest: list[str]) -> None:
    config = parse(name, rest)
    machine.prepare(config.training)
    from experiments.training.train import default_folder, train  # jax is imported only for work that needs it

    result = train(config)
    if not machine.first():
        return
    folder = config.training.out or default_folder(config)
    metric, best, selected = result["metric"], result["best"], result.get("selected")
    if isinstance(config, Stream):
        from experiments.report.stream_report import scored

        print(scored(replace(config, training=replace(config.training, out=folder))))
    said = f"best test {metric} {best[f'test_{metric}']:.4g} at step {best['step']}"
    if selected:
        said += f", {selected[f'test_{metric}']:.4g} at the best validation (step {selected['step']})"
    print(f"{said}; see {folder}")


def parse(name: str, rest: list[str]) -> Config:
    """The config of a command line. Flags win over a preset; with --resume the run's own config is the default.

    Raises:
      UsageError: flags that contradict each other, that earlier versions had, or whose value is refused.
    """
    refuse_former(rest)
    kind = COMMANDS[name]
    default, source = kind(), ""
    preset, out, cell = _flag(rest, "--preset"), _flag(rest, "--out"), _flag(rest, "--cell")
    if "--resume" in rest and preset is not None:
        raise UsageError("--preset and --resume: a run is resumed with its own settings; leave out --preset.")
    if "--resume" in rest and out is not None:
        default, source = from_json(read_json(Path(out) / "config.json")), f"--out {out}"
        alone = replace(default.training, coordinator=None, processes=None, process=None)  # unless told again
        default = replace(default, training=alone)
    elif preset is not None:
        default, source = with_preset(preset, cell), f"--preset {preset}"
    if not isinstance(default, kind):
        raise UsageError(f"{source} belongs to command {command(default)}, not to {name}.")
    network = _flag(rest, "--from")
    if network is not None and isinstance(default, Stream):
        default = from_network(default, network)
    config = from_arguments(kind, rest, name, default)
    if config.model.cell != default.model.cell:
        return config
    options = default.model.options | config.model.options
    return replace(config, model=replace(config.model, options=options))


def _flag(arguments: list[str], flag: str) -> str | None:
    """The value of a flag on the command line, the last one if it is repeated."""
    value = None
    for argument, following in zip(arguments, [*arguments[1:], None]):
        if argument == flag:
            value = following
        elif argument.startswith(f"{flag}="):
            value = argument.split("=", 1)[1]
    return value


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:  # who reads the output has seen enough, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + 13  # as of SIGPIPE
    if code == 1:  # where a disk is full, libraries raise once more at an orderly end, below the line that says so
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
