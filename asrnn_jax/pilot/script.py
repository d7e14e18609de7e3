"""The script that runs the network of a pilot on rows that come for ever."""

from __future__ import annotations

import json

from asrnn_jax.pilot.options import Options

CLASSES = '''\
"""CSV lines in on standard input, with the names of the columns first; a line of JSON out for each."""

import csv
import json
import pathlib
import sys

from asrnn_jax.estimators import StreamClassifier

model = StreamClassifier.load(pathlib.Path(__file__).with_name("model.safetensors"))
sessions = {}
for row in csv.DictReader(sys.stdin):
    name = row.get(STREAM, "")
    if name not in sessions:
        sessions[name] = model.session()
    found = sessions[name].push(row)
    for label, p in zip(found.labels.tolist(), found.probabilities.tolist()):
        print(json.dumps({"stream": name, "label": label, "p": [round(q, 6) for q in p]}), flush=True)
'''
NUMBERS = '''\
"""CSV lines in on standard input, with the names of the columns first; a line of JSON out for each."""

import csv
import json
import pathlib
import sys

import numpy as np

from asrnn_jax.estimators import StreamForecaster

model = StreamForecaster.load(pathlib.Path(__file__).with_name("model.safetensors"))
sessions = {}
for row in csv.DictReader(sys.stdin):
    name = row.get(STREAM, "")
    if name not in sessions:
        sessions[name] = model.session()
    found = sessions[name].push(row)
    for step in zip(*(np.asarray(values).tolist() for values in found)):
        print(json.dumps({"stream": name, **dict(zip(found._fields, step))}), flush=True)
'''


def script(options: Options) -> str:
    """The text of ``stream.py``."""
    return (NUMBERS if options.forecast else CLASSES).replace(
        "STREAM", json.dumps(options.stream or "stream", ensure_ascii=False)
    )
