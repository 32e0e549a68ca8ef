"""StyO on a checkpoint of SDXL's format in the real server: what each part takes, and the peak memory.

The text encoders have their full size, so that this needs 7 GB of memory and minutes on a CPU; the UNet is a narrow one
with random weights. Nothing is downloaded.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import environment
from command_line import positive


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=positive, default=256, help="pixels a side")
    parser.add_argument("--steps", type=positive, default=2, help="steps of sampling and of training")
    parser.add_argument("--here", action="store_true", help="use this Python, with the ComfyUI at COMFYUI_PATH")
    return parser.parse_args()


def source_pass(size: int, steps: int) -> dict:
    """Load, encode, and run the captured source pass from the noised photo."""
    sampling = {"steps": steps, "cfg": 7.5, "sampler_name": "ddim", "scheduler": "ddim_uniform", "denoise": 1.0}
    return {
        "load": _node("CheckpointLoaderSimple", ckpt_name="sdxl.safetensors"),
        "photo": _node("LoadImage", image="photo.png"),
        "art": _node("LoadImage", image="painting.png"),
        "scaled": _node(
            "ImageScale", image=["photo", 0], upscale_method="area", width=size, height=size, crop="center"
        ),
        "latent": _node("VAEEncode", pixels=["scaled", 0], vae=["load", 2]),
        "prompts": _node(
            "StyOPromptBuilder",
            source_style="ak47",
            target_style="aug",
            source_content="sks",
            target_content="m4a1",
            style_repeats=3,
            content_repeats=1,
            negator="not",
            subject="portrait",
        ),
        "encoded": _node("StyOEncodePrompts", clip=["load", 1], prompts=["prompts", 0]),
        "negative": _node("CLIPTextEncode", clip=["load", 1], text=""),
        "capture": _node("StyOAttentionCapture", model=["load", 0], latent=["latent", 0]),
        "source": _node(
            "KSampler",
            model=["capture", 0],
            latent_image=["capture", 1],
            positive=["encoded", 0],
            negative=["negative", 0],
            seed=1,
            **sampling,
        ),
        "seen": _node("PreviewImage", images=["source picture", 0]),
        "source picture": _node("VAEDecode", samples=["source", 0], vae=["load", 2]),
    }


def stylization(graph: dict, size: int) -> dict:
    """The captured graph, and the pass that its maps are injected into."""
    sampler = graph["source"]["inputs"]
    return graph | {
        "inject": _node(
            "StyOAttentionInject",
            model=["load", 0],
            source=["source", 0],
            strength=1.0,
            start_percent=0.0,
            end_percent=1.0,
        ),
        "empty": _node("EmptyLatentImage", width=size, height=size, batch_size=1),
        "stylized": _node(
            "KSampler",
            **{**sampler, "model": ["inject", 0], "latent_image": ["empty", 0], "positive": ["encoded", 3], "seed": 2},
        ),
        "picture": _node("VAEDecode", samples=["stylized", 0], vae=["load", 2]),
        "shown": _node("PreviewImage", images=["picture", 0]),
    }


def training(graph: dict, size: int, steps: int) -> dict:
    """StyO IDL Train with method lora on the same checkpoint."""
    return {name: graph[name] for name in ("load", "photo", "art", "prompts")} | {
        "train": _node(
            "StyOIDLTrain",
            model=["load", 0],
            clip=["load", 1],
            vae=["load", 2],
            prompts=["prompts", 0],
            source_image=["photo", 0],
            target_image=["art", 0],
            method="lora",
            steps=steps,
            learning_rate=1e-4,
            seed=0,
            filename_prefix="loras/StyO/idl",
            resolution=size,
            precision="fp32",
            preview_every=0,
            train_text_encoder=False,
            rank=16,
            gradient_checkpointing=True,
            save_every=0,
            optimizer="adam",
        ),
        "losses": _node("PreviewAny", source=["train", 3]),
    }


def _node(kind: str, **inputs) -> dict:
    return {"class_type": kind, "inputs": inputs}


def _put_comfyui_on_the_path():
    """The checkpoint is written by ComfyUI's own code, which needs no GPU for it."""
    sys.path.insert(0, os.environ["COMFYUI_PATH"])
    import comfy.options  # noqa: F401  (argument parsing stays off: the options are not ComfyUI's)
    from comfy.cli_args import args

    args.cpu = True


def main(options: argparse.Namespace):
    _put_comfyui_on_the_path()
    import comfy_server
    import sample_pictures
    import sdxl_checkpoint

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "models" / "checkpoints").mkdir(parents=True)
        (folder / "input").mkdir()
        sample_pictures.write(folder / "input")
        path = folder / "models" / "checkpoints" / "sdxl.safetensors"
        _timed("write the checkpoint", lambda: sdxl_checkpoint.write(path))
        print(f"the checkpoint: {path.stat().st_size / 1e9:.2f} GB", flush=True)
        graph = source_pass(options.size, options.steps)
        with comfy_server.serve(folder, "--cache-classic") as server:
            _timed("load, encode five prompts, captured source pass", lambda: server.run(graph))
            _timed("stylization with injected maps", lambda: server.run(stylization(graph, options.size)))
            _timed(
                f"train lora, {options.steps} steps", lambda: server.run(training(graph, options.size, options.steps))
            )
            for line in server.log.read_text("utf-8", errors="replace").splitlines():
                if "StyO" in line:
                    print("  " + line.strip()[-200:])
        (file,) = (folder / "output").glob("loras/**/*.safetensors")
        print(f"the weights file: {file.stat().st_size / 1e6:.1f} MB")
    print(f"peak memory of the server: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20:.1f} GiB")


def _timed(what: str, act):
    start = time.monotonic()
    act()
    print(f"{what}: {time.monotonic() - start:.0f} s", flush=True)


if __name__ == "__main__":
    given = parse()
    if not given.here:
        environment.enter()
    main(given)
