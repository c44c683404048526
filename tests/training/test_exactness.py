"""Whatever interrupts a training, it ends as if nothing had, to the last digit and byte."""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from custom_ai.errors import Stopped, UserError
from custom_ai.models.catalogue import TrainableModel

STEPS = 8


def pause_at(recording: Any, poll: int) -> None:
    def polled(count: int) -> None:
        if count >= poll:
            recording.wish = "pause"

    recording.polled = polled


def sessions_until_done(recording: Any, **options: Any) -> int:
    """Train again and again until it is done."""
    for session in range(1, 40):
        try:
            recording.train(**options)
            return session
        except Stopped as stopped:
            assert stopped.wish == "pause"
            # What this session said "training.begins" about is over.
            recording.events[:] = [e for e in recording.events if e["kind"] != "log"]
    raise AssertionError("never done")


def assert_equal(recording: Any, whole: Any) -> None:
    assert recording.numbers() == whole.numbers()
    assert all(len(values) == 1 for values in recording.numbers().values())
    for name in ("adapter", "best", "epoch_1", "epoch_2"):
        assert contents(recording.folder / name) == contents(whole.folder / name), name


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}


def test_the_same_training_twice_gives_the_same_adapter(recording: Any, whole: Any) -> None:
    recording.train()
    assert_equal(recording, whole)


def test_a_pause_at_every_step_changes_nothing(recording: Any, whole: Any) -> None:
    pause_at(recording, 2)  # of each step: the first batch, the step itself
    sessions = sessions_until_done(recording)
    assert sessions == STEPS
    assert_equal(recording, whole)


def test_a_pause_in_the_middle_of_every_step_changes_nothing(recording: Any, whole: Any) -> None:
    pause_at(recording, 3)
    sessions = sessions_until_done(recording)
    assert sessions > 5
    # What was given up half-way; the last step of an epoch has one batch and no middle.
    saved = {event["step"] for event in recording.of("checkpoint")}
    assert saved >= {1, 2, 5, 6}
    assert_equal(recording, whole)


def test_saving_more_often_changes_nothing(recording: Any, whole: Any) -> None:
    recording.train(save_steps=1)
    assert_equal(recording, whole)
    assert {event["step"] for event in recording.of("checkpoint")} == set(range(1, STEPS + 1))


def test_a_pause_before_the_first_step_is_over_starts_anew(recording: Any, whole: Any) -> None:
    pause_at(recording, 1)
    with pytest.raises(Stopped):
        recording.train()
    assert not (recording.folder / "checkpoints").exists()
    recording.polled = lambda count: None
    recording.train()
    assert_equal(recording, whole)


