"""Files in the .ts format of the UEA and UCR archives, aeon and sktime: one series a line, with a label at its end."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from asrnn_jax.estimators.findings import Finding, counted
from asrnn_jax.estimators.reading import encodings
from asrnn_jax.estimators.reading.columns import Column, of_text


def read(path: Path, encoding: str | None = None) -> tuple[dict[str, Column], list[Finding], dict[str, str]]:
    """The series one below the other: columns stream (their numbers from 0), dim_0, dim_1, ... and label.

    Returns:
      Columns, findings, and which columns are stream and label.

    Raises:
      ValueError: no such file, one with time stamps, or a line with another number of dimensions.
    """
    with path.open("rb") as file:
        encoding = encoding or encodings.find(file)
    lines = path.read_text(encoding).splitlines()
    header = {}
    at = 0
    for at, line in enumerate(lines):  # noqa: B007
        words = line.strip().split()
        if words and words[0].lower() == "@data":
            break
        if words and words[0].startswith("@"):
            header[words[0].lower()] = words[1:]
    else:
        raise ValueError(f"{path} has no line @data: it is no .ts file.")
    if header.get("@timestamps", ["false"])[0].lower() == "true":
        raise ValueError(f"{path} has time stamps in its series: write it as CSV with a column of times.")
    labelled = any(header.get(name, ["false"])[0].lower() == "true" for name in ("@classlabel", "@targetlabel"))
    cases = [(n + 1, line.strip()) for n, line in enumerate(lines[at + 1 :], at + 1) if line.strip()]
    series, labels = [], []
    for number, line in cases:
        parts = line.split(":")
        if labelled:
            labels.append(parts.pop().strip())
        series.append(_series(parts, f"{path}, line {number}"))
        if series[-1].shape[1] != series[0].shape[1]:
            raise ValueError(f"{path}, line {number} has {len(parts)} dimensions, the first {series[0].shape[1]}.")
    text = f"{path.name}: {counted(len(series), 'series', 'series')} with {counted(len(set(labels)), 'label')}."
    findings = [Finding("format", "info", None, len(series), text)]
    return *_columns(series, labels, findings), {"stream": "stream"} | ({"label": "label"} if labelled else {})


def _series(parts: list[str], where: str) -> np.ndarray:
    try:
        columns = [np.array(part.replace("?", "nan").split(","), np.float64) for part in parts]
        return np.stack(columns, axis=1)
    except ValueError as e:
        raise ValueError(
            f"{where} is no series: numbers between commas, dimensions of one length between colons."
        ) from e


def _columns(
    series: list[np.ndarray], labels: list[str], findings: list[Finding]
) -> tuple[dict[str, Column], list[Finding]]:
    lengths = [len(one) for one in series]
    found: dict[str, Column] = {"stream": np.repeat(np.arange(len(series)), lengths)}
    whole = np.concatenate(series) if series else np.zeros((0, 0))
    found |= {f"dim_{i}": np.ascontiguousarray(whole[:, i]) for i in range(whole.shape[1])}
    if labels:
        distinct = sorted(set(labels))
        codes = np.repeat(np.array([distinct.index(label) for label in labels], np.int32), lengths)
        found["label"], more = of_text("label", codes, distinct)
        findings = findings + more
    return found, findings
