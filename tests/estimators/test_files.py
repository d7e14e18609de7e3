"""Files as people write them are read as a person would expect, and what was done is said."""

import gzip
import json
import os
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from asrnn_jax.estimators import as_table, read_table, write_table
from asrnn_jax.estimators.findings import perhaps
from asrnn_jax.estimators.reading.times import parse

GERMAN = (
    "Gerät;Zeit;Wert;Drehrate;Tätigkeit\n"
    "a;2026-03-02 08:00:40,0;-0,5;1;\n"
    "a;2026-03-02 08:00:40,1;;2;Gehen\n"
    "b;2026-03-02 08:00:40,2;1,25;3;Laufen\n"
)
JAPANESE = "設備,時刻[s],加速度X,状態\n設備3,0.0,-0.5,低速\n設備3,0.1,,停止\n設備4,0.2,1.25,高速\n"


def written(tmp_path, text, encoding="utf-8", name="table.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return path


def found(table, kind):
    return [finding for finding in table.findings if finding.kind == kind]


def close_to(actual, expected):
    np.testing.assert_array_equal(np.asarray(actual, float), np.asarray(expected, float))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_german_spreadsheet(tmp_path, encoding):
    table = read_table(written(tmp_path, GERMAN, encoding))
    assert list(table) == ["Gerät", "Zeit", "Wert", "Drehrate", "Tätigkeit"]
    close_to(table["Wert"], [-0.5, np.nan, 1.25])
    assert table["Tätigkeit"].tolist() == [None, "Gehen", "Laufen"]
    assert table["Zeit"].tolist()[1] == "2026-03-02 08:00:40,1"
    close_to(as_table(table, time="Zeit").times, np.round(1772438440 + np.array([0, 0.1, 0.2]), 1))
    assert "semicolons, decimal comma" in found(table, "format")[0].text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp932", "utf-16"])
def test_japanese_names_and_labels(tmp_path, encoding):
    table = read_table(written(tmp_path, JAPANESE, encoding))
    assert list(table) == ["設備", "時刻[s]", "加速度X", "状態"]
    assert table["状態"].tolist() == ["低速", "停止", "高速"]
    close_to(table["加速度X"], [-0.5, np.nan, 1.25])


@pytest.mark.parametrize(
    "text", ["naïve;x\nà;1,5\né;2,5\n", "x;Größe\n1,5;groß\n2,5;übergroß\n", "Preis;€\n1,5;2\n1,7;3\n"]
)
def test_western_letters_are_not_taken_for_japanese(tmp_path, text):
    table = read_table(written(tmp_path, text, "cp1252"))
    assert [*table] == text.split("\n")[0].split(";")


def test_an_encoding_that_does_not_fit_is_an_error(tmp_path):
    path = written(tmp_path, GERMAN, "latin-1")
    with pytest.raises(ValueError, match="leave encoding out"):
        read_table(path, encoding="cp437x")


@pytest.mark.parametrize(
    ("delimiter", "decimal"), [(",", "."), (";", "."), (";", ","), ("\t", "."), ("\t", ","), ("|", "."), (" ", ".")]
)
def test_delimiters_and_decimal_marks(tmp_path, delimiter, decimal):
    rows = [("a", "b", "c"), ("1.5", "-2.25e3", "x"), ("3", "0.125", "y")]
    text = "\n".join(delimiter.join(row) for row in rows)
    table = read_table(written(tmp_path, text.replace(".", decimal)))
    close_to(table["a"], [1.5, 3])
    close_to(table["b"], [-2250, 0.125])
    assert table["c"].tolist() == ["x", "y"]


def test_a_single_column_of_decimal_commas(tmp_path):
    close_to(read_table(written(tmp_path, "Wert\n1,5\n2,5\n-3\n"))["Wert"], [1.5, 2.5, -3])


@pytest.mark.parametrize("missing", ["NA", "-", "null", "?", "", "NaN", "n/a", "NULL", "#N/A", " NA ", "none"])
def test_what_stands_for_a_missing_number(tmp_path, missing):
    table = read_table(written(tmp_path, f"t,x\n0,1\n1,{missing}\n2,3\n"))
    close_to(table["x"], [1, np.nan, 3])
    late = read_table(written(tmp_path, "t,x\n" + "0,1\n" * 400_000 + f"1,{missing}\n"))["x"]
    assert np.isnan(late[-1])
    assert late[-2] == 1
    assert len(late) == 400_001


def test_missing_labels_are_counted_by_how_they_are_written(tmp_path):
    table = read_table(written(tmp_path, "x,y\n1,a\n2,NA\n3,-\n4,NA\n5,\n6,none\n"))
    assert table["y"].tolist() == ["a", None, None, None, None, "none"]
    assert found(table, "missing_text")[0].count == 3


def test_infinities_and_huge_numbers_are_read(tmp_path):
    table = read_table(written(tmp_path, "x,y\ninf,1\n-inf,1e400\nInfinity,2\n1,3\n"))
    close_to(table["x"], [np.inf, -np.inf, np.inf, 1])
    close_to(table["y"], [1, np.inf, 2, 3])


def test_a_few_texts_among_numbers_are_missing_and_reported(tmp_path):
    table = read_table(
        written(tmp_path, "t,x\n" + "".join(f"{i},{i}.5\n" for i in range(40)) + "40,error\n41,overflow\n")
    )
    close_to(table["x"][:2], [0.5, 1.5])
    assert np.isnan(table["x"][-2:]).all()
    (finding,) = found(table, "not_understood")
    assert (finding.severity, finding.column, finding.count) == ("serious", "x", 2)
    assert "'error'" in finding.text


def test_rows_with_a_field_too_many_or_too_few(tmp_path):
    table = read_table(written(tmp_path, "a,b,c\n1,2,x\n1,2,y,9\n3\n4,5,z,,\n6,7\n"))
    close_to(table["a"], [1, 3, 4, 6])
    close_to(table["b"], [2, np.nan, 5, 7])
    assert table["c"].tolist() == ["x", None, "z", None]
    counts = {finding.kind: finding.count for finding in table.findings}
    assert (counts["long_rows"], counts["short_rows"], counts["empty_ends"]) == (1, 2, 1)
    assert "lines 3" in found(table, "long_rows")[0].text


def test_quotes_and_empty_lines(tmp_path):
    text = 'name,x\n"a, ""b""",1\n\n"two\nlines",2\n   \nplain,3\n'
    table = read_table(written(tmp_path, text))
    assert table["name"].tolist() == ['a, "b"', "two\nlines", "plain"]
    close_to(table["x"], [1, 2, 3])
    assert found(table, "empty_lines")[0].count == 2
    for end in ("\n", "\r\n", "\r"):
        table = read_table(written(tmp_path, f"a,b{end}1,2{end}{end}{end}3,4{end}{end}"))
        close_to(table["b"], [2, 4])
        assert found(table, "empty_lines")[0].count == 3
        assert not found(read_table(written(tmp_path, f"a,b{end}1,2{end}3,4")), "empty_lines")


def test_a_file_without_names_or_with_names_that_stand_twice(tmp_path):
    table = read_table(written(tmp_path, "0,1.5\n1,2.5\n"))
    assert list(table) == ["column 1", "column 2"]
    assert table.rows == 2
    assert found(table, "no_header")
    table = read_table(written(tmp_path, "x,x,\n0,1,2\n"))
    assert list(table) == ["x", "x (2)", "column 3"]
    assert found(table, "names")


def test_lines_before_the_table_and_row_names(tmp_path):
    table = read_table(written(tmp_path, "sep=;\n# logger 7\n\na;b\n1;2\n3;4\n"))
    close_to(table["b"], [2, 4])
    assert found(table, "preamble")[0].count == 3
    table = read_table(written(tmp_path, "a,b\n1,5,6\n2,7,8\n"))  # R writes row names without a header
    assert list(table) == ["column 1", "a", "b"]
    assert "column 1" not in as_table(table).channels
    assert as_table(table).findings[-1].kind == "row_number"


def test_numbers_that_are_names_stay_names(tmp_path):
    table = read_table(written(tmp_path, "id,x\n007,1\n007,2\n012,3\n"))
    assert table["id"].tolist() == ["007", "007", "012"]


def test_columns_whose_kind_shows_late(tmp_path):
    text = "x,y,z\n" + "1,,\n" * 400_000 + "1.5,walk,true\n2,run,false\n"
    table = read_table(written(tmp_path, text))
    close_to(table["x"][-2:], [1.5, 2])
    assert table["y"].tolist()[-3:] == [None, "walk", "run"]
    assert table["z"].tolist()[-3:] == [None, True, False]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-03-02 08:00:40", 1772438440),
        ("2026-03-02T08:00:40.125Z", 1772438440.125),
        ("2026-03-02T08:00:40+0100", 1772434840),
        ("2026-03-02 08:00:40,5 +05:30", 1772438440.5 - 19800),
        ("02.03.2026 08:00", 1772438400),
        ("2026/03/02", 1772409600),
        ("3/13/2026 8:00:40 PM", 1773432040),
        ("13/03/2026, 20:00:40", 1773432040),
        ("08:00:40.5", 28840.5),
        ("2026-02-30", np.nan),
        ("25:61", np.nan),
        ("tomorrow", np.nan),
    ],
)
def test_dates_and_times(text, seconds):
    close_to(parse([text])[0], [seconds])


