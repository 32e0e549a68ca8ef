"""Make the weights of the demo model: train its VAE, text encoder and UNet on portraits rendered on the way.

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
    """The command line; the defaults take an accelerator minutes, and a CPU days."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... (default: an accelerator if there is one)")
    number = {"type": int, "metavar": "N"}
    parser.add_argument("--autoencoder-pictures", default=200_000, help="portraits for the VAE", **number)
    parser.add_argument("--text-encoder-steps", default=800, help="training steps of the text encoder", **number)
    help_ = "latents for the UNet at high noise alone, before those at all of it"
    parser.add_argument("--high-noise-latents", default=100_000, help=help_, **number)
    parser.add_argument("--denoiser-latents", default=2_000_000, help="latents for the UNet", **number)
    parser.add_argument("--workers", type=positive, default=os.cpu_count(), help="processes that render")
    help_ = "processes that train together: a CPU's cores; each takes its part of a batch"
    parser.add_argument("--processes", type=int, choices=(1, 2, 4), default=1, help=help_)
    folder = environment.ROOT / "demo_output" / "training"
    parser.add_argument("--folder", type=Path, default=folder, help="unfinished training")
    parser.add_argument("--from-weights", type=Path, help="weights file to train on from, instead of from nothing")
    parser.add_argument("--output", type=Path, help="weights file to write (default: demo/model.safetensors)")
    given = parser.parse_args()
    for name in ("autoencoder_pictures", "denoiser_latents"):
        if getattr(given, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be 1 or more")
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
    from styo.demo.pretraining.make import Plan, make_demo_model

    parallel.join()
    make_demo_model(
        options.folder,
        Plan(
            options.autoencoder_pictures,
            options.text_encoder_steps,
            options.high_noise_latents,
            options.denoiser_latents,
        ),
        options.workers,
        prepare,
        options.device,
        options.output or weights.PATH,
        options.from_weights,
    )
