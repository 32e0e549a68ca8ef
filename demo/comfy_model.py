"""The demo model as ComfyUI's MODEL, CLIP and VAE."""

from __future__ import annotations

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import torch

from ..training.settings import RESOLUTION_KEY
from . import shapes, weights


class DemoModel(comfy.supported_models.SD15):
    """An SD1.x whose UNet has the attention heads of ``shapes.UNET``, not the eight a layer that all others have."""

    unet_extra_config = {}


def load_demo_model() -> tuple:
    """MODEL, CLIP and VAE, on which every node works as on those of a checkpoint; raises MissingWeights."""
    parts = weights.Weights.load(weights.PATH)
    return _model(parts.unet), _clip(parts.text_encoder()), comfy.sd.VAE(sd=parts.vae)


def _model(weights: dict[str, torch.Tensor], disable_dynamic: bool = False):
    config = DemoModel(dict(shapes.UNET))
    config.set_inference_dtype(torch.float32, None)
    with torch.inference_mode(False):
        model = config.get_model({}, "", device=comfy.model_management.unet_offload_device())
    model.diffusion_model.load_state_dict(weights)
    patcher_class = comfy.model_patcher.ModelPatcher if disable_dynamic else comfy.model_patcher.CoreModelPatcher
    patcher = patcher_class(
        model,
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )
    patcher.cached_patcher_init = (_model, (weights,))
    patcher.set_attachments(RESOLUTION_KEY, shapes.RESOLUTION)
    return patcher


def _clip(weights: dict[str, torch.Tensor]):
    class Target:
        params = {}
        clip = comfy.sd1_clip.SD1ClipModel
        tokenizer = comfy.sd1_clip.SD1Tokenizer

    options = {"clip_l_model_config": dict(shapes.CLIP), "dtype": torch.float32}
    clip = comfy.sd.CLIP(Target, tokenizer_data={}, model_options=options)
    clip.cond_stage_model.load_state_dict(weights)
    return clip
