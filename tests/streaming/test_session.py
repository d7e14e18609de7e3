"""A session equals one straight run, whatever the chunks; policies, monitors and saved sessions do what they say."""

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import asrnn_jax
from asrnn_jax import cells, losses, streaming
from asrnn_jax.streaming import Limits, Session, chunks, options
from tests.quick import quickly

I, C = 3, 4  # noqa: E741
MODELS = {
    "gru": cells.with_output(cells.gru(I, 5), C),
    "deep": cells.with_output(cells.stack([cells.asrnn(I, 5, a=0.3, b=0.9), cells.lru(5, 4)]), C),
}
PARAMS = {name: model.init(jax.random.key(0)) for name, model in MODELS.items()}


def session(name="gru", **options):
    return Session(MODELS[name], PARAMS[name], **options)


def samples(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, I)).astype(np.float32)


def pushed(s, xs, sizes, **flags):
    outputs, at = [], 0
    for size in sizes:
        cut = {k: v[..., at : at + size] for k, v in flags.items()}
        outputs.append(s.push(xs[..., at : at + size, :], **cut))
        at += size
    assert at == xs.shape[-2]
    return jnp.concatenate(outputs, axis=-2)


SIZES = (1, 7, 2, 20, 0, 3, 5, 13, 9)  # 60 steps


@quickly("name", ["deep"], MODELS)
@pytest.mark.parametrize("batch", [pytest.param((), marks=pytest.mark.slow), (2, 3)])
def test_chunks_of_any_size_equal_one_run(name, batch):
    xs = samples(*batch, 60)
    s = session(name, batch=batch)
    ys = pushed(s, xs, SIZES)
    carry, whole = asrnn_jax.run(MODELS[name], PARAMS[name], xs)
    np.testing.assert_allclose(ys, whole, rtol=1e-6, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), s.carry, carry)
    assert s.steps == 60


@quickly("non_finite", ["raise"], ("raise", "hold"))
@pytest.mark.parametrize("where", [np.asarray, pytest.param(jnp.asarray, marks=pytest.mark.slow)])
def test_many_lengths_do_not_compile_without_end(where, non_finite):
    """Compiled programs stay as long as the process: 16 lengths of a session as they come, then powers of two."""
    batch = (1, 1)  # of no other test, whose lengths may have been compiled and forgotten
    chunks = {steps: where(samples(*batch, steps)) for steps in range(300)}
    s = session(batch=batch, non_finite=non_finite)
    lengths = (*range(200, 217), *(1 << bit for bit in range(8)))
    for steps in lengths:
        s.push(chunks[steps])
    with compiling() as compiled:
        for steps in range(1, 256):
            s.push(chunks[steps])
        other = session(batch=batch, non_finite=non_finite)  # shares what is compiled
        for steps in lengths:
            other.push(chunks[steps])
    assert not compiled
    assert s.push(samples(*batch, 0)).shape == (*batch, 0, C)


@contextmanager
def compiling():
    """The names of compilations while this lasts."""
    found = []

    def listen(name, *_, **about):
        if "compile" in name:
            found.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield found
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def calls(s):
    """Lengths of the programs that a session calls from now on."""
    found, plain = [], s._plain
    s._plain = lambda weights, carry, xs: (found.append(xs.shape[-2]), plain(weights, carry, xs))[1]
    return found


@pytest.mark.slow
def test_what_one_session_has_seen_costs_another_nothing():
    """A chunk of 1,000 is one program, not six, for every new session; and for one that has settled to it."""
    spent, chunk = session(), samples(1000)
    for steps in range(1, 17):
        spent.push(chunk[:steps])
    new = session()
    found = calls(new)
    new.push(chunk)
    with compiling() as compiled:
        new.push(chunk)
    assert found == [1000, 1000]
    assert not compiled
    found = calls(spent)
    for _ in range(20):
        spent.push(chunk)
    assert found == [512, 256, 128, 64, 32, 8] * 16 + [1000] * 4


