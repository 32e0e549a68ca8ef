"""Make the weights of the demo model: render portraits, train the VAE, text encoder, UNet.

It may be stopped at any time and goes on where it was; what it has made so far lies in --folder.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import environment
from command_line import positive


def prepare(device: str = "cpu"):
    """Make ComfyUI and the pack importable, for ``device``; processes that render begin with it."""
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    import comfy.options  # noqa: F401  (without it ComfyUI would read this command line)
    from comfy.cli_args import args

    args.cpu = device == "cpu"
    import pack

    pack.import_pack()


def arguments() -> argparse.Namespace:
    """The command line; the defaults are as long as the shipped weights were trained in all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... (default: an accelerator if there is one)")
    parser.add_argument("--pictures", type=positive, default=40_000, help="portraits to render, a multiple of 500")
    parser.add_argument("--autoencoder-steps", type=positive, default=2200, help="training steps of the VAE")
    help_ = "training steps of the text encoder"
    parser.add_argument("--text-encoder-steps", type=int, default=800, help=help_)
    help_ = "training steps of the UNet at high noise alone, before those at all of it"
    parser.add_argument("--high-noise-steps", type=int, default=400, help=help_)
    parser.add_argument("--denoiser-steps", type=int, default=6000, help="training steps of the UNet")
    parser.add_argument("--workers", type=positive, default=os.cpu_count(), help="processes that render")
    help_ = "processes that train together: a CPU's cores; each takes its part of a batch"
    parser.add_argument("--processes", type=int, choices=(1, 2, 4), default=1, help=help_)
    folder = environment.ROOT / "demo_output" / "training"
    parser.add_argument("--folder", type=Path, default=folder, help="pictures and unfinished training")
    parser.add_argument("--from-weights", type=Path, help="weights file to train on from, instead of from nothing")
    parser.add_argument("--output", type=Path, help="weights file to write (default: demo/model.safetensors)")
    given = parser.parse_args()
    if given.pictures % 500:
        parser.error("--pictures must be a multiple of 500")
    if given.from_weights and not given.from_weights.is_file():
        parser.error(f"there is no file {given.from_weights}")
    return given


if __name__ == "__main__":
    options = arguments()
    environment.enter()
    if options.processes > 1 and "RANK" not in os.environ:
        launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={options.processes}"]
        sys.exit(subprocess.call([sys.executable, "-m", *launcher, *sys.argv]))
    import torch

    if options.device == "auto":
        options.device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
    prepare(options.device)
    from styo.demo import weights
    from styo.demo.pretraining import parallel
    from styo.demo.pretraining.make import make_demo_model

    parallel.join()
    make_demo_model(
        options.folder,
        options.pictures,
        options.autoencoder_steps,
        options.text_encoder_steps,
        options.high_noise_steps,
        options.denoiser_steps,
        options.workers,
        prepare,
        options.device,
        options.output or weights.PATH,
        options.from_weights,
    )