@pytest.mark.parametrize(
    "texts",
    [
        ["2026-03-02 08:00:40.5", "2026-03-02 08:00:41.0"],
        ["2026-03-02T08:00:40+01:00", "2026-12-31T23:59:59+01:00"],
        ["02.03.2026 08:00:40,25", "31.12.2026 00:00:00,00"],
        ["12/31/2026", "01/02/2026"],
        ["08:00:40", "23:59:59"],
        ["08:00", "23:59"],
        ["02.03.2026 08:00", "31.12.2026 23:59"],
        ["2026-03-02 08:00Z", "2026-12-31 23:59Z"],
        ["1969-12-31 23:59:59.123456", "1970-01-01 00:00:00.000000"],
    ],
)
def test_times_are_written_as_they_came(texts):
    seconds, how, _ = parse(texts)
    assert how.write(seconds).tolist() == texts
    assert how.write(np.array([np.nan])).tolist() == [""]


def test_dates_that_do_not_say_which_number_is_the_month_are_doubtful(tmp_path):
    table = read_table(written(tmp_path, "when,x\n03/04/2026,1\n04/04/2026,2\n"))
    assert found(table, "dates")[0].severity == "serious"
    assert not found(read_table(written(tmp_path, "when,x\n03.04.2026,1\n04.04.2026,2\n")), "dates")


