# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Your own data
#
# You have measurements of something that never stops, and a table that says for some of them what was going on. Is a
# recurrent network that is never reset worth it? One command answers on one page:
#
#     python -m asrnn_jax pilot --data pump.csv --label state --stream pump --time time
#
# Here is what it does, on data that this notebook makes: six pumps with two sensors, in three states, with pauses that
# nobody labelled. As real files do, this one has its faults: semicolons, decimal commas, a row twice, missing values.

# %%
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from asrnn_jax.estimators import StreamClassifier, read_table
from asrnn_jax.pilot import Options, pilot

plt.rcParams["figure.dpi"] = 80
folder = Path(tempfile.mkdtemp())
rng = np.random.default_rng(0)
periods = {"idle": 25.0, "normal": 9.0, "worn": 6.0}

lines = ["pump;time;pressure;current;state"]
for pump in "ABCDEF":
    t = 0
    for _ in range(12):
        state = rng.choice(list(periods))
        for step in range(80):
            running = step < 60
            wave = np.sin(2 * np.pi * t / periods[state]) if running else 0.0
            pressure = f"{wave + rng.normal(scale=0.3):.3f}" if rng.uniform() > 0.01 else "NA"
            current = f"{abs(wave) + rng.normal(scale=0.3):.3f}"
            line = f"pump {pump};{t};{pressure};{current};{state if running else ''}"
            lines += [line.replace(".", ",")] * (2 if rng.uniform() < 0.002 else 1)
            t += 1
(folder / "pump.csv").write_text("\n".join(lines) + "\n", encoding="latin-1")
print("\n".join(lines[:4]))

# %% [markdown]
# ## Reading
#
# Encoding, delimiter and decimal mark are found. What was found, and later what was repaired, is said.

# %%
table = read_table(folder / "pump.csv")
for finding in table.findings:
    print(finding.severity, "-", finding.text)

# %% [markdown]
# ## The pilot
#
# The same from Python, with one cell and well below a minute for it. By default it compares asRNN, GRU and LRU in ten
# minutes. Whole pumps are kept for the test.

# %%
options = Options(
    data=(str(folder / "pump.csv"),),
    label="state",
    stream="pump",
    time="time",
    out=str(folder / "pilot"),
    cells=("gru",),
    hidden=32,
    minutes=0.7,
)
result = pilot(options)
print(result["data"]["split_text"])
for finding in result["findings"]:
    print(finding["severity"], "-", finding["text"])

# %%
for name, method in result["methods"].items():
    accuracy, modes = method["accuracy"], method.get("modes", {})
    resets = f", with a reset at each event {modes['oracle']['accuracy']:.3f}" if modes else ""
    print(f"{name:9} {accuracy['value']:.3f} ({accuracy['low']:.3f} to {accuracy['high']:.3f}){resets}")
print(result["answer"]["verdict"], result["answer"]["difference"])

figure, ax = plt.subplots(figsize=(6, 2), layout="constrained")
scores = [method["accuracy"] for method in result["methods"].values()]
spread = np.array([[s["value"] - s["low"], s["high"] - s["value"]] for s in scores]).T
ax.barh(list(result["methods"]), [s["value"] for s in scores], xerr=spread, height=0.6)
_ = ax.set(xlim=(0, 1), xlabel="accuracy of labelled steps, never reset")

# %% [markdown]
# The page, `report.html`, begins with this answer. Then come the repairs, events and false alarms, what happens in
# silence, noise and missing data, the stability of the network, what each channel contributes, and its monitors. A part
# of it:

# %%
stretch = result["stretch"]
steps = stretch["start"] + np.arange(len(stretch["labels"]))
figure, ax = plt.subplots(figsize=(8, 2.8), layout="constrained")
for name, row in zip(result["data"]["classes"], stretch["probabilities"]):
    ax.plot(steps, row, label=name)
ax.fill_between(steps, 0, 1, where=np.array(stretch["labels"]) < 0, color="0.9", label="pause")
ax.set(xlabel="step of the test streams", ylabel="probability")
_ = ax.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.2))

# %%
for kind, found in result["disturbed"]["stretches"].items():
    print(
        f"{kind:8} says nothing on {found['nothing']:.0%} of the steps; accuracy afterwards {found['accuracy_after']:.3f}"
    )
for point in result["checklist"]:
    print("yes" if point["met"] else "no ", point["name"])

# %% [markdown]
# ## Running it
#
# `model.safetensors` has the network and its preparation in one file. A session takes raw rows, in any chunks, for
# ever. `stream.py` does this with CSV lines from standard input: `tail -f rows.csv | python stream.py`.

# %%
model = StreamClassifier.load(folder / "pilot" / "model.safetensors")
session = model.session()
for t in range(40):
    answer = session.push({"time": t, "pressure": np.sin(2 * np.pi * t / 6), "current": abs(np.sin(2 * np.pi * t / 6))})
print(answer.labels, answer.probabilities.round(3))

# %%
print((folder / "pilot" / "stream.py").read_text())