def test_sessions_of_one_cell_run_in_as_many_threads():
    xs = samples(8, 200)
    sizes = [(1, 7, 2, 20, 3, 5, 13, 9, 140), (200,), (100, 100), (50,) * 4]
    expected = asrnn_jax.run(MODELS["deep"], PARAMS["deep"], xs)[1]

    def one(i):
        return pushed(session("deep"), xs[i], sizes[i % 4])

    with ThreadPoolExecutor(8) as pool:
        for i, ys in enumerate(pool.map(one, range(8))):
            np.testing.assert_allclose(ys, expected[i], atol=1e-5)


@pytest.mark.parametrize("warm", [False, True])
def test_samples_are_converted_by_one_rule(warm):
    """Whatever came before, and in whatever it comes: the same numbers, or an error that says what to do."""
    s, xs = session(), samples(4)
    if warm:
        s.push(xs)
    s.reset()
    expected = session().push(xs)
    for same in (xs.astype(">f4"), xs.astype(float), xs.astype(">f8"), jnp.asarray(xs), xs.T.copy().T):
        np.testing.assert_allclose(s.push(same), expected, atol=1e-6)
        s.reset()
    masked = np.ma.masked_array(xs, xs > 1)
    with pytest.raises(TypeError, match=r"masked array.*pass chunk.filled\(numpy.nan\)"):
        s.push(masked)
    with pytest.raises(TypeError, match=r"makes no array of numbers: sequences of different lengths.*NaN"):
        chunks.as_samples([[1.0, 2.0, 3.0], [1.0]], np.float32)
    np.testing.assert_array_equal(chunks.as_samples(xs.tolist(), np.dtype("float32")), xs)
    with pytest.raises(TypeError, match="scaled as in training"):
        s.push(np.ones((4, I), int))
    steps = s.steps
    missing = session(non_finite="missing")
    np.testing.assert_array_equal(missing.push(masked.filled(np.nan)).shape, (4, C))
    assert s.steps == steps


# For each policy, the resets it makes on inputs whose energy and boundaries are known, by plain loops.
def loud_after_silence(xs, boundary, quiet=3):
    power, count, found = (xs**2).mean(-1), 0, []
    for p in power:
        found.append(p > 0.1 and count >= quiet)
        count = 0 if p > 0.1 else count + 1
    return np.array(found)


INPUT_POLICIES = {
    "never": (streaming.never(), lambda xs, boundary: np.zeros(len(xs), bool)),
    "oracle": (streaming.oracle(), lambda xs, boundary: boundary),
    "periodic": (streaming.periodic(7), lambda xs, boundary: (np.arange(len(xs)) % 7 == 0) & (np.arange(len(xs)) > 0)),
    "on_energy": (streaming.on_energy(-1.0, quiet=3), loud_after_silence),
}


@pytest.mark.parametrize("name", INPUT_POLICIES)
@pytest.mark.parametrize("sizes", [SIZES, (1,) * 60], ids=["chunks", "steps"])
def test_policies_reset_when_they_say(name, sizes):
    policy, expected = INPUT_POLICIES[name]
    xs = samples(60) * np.repeat(np.random.default_rng(1).uniform(size=12) < 0.5, 5)[:, None]
    boundary = np.random.default_rng(2).uniform(size=60) < 0.1
    resets = expected(xs, boundary)
    assert resets.any() == (name != "never")
    ys = pushed(session(policy=policy), xs, sizes, boundary=boundary)
    _, whole = asrnn_jax.run(MODELS["gru"], PARAMS["gru"], xs, reset=resets)
    np.testing.assert_allclose(ys, whole, atol=1e-6)


