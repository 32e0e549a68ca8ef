"""The demo model as ComfyUI's MODEL, CLIP and VAE."""

from __future__ import annotations

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import torch
from comfy.latent_formats import LatentFormat
from comfy.model_base import ModelType
from comfy.taesd.taesd import TAESD

from ..training.settings import RESOLUTION_KEY
from . import shapes, weights
from .autoencoder import Autoencoder, rough_colours


class Latents(LatentFormat):
    """The UNet's latents are the VAE's; their rough colours are for ComfyUI's previews."""

    latent_channels = shapes.LATENT_CHANNELS

    def __init__(self, colours: list[list[float]], mean: list[float]):
        self.latent_rgb_factors, self.latent_rgb_factors_bias = colours, mean


class DemoModel(comfy.supported_models.SD15):
    """An SD1.x of v-prediction; more than four channels are an inpainting model's to ComfyUI, and not here."""

    unet_extra_config = {}
    """SD1.x's eight heads a layer, elsewhere, would stand in the place of those that the UNet was trained with."""

    def model_type(self, *_, **__) -> ModelType:
        """What the UNet predicts."""
        return ModelType.V_PREDICTION

    def inpaint_model(self) -> bool:
        """Whether some channels are a picture to be changed."""
        return False


def load_demo_model() -> tuple:
    """MODEL, CLIP and VAE, on which every node works as on those of a checkpoint; raises MissingWeights."""
    parts = weights.Weights.load(weights.PATH)
    return _model(parts.unet, *rough_colours(parts.vae)), _clip(parts.text_encoder()), _vae(parts.vae)


def _model(weights: dict[str, torch.Tensor], colours: torch.Tensor, mean: torch.Tensor, disable_dynamic: bool = False):
    config = DemoModel(dict(shapes.UNET))
    config.latent_format = Latents(colours.tolist(), mean.tolist())
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
    patcher.cached_patcher_init = (_model, (weights, colours, mean))
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


def _vae(weights: dict[str, torch.Tensor]):
    """ComfyUI's VAE around the demo's autoencoder: made around a TAESD, which is replaced."""
    vae = comfy.sd.VAE(sd=TAESD(latent_channels=shapes.LATENT_CHANNELS).state_dict(), dtype=torch.float32)
    vae.first_stage_model = Autoencoder().eval().requires_grad_(False)
    vae.first_stage_model.load_state_dict(weights)
    devices = {"load_device": vae.patcher.load_device, "offload_device": vae.patcher.offload_device}
    vae.patcher = comfy.model_patcher.ModelPatcher(vae.first_stage_model, **devices)
    vae.process_input, vae.process_output = torch.nn.Identity(), lambda image: image.clamp_(0, 1)
    return vae