def test_times_of_several_zones_are_one_time_line(tmp_path):
    table = read_table(written(tmp_path, "t,x\n2026-03-02T08:00:00+01:00,1\n2026-03-02T08:00:00Z,2\n"))
    close_to(np.diff(as_table(table, time="t").times), [3600])
    assert found(table, "zones")


@pytest.mark.parametrize("end", [".csv", ".parquet", ".npz"])
def test_what_is_written_is_read_again(tmp_path, end):
    path = written(tmp_path, GERMAN, "latin-1")
    table = read_table(path)
    write_table(tmp_path / f"again{end}", table)
    again = read_table(tmp_path / f"again{end}")
    assert list(again) == list(table)
    for name in table:
        mine, theirs = table[name].tolist(), again[name].tolist()
        assert mine == theirs or np.array_equal(np.array(mine, float), np.array(theirs, float), equal_nan=True), name


def test_tables_of_dates_keep_their_zone_in_parquet(tmp_path):
    zoned = pa.array([0, 1_500_000, None], pa.timestamp("us", tz="Europe/Berlin"))
    pq.write_table(pa.table({"t": zoned, "x": [1.0, 2.0, 3.0]}), tmp_path / "a.parquet")
    write_table(tmp_path / "b.parquet", read_table(tmp_path / "a.parquet"))
    assert pq.read_table(tmp_path / "b.parquet").column("t").combine_chunks().equals(zoned)


def test_several_files_are_one_table(tmp_path):
    one = written(tmp_path, "s,x,y\na,1,\n", name="1.csv")
    two = written(tmp_path, "s,x,y\nb,NA,up\n", name="2.csv")
    table = read_table([one, two])
    assert table["s"].tolist() == ["a", "b"]
    close_to(table["x"], [1, np.nan])
    assert table["y"].tolist() == [None, "up"]
    assert len(found(table, "format")) == 2
    three = written(tmp_path, "s,z\nb,2\n", name="3.csv")
    with pytest.raises(ValueError, match="not the same columns: 'x', 'y', 'z'"):
        read_table([one, three])


TS = """# a comment
@problemName Toy
@timeStamps false
@univariate false
@dimensions 2
@equalLength false
@classLabel true up down
@data
1,2,3:4,5,?:up
7,8:9,10:down
"""


