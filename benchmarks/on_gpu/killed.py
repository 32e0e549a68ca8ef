"""A training in a process of its own, which is killed in its midst; what it needs is imported in that process."""

from __future__ import annotations

import argparse
import sys


def run(folder: str, device: str):
    """Train in the output folder ``folder`` until killed."""
    if "styo" not in sys.modules:
        from shared import kit, launch

        kit.stand_in_for_video()
        launch.start(argparse.Namespace(device=device, threads=None))
    import folder_paths

    from . import learning

    folder_paths.set_output_directory(folder)
    learning.run_until_killed()
