"""Run StyO in a real ComfyUI server and collect its pictures, beside the right answer.

Without ``--checkpoint`` it runs on the demo model and drawn portraits, which come with the pack, in a few minutes on a
CPU. With one it runs on that Stable Diffusion 1.x file and a real photo, with the paper's settings.
"""

import argparse
from pathlib import Path

import environment
from command_line import positive


def arguments() -> argparse.Namespace:
    """The command line; settings left out are the workflow's, or the paper's for a checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="a Stable Diffusion 1.x checkpoint of yours")
    parser.add_argument("--steps", type=positive, help="training steps")
    parser.add_argument("--sampling-steps", type=positive, help="sampling steps of each pass")
    parser.add_argument("--resolution", type=positive, help="side of the square pictures in pixels (with --checkpoint)")
    parser.add_argument("--learning-rate", type=float, help="learning rate of the training")
    parser.add_argument("--output", type=Path, default=environment.ROOT / "demo_output", help="folder for the pictures")
    given = parser.parse_args()
    if given.checkpoint and not given.checkpoint.is_file():
        parser.error(f"there is no file {given.checkpoint}")
    if given.resolution and not given.checkpoint:
        parser.error("--resolution needs --checkpoint: the demo model knows pictures of one size only")
    return given


if __name__ == "__main__":
    options = arguments()
    environment.enter()
    from demo_jobs import CheckpointJob, DemoModelJob
    from demo_run import run

    run((CheckpointJob if options.checkpoint else DemoModelJob)(options), options.output)
