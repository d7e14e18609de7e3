"""The wheel, in an environment of its own, brings what the library needs and no more, and runs the trained networks."""

import json
import os
import subprocess
import sys
import wave
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from asrnn_jax import pretrained
from asrnn_jax.pretrained import SUFFIX
from tests.naive import orthogonal
from tests.test_features import by_definition

pytestmark = pytest.mark.slow  # environments of their own
ROOT = Path(__file__).parents[1]
DIRECT = {"jax", "flax", "optax", "numpy", "safetensors"}
# What those ask for; flax itself wants a checkpoint library and a printer.
THEIRS = {
    *("jaxlib", "ml-dtypes", "opt-einsum", "scipy"),
    *("msgpack", "rich", "typing-extensions", "pyyaml", "treescope", "markdown-it-py", "mdurl", "pygments"),
    *("orbax-checkpoint", "tensorstore", "absl-py", "etils", "fsspec", "humanize", "nest-asyncio", "protobuf"),
    *("simplejson", "importlib-resources", "zipp", "psutil", "aiofiles", "uvloop", "prometheus-client"),
}
FIVE_LINES = """
from asrnn_jax import features, pretrained, run
model, params, card = pretrained.load("keyword-asrnn")
xs = features.of(card)(*features.read_wav("seven.wav"))
carry, logits = run(model, params, xs, outputs="last")
print(card["labels"][logits.argmax()])
"""
MORE = """
import json, sys, asrnn_jax
loaded = sorted({name.partition(".")[0] for name in sys.modules} & {"orbax", "chex", "jaxtyping", "matplotlib"})
for name in asrnn_jax._LATER:
    if name != "plot":  # which draws with matplotlib, where that is installed
        getattr(asrnn_jax, name)
print(json.dumps({"file": asrnn_jax.__file__, "logits": logits.tolist(), "loaded": loaded}))
"""


def call(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    return folder


def test_sdist_and_wheel_pass_the_checks_of_the_index(dist):
    assert sorted(path.suffix for path in dist.iterdir()) == [".gz", ".whl"]
    call(sys.executable, "-m", "twine", "check", "--strict", *dist.iterdir())
    (wheel,) = dist.glob("*.whl")
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    there = [path for path in (ROOT / "asrnn_jax").rglob("*") if path.suffix in (".py", ".typed", ".jinja", SUFFIX)]
    assert names == {path.relative_to(ROOT).as_posix() for path in there}


def test_five_lines_classify_a_recording_without_this_checkout(dist, tmp_path):
    (wheel,) = dist.glob("*.whl")
    call(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    call(python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt", wheel)
    installed = json.loads(call(python, "-m", "pip", "list", "--format=json"))
    names = {package["name"].lower().replace("_", "-") for package in installed} - {"pip", "setuptools"}
    assert names - THEIRS == DIRECT | {"asrnn-jax"}

    sound = write_word(tmp_path / "seven.wav")
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "XLA_FLAGS")} | {"JAX_PLATFORMS": "cpu"}
    said = call(python, "-W", "error", "-c", FIVE_LINES + MORE, cwd=tmp_path, env=clean).splitlines()
    found = json.loads(said[1])
    assert Path(found["file"]).is_relative_to(tmp_path)
    assert found["loaded"] == []
    expected, label = here(sound)
    np.testing.assert_allclose(found["logits"], expected, rtol=0, atol=1e-3)
    assert said[0] == label


def write_word(path):
    """A voice that falls while its resonance rises, half a second between silences; what is said stays open."""
    t = np.arange(4000) / 8000
    phase = 2 * np.pi * (140 * t - 20 * t**2)
    formant = 500 + 1500 * t
    voice = sum(np.exp(-(((k * 140 - formant) / 300) ** 2)) * np.sin(k * phase) for k in range(1, 20))
    quiet = np.zeros(800)
    sound = np.concatenate([quiet, 0.3 * voice * np.hanning(4000), quiet])
    samples = (sound * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    return samples / 32768


def here(sound):
    """What the network says, by other means: features as they are defined, and the asRNN's equation step by step."""
    _, params, card = pretrained.load("keyword-asrnn")
    h, matrices = jnp.zeros(128), orthogonal.asrnn(params["cell"], 128)
    for x in by_definition(sound):
        h, _ = orthogonal.asrnn_step(matrices, h, jnp.asarray(x))
    logits = h @ params["output"]["kernel"] + params["output"]["bias"]
    return logits, card["labels"][int(logits.argmax())]
