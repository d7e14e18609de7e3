"""The same bits whatever data came as; roles by name; messages that say what to do."""

import datetime

import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrnn_jax.estimators import Preparation, as_table, read_table, write_table
from asrnn_jax.estimators.reading import arrow_text
from asrnn_jax.estimators.reading.columns import Moments, column

N = 60
X = np.random.default_rng(0).standard_normal(N)
WHEN = [datetime.datetime(2026, 3, 2, 8) + datetime.timedelta(milliseconds=100 * i) for i in range(N)]
DATA = {
    "machine": ["m1"] * 30 + ["m2"] * 30,
    "when": WHEN,
    "x": [None if i % 7 == 3 else float(v) for i, v in enumerate(X)],
    "count": [i % 5 for i in range(N)],
    "flag": [i % 2 == 0 for i in range(N)],
    "sparse": [None if i % 3 else i for i in range(N)],
    "maybe": [None if i % 4 == 0 else i % 8 < 4 for i in range(N)],
    "note": [None if i % 9 else "ok" for i in range(N)],
    "state": [["up", "down", None][i // 10 % 3] for i in range(N)],
}
ROLES = {"label": "state", "stream": "machine", "time": "when"}


def of_numpy():
    arrays = {name: np.array(values, object) for name, values in DATA.items()}
    return arrays | {"count": np.array(DATA["count"]), "when": np.array(WHEN, "datetime64[ms]")}


def of_pandas():
    frame = pd.DataFrame(DATA)
    return frame.astype({"machine": "category", "sparse": "Int64", "maybe": "boolean"}).set_index(np.arange(N)[::-1])


def of_file(end):
    def made(tmp_path):
        write_table(tmp_path / f"t{end}", DATA)
        return tmp_path / f"t{end}"

    return made


SOURCES = {
    "lists": lambda _: DATA,
    "numpy": lambda _: of_numpy(),
    "pandas": lambda _: of_pandas(),
    "pandas objects": lambda _: pd.DataFrame(DATA).astype(object),
    "polars": lambda _: pl.DataFrame(DATA),
    "polars categories": lambda _: pl.DataFrame(DATA).with_columns(pl.col("state").cast(pl.Categorical)),
    "polars chunks": lambda _: pl.concat([pl.DataFrame(DATA)[:17], pl.DataFrame(DATA)[17:]], rechunk=False),
    "pyarrow": lambda _: pa.table(DATA),
    "pyarrow dictionaries": lambda _: pa.table(DATA).set_column(
        0, "machine", pa.array(DATA["machine"]).dictionary_encode()
    ),
    "pyarrow chunks": lambda _: pa.concat_tables([pa.table(DATA)[:17], pa.table(DATA)[17:]]),
    "csv": of_file(".csv"),
    "parquet": of_file(".parquet"),
    "npz": of_file(".npz"),
}


def bits(table):
    prepared = Preparation(irregular="channel").fit(table)
    streams = [
        (s.xs.tobytes(), s.labels.tobytes(), s.valid.tobytes(), s.times.tobytes()) for s in prepared.apply(table)
    ]
    columns = {name: (values.dtype, values.tobytes()) for name, values in table.channels.items()}
    words = [(w.values, w.codes.tobytes(), w.codes.dtype) for w in (table.stream, table.labels)]
    return columns, words, table.times.tobytes(), streams, prepared.classes


@pytest.mark.parametrize("source", SOURCES)
def test_the_same_bits_whatever_it_came_as(source, tmp_path):
    table = as_table(SOURCES[source](tmp_path), **ROLES)
    assert bits(table) == bits(as_table(DATA, **ROLES))
    assert list(table.channels) == ["x", "count", "flag", "sparse", "maybe"]
    assert [f.column for f in table.findings if f.kind == "left_out"] == ["note"]


@given(
    st.lists(st.one_of(st.none(), st.floats(width=64, allow_nan=False), st.just(float("nan"))), min_size=1, max_size=20)
)
@settings(max_examples=40, deadline=None)
def test_any_number_is_the_same_from_every_library(values):
    expected = as_table({"x": values}).channels["x"].tobytes()
    for frame in (
        pd.DataFrame({"x": pd.Series(values, dtype=float)}),
        pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)}),
    ):
        assert as_table(frame).channels["x"].tobytes() == expected
    assert as_table(pa.table({"x": pa.array(values, pa.float64())})).channels["x"].tobytes() == expected


