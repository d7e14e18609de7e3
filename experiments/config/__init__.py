"""What a run is, as frozen dataclasses. Every field is a flag of the command line; its docstring is the help.

`parts` has the network, the optimiser, stability and the training, `commands` the tasks, `options` the options of cells
as text, `stored` the configs of run folders.
"""

from experiments.config.commands import COMMANDS, Adding, Config, CopyMemory, Pixels, Regime, Stream, Text, command
from experiments.config.options import Option
from experiments.config.parts import Model, OnDivergence, Optimizer, Probe, Schedule, Stability, Training
from experiments.config.stored import differences, from_json, numerics, to_json

__all__ = [
    "COMMANDS",
    "Adding",
    "Config",
    "CopyMemory",
    "Model",
    "OnDivergence",
    "Optimizer",
    "Option",
    "Pixels",
    "Probe",
    "Regime",
    "Schedule",
    "Stability",
    "Stream",
    "Text",
    "Training",
    "command",
    "differences",
    "from_json",
    "numerics",
    "to_json",
]
