"""The script that runs the network of a pilot on rows that come for ever."""

from __future__ import annotations

import json

from asrnn_jax.pilot.options import Options

SCRIPT = '''\
"""CSV lines in on standard input, with the names of the columns first; a line of JSON out for each."""

import csv
import json
import pathlib
import sys

from asrnn_jax.estimators import KIND

model = KIND.load(pathlib.Path(__file__).with_name("model.safetensors"))
header, sessions = sys.stdin.readline().lstrip("\\ufeff"), {}
mark = max(",;\\t|", key=header.count)
for row in csv.DictReader(sys.stdin, next(csv.reader([header], delimiter=mark)), delimiter=mark):
    name = row.get(STREAM, "")
    if name not in sessions:
        sessions[name] = model.session()
    found = sessions[name].push(row)
    for step in zip(*(values.tolist() for values in found)):
        said = {field: None if value != value else value for field, value in zip(found._fields, step)}
        print(json.dumps({"stream": name, **said}), flush=True)
'''


def script(options: Options) -> str:
    """The text of ``stream.py``."""
    kind = "StreamForecaster" if options.forecast else "StreamClassifier"
    return SCRIPT.replace("KIND", kind).replace("STREAM", json.dumps(options.stream or "stream", ensure_ascii=False))
