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

AMOUNTS = {
    "autoencoder_pictures": (6_000, 200_000, "portraits for the VAE"),
    "text_encoder_steps": (800, 800, "training steps of the text encoder"),
    "high_noise_latents": (48_000, 128_000, "latents for the UNet at high noise alone, before those at all of it"),
    "denoiser_latents": (288_000, 563_200, "latents for the UNet"),
}
"""How much there is to train, by default on a CPU and on an accelerator."""


def prepare(device: str = "cpu"):
    """Make ComfyUI and the pack importable, for ``device``; processes that render begin with it."""
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    import comfy.options  # noqa: F401  (without it ComfyUI would read this command line)
    from comfy.cli_args import args

    args.cpu = device == "cpu"
    import pack

    pack.import_pack()


def arguments() -> argparse.Namespace:
    """The command line; without amounts it takes two cores of a CPU hours, an accelerator minutes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    help_ = "use this Python, with the ComfyUI at COMFYUI_PATH"
    parser.add_argument("--here", action="store_true", help=help_)
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... (default: an accelerator if there is one)")
    for name, (cpu, accelerator, what) in AMOUNTS.items():
        help_ = f"{what} (default: {cpu} on a CPU, {accelerator} on an accelerator)"
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="N", help=help_)
    parser.add_argument("--workers", type=positive, default=os.cpu_count(), help="processes that render")
    help_ = "processes that train together: a CPU's cores; each takes its part of a batch"
    parser.add_argument("--processes", type=int, choices=(1, 2, 4), default=1, help=help_)
    folder = environment.ROOT / "demo_output" / "training"
    parser.add_argument("--folder", type=Path, default=folder, help="unfinished training")
    parser.add_argument("--from-weights", type=Path, help="weights file to train on from, instead of from nothing")
    parser.add_argument("--output", type=Path, help="weights file to write (default: demo/model.safetensors)")
    given = parser.parse_args()
    for name in ("autoencoder_pictures", "denoiser_latents"):
        if getattr(given, name) is not None and getattr(given, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be 1 or more")
    if given.from_weights and not given.from_weights.is_file():
        parser.error(f"there is no file {given.from_weights}")
    return given


def amounts(given: argparse.Namespace, device: str) -> dict[str, int]:
    """What the command line asks for, and else what suits the device."""
    defaults = {name: amount[device != "cpu"] for name, amount in AMOUNTS.items()}
    asked = {name: getattr(given, name) for name in AMOUNTS if getattr(given, name) is not None}
    return defaults | asked


if __name__ == "__main__":
    options = arguments()
    environment.enter(options.here)
    if options.processes > 1 and "RANK" not in os.environ:
        launcher = ["torch.distributed.run", "--standalone", f"--nproc-per-node={options.processes}"]
        sys.exit(subprocess.call([sys.executable, "-m", *launcher, *sys.argv]))
    import torch

    if options.device == "auto":
        options.device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
    if options.device != "cpu":
        torch.set_float32_matmul_precision("high")
    prepare(options.device)
    from styo.demo import weights
    from styo.demo.pretraining import parallel
    from styo.demo.pretraining.make import Plan, make_demo_model

    parallel.join()
    make_demo_model(
        options.folder,
        Plan(**amounts(options, options.device)),
        options.workers,
        prepare,
        options.device,
        options.output or weights.PATH,
        options.from_weights,
    )
