"""Runs of StyO IDL Train on the tiny models, as ComfyUI calls the node."""

import safetensors.torch
import torch
from styo.nodes.training import StyOIDLTrain
from styo.training.prompts import Prompts
from tiny import LAYOUTS, make_clip, make_model, make_vae

import nodes

DEFAULTS = {
    "method": "full",
    "steps": 3,
    "learning_rate": 1e-3,
    "seed": 0,
    "train_text_encoder": False,
    "rank": 4,
    "resolution": 64,
    "precision": "fp32",
    "gradient_checkpointing": False,
    "save_every": 0,
    "preview_every": 0,
}


def picture(seed, height=64, width=64, channels=3):
    """An IMAGE [1, height, width, channels] of smooth coloured patches."""
    coarse = torch.rand((1, channels, 3, 3), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1).movedim(1, -1)


def images(auxiliary=2):
    """The image inputs of a run."""
    pictures = {"source_image": [picture(1)], "target_image": [picture(2)]}
    if auxiliary:
        pictures["auxiliary_images"] = [torch.cat([picture(10 + i) for i in range(auxiliary)])]
    return pictures


def inputs(**changes):
    """All inputs of a run, as lists, which is how ComfyUI gives them to this node."""
    pictures = {name: changes.pop(name) for name in list(changes) if name.endswith(("image", "images"))}
    values = {"filename_prefix": "loras/StyO/idl", "prompts": Prompts(), **DEFAULTS, **changes}
    layout = values.pop("layout", "sd1")
    parts = {
        "model": lambda: make_model(layout=layout),
        "clip": lambda: make_clip(family=LAYOUTS[layout][0]),
        "vae": make_vae,
    }
    for name, make in parts.items():
        if name not in values:
            values[name] = make()
    return {name: [value] for name, value in values.items()} | (pictures or images())


def run(**changes):
    """(model, clip, weights, loss) of the node, run as the executor runs it: under inference mode."""
    with torch.inference_mode():
        return StyOIDLTrain.PREPARE_CLASS_CLONE(None).execute(**inputs(**changes)).args


def run_inputs(values):
    """`run` on finished inputs."""
    with torch.inference_mode():
        return StyOIDLTrain.PREPARE_CLASS_CLONE(None).execute(**values).args


def same(a, b):
    """Whether two weights dicts are the same bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def files(output, pattern="loras/**/*.safetensors"):
    """The files of a run, relative to the output folder."""
    return sorted(str(path.relative_to(output)) for path in output.glob(pattern))


def load(path):
    """The tensors of a file."""
    return safetensors.torch.load_file(path)


def patched(patcher):
    """Every weight of a MODEL or CLIP patcher as ComfyUI computes with it, by key, in float32."""
    return {
        key: patcher.patch_weight_to_device(key, device_to=torch.device("cpu"), return_weight=True).float()
        for key in patcher.model.state_dict()
    }


def lora_loader(model, clip, name):
    """MODEL and CLIP from ComfyUI's own LoraLoader."""
    with torch.inference_mode():
        return nodes.LoraLoader().load_lora(model, clip, name, 1.0, 1.0)