def in_a_child(work: Callable[[], None]) -> int:
    """Run in a forked process, which has everything imported; returns how it ended."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def watch_writes(folder: Path, act: Callable[[int], object]) -> None:
    """Call `act` with a count before each write, rename or removal inside the folder."""
    count = 0

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event == "open":
            path, mode, flags = arguments
            writes = any(sign in (mode or "") for sign in "wa+x") or flags & (
                os.O_WRONLY | os.O_RDWR
            )
            if not writes:
                return
        elif event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
            path = arguments[0]
        else:
            return
        if str(path).startswith(str(folder)):
            count += 1
            act(count)

    sys.addaudithook(audit)


def test_kill_9_while_anything_is_written_changes_nothing(
    make_recording: Callable[[str], Any], whole: Any, tmp_path: Path
) -> None:
    counted = tmp_path / "count"

    def count_writes() -> None:
        recording = make_recording("counted")
        watch_writes(recording.folder, lambda n: counted.write_text(str(n)))
        recording.train(save_steps=2)

    assert in_a_child(count_writes) == 0
    writes = int(counted.read_text())
    assert writes > 60

    points = [*range(1, writes, writes // 8), writes]
    for point in points:
        recording = make_recording(f"killed-{point}")

        def killed(recording: Any = recording, point: int = point) -> None:
            def act(n: int) -> None:
                if n == point:
                    os.kill(os.getpid(), signal.SIGKILL)

            watch_writes(recording.folder, act)
            recording.train(save_steps=2)

        assert in_a_child(killed) == -signal.SIGKILL
        recording.train(save_steps=2)
        for key, values in recording.numbers().items():
            assert values == whole.numbers()[key], (point, key)
        for name in ("adapter", "best", "epoch_1", "epoch_2"):
            assert contents(recording.folder / name) == contents(whole.folder / name), point
        leftovers = [p for p in recording.folder.rglob("*") if p.suffix in (".old", ".partial")]
        assert leftovers == [], point


@pytest.mark.parametrize("poll", [1, 6, 9, 13])
def test_kill_9_in_the_middle_of_computing_changes_nothing(
    recording: Any, whole: Any, poll: int
) -> None:
    def killed() -> None:
        def polled(count: int) -> None:
            if count == poll:
                os.kill(os.getpid(), signal.SIGKILL)

        recording.polled = polled
        recording.train(save_steps=3)

    assert in_a_child(killed) == -signal.SIGKILL
    recording.train(save_steps=3)
    for key, values in recording.numbers().items():
        assert values == whole.numbers()[key], key
    assert contents(recording.folder / "adapter") == contents(whole.folder / "adapter")


@pytest.fixture(scope="session")
def paused(
    llama: TrainableModel, recording_class: Any, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    """A training that was paused at step 6 and has a checkpoint of step 4 before it."""
    recording = recording_class(llama, tmp_path_factory.mktemp("paused") / "run")
    pause_at(recording, 14)
    with pytest.raises(Stopped):
        recording.train()
    found = sorted(p.name for p in (recording.folder / "checkpoints").iterdir())
    assert found == ["checkpoint-4", "checkpoint-6"]
    return recording


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def halve(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("optimizer.pt", flip),
        ("adapter_model.safetensors", cut),
        ("rng_state.pth", Path.unlink),
        ("trainer_state.json", flip),
        ("manifest.json", halve),
        ("manifest.json", lambda path: path.write_text("[1]")),
    ],
)
def test_a_damaged_checkpoint_gives_way_to_the_one_before(
    paused: Any,
    make_recording: Callable[[str], Any],
    whole: Any,
    name: str,
    damage: Callable[[Path], None],
) -> None:
    recording = make_recording("run")
    shutil.copytree(paused.folder, recording.folder)
    damage(recording.folder / "checkpoints" / "checkpoint-6" / name)
    recording.train()
    assert "training.damaged_checkpoint" in recording.codes()
    continues = [e for e in recording.events if e.get("code") == "training.continues"]
    assert [event["values"] for event in continues] == [{"step": "4"}]
    assert contents(recording.folder / "adapter") == contents(whole.folder / "adapter")


def test_with_no_checkpoint_intact_it_starts_over_and_says_so(
    paused: Any, make_recording: Callable[[str], Any], whole: Any
) -> None:
    recording = make_recording("run")
    shutil.copytree(paused.folder, recording.folder)
    for checkpoint in (recording.folder / "checkpoints").iterdir():
        flip(checkpoint / "optimizer.pt")
    recording.train()
    assert recording.codes().count("training.damaged_checkpoint") == 2
    assert "training.starts_over" in recording.codes()
    assert_equal(recording, whole)


def test_a_finished_training_is_not_done_twice(whole: Any, recording: Any) -> None:
    shutil.copytree(whole.folder, recording.folder)
    shutil.rmtree(recording.folder / "adapter")
    result = recording.train()
    assert recording.of("metric") == []
    assert contents(result.adapter) == contents(whole.folder / "adapter")
    assert result.steps == STEPS


def test_cancelling_stops_at_once_and_saves_nothing(recording: Any) -> None:
    def polled(count: int) -> None:
        if count == 3:
            recording.wish = "cancel"

    recording.polled = polled
    with pytest.raises(Stopped) as caught:
        recording.train()
    assert caught.value.wish == "cancel"
    assert [event["step"] for event in recording.of("metric")] == [1]
    assert not (recording.folder / "checkpoints").exists()


def test_a_cancellation_does_not_wait_for_the_evaluation(recording: Any) -> None:
    def polled(count: int) -> None:
        if count == 8:  # the first batch of the evaluation, after the seven of the epoch
            recording.wish = "cancel"

    recording.polled = polled
    with pytest.raises(Stopped):
        recording.train()
    assert recording.of("metric")[-1]["step"] == 4
    assert not any("eval_loss" in event for event in recording.of("metric"))


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"learning_rate": 5e-4}, "learning-rate"),
        ({"batch_size": 1, "seed": 7}, "batch-size, seed"),
    ],
)
def test_continuing_with_other_options_is_refused(
    paused: Any, make_recording: Callable[[str], Any], changes: dict[str, Any], named: str
) -> None:
    recording = make_recording("run")
    shutil.copytree(paused.folder, recording.folder)
    with pytest.raises(UserError) as caught:
        recording.train(**changes)
    assert caught.value.code == "training.changed"
    assert caught.value.values["changed"] == named
    assert len(list((recording.folder / "checkpoints").iterdir())) == 2


def test_continuing_with_other_samples_or_another_model_is_refused(
    paused: Any, make_recording: Callable[[str], Any], qwen2: TrainableModel
) -> None:
    recording = make_recording("run")
    shutil.copytree(paused.folder, recording.folder)
    job = recording.job()
    job.train[3] = job.train[4]
    with pytest.raises(UserError) as caught:
        recording.train(job)
    assert caught.value.values["changed"] == "samples"
    recording.model = qwen2
    with pytest.raises(UserError) as caught:
        recording.train()
    assert caught.value.values["changed"] == "model"


def test_options_without_effect_may_change(
    paused: Any, make_recording: Callable[[str], Any], whole: Any
) -> None:
    recording = make_recording("run")
    shutil.copytree(paused.folder, recording.folder)
    recording.train(save_steps=1, save_minutes=1)
    assert contents(recording.folder / "adapter") == contents(whole.folder / "adapter")