@quickly("signal", ["saturated"], ("entropy", "saturated"))
def test_policies_that_look_back_reset_by_what_came_out(signal):
    """Against a loop of single steps that watches outputs and units itself."""
    cell = cells.with_output(cells.tanh_rnn(I, 5), C)
    params = jax.tree.map(lambda p: 3 * p, cell.init(jax.random.key(1)))
    xs = samples(60, seed=3)
    policy = streaming.on_entropy(0.3, 2) if signal == "entropy" else streaming.on_saturation(0.3, 2)
    ys = pushed(Session(cell, params, policy=policy), xs, SIZES)
    carry, count, value, resets, expected = cell.initial_carry(()), 0, 1.0 if signal == "entropy" else 0.0, 0, []
    for x in xs:
        count = min(count + 1, 3) if value > 0.3 else 0
        if count == 2:
            carry, resets = cell.initial_carry(()), resets + 1
        carry, y = asrnn_jax.step(cell, params, carry, x)
        p = np.asarray(jax.nn.softmax(y), float)
        entropy = -(p * np.log(p)).sum() / np.log(C)
        value = entropy if signal == "entropy" else float((1 - np.asarray(carry) ** 2 < 0.1).mean())
        expected.append(y)
    assert 2 < resets < 30
    np.testing.assert_allclose(ys, np.stack(expected), atol=1e-4)


def test_non_finite_samples_are_refused_and_the_session_is_unharmed():
    s, xs = session(batch=(2,)), samples(2, 10)
    s.push(xs)
    before = jax.device_get(s.carry)
    broken = xs.copy()
    broken[1, 4, 2] = np.nan
    for chunk, message in ((broken, r"chunk\[1, 4, 2\] is nan"), (xs[:, :, :2], "shape"), (xs[0], "shape")):
        with pytest.raises(ValueError, match=message):
            s.push(chunk)
    with pytest.raises(ValueError, match="boundary"):
        s.push(xs, boundary=np.zeros(10, bool))
    jax.tree.map(np.testing.assert_array_equal, jax.device_get(s.carry), before)
    assert s.steps == 10


@pytest.mark.parametrize("look_back", [False, True])
def test_missing_steps_are_as_if_they_were_not_there(look_back):
    policy = streaming.on_entropy(0.999, 2) if look_back else streaming.periodic(5)
    xs, gone = samples(40), np.random.default_rng(0).uniform(size=40) < 0.3
    gone[0] = False
    broken = np.where(gone[:, None], np.array([np.inf, -np.inf, 1]), xs)
    ys = pushed(session(policy=policy, non_finite="missing"), broken, (11, 1, 9, 19))
    there = pushed(session(policy=policy), xs[~gone], (int((~gone).sum()),))
    np.testing.assert_allclose(ys[~gone], there, atol=1e-6)
    order = np.maximum.accumulate(np.where(gone, 0, np.arange(40)))
    np.testing.assert_allclose(ys, ys[order], atol=1e-6)  # the last output is repeated


def test_hold_repeats_the_last_finite_value_across_chunks():
    xs = samples(2, 30)
    broken = xs.copy()
    broken[0, 9:12, 1] = np.nan
    broken[1, 0] = np.inf
    held = xs.copy()
    held[0, 9:12, 1] = xs[0, 8, 1]
    held[1, 0] = 0  # nothing came before
    s = session(batch=(2,), non_finite="hold")
    ys = pushed(s, broken, (9, 2, 4, 15))
    np.testing.assert_allclose(ys, pushed(session(batch=(2,)), held, (30,)), atol=1e-6)
    assert [event.kind for event in s.events] == ["non_finite"] * 3
    assert s.events[0].streams == (1,)