@pytest.mark.parametrize(
    ("values", "classes"),
    [
        ([1, 2, None, 1], (1, 2)),
        ([1.0, 2.0, float("nan"), 1.0], (1, 2)),
        ([0.5, 2.0, None, 1.0], (0.5, 1, 2)),
        ([True, False, None, True], (False, True)),
        (["b", "a", "", "b"], ("a", "b")),
        ([b"b".decode(), 3, None, "b"], ("3", "b")),
    ],
)
def test_labels_of_any_type_are_classes(values, classes):
    table = as_table({"x": [1.0, 2, 3, 4], "y": values}, label="y")
    assert table.labels.values == classes
    assert table.labels.codes[2] == -1 or None not in values
    assert [type(v) for v in table.labels.values] == [type(v) for v in classes]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_of_any_unit_are_the_same_seconds(unit):
    when = np.array(["2026-03-02T08:00:40", "2026-03-02T08:00:41"], "datetime64[s]") + np.timedelta64(100, "ms") * (
        unit != "s"
    )
    for data in (
        {"t": when.astype(f"M8[{unit}]"), "x": [1, 2]},
        pd.DataFrame({"t": when.astype(f"M8[{unit}]"), "x": [1, 2]}),
    ):
        seconds = as_table(data, time="t").times
        assert seconds.tolist() == [1772438440 + 0.1 * (unit != "s"), 1772438441 + 0.1 * (unit != "s")]


def test_zones_are_taken_into_account_and_durations_are_seconds():
    frame = pd.DataFrame(
        {"t": pd.to_datetime(["2026-07-02 08:00", "2026-07-02 09:00"]).tz_localize("Europe/Berlin"), "x": [1, 2]}
    )
    table = as_table(frame, time="t")
    assert table.times[0] == 1782972000
    assert table.how.zone == "Europe/Berlin"
    assert as_table(pl.from_pandas(frame), time="t").times.tolist() == table.times.tolist()
    waits = {"t": np.array([0, 1500], "timedelta64[ms]"), "x": [1, 2]}
    assert as_table(waits, time="t").times.tolist() == [0, 1.5]
    assert as_table(pd.DataFrame(waits), time="t").times.tolist() == [0, 1.5]
    aware = [datetime.datetime(2026, 7, 2, 8, tzinfo=datetime.timezone(datetime.timedelta(hours=2)))] * 2
    assert as_table({"t": aware, "x": [1, 2]}, time="t").times.tolist() == [1782972000] * 2


def test_series_are_tables():
    xs = np.random.default_rng(1).standard_normal((4, 5, 2))
    table = as_table(xs, label=["a", "b", "a", "b"])
    assert table.rows == 20
    assert list(table.channels) == ["x0", "x1"]
    assert np.array_equal(table.channels["x1"], xs[..., 1].ravel())
    assert table.labels.codes.tolist() == [0] * 5 + [1] * 5 + [0] * 5 + [1] * 5
    assert bits_of_series(as_table(jnp.asarray(xs), label=np.array(["a", "b", "a", "b"]))) == bits_of_series(table)
    assert bits_of_series(as_table(list(xs), label=["a", "b", "a", "b"])) == bits_of_series(table)
    assert as_table(xs[0]).stream.values == (0,)


def bits_of_series(table):
    return [values.tobytes() for values in table.channels.values()], table.labels.codes.tolist(), table.labels.values


def test_series_of_unequal_lengths_with_labels_and_times_of_steps():
    series = [np.ones((3, 1)), np.zeros((2, 1))]
    table = as_table(series, label=[[0, 1, 1], [1, 0]], time=[[0, 1, 2], [5, 6]], stream=["p", "q"], channels=["volt"])
    assert table.labels.codes.tolist() == [0, 1, 1, 1, 0]
    assert table.times.tolist() == [0, 1, 2, 5, 6]
    assert table.stream.values == ("p", "q")
    assert list(table.channels) == ["volt"]


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        (DATA, {"label": "State"}, "label='State': no such column; perhaps you meant 'state'. There are: 'machine'"),
        (DATA, {"stream": "device"}, "stream='device': no such column; There are"),
        (DATA, {"channels": ["X"]}, "channels: no column 'X'; perhaps you meant 'x'"),
        (DATA, {"channels": ["note"]}, "channels: column 'note' is not of numbers"),
        (DATA, {"targets": "cuont"}, "targets: no column 'cuont'; perhaps you meant 'count'"),
        (DATA, {"time": "state"}, "time='state': its values are no times, such as 'up'"),
        ({"x": [1, 2], "y": [1]}, {}, "columns have different lengths: {'x': 2, 'y': 1}"),
        ({"x": ["a", "b"]}, {}, "no column of numbers is left for channels; there are: 'x'"),
        ({"x": [1, 2], "t": [None, None]}, {"time": "t"}, "time='t': no row has a time"),
        ({"x": np.zeros((2, 2))}, {}, r"column 'x' has shape \(2, 2\)"),
        ({"x": np.zeros(2, complex)}, {}, "column 'x' is of type complex128"),
        (np.zeros((2, 3, 1)), {"label": "y"}, "label='y': of series, give label as a list"),
        (np.zeros((2, 3, 1)), {"label": [1]}, "label: 1 entry for 2 series"),
        (np.zeros((2, 3, 1)), {"label": [[1, 2], [1, 2, 3]]}, r"label of series 0: shape \(2,\) for 3 steps"),
        (np.zeros((2, 3, 1)), {"time": [1, 2]}, "an array of times for each"),
        (np.zeros((2, 3, 1)), {"channels": ["a", "b"]}, "the series have 1 channels"),
        ([np.zeros((3, 1)), np.zeros((3, 2))], {}, "with one C for all"),
        ([], {}, "give each as"),
    ],
)
def test_what_cannot_be_a_table_is_said_in_one_line(data, options, said):
    with pytest.raises(ValueError, match=said) as error:
        as_table(data, **options)
    assert "\n" not in str(error.value)


