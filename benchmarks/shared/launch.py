"""What a benchmark needs before its first heavy import: an environment with the peer, ComfyUI, the pack as ``styo``."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import os
import sys
from pathlib import Path

from command_line import positive  # noqa: F401  (the commands take it from here)

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"
PEER = "diffusers"


def common_options(description: str) -> argparse.ArgumentParser:
    """A command line with what all that is started here shares."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the smallest size and few repeats: does it run at all?")
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    parser.add_argument("--here", action="store_true", help="use this Python, with the ComfyUI at COMFYUI_PATH")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="FOLDER", help="where the result goes")
    return parser


def options(description: str) -> argparse.ArgumentParser:
    """A command line with what all benchmarks of time and memory share."""
    parser = common_options(description)
    parser.add_argument("--cpu-time", action="store_true", help="count CPU time, where others use this CPU too")
    parser.add_argument("--repeats", type=int, default=40, help="at most so many pairs of measurements a row")
    parser.add_argument("--seconds", type=int, default=90, help="at most about so long a row")
    return parser


def begin(options: argparse.Namespace, peer: str | None = PEER) -> str:
    """All that comes before the first heavy import; returns the device's type."""
    enter(options.here, peer)
    return start(options)


def enter(here: bool, peer: str | None = PEER):
    """Return when ComfyUI and the peer can be imported; outside of the scripts' environment, go on in there."""
    import environment

    environment.enter(here)
    if not here and peer and importlib.util.find_spec(peer) is None:
        environment.add("benchmark")
        importlib.invalidate_caches()


def start(options: argparse.Namespace) -> str:
    """Make ComfyUI and the pack importable, for the device that is asked for; returns that device's type."""
    os.environ["TQDM_DISABLE"] = "1"
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    logging.getLogger().setLevel(logging.WARNING)
    import comfy.options
    import torch
    from comfy.cli_args import args

    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    args.cpu = device == "cpu"
    args.use_pytorch_cross_attention = getattr(options, "sdpa", False)
    if options.threads:
        torch.set_num_threads(options.threads)
    import comfy.utils
    import pack

    comfy.utils.PROGRESS_BAR_ENABLED = False
    pack.import_pack()
    return device