def test_monitors_trip_recover_and_hand_over_to_the_fallback():
    name, xs = "gru", samples(2, 400)
    informative = np.zeros((2, 400))
    informative[:, 200:] = 1
    reference = streaming.reference(MODELS[name], PARAMS[name], xs, informative)
    np.testing.assert_allclose(reference.x_mean, xs.reshape(-1, I).mean(0), atol=1e-5)
    heard = []
    s = session(
        batch=(2,),
        reference=reference,
        fallback=streaming.periodic(1),
        monitor_every=10,
        limits=Limits(norm=None, saturated=None, gap_entropy=None),
    )
    s.on_event = heard.append
    s.push(xs[:, :100])
    assert not s.events
    assert (s.readings.norm < 1.01).all()
    shifted = xs.copy()
    shifted[1] += 20 * np.asarray(reference.x_std)
    for at in range(0, 60, 10):
        s.push(shifted[:, at : at + 10])
    assert [(e.kind, e.monitor, e.streams) for e in s.events] == [("tripped", "drift", (1,))]
    assert s.events[0].value > 3
    # stream 1 is reset at every step now, stream 0 is not
    y = s.push(xs[:, 100:101])
    fresh = asrnn_jax.run(MODELS[name], PARAMS[name], xs[:, 100:101])[1]
    np.testing.assert_allclose(y[1], fresh[1], atol=1e-6)
    assert np.abs(y[0] - fresh[0]).max() > 1e-4
    for at in range(0, 400, 10):
        s.push(xs[:, at : at + 10])
    assert s.events[-1].kind == "recovered"
    assert list(s.events) == heard


@pytest.mark.parametrize("gone", [(4,), (4, 5), (0, 4)])
def test_a_beginning_that_is_missing_is_not_lost_to_the_oracle(gone):
    xs, boundary = samples(10), np.arange(10) == 4
    broken = xs.copy()
    broken[list(gone)] = np.nan
    kept = np.setdiff1d(np.arange(10), gone)
    expected = asrnn_jax.run(MODELS["gru"], PARAMS["gru"], xs[kept], reset=np.arange(len(kept)) == (kept < 4).sum())[1]
    for sizes in ((10,), (5, 5), (4, 1, 5), (1,) * 10):
        s = session(policy=streaming.oracle(), non_finite="missing")
        np.testing.assert_allclose(pushed(s, broken, sizes, boundary=boundary)[kept], expected, atol=1e-6)


def test_readings_are_of_every_step_and_are_saved_and_loaded(tmp_path):
    reference = streaming.reference(MODELS["gru"], PARAMS["gru"], samples(2, 50))
    options = {"batch": (2,), "reference": reference, "monitor_every": 40, "limits": Limits(drift=0.08)}
    xs = samples(2, 120, seed=4) + np.array([0, 1])[:, None, None].astype(np.float32)
    whole, pieces = session(**options), session(**options)
    pushed(whole, xs, (40, 40, 40))
    pushed(pieces, xs[:, :61], (1,) * 61)
    pieces.save(tmp_path / "session.safetensors")
    again = session(**options)
    again.load(tmp_path / "session.safetensors")
    pushed(again, xs[:, 61:], (9, 10, 40))
    keep = np.exp(-0.1)
    entropy = np.ones(2)
    for at in range(0, 120, 40):
        ys = asrnn_jax.run(MODELS["gru"], PARAMS["gru"], xs)[1][:, at : at + 40]
        entropy = keep * entropy + (1 - keep) * losses.entropy_share(ys).mean(-1)
    np.testing.assert_allclose(whole.readings.entropy, entropy, rtol=1e-5)
    for one, other in zip(whole.readings, again.readings):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    assert [event.monitor for event in whole.events] == ["drift"]
    assert [event.monitor for event in (*pieces.events, *again.events)] == ["drift"]  # said once, across the file


def test_a_callers_buffer_can_be_used_again():
    s, buffer = session(non_finite="hold"), np.ones((1, I), np.float32)
    first = s.push(buffer)
    buffer[:] = np.nan
    held = asrnn_jax.run(MODELS["gru"], PARAMS["gru"], np.ones((2, I), np.float32))[1]
    np.testing.assert_allclose(jnp.concatenate([first, s.push(buffer)]), held, atol=1e-6)