def test_data_of_other_types():
    with pytest.raises(TypeError, match=r"call \.collect"):
        as_table(pl.DataFrame({"x": [1]}).lazy())
    with pytest.raises(TypeError, match="data of type int"):
        as_table(3)
    nested = pa.table({"lists": [[1], [2]], "records": [{"a": 1}, None], "x": [1, 2]})
    for data in (nested, pl.from_arrow(nested)):
        table = as_table(data)
        assert list(table.channels) == ["x"]
        assert [f.column for f in table.findings if f.kind == "left_out"] == ["lists", "records"]


def test_a_table_is_taken_as_it_is_and_paths_are_read(tmp_path):
    write_table(tmp_path / "a.csv", DATA)
    table = as_table([tmp_path / "a.csv", tmp_path / "a.csv"], **ROLES)
    assert table.rows == 2 * N
    assert as_table(table) is table
    assert as_table(read_table(tmp_path / "a.csv"), **ROLES).rows == N


def test_row_numbers_are_no_channel(tmp_path):
    pd.DataFrame({"x": X}).to_csv(tmp_path / "a.csv")  # with pandas' index, as many people do
    table = as_table(tmp_path / "a.csv")
    assert list(table.channels) == ["x"]
    assert table.findings[-1].kind == "row_number"


def test_targets_are_channels_too_and_need_not_be_there_later():
    table = as_table(DATA, targets=["x"], channels=["count", "x"])
    assert np.array_equal(table.targets["x"], table.channels["x"], equal_nan=True)
    later = as_table({"count": [1, 2]}, targets="x", channels=["count"], label="state", partial=True)
    assert np.isnan(later.targets["x"]).all()
    assert later.labels is None


@pytest.mark.parametrize(
    "texts",
    [
        ["2026-03-02 08:00:40.5", "2026-03-02 08:00:41", None, "NA", " 2026-03-02 08:00:42.25 "],
        ["2026-03-02T08:00:40Z", "2026-03-02T08:00:41Z", "-"],
        ["2026-03-02 08:00:40,5+01:00", "2026-03-02 08:00:41,5+01:00"],
        ["2026-03-02T08:00+01:00", "2026-03-02T08:00+02:00"],
        ["02.03.2026 08:00:40,125", "31.12.2026 08:00:40,000"],
        ["03.31.2026 08:00", "04.01.2026 08:00"],
        ["2026-03-02", "2026-03-03"],
        ["2026-03-02 08:00:40", *["2026-03-02 08:00:41"] * 20, "soon"],
        ["2026/03/02 08:00", "2026/03/02 08:01"],
        ["2026-03-02 08:00:40.123456789", "2026-03-02 08:00:41.000000001"],
        ["08:00:40", "08:00:41"],
        ["1", "2.5", "-3e-7", "+4", ".5", "6.", "NA", " 7 ", "?", "1e400"],
        ["1,5", "2", "-3,25"],
        ["1.234,5", "2,5"],
        ["1,234.5", "3.5"],
        ["007", "008"],
        ["0", "00", "1"],
        ["1", "2", "inf", "-inf"],
        [*map(str, range(50)), "error", "none", "error"],
        [*map(str, range(5)), "error"],
        ["a", "b", "NA"],
        ["", "NA"],
        [],
    ],
)
def test_long_columns_of_text_are_read_as_short_ones(texts, monkeypatch):
    monkeypatch.setattr(arrow_text, "MANY", -1)  # as if all columns were long
    monkeypatch.setattr(arrow_text, "ROWS", 4)
    monkeypatch.setattr(arrow_text, "_quick", spied := Spy(arrow_text._quick))
    quick, said = arrow_text.of_strings(
        "x", pa.chunked_array([pa.array(texts[:1], pa.string()), texts[1:]], pa.string())
    )
    assert spied.called
    assert spied.made or not QUICK & {*texts}
    expected, also_said = column("x", np.array(texts, object))
    assert type(quick) is type(expected)
    assert said == also_said
    if isinstance(quick, Moments):
        assert quick.seconds.tobytes() == expected.seconds.tobytes()
        assert quick.how == expected.how
    elif isinstance(quick, np.ndarray):
        assert quick.tobytes() == expected.tobytes()
    else:
        assert (quick.values, quick.codes.tolist()) == (expected.values, expected.codes.tolist())


QUICK = {
    "2026-03-02 08:00:40.5",
    "2026-03-02T08:00:40Z",
    "2026-03-02 08:00:40,5+01:00",
    "2.5",
    "1,5",
    "49",
    "31.12.2026 08:00:40,000",
}
"""What is in columns that need no Python objects."""


class Spy:
    def __init__(self, function):
        self.function, self.called, self.made = function, False, None

    def __call__(self, *args):
        self.called = True
        self.made = self.function(*args)
        return self.made
