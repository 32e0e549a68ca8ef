"""The models that are measured, with random weights, as ComfyUI's MODEL, CLIP and VAE; no file is read."""

from __future__ import annotations

import dataclasses

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models
import torch
from comfy.ldm.models.autoencoder import AutoencoderKL
from styo.bridge.prompt_encoding import encode_prompts
from styo.training.prompts import Prompts

CONTEXT = 768
TOKENS = 77


@dataclasses.dataclass(frozen=True)
class Unet:
    """A UNet: channels of its levels over ``channels``, depth of the transformer in every block, and what it reads.

    ``family`` is its class in ComfyUI, ``context`` the channels of a token, ``pooled`` those of the whole text.
    """

    name: str
    family: str
    levels: tuple[int, ...]
    depths: tuple[int, ...]
    middle: int
    output_depths: tuple[int, ...]
    context: int = CONTEXT
    pooled: int | None = None
    heads: tuple[str, int] = ("num_head_channels", 64)
    precision: torch.dtype | None = None
    channels: int = 320

    def unet_config(self) -> dict:
        """ComfyUI's description of it; SDXL's vector is the pooled text with six sizes of 256 channels each."""
        return {
            "image_size": 32,
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": self.channels,
            "channel_mult": list(self.levels),
            "num_res_blocks": [len(self.depths) // len(self.levels)] * len(self.levels),
            "transformer_depth": list(self.depths),
            "transformer_depth_output": list(self.output_depths),
            "transformer_depth_middle": self.middle,
            "context_dim": self.context,
            self.heads[0]: self.heads[1],
            "attn_precision": self.precision,
            "use_spatial_transformer": True,
            "legacy": False,
            "use_linear_in_transformer": self.context != CONTEXT,
            "num_classes": "sequential" if self.pooled else None,
            "adm_in_channels": self.pooled + 6 * 256 if self.pooled else None,
        }

    def model(self, dtype: torch.dtype):
        """A MODEL of it that predicts noise."""
        config = getattr(comfy.supported_models, self.family)(self.unet_config())
        config.set_inference_dtype(dtype, None)
        model = config.get_model({}, "", device=torch.device("cpu"))
        randomize(model.diffusion_model)
        devices = comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
        return comfy.model_patcher.CoreModelPatcher(model, *devices)


EIGHT = ("num_heads", 8)
SD15 = Unet("SD1.5", "SD15", (1, 2, 4, 4), (1,) * 6 + (0,) * 2, 1, (1,) * 9 + (0,) * 3, heads=EIGHT)
MINI = Unet("320-channel mini", "SD15", (1, 1), (1,) * 2, 1, (1,) * 4, heads=EIGHT)
TOY = dataclasses.replace(MINI, name="32-channel toy", channels=32)
SD2 = Unet("SD 2.x (v)", "SD20", SD15.levels, SD15.depths, 1, SD15.output_depths, 1024, precision=torch.float32)
SDXL = Unet("SDXL", "SDXL", (1, 2, 4), (0, 0, 2, 2, 10, 10), 10, (0, 0, 0, 2, 2, 2, 10, 10, 10), 2048, 1280)
SSD_1B = Unet("SSD-1B", "SSD1B", (1, 2, 4), (0, 0, 2, 2, 4, 4), -1, (0, 0, 0, 1, 1, 2, 10, 4, 4), 2048, 1280)
VEGA = Unet("Segmind Vega", "Segmind_Vega", (1, 2, 4), (0, 0, 1, 1, 2, 2), -1, (0, 0, 0, 1, 1, 1, 2, 2, 2), 2048, 1280)
TOY_SDXL = Unet(
    "toy SDXL", "SDXL", (1, 2), (0, 0, 2, 2), 2, (0,) * 3 + (2,) * 3, 64, 80, ("num_head_channels", 16), channels=32
)


def randomize(module: torch.nn.Module, seed: int = 0):
    """Random weights that keep the size of activations: matrices by fan-in, gains near 1, offsets near 0.

    They are drawn where ComfyUI computes: on a CPU a real model would take longer than some measurements.
    """
    device = comfy.model_management.get_torch_device()
    generator = torch.Generator(device).manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator, device=device)
        if parameter.ndim > 1:
            parameter.data.copy_(noise * parameter[0].numel() ** -0.5)
        else:
            parameter.data.copy_(noise * 0.02 + (not name.endswith("bias")))


def make_clip(unet: Unet, width: int = CONTEXT):
    """A CLIP with SD1.x's tokenizer and ``width`` channels: twelve layers for SD1.5, one for a smaller one."""

    class Target:
        params = {}
        clip = comfy.sd1_clip.SD1ClipModel
        tokenizer = comfy.sd1_clip.SD1Tokenizer

    layers = {
        "num_hidden_layers": 12 if unet is SD15 else 1,
        "hidden_size": width,
        "num_attention_heads": width // 64,
        "intermediate_size": 4 * width,
        "projection_dim": width,
    }
    options = {"clip_l_model_config": layers, "dtype": torch.float32}
    clip = comfy.sd.CLIP(Target, tokenizer_data={}, model_options=options)
    randomize(clip.cond_stage_model)
    return clip


def make_vae(unet: Unet):
    """A KL VAE with 8 x 8 pixels to a latent position, as large as SD1.5's for that and small for a smaller one."""
    channels, levels, blocks = (128, [1, 2, 4, 4], 2) if unet is SD15 else (32, [1, 1, 1, 1], 1)
    description = {"double_z": True, "z_channels": 4, "resolution": 256, "in_channels": 3, "out_ch": 3}
    description |= {"ch": channels, "ch_mult": levels, "num_res_blocks": blocks, "attn_resolutions": [], "dropout": 0.0}
    module = AutoencoderKL(ddconfig=description, embed_dim=4)
    randomize(module)
    return comfy.sd.VAE(sd=module.state_dict(), config={"params": {"ddconfig": description, "embed_dim": 4}})


@dataclasses.dataclass(frozen=True)
class Conditionings:
    """The CONDITIONING of a comparison: random embeddings, with the content tokens of StyO's own prompts."""

    source: list
    stylized: list
    negative: list
    columns: tuple[int, ...]


def conditionings(content_repeats: int = 1) -> Conditionings:
    """The source and stylized prompts of n_c = ``content_repeats``, and a negative one of one chunk."""
    source, _, _, stylized = encode_prompts(make_clip(MINI, width=64), Prompts(content_repeats=content_repeats))
    generator = torch.Generator().manual_seed(1)
    content, tokens = source[0][1]["styo_content"], source[0][0].shape[1]
    if stylized[0][1]["styo_content"] != content:
        raise ValueError("The peers take the columns of both prompts at the same positions.")
    marks = ((tokens, source[0][1]), (tokens, stylized[0][1]), (TOKENS, {}))
    embedded = [[[torch.randn((1, length, CONTEXT), generator=generator), more]] for length, more in marks]
    return Conditionings(*embedded, content.positions)