def test_series_of_unequal_lengths(tmp_path):
    table = read_table(written(tmp_path, TS, name="toy.ts"))
    assert table.roles == {"stream": "stream", "label": "label"}
    close_to(table["stream"], [0, 0, 0, 1, 1])
    close_to(table["dim_1"], [4, 5, np.nan, 9, 10])
    assert table["label"].tolist() == ["up", "up", "up", "down", "down"]
    both = read_table([tmp_path / "toy.ts"] * 2)
    assert as_table(both).stream.values == (0, 1, 2, 3)
    for old, new, said in (
        ("@data", "", "no line @data"),
        ("@timeStamps false", "@timeStamps true", "time stamps"),
        ("9,10:", "", "line 10 has 1 dimensions"),
        ("9,10:", "9:", "line 10 is no series"),
        ("9,10:", "9,x:", "line 10 is no series"),
    ):
        with pytest.raises(ValueError, match=said):
            read_table(written(tmp_path, TS.replace(old, new), name="bad.ts"))


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.csv", b"", "is empty"),
        ("a.csv", b"\n\n", "is empty"),
        ("a.csv", gzip.compress(b"a,b\n1,2\n" * 100, mtime=0), "is no text"),
        ("a.parquet", b"PAR1 not", "is no Parquet file"),
        ("a.npz", b"PK not", "is no .npz file"),
    ],
)
def test_what_is_no_table_ends_in_one_line(tmp_path, name, data, said):
    with pytest.raises(ValueError, match=said) as error:
        read_table(written(tmp_path, data, name=name))
    assert "\n" not in str(error.value)


def test_arrays_of_other_shapes_are_no_table(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.zeros(3), y=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="one axis and one length"):
        read_table(tmp_path / "a.npz")
    with pytest.raises(ValueError, match="different lengths"):
        write_table(tmp_path / "b.npz", {"x": [1, 2], "y": [1]})
    with pytest.raises(ValueError, match=r"as .csv, .parquet or .npz"):
        write_table(tmp_path / "b.xlsx", {"x": [1, 2]})
    with pytest.raises(ValueError, match="at least one file"):
        read_table([])


def test_a_header_alone_is_a_table_without_rows(tmp_path):
    table = read_table(written(tmp_path, "a,b\n"))
    assert (list(table), table.rows) == (["a", "b"], 0)


def test_unknown_names_are_answered_with_what_may_have_been_meant():
    assert perhaps("Activity ", ["stream", "activity"]).startswith("perhaps you meant 'activity'")
    assert perhaps("pressure", ["x"]) == "There are: 'x'."


WITHOUT = """
import sys
sys.modules.update(dict.fromkeys(["pyarrow", "narwhals", "pandas", "polars", "sklearn", "experiments"]))
import numpy as np
from asrnn_jax.estimators import Preparation, as_table, read_table, write_table
data = {"t": np.arange(50), "x": np.arange(50) % 7, "y": ["a", "b"] * 25, "when": ["2026-03-02 08:00"] * 50}
write_table("t.npz", data)
assert read_table("t.npz")["x"].tolist() == data["x"].tolist()
print(Preparation().fit(as_table(data, label="y", time="t")).classes)
try:
    read_table("t.csv")
except ImportError as error:
    print(error)
"""


def test_arrays_need_no_extra_and_files_say_which(tmp_path):
    (tmp_path / "t.csv").write_text("a\n1\n")
    done = subprocess.run([sys.executable, "-c", WITHOUT], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "('a', 'b')",
        "reading this file needs the extra: pip install asrnn_jax[data].",
    ]


MILLION = """
import json, resource, sys, time
import numpy as np, pyarrow.csv, narwhals, jax
from asrnn_jax.estimators import Preparation, as_table, read_table
kib = 1024
before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
table = as_table(read_table(sys.argv[1]), label="label", stream="stream", time="seconds")
preparation = Preparation().fit(table)
series = preparation.apply(table)
seconds = time.process_time() - start  # of all cores: others may be at work on them
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
size = sum(c.nbytes for c in table.channels.values()) + table.times.nbytes + 8 * table.rows
print(json.dumps({"seconds": seconds, "ratio": peak * kib / size, "rows": sum(len(s.xs) for s in series)}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("dates", [False, True])
def test_a_million_rows_in_ten_seconds_and_four_times_their_size(tmp_path, dates):
    n, rng = 1_000_000, np.random.default_rng(0)
    data = {"stream": np.array([f"m{i}" for i in range(10)])[np.arange(n) // 100_000]}
    data["seconds"] = np.round(np.arange(n) % 100_000 * 0.1, 1)
    if dates:
        when = np.datetime64("2026-03-02T08:00", "ms") + np.arange(n) * 100
        data["seconds"] = np.char.replace(np.datetime_as_string(when), "T", " ")
    data |= {f"x{i}": np.round(rng.standard_normal(n), 6) for i in range(10)}
    data["label"] = np.array(["", "a", "b"])[np.arange(n) // 50 % 3]
    write_table(tmp_path / "big.csv", data)
    command = [sys.executable, "-c", MILLION, str(tmp_path / "big.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["rows"] == n
    assert said["ratio"] < 4
    assert said["seconds"] < 10
