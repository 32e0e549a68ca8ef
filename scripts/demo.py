"""Run the shipped example workflow in a real ComfyUI server and collect its pictures.

Without ``--checkpoint`` it runs on random weights: every part of StyO works, but the pictures cannot be meaningful.
"""

import argparse
from pathlib import Path

import environment

HONEST_NOTE = """\
The model of this run has random weights: the pictures show that the whole graph works, not what StyO looks like.
For real results run it on your own Stable Diffusion 1.5 file, with the paper's settings:
    python scripts/demo.py --checkpoint v1-5-pruned-emaonly-fp16.safetensors"""


def arguments() -> argparse.Namespace:
    """The command line; settings left out are quick ones for random weights, and the paper's for a real checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="a Stable Diffusion 1.x checkpoint of yours")
    parser.add_argument("--steps", type=int, help="training steps")
    parser.add_argument("--sampling-steps", type=int, help="sampling steps of each pass")
    parser.add_argument("--resolution", type=int, help="side of the square pictures in pixels")
    parser.add_argument("--learning-rate", type=float, help="learning rate of the training")
    parser.add_argument("--output", type=Path, default=environment.ROOT / "demo_output", help="folder for the pictures")
    given = parser.parse_args()
    if given.checkpoint and not given.checkpoint.is_file():
        parser.error(f"there is no file {given.checkpoint}")
    paper = {"steps": 400, "sampling_steps": 50, "resolution": 512, "learning_rate": 1e-6}
    quick = {"steps": 60, "sampling_steps": 10, "resolution": 128, "learning_rate": 3e-4}
    for name, value in (paper if given.checkpoint else quick).items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    return given


if __name__ == "__main__":
    options = arguments()
    environment.enter()
    from demo_run import run

    run(options)
    if not options.checkpoint:
        print(HONEST_NOTE)
