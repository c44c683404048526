"""Stands in for the program of an engine: the same files, without the libraries and the waiting.

A handful of numbers are its model. How it fails is told by STAND_IN_FAILS: "<how>@<step>".
It is held to the real program by the contract of the engines.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

FOLDER = Path(sys.argv[1])
JOB: dict[str, Any] = json.loads((FOLDER / "job.json").read_text())
FAILS, _, AT = os.environ.get("STAND_IN_FAILS", "").partition("@")
EPOCHS: int = JOB["arguments"]["num_train_epochs"]
ROWS = [json.loads(line) for line in (FOLDER / "samples.jsonl").read_text().splitlines()]
TRAIN = [row for row in ROWS if row["split"] == "train"]
PER_EPOCH = 4
STATE: dict[str, Any] = {
    "global_step": 0,
    "max_steps": EPOCHS * PER_EPOCH,
    "epoch": 0.0,
    "num_input_tokens_seen": 0,
}
HISTORY: list[dict[str, Any]] = []
WEIGHTS = np.full(4, 3.0, dtype=np.float32)
# "<bytes now>,<bytes at most>"
NOW, _, PEAK = os.environ.get("STAND_IN_CARD", "0,0").partition(",")
CARD = {"now": int(NOW), "peak": int(PEAK)}


def tell(kind: str, **values: Any) -> None:
    with open(FOLDER / "events.jsonl", "a") as stream:
        stream.write(json.dumps({"kind": kind, **values}) + "\n")


def wished() -> bool:
    return (FOLDER / "control").exists()


def log(**values: float) -> None:
    HISTORY.append({**values, "step": STATE["global_step"], "seconds": STATE["global_step"] / 10})
    tell("log", state=STATE, logs=HISTORY[-1], card=CARD)


def save() -> None:
    name = f"save-{time.monotonic_ns()}"
    beside = FOLDER / "saves" / f"{name}.partial"
    for part in ("state", "adapter"):
        (beside / part).mkdir(parents=True)
        save_file({"w": WEIGHTS}, beside / part / "adapter_model.safetensors")
        (beside / part / "adapter_config.json").write_text("{}")
    (beside / "state" / "trainer_state.json").write_text(json.dumps([STATE, HISTORY]))
    if FAILS == "dies-while-saving":
        os._exit(9)
    os.replace(beside, beside.with_name(name))
    tell("saved", state=STATE, name=name)


def fail() -> None:
    if FAILS == "crash":
        raise RuntimeError("a bug of the engine")
    if FAILS == "memory":
        tell("error", error="memory", reason="CUDA out of memory")
        sys.exit(1)
    if FAILS == "packages":
        tell("error", error="packages", reason="No module named 'triton'")
        sys.exit(1)
    if FAILS == "killed":
        os.kill(os.getpid(), 9)
    if FAILS == "hangs":
        time.sleep(3600)
    if FAILS == "torn":
        with open(FOLDER / "events.jsonl", "a") as stream:
            stream.write('{"kind": "log", "sta')
        os._exit(1)


def stop_if_wished() -> None:
    if wished():
        tell("stopped")
        sys.exit(3)


def step() -> None:
    global WEIGHTS
    if FAILS and int(AT) == STATE["global_step"] + 1:
        fail()
    STATE["global_step"] += 1
    STATE["epoch"] = STATE["global_step"] / PER_EPOCH
    STATE["num_input_tokens_seen"] += sum(len(row["input_ids"]) for row in TRAIN)
    draw = np.random.default_rng([JOB["arguments"]["seed"], STATE["global_step"]])
    WEIGHTS = (WEIGHTS * 0.9 + 0.01 * draw.standard_normal(4)).astype(np.float32)
    loss = float("nan") if FAILS == "diverges" else float(np.abs(WEIGHTS).sum() / 4)
    log(loss=loss, grad_norm=1.0, learning_rate=1e-3)
    ends_epoch = STATE["global_step"] % PER_EPOCH == 0
    if ends_epoch:
        log(eval_loss=float(np.abs(WEIGHTS).sum() / 4))
    steps = JOB["save_steps"]
    if ends_epoch or wished() or (steps and STATE["global_step"] % steps == 0):
        save()
        if STATE["global_step"] < STATE["max_steps"]:
            stop_if_wished()


def end_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


threading.Thread(target=end_with_parent, daemon=True).start()
if JOB["resume"]:
    folder = Path(JOB["resume"])
    WEIGHTS = load_file(folder / "adapter_model.safetensors")["w"]
    kept = json.loads((folder / "trainer_state.json").read_text())
    STATE.update(kept[0])
    HISTORY.extend(kept[1])
tell("begin", state=STATE, history=HISTORY)
stop_if_wished()
while STATE["global_step"] < STATE["max_steps"]:
    step()
    time.sleep(float(os.environ.get("STAND_IN_PACE", "0")))
tell("done", state=STATE)
