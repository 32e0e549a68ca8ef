"""Loading a StyO weights file onto a MODEL and CLIP, or saying in one sentence why not."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import comfy.lora
import comfy.sd
import torch

from ..training import safetensors_file
from ..training.prompts import Prompts
from ..training.weights import CLIP_LAYER_KEY, NotStyO, read_base, read_prompts
from .model_kind import name_of, require_base, require_match

KINDS = {
    "model.diffusion_model.": "a whole checkpoint",
    "diffusion_model.": "the weights of a diffusion model, or a LoRA of another tool",
    "lora_": "an ordinary LoRA",
    "first_stage_model.": "a VAE",
    "encoder.": "a VAE",
    "cond_stage_model.": "a text encoder",
    "text_model.": "a text encoder",
    "emb_params": "a textual-inversion embedding",
    "control_model.": "a ControlNet",
}


def load_weights(path: Path, model, clip, strength: float) -> tuple[object, object, Prompts]:
    """Clones of MODEL and CLIP with the weights at ``strength``, and the training's prompts; raises ValueError."""
    require_match(model, clip)
    try:
        if path.suffix.lower() != ".safetensors":
            raise NotStyO("it is no safetensors file")
        weights, metadata = safetensors_file.read(path)
        prompts = _prompts(weights, metadata)
    except safetensors_file.DamagedFile as error:
        raise ValueError(f"weights_name: {error}") from None
    except NotStyO as error:
        raise ValueError(f"weights_name: {path.name} is no StyO weights file: {error}.") from None
    base = read_base(metadata)
    require_base(model, base, path.name)
    _require_fit(path.name, weights, model, clip, base.name)
    layer = metadata.get(CLIP_LAYER_KEY)
    if layer is not None and layer != json.dumps(clip.layer_idx):
        logging.warning(
            "StyO: %s was trained with CLIP Set Last Layer at %s, `clip` has it at %s (null: none): make them equal.",
            path.name,
            layer,
            json.dumps(clip.layer_idx),
        )
    model, clip = comfy.sd.load_lora_for_models(model, clip, weights, strength, strength, lora_metadata=metadata)
    return model, clip, prompts


def _prompts(weights: dict[str, torch.Tensor], metadata: dict[str, str]) -> Prompts:
    try:
        return read_prompts(metadata)
    except NotStyO as error:
        kinds = [kind for prefix, kind in KINDS.items() if any(name.startswith(prefix) for name in weights)]
        raise NotStyO(f"{error} and looks like {kinds[0]}" if kinds else str(error)) from None


def _require_fit(name: str, weights: dict[str, torch.Tensor], model, clip, base: str):
    """Raise ValueError unless every tensor is finite and fits a weight of ``model`` or ``clip``."""
    keys = comfy.lora.model_lora_keys_clip(clip.cond_stage_model, comfy.lora.model_lora_keys_unet(model.model, {}))
    shapes = {
        key: weight.shape for key, weight in {**model.model.state_dict(), **clip.cond_stage_model.state_dict()}.items()
    }
    if not weights:
        raise ValueError(f"weights_name: {name} holds no weights.")
    for key, tensor in weights.items():
        if not _fits(key, tensor, keys, shapes):
            raise ValueError(
                f"weights_name: {name} was trained on {base or 'another model'}; `model` is {name_of(model)}, which "
                f"has other layers ({key}). Load the checkpoint it was trained on."
            )
        if not torch.isfinite(tensor).all():
            raise ValueError(f"weights_name: {name} holds values that are nan or infinite ({key}): train it again.")


def _fits(key: str, tensor: torch.Tensor, keys: dict[str, str], shapes: dict[str, torch.Size]) -> bool:
    stem, suffix = _split(key)
    # ComfyUI's table also names layers that small models do not have.
    shape = shapes.get(target := keys.get(stem))
    if shape is None or not tensor.is_floating_point():
        return False
    if suffix == ".diff":
        return tensor.shape == shape
    if suffix == ".diff_b":
        return tensor.shape == shapes.get(f"{target.removesuffix('.weight')}.bias")
    if suffix == ".lora_up.weight":
        return tensor.ndim == len(shape) and tensor.shape[0] == shape[0]
    if suffix == ".lora_down.weight":
        return tensor.ndim == len(shape) and tensor.shape[1] == shape[1]
    return suffix == ".alpha" and tensor.numel() == 1


def _split(key: str) -> tuple[str, str]:
    for suffix in (".lora_up.weight", ".lora_down.weight", ".alpha", ".diff_b", ".diff"):
        if key.endswith(suffix):
            return key.removesuffix(suffix), suffix
    return key, ""