@pytest.mark.parametrize(
    "size", [pytest.param(1, marks=pytest.mark.slow), 16, pytest.param(400, marks=pytest.mark.slow)]
)
def test_a_shift_is_noticed_whatever_the_chunks_and_missing_steps_are_none(size):
    xs = 5 + 0.1 * samples(1600)
    reference = streaming.reference(MODELS["gru"], PARAMS["gru"], xs)
    gone = np.random.default_rng(3).uniform(size=1600) < 0.2
    limits = Limits(norm=None, saturated=None, gap_entropy=None)
    s = session(reference=reference, monitor_every=16, limits=limits, non_finite="missing")
    pushed(s, np.where(gone[:, None], np.nan, xs), (size,) * (1600 // size))
    assert not [event for event in s.events if event.kind == "tripped"]
    pushed(s, xs[:400] + 1, (size,) * (400 // size))
    assert [event.kind for event in s.events if event.monitor == "drift"] == ["tripped"]


def test_without_a_fallback_a_new_policy_is_alone():
    s = session(policy=streaming.periodic(5))
    s.policy = streaming.never()
    xs = samples(30)
    np.testing.assert_allclose(s.push(xs), asrnn_jax.run(MODELS["gru"], PARAMS["gru"], xs)[1], atol=1e-6)
    assert s._plain is not None
    assert streaming.on_energy(jnp.float32(-2.0), 50).name == "on_energy(-2.0, 50)"


@pytest.mark.slow
def test_gap_entropy_is_that_of_quiet_steps():
    xs, quiet = samples(1, 600), np.repeat([True, False] * 30, 10)
    xs[0, quiet] *= 1e-3
    informative = np.where(quiet, 0, 1)[None]
    reference = streaming.reference(MODELS["gru"], PARAMS["gru"], xs, informative)
    s = session(batch=(1,), reference=reference, monitor_every=600)
    ys = s.push(xs)
    power = losses.energy(xs)[0]
    chosen = np.asarray(power <= reference.gap_energy)
    assert (chosen <= quiet).all()
    np.testing.assert_allclose(s.readings.gap_entropy, losses.entropy_share(ys)[0][chosen].mean(), rtol=1e-4)


def test_saved_and_loaded_it_goes_on_with_the_same_bits(tmp_path):
    options = {"batch": (2,), "policy": streaming.periodic(9), "non_finite": "hold"}
    reference = streaming.reference(MODELS["deep"], PARAMS["deep"], samples(2, 50))
    first = session("deep", reference=reference, monitor_every=20, **options)
    first.push(samples(2, 33))
    first.save(tmp_path / "session.safetensors")
    second = session("deep", reference=reference, monitor_every=20, **options)
    second.load(tmp_path / "session.safetensors")
    assert second.steps == 33
    xs = samples(2, 50, seed=5)
    xs[0, 0] = np.nan  # held from before
    np.testing.assert_array_equal(first.push(xs), second.push(xs))
    np.testing.assert_array_equal(first.readings.norm, second.readings.norm)


@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.slow), np.float64])
@quickly("name", ["urnn"], ("urnn", "lru", "lstm"))
def test_sessions_go_through_file_objects_in_every_dtype(name, dtype):
    """Complex states among them."""
    cell = cells.with_output(cells.make(name, I, 4, dtype=dtype), C, dtype=dtype)
    params, xs = cell.init(jax.random.key(0)), samples(30)
    first, second, file = Session(cell, params), Session(cell, params), io.BytesIO()
    first.push(xs)
    file.write(b"before")
    first.save(file)
    file.seek(6)
    second.load(file)
    np.testing.assert_array_equal(first.push(xs), second.push(xs))
    assert second.steps == 60
    with pytest.raises(ValueError, match="no saved session, or damaged"):
        second.load(io.BytesIO(b"nothing"))
    file.seek(6)
    with pytest.raises(ValueError, match="the file was saved with cell"):
        session().load(file)


def test_a_saved_session_that_does_not_fit_is_refused(tmp_path):
    path = tmp_path / "session.safetensors"
    s = session(batch=(2,))
    s.push(samples(2, 5))
    s.save(path)
    other = Session(MODELS["gru"], MODELS["gru"].init(jax.random.key(9)), batch=(2,))
    for wrong, message in (
        (other, "another model"),
        (session("deep", batch=(2,)), "cell"),
        (session(batch=(3,)), "batch"),
        (session(batch=(2,), policy=streaming.periodic(3)), "policies"),
    ):
        with pytest.raises(ValueError, match=f"was saved with {message}"):
            wrong.load(path)
        assert wrong.steps == 0
    slow, fast = (cells.with_output(cells.cornn(I, 5, dt=dt), C) for dt in (0.04, 0.05))  # the same params
    Session(slow, slow.init(jax.random.key(0))).save(tmp_path / "slow.safetensors")
    with pytest.raises(ValueError, match="another model"):
        Session(fast, slow.init(jax.random.key(0))).load(tmp_path / "slow.safetensors")
    prepared = Session(MODELS["gru"], MODELS["gru"].prepare(PARAMS["gru"]), batch=(2,))
    prepared.load(path)
    assert prepared.steps == 5
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no zip at all"):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="no saved session, or damaged"):
            session(batch=(2,)).load(path)
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("about.npy", b"\x93NUMPY")
    with pytest.raises(ValueError, match="no saved session of this version"):
        session(batch=(2,)).load(path)
    with pytest.raises(OSError, match="nowhere"):
        session().load(tmp_path / "nowhere.safetensors")


def test_every_flipped_byte_of_the_arrays_is_noticed(tmp_path):
    path = tmp_path / "session.safetensors"
    s = session()
    s.push(samples(5))
    s.save(path)
    whole = bytearray(path.read_bytes())
    after = session()
    after.load(path)
    good = jax.device_get(after.carry)
    for position in range(0, len(whole), 97):
        broken = bytearray(whole)
        broken[position] ^= 16
        path.write_bytes(bytes(broken))
        s = session()
        try:
            s.load(path)
        except ValueError:
            assert s.steps == 0
        else:  # a byte that carries nothing, such as a date
            jax.tree.map(np.testing.assert_array_equal, jax.device_get(s.carry), good)


def test_streams_can_be_started_afresh_by_hand():
    s, xs = session(batch=(2,)), samples(2, 5)
    s.push(xs)
    s.reset(np.array([True, False]))
    y = s.push(xs)
    np.testing.assert_allclose(y[0], asrnn_jax.run(MODELS["gru"], PARAMS["gru"], xs)[1][0], atol=1e-6)
    twice = asrnn_jax.run(MODELS["gru"], PARAMS["gru"], np.concatenate([xs, xs], axis=1))[1]
    np.testing.assert_allclose(y[1], twice[1, 5:], atol=1e-6)
    s.policy = streaming.periodic(1)
    ys = s.push(xs[:, :2])  # one step, then a reset before each
    np.testing.assert_allclose(ys[:, 1:], asrnn_jax.run(MODELS["gru"], PARAMS["gru"], xs[:, 1:2])[1], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Session(cells.bidirectional(cells.gru(1, 2)), {}), "both directions"),
        (lambda: session(monitor_every=0), "monitor_every=0"),
        (lambda: options.check_policy("policy", streaming.never), "policy=.*call it"),
        (lambda: session(fallback=streaming.never()), "fallback=never acts where a monitor trips"),
        (lambda: Session(MODELS["gru"], PARAMS["deep"]), "params"),
        (lambda: session().reset(np.array([True])), "streams has shape"),
        (lambda: Limits(norm=-1.0), "norm=-1"),
        (lambda: streaming.periodic(0), "k=0"),
        (lambda: streaming.on_energy(0.0, quiet=0), "quiet=0"),
        (lambda: streaming.on_entropy(1.5), "threshold=1.5"),
        (lambda: streaming.on_saturation(0.5, patience=0), "patience=0"),
        (lambda: streaming.reference(MODELS["gru"], PARAMS["gru"], samples(5), np.ones(4)), "informative"),
    ],
)
def test_wrong_calls_say_what_is_wrong(call, message):
    with pytest.raises(ValueError, match=message):
        call()
