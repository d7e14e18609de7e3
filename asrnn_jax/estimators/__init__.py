"""Recurrent networks on a user's own tables of measurements, in the conventions of scikit-learn, run without resets.

This is the lowest layer: reading tables and preparing them.

    >>> import numpy as np
    >>> from asrnn_jax import estimators
    >>> t = np.arange(60)
    >>> data = {"t": t, "x": np.sin(t), "state": np.where(t % 20 < 10, "a", None)}
    >>> table = estimators.as_table(data, label="state", time="t")
    >>> preparation = estimators.Preparation().fit(table)
    >>> (series,) = preparation.apply(table)
    >>> series.xs.shape, series.labels[:12].tolist()
    ((60, 1), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1, -1])

Files and tables of pandas, polars or pyarrow need the extra: ``pip install asrnn_jax[data]``. Arrays and mappings from
names to arrays do not.

- `read_table`, `write_table`: CSV as people write it, Parquet, NPZ, .ts; what was found is in `Columns.findings`.
- `as_table`: any data as a `Table`, columns with roles.
- `Preparation`: fitted on a table, makes a `Series` of each stream, and `Live` of rows that come for ever.
- `Finding`: one thing that was found, and what was done about it; `summary` makes lines of them.
"""

from asrnn_jax.estimators.class_answers import Answers
from asrnn_jax.estimators.classifier import StreamClassifier
from asrnn_jax.estimators.columns import Columns
from asrnn_jax.estimators.files import read_table, write_table
from asrnn_jax.estimators.findings import Finding, summary
from asrnn_jax.estimators.forecaster import StreamForecaster
from asrnn_jax.estimators.live import Live
from asrnn_jax.estimators.live_session import LiveSession
from asrnn_jax.estimators.number_answers import Forecasts
from asrnn_jax.estimators.preparation import Preparation
from asrnn_jax.estimators.series import Series
from asrnn_jax.estimators.tables import Table, as_table

__all__ = [
    "Answers",
    "Columns",
    "Finding",
    "Forecasts",
    "Live",
    "LiveSession",
    "Preparation",
    "Series",
    "StreamClassifier",
    "StreamForecaster",
    "Table",
    "as_table",
    "read_table",
    "summary",
    "write_table",
]
