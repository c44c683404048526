"""Starts custom-ai: `python app.py [command …]`, or `python app.py test` for all checks.

The first start makes the folder `.venv` and installs everything there; later starts only hand over
to the command line. Standard library only, and readable for a Python that is too old, so that it
can say so. Everything it has to tell goes to stderr: stdout belongs to the command.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import http.client
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Callable, Iterator

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "custom-ai.json"  # what was installed; "ready" only after the last step
LOG = ROOT / ".venv.log"
LOCK = ROOT / ".venv.lock"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

# GB on disk, with the downloads that pip keeps. "large" is PyTorch with CUDA, from PyPI.
NEEDED = {"update": 1, "configured": 4, "cpu": 4, "cuda": 11, "large": 11}
PYTORCH = "https://download.pytorch.org/whl/"
INDEX = {"cpu": PYTORCH + "cpu", "cuda": PYTORCH + "cu130"}

ENGLISH = {
    "first": "First start: custom-ai is being set up in {venv}. This takes some minutes, once.",
    "again": "{venv} is unfinished or no longer fits. It is being set up afresh.",
    "update": "The list of libraries has changed. They are being updated.",
    "waiting": "Another start is setting custom-ai up right now. Waiting for it …",
    "large": "No CPU build of PyTorch can be reached, so the full one is taken (several GB).",
    "venv": "Creating the Python environment",
    "choose": "Looking for the right PyTorch",
    "torch": "Installing PyTorch",
    "product": "Installing custom-ai and its libraries",
    "log": "Details: {log}",
    "stopped": "Stopped. The next start sets everything up; what was downloaded is kept.",
    "old_python": "Python 3.11 or newer is needed; this is Python {version}.",
    "old_python_hint": "Get it from https://www.python.org/downloads/, then: python3.12 app.py",
    "no_venv": "This Python lacks the module venv.",
    "no_venv_hint": "Debian and Ubuntu: sudo apt install python3-venv. Then start again.",
    "foreign": "{venv} was not made by app.py and is left alone.",
    "foreign_hint": "Rename or delete this folder, then start again.",
    "network": "The libraries cannot be downloaded: no connection to the package index.",
    "network_hint": "Check the connection (behind a proxy, set HTTPS_PROXY), then start again.",
    "disk": "Not enough disk space: {needed} GB are needed, {free} GB are free in {root}.",
    "disk_hint": "Free some space or move the folder to another disk, then start again.",
    "access": "Files cannot be written in {root}.",
    "access_hint": "Close custom-ai if it is running, or move the folder to a place of your own.",
    "no_torch": "There is no PyTorch for Python {version} on this system.",
    "no_torch_hint": "Start app.py with Python 3.11, 3.12 or 3.13 (64 bit).",
    "failed": "The set-up failed: {reason}",
}
GERMAN = {
    "first": "Erster Start: custom-ai wird in {venv} eingerichtet. Das dauert einmalig Minuten.",
    "again": "{venv} ist unvollständig oder passt nicht mehr. Alles wird neu eingerichtet.",
    "update": "Die Liste der Bibliotheken hat sich geändert. Sie werden angepasst.",
    "waiting": "Ein anderer Start richtet custom-ai gerade ein. Es wird darauf gewartet …",
    "large": "PyTorch ist nicht als CPU-Fassung erreichbar, die volle wird geladen (mehrere GB).",
    "venv": "Die Python-Umgebung wird angelegt",
    "choose": "Das passende PyTorch wird gesucht",
    "torch": "PyTorch wird installiert",
    "product": "custom-ai und seine Bibliotheken werden installiert",
    "log": "Einzelheiten: {log}",
    "stopped": "Abgebrochen. Der nächste Start richtet alles ein; Heruntergeladenes bleibt.",
    "old_python": "Python 3.11 oder neuer wird gebraucht; dies ist Python {version}.",
    "old_python_hint": "Es steht auf https://www.python.org/downloads/, dann: python3.12 app.py",
    "no_venv": "Diesem Python fehlt das Modul venv.",
    "no_venv_hint": "Debian und Ubuntu: sudo apt install python3-venv. Danach erneut starten.",
    "foreign": "{venv} stammt nicht von app.py und bleibt unberührt.",
    "foreign_hint": "Bitte diesen Ordner umbenennen oder löschen, dann erneut starten.",
    "network": "Die Bibliotheken sind nicht zu laden: keine Verbindung zum Paketverzeichnis.",
    "network_hint": "Bitte die Verbindung prüfen (mit Proxy: HTTPS_PROXY), dann erneut starten.",
    "disk": "Zu wenig Speicherplatz: {needed} GB werden gebraucht, {free} GB sind frei in {root}.",
    "disk_hint": "Bitte Platz schaffen oder den Ordner auf einen anderen Datenträger legen.",
    "access": "In {root} lassen sich keine Dateien schreiben.",
    "access_hint": "Bitte custom-ai schließen, falls es läuft, oder einen anderen Ordner nehmen.",
    "no_torch": "Für Python {version} gibt es auf diesem System kein PyTorch.",
    "no_torch_hint": "Bitte app.py mit Python 3.11, 3.12 oder 3.13 (64 Bit) starten.",
    "failed": "Die Einrichtung ist fehlgeschlagen: {reason}",
}

# What pip or the system says, and the text that tells it to people. The first match wins.
SIGNS = (
    ("disk", r"No space left on device|Errno 28\b|WinError 112\b|quota exceeded"),
    ("access", r"Permission denied|Errno 13\b|Errno 30\b|WinError (5|32)\b"),
    ("network", r"NewConnectionError|(Connect|Read)Timeout|ProxyError|Connection(Reset|Aborted)"),
    ("network", r"name resolution|getaddrinfo failed|Network is unreachable|Max retries exceeded"),
    ("no_torch", r"No matching distribution found for torch\b"),
)


class SetupError(Exception):
    """The set-up cannot go on; the key of a text says why."""

    def __init__(self, key: str, needed: str = "update", reason: str = "") -> None:
        super().__init__(key)
        self.key, self.needed, self.reason = key, NEEDED[needed], reason


def texts() -> dict[str, str]:
    """German or English: CUSTOM_AI_LANGUAGE, else what the system speaks."""
    wish = os.environ.get("CUSTOM_AI_LANGUAGE", "")
    names = map(os.environ.get, ("LC_ALL", "LC_MESSAGES", "LANG"))
    name = wish if wish in ("de", "en") else next(filter(None, names), "")
    if sys.platform == "win32" and not name:
        import ctypes

        # The low ten bits name the language whatever the country; 7 is German.
        name = "de" if ctypes.windll.kernel32.GetUserDefaultUILanguage() & 0x3FF == 7 else ""
    return GERMAN if name.lower().startswith("de") else ENGLISH


def tell(key: str, **values: object) -> None:
    """Prints a text and, where there is one, its hint."""
    for name in (key, key + "_hint"):
        if name in texts():
            filled = texts()[name].format(venv=VENV, root=ROOT, log=LOG, **values)
            print(filled, file=sys.stderr, flush=True)


def python_is_new_enough(version: tuple[int, ...]) -> bool:
    """Whether this Python can run custom-ai; says what to do where it cannot."""
    if version < (3, 11):
        tell("old_python", version=".".join(map(str, version)))
        return False
    return True


def read_stamp() -> dict[str, Any]:
    try:
        return dict(json.loads(STAMP.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def write_stamp(stamp: dict[str, Any]) -> None:
    """Complete or not at all, whatever happens in between."""
    beside = STAMP.with_suffix(".new")
    with beside.open("w", encoding="utf-8") as file:
        json.dump(stamp, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(STAMP)


def place() -> dict[str, Any]:
    """What an environment depends on; where one of these changes it is built afresh."""
    return {
        "python": "{}.{}".format(*sys.version_info[:2]),
        "root": str(ROOT),  # an environment holds absolute paths and does not survive a move
        "nvidia": shutil.which("nvidia-smi") is not None,
    }


def fits(stamp: dict[str, Any]) -> bool:
    """Whether a complete environment lies here that can be used, or updated in place."""
    return stamp.get("ready") is True and PYTHON.exists() and stamp == {**stamp, **place()}


def project_hash() -> str:
    return hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()


def is_ready(stamp: dict[str, Any], extras: set[str]) -> bool:
    return fits(stamp) and stamp["project"] == project_hash() and extras <= set(stamp["extras"])


def torch_requirement() -> str:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return next(str(need) for need in project["dependencies"] if re.match(r"torch\b", need))


def torch_source(
    system: str, nvidia: bool, offers_cpu: Callable[[], bool], reaches_index: Callable[[], bool]
) -> str:
    """Where PyTorch comes from. On PyPI it has CUDA for Linux only, and none is needed on macOS."""
    if nvidia and system != "Darwin":
        return "cuda" if system == "Windows" else "large"
    if system != "Linux" or offers_cpu():
        return "configured"
    return "cpu" if reaches_index() else "large"


def newest_is_cpu_build(listing: str, requirement: str) -> bool:
    """Whether pip would take a "+cpu" build, by what `pip index versions` lists, newest first."""
    cap = numbers(requirement.partition("<")[2])
    offered = re.search(r"^Available versions: (.+)$", listing, re.MULTILINE)
    names = offered[1].split(", ") if offered else []
    return next((name for name in names if numbers(name) < cap), "").endswith("+cpu")


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0]))


def nvidia_works() -> bool:
    try:
        subprocess.run(["nvidia-smi", "-L"], capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def reaches(address: str) -> bool:
    request = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=5):
            return True
    except (OSError, http.client.HTTPException):
        return False


def check_disk(needed: str) -> None:
    if shutil.disk_usage(ROOT).free < NEEDED[needed] * 10**9:
        raise SetupError("disk", needed)


def clear() -> None:
    """Removes an environment of ours; one that somebody else made stays."""
    settings = VENV / "pyvenv.cfg"
    if settings.exists() and not STAMP.exists():
        raise SetupError("foreign")
    if VENV.exists():
        settings.unlink(missing_ok=True)  # first: a half-removed one is still known as ours
        shutil.rmtree(VENV)


class Setup:
    """Builds or updates the environment step by step, while holding the lock."""

    def __init__(self, lock: int) -> None:
        self.lock = lock

    def make(self, stamp: dict[str, Any], extras: set[str]) -> None:
        extras = extras | set(stamp.get("extras", ()))
        goal = {**place(), "project": project_hash(), "extras": sorted(extras)}
        self.update(stamp, goal) if fits(stamp) else self.build(goal)

    def build(self, goal: dict[str, Any]) -> None:
        tell("again" if VENV.exists() else "first")
        check_disk("cpu")
        clear()
        VENV.mkdir()
        write_stamp(goal)
        # Inside a virtual environment, this very one perhaps, the Python beneath it does the work.
        python = getattr(sys, "_base_executable", None) or sys.executable
        self.run("venv", [python, "-m", "venv", str(VENV)])
        cpu_index = INDEX["cpu"] + "/torch/"
        nvidia = goal["nvidia"] and nvidia_works()
        source = torch_source(
            platform.system(), nvidia, self.offers_cpu, lambda: reaches(cpu_index)
        )
        if source == "large" and not nvidia:
            tell("large")
        check_disk(source)
        self.install(source, goal["extras"])
        write_stamp({**goal, "torch": source, "ready": True})

    def update(self, stamp: dict[str, Any], goal: dict[str, Any]) -> None:
        tell("update")
        check_disk("update")
        # Not ready while pip is at work: if it is killed, the next start builds afresh.
        write_stamp({**stamp, "ready": False})
        try:
            self.install(stamp["torch"], goal["extras"])
        except SetupError as error:
            if error.key == "network":  # pip downloads everything before it changes anything
                write_stamp(stamp)
            raise
        write_stamp({**stamp, **goal})

    def install(self, source: str, extras: list[str]) -> None:
        # Only PyTorch itself comes from its own index, all else from where pip is told to look.
        index = ["--no-deps", "--index-url", INDEX[source]] if source in INDEX else []
        self.pip("torch", "install", *index, torch_requirement())
        chosen = "[{}]".format(",".join(extras)) if extras else ""
        self.pip("product", "install", "--editable", "." + chosen)

    def offers_cpu(self) -> bool:
        """Whether pip, as it is configured here, would take a CPU build by itself."""
        try:
            listing = self.pip("choose", "index", "versions", "torch")
        except SetupError as error:
            if error.key == "network":
                raise
            return False
        return newest_is_cpu_build(listing, torch_requirement())

    def pip(self, title: str, *arguments: str) -> str:
        quiet = ["--no-input", "--disable-pip-version-check"]
        return self.run(title, [str(PYTHON), "-m", "pip", *arguments, *quiet])

    def run(self, title: str, command: list[str]) -> str:
        """Runs one step with its output in the log, and shows that time passes."""
        with LOG.open("ab") as log:
            begin = log.tell()
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env={**os.environ, "PYTHONIOENCODING": "utf-8:backslashreplace"},
                # The child holds the lock, too: if this process is killed, the next one waits.
                pass_fds=(self.lock,) if os.name == "posix" else (),
            )
            try:
                watch(process, texts()[title])
            finally:
                stop(process)
        output = LOG.read_bytes()[begin:].decode("utf-8", "replace")
        if process.returncode != 0:
            raise explain(output)
        return output


def watch(process: subprocess.Popen[bytes], title: str) -> None:
    """One line that lives on a terminal; elsewhere plain lines, and a sign of life a minute."""
    started = told = time.monotonic()
    width = shutil.get_terminal_size().columns - 1
    live = sys.stderr.isatty()
    if not live:
        print(f"  {title} …", file=sys.stderr, flush=True)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
        now = time.monotonic()
        done = process.returncode is not None
        line = f"  {title}: {now - started:.0f} s"
        if live:
            sign = " " if done else "|/-\\"[int(now * 5) % 4]
            full = line if done else f"{line}  {last_line()}"
            print(f"\r{(sign + full)[:width]:{width}}", end="\n" if done else "", file=sys.stderr)
        elif done or now - told > 60:
            told = now
            print(line if done else f"{line} …  {last_line()}", file=sys.stderr)
        sys.stderr.flush()
        if done:
            return


def last_line() -> str:
    """What pip is doing right now, from the end of the log."""
    with LOG.open("rb") as log:
        log.seek(max(0, log.seek(0, os.SEEK_END) - 2000))
        lines = log.read().decode("utf-8", "replace").split("\n")
    return next((line.strip()[:80] for line in reversed(lines) if line.strip()), "")


def stop(process: subprocess.Popen[bytes]) -> None:
    """Waits for a step that Ctrl-C has told to end; ends it where it does not listen."""
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def explain(output: str) -> SetupError:
    for key, sign in SIGNS:
        if re.search(sign, output):
            return SetupError(key)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return SetupError("failed", reason=(errors or lines or ["?"])[-1])


@contextlib.contextmanager
def locked() -> Iterator[int]:
    """One set-up at a time. The system frees the lock of a process that dies."""
    with LOCK.open("a") as file:
        if not try_lock(file.fileno()):
            tell("waiting")
            while not try_lock(file.fileno()):
                time.sleep(0.3)
        yield file.fileno()


def try_lock(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Any other error: a network disk that knows no locks. Better without one than not at all.
        return error.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def ensure_ready(extras: set[str]) -> None:
    if is_ready(read_stamp(), extras):
        return
    if not all(map(importlib.util.find_spec, ("venv", "ensurepip"))):
        raise SetupError("no_venv")
    with locked() as lock:
        stamp = read_stamp()
        if not is_ready(stamp, extras):  # another start may have done it meanwhile
            Setup(lock).make(stamp, extras)


def hand_over(arguments: list[str]) -> int:
    """Becomes the command where the system can do that, else waits for its exit code."""
    command = [str(PYTHON), *arguments]
    # What the messages tell people to type must work where they stand.
    os.environ.setdefault("CUSTOM_AI_PROGRAM", "python app.py")
    if os.name == "posix":
        os.execv(command[0], command)
    process = subprocess.Popen(command)
    while True:
        # Ctrl-C reaches the command as well; what it means is the command's business.
        with contextlib.suppress(KeyboardInterrupt):
            return process.wait()


def main(arguments: list[str]) -> int:
    if not python_is_new_enough(tuple(sys.version_info[:3])):
        return 1
    testing = arguments[:1] == ["test"]
    try:
        ensure_ready(test_extras() if testing else set())
    except KeyboardInterrupt:
        print(file=sys.stderr)
        tell("stopped")
        return 3
    except (SetupError, OSError) as error:
        complain(error if isinstance(error, SetupError) else explain(str(error)))
        return 1
    if testing:
        return hand_over([str(ROOT / "scripts" / "check.py"), *arguments[1:]])
    # -P: a folder named like a library, in the folder where people happen to be, does no harm.
    return hand_over(["-P", "-m", "custom_ai", *arguments])


def test_extras() -> set[str]:
    """What the tests need; a build machine also tests what people add: exports in other programs,
    weights in 4 bits."""
    return {"test", "loaders", "quantized"} if os.environ.get("CI") else {"test"}


def complain(error: SetupError) -> None:
    free = f"{shutil.disk_usage(ROOT).free / 1e9:.1f}"
    version = platform.python_version()
    tell(error.key, needed=error.needed, free=free, version=version, reason=error.reason)
    if LOG.exists():
        tell("log")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
