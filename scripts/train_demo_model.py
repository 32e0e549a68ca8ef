"""Make the weights of the demo model: render portraits, train the VAE, then UNet and text encoder.

It may be stopped at any time and goes on where it was; what it has made so far lies in --folder.
"""

import argparse
import os
import sys
from pathlib import Path

import environment


def arguments() -> argparse.Namespace:
    """The command line; the defaults are for a first look, good weights want several times as many steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="cpu, cuda, ... (default: an accelerator if there is one)")
    parser.add_argument("--pictures", type=int, default=48_000, help="portraits to render")
    parser.add_argument("--autoencoder-steps", type=int, default=2600, help="training steps of the VAE")
    parser.add_argument("--denoiser-steps", type=int, default=8000, help="training steps of UNet and text encoder")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that render")
    parser.add_argument("--threads", type=int, help="CPU threads of torch")
    folder = environment.ROOT / "demo_output" / "training"
    parser.add_argument("--folder", type=Path, default=folder, help="pictures and unfinished training")
    parser.add_argument("--output", type=Path, help="weights file to write (default: demo/model.safetensors)")
    return parser.parse_args()


if __name__ == "__main__":
    options = arguments()
    environment.enter()
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    import comfy.options  # noqa: F401  (without it ComfyUI would read this command line)
    import torch
    from comfy.cli_args import args

    if options.device == "auto":
        options.device = torch.accelerator.current_accelerator().type if torch.accelerator.is_available() else "cpu"
    args.cpu = options.device == "cpu"
    if options.threads:
        torch.set_num_threads(options.threads)
    import pack

    pack.import_pack()
    from styo.demo import weights
    from styo.demo.pretraining.make import make_demo_model

    make_demo_model(
        options.folder,
        options.pictures,
        options.autoencoder_steps,
        options.denoiser_steps,
        options.workers,
        options.device,
        options.output or weights.PATH,
    )
