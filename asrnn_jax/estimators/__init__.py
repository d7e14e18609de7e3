"""Recurrent networks on a user's own tables of measurements, in the conventions of scikit-learn, run without resets.

## Fit, ask, run for ever

    >>> import numpy as np
    >>> from asrnn_jax import estimators
    >>> t = np.arange(600)
    >>> slow = t % 60 < 30
    >>> data = {"t": t, "x": np.sin(t * np.where(slow, 0.3, 1.5)), "state": np.where(slow, "slow", "fast")}
    >>> model = estimators.StreamClassifier(cell="gru", hidden=8, steps=50, window=40, batch=8, rate=0.03)
    >>> model = model.fit(data, label="state", time="t")
    >>> model.score(data) > 0.7
    True
    >>> session = model.session()
    >>> session.push({"t": [600, 601], "x": [0.0, 1.0]}).probabilities.shape
    (2, 2)

With its defaults (asRNN of 64 units, 800 steps, 5 minutes at most) `StreamClassifier` looks for the rate itself, ends
when held-out streams are not answered better any more, and then learns from all. Steps without a label mean "nothing
happens here", and the network learns to say so; if they only were not labelled, say ``unlabelled="unknown"``.
`StreamForecaster` forecasts numbers with intervals, and its `anomaly` marks what was surprising. Both have `save`,
`load`, `partial_fit`, `evaluate`, `history`, and ``preparation.findings``: what was found in the data.

## The lowest layer: tables

    >>> data["state"] = np.where(t % 20 < 10, "a", None)
    >>> table = estimators.as_table(data, label="state", time="t")
    >>> preparation = estimators.Preparation().fit(table)
    >>> (series,) = preparation.apply(table)
    >>> series.xs.shape, series.labels[:12].tolist()
    ((600, 1), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1])

Files and tables of pandas, polars or pyarrow need the extra: ``pip install asrnn_jax[data]``. Arrays and mappings from
names to arrays do not.

- `StreamClassifier`, `StreamForecaster`, and the `LiveSession` of both, which gives `Answers` or `Forecasts`.
- `read_table`, `write_table`: CSV as people write it, Parquet, NPZ, .ts; what was found is in `Columns.findings`.
- `as_table`: any data as a `Table`, columns with roles.
- `Preparation`: fitted on a table, makes a `Series` of each stream, and `Live` of rows that come for ever.
- `Finding`: one thing that was found, and what was done about it; `summary` makes lines of them.
"""

from asrnn_jax.estimators.answering.class_answers import Answers
from asrnn_jax.estimators.answering.number_answers import Forecasts
from asrnn_jax.estimators.classifier import StreamClassifier
from asrnn_jax.estimators.findings import Finding, summary
from asrnn_jax.estimators.forecaster import StreamForecaster
from asrnn_jax.estimators.live_session import LiveSession
from asrnn_jax.estimators.preparing.live import Live
from asrnn_jax.estimators.preparing.preparation import Preparation
from asrnn_jax.estimators.preparing.series import Series
from asrnn_jax.estimators.reading.columns import Columns
from asrnn_jax.estimators.reading.files import read_table, write_table
from asrnn_jax.estimators.reading.tables import Table, as_table

__all__ = ["StreamClassifier", "StreamForecaster"]
__all__ += ["Answers", "Forecasts", "Live", "LiveSession"]
__all__ += ["Columns", "Finding", "Preparation", "Series", "Table", "as_table", "read_table", "summary", "write_table"]
