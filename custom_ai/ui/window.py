"""Ways to show the app: the default browser, or a window that looks like a program's own.

A window comes from the system's own web view (through pywebview, an extra), else from a browser of
the Chromium family. Qt is never used: its web view under Python is GPL.
"""

import importlib
import logging
import os
import shutil
import subprocess
import sys
import threading
import webbrowser
from pathlib import Path
from types import ModuleType

from custom_ai.settings import home

_SIZE = (1280, 860)
_SMALLEST = (820, 600)

# pywebview's name for the web view of a system, and the module that must work for it.
_VIEWS = {"win32": "edgechromium", "darwin": "cocoa", "linux": "gtk"}
_MODULES = {"edgechromium": "winforms", "cocoa": "cocoa", "gtk": "gtk"}

_ON_PATH = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
    "microsoft-edge-stable",
)
_MAC_APPS = ("Google Chrome", "Microsoft Edge", "Chromium")
_WINDOWS_PROGRAMS = (
    "Google/Chrome/Application/chrome.exe",
    "Microsoft/Edge/Application/msedge.exe",
)
_WINDOWS_PLACES = ("PROGRAMFILES", "PROGRAMFILES(X86)", "LOCALAPPDATA")

_log = logging.getLogger(__name__)


def has_screen() -> bool:
    """Whether a window can appear here at all; on a server over SSH, for example, it can't."""
    if sys.platform in ("win32", "darwin"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))


def open_in_browser(url: str) -> None:
    """Show the address in the default browser, without waiting for it."""
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def native_view() -> ModuleType | None:
    """pywebview, if it is installed and finds the system's own web view."""
    try:
        view = importlib.import_module("webview")
        # Where this module fails, pywebview would go on with Qt.
        platform = importlib.import_module(f"webview.platforms.{_MODULES[_view_name()]}")
    except (ImportError, ValueError) as error:
        _log.info("no native window: %s", error)
        return None
    # On Windows without WebView2 it would be the Internet Explorer.
    return view if getattr(platform, "is_chromium", True) else None


def show_native(view: ModuleType, url: str) -> None:
    """Show the address in a native window; returns when it is closed. Main thread only."""
    view.settings["ALLOW_DOWNLOADS"] = True
    view.create_window(
        "custom-ai",
        url,
        width=_SIZE[0],
        height=_SIZE[1],
        min_size=_SMALLEST,
        text_select=True,
    )
    view.start(gui=_view_name(), private_mode=False, storage_path=str(_profile("view")))


def window_program() -> str | None:
    """A browser that can show a page as a window without tabs and address bar."""
    if sys.platform == "darwin":
        places = [f"/Applications/{name}.app/Contents/MacOS/{name}" for name in _MAC_APPS]
    elif sys.platform == "win32":
        roots = [Path(os.environ[name]) for name in _WINDOWS_PLACES if name in os.environ]
        places = [str(root / program) for program in _WINDOWS_PROGRAMS for root in roots]
    else:
        places = list(_ON_PATH)
    return next((found for place in places if (found := shutil.which(place))), None)


def open_as_window(program: str, url: str) -> subprocess.Popen[bytes]:
    """Show the address in a window of that browser; its process ends when it is closed."""
    width, height = _SIZE
    return subprocess.Popen(
        [
            program,
            f"--app={url}",
            # With a profile of its own the process is ours, and nobody's extensions look on.
            f"--user-data-dir={_profile('browser')}",
            f"--window-size={width},{height}",
            "--no-first-run",
            "--no-default-browser-check",
            "--disable-sync",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _view_name() -> str:
    return _VIEWS.get(sys.platform, "gtk")


def _profile(kind: str) -> Path:
    folder = home() / "cache" / kind
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
