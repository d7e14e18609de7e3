"""The data of a pilot: read, checked, split, and what was found in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from asrnn_jax.estimators import Finding, Preparation, Table, as_table
from asrnn_jax.estimators.findings import counted
from asrnn_jax.estimators.preparing import order
from asrnn_jax.pilot.networks import estimator
from asrnn_jax.pilot.options import Options
from asrnn_jax.pilot.splits import Split, split, take

MOST_TESTED = 100_000
"""Rows that are tested on."""


class Data(NamedTuple):
    """What a pilot works on."""

    split: Split
    findings: tuple[Finding, ...]
    """Of the training data, then of the test data."""
    about: dict[str, Any]


def read(options: Options) -> Data:
    """Reads files, checks that something can be learned, and splits.

    Raises:
      ValueError: files or columns that cannot be used, labels that cannot be learned from; what helps is in it.
      OSError: a file that cannot be read.
    """
    table = _table(options.data, options.roles(), "--data")
    whole = _preparation(options).fit(table)
    if not options.forecast:
        _learnable(whole)
    if options.test:
        test = _table(options.test, {**options.roles(), "channels": list(table.channels)}, "--test")
        if not options.forecast and (test.labels is None or not (test.labels.codes >= 0).any()):
            raise ValueError(f"--test {' '.join(options.test)}: no row has a label in column {options.label!r}.")
        text = f"As given: {counted(table.rows, 'row')} train, {counted(test.rows, 'row')} in the files of --test."
        found = Split(table, test, "files", text)
    else:
        found = split(table, seed=options.seed)
        check = _preparation(options).fit(found.train)
        if not options.forecast:
            _trainable(check, whole, options)
    test, cut = _first(found.test)
    fitted = _preparation(options).fit(found.train)
    tested = [f for f in fitted.prepare(test)[1] if f not in table.findings]
    if options.test:
        tested = [f._replace(text=f"In the test data: {f.text}") for f in tested]
    else:
        tested = [f for f in tested if f.kind == "new_classes"]
    findings = (*whole.findings, *tested, *cut)
    about = {
        "files": [Path(one).name for one in options.data],
        "test_files": [Path(one).name for one in options.test],
        "rows": table.rows,
        "train_rows": found.train.rows,
        "test_rows": test.rows,
        "streams": len(table.stream.values),
        "test_streams": len(np.unique(test.stream.codes[test.stream.codes >= 0])),
        "channels": list(whole.fitted.roles["channels"]),
        "channels_used": len(whole.fitted.roles["channels"]),
        "labelled": 0 if table.labels is None else int((table.labels.codes >= 0).sum()),
        "classes": [str(name) for name in whole.classes],
        "class_rows": list(whole.fitted.classes.rows),
        "class_events": list(whole.fitted.classes.events),
        "has_times": table.times is not None,
        "step_seconds": whole.fitted.rule.step if table.times is not None else 1.0,
        "split": found.how,
        "split_text": found.text,
        "findings": {kind: sum(f.severity == kind for f in findings) for kind in ("serious", "repair", "info")},
    }
    return Data(found._replace(test=test), findings, about)


def _table(paths: tuple[str, ...], roles: dict[str, Any], flag: str) -> Table:
    missing = [path for path in paths if not Path(path).is_file()]
    if missing:
        raise ValueError(f"{flag} {missing[0]}: no such file.")
    table = as_table(list(paths), **roles)
    if not table.rows:
        raise ValueError(f"{flag} {' '.join(paths)}: no row below the names of the columns; nothing can be learned.")
    return table


def _preparation(options: Options) -> Preparation:
    """As the estimators prepare."""
    return Preparation(irregular=options.irregular, limit=estimator(options)().limit)


def _learnable(whole: Preparation) -> None:
    try:
        whole.check_labels()
    except ValueError as e:
        text = str(e).replace("use a StreamForecaster", "forecast with --target COLUMN instead of --label")
        raise ValueError(text.replace("with a StreamForecaster", "with --target COLUMN instead of --label")) from e


def _trainable(train: Preparation, whole: Preparation, options: Options) -> None:
    try:
        train.check_labels()
    except ValueError as e:
        raise ValueError(
            f"--label {options.label}: after a quarter of the data is kept for the test, too few events are left to "
            f"learn from ({', '.join(f'{n!r}: {c}' for n, c in zip(whole.classes, whole.fitted.classes.events))}): "
            "record more, or give files to test on with --test."
        ) from e


def _first(table: Table) -> tuple[Table, list[Finding]]:
    """The first part of each stream of a test table that is too large to run everything on."""
    if table.rows <= MOST_TESTED:
        return table, []
    keep = np.zeros(table.rows, bool)
    share = MOST_TESTED / table.rows
    for _, here in order.streams(table)[0]:  # rows in the order of time
        keep[here[: max(1, int(len(here) * share))]] = True
    text = f"Of {counted(table.rows, 'test row')} the first {share:.1%} of each stream is tested on."
    found = Finding("test_cut", "info", None, int((~keep).sum()), text)
    return take(table, np.flatnonzero(keep)), [found]
