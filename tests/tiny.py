"""Tiny random Stable Diffusion models of every layout, built as ComfyUI's own MODEL, CLIP and VAE."""

import functools
import types

import torch

WIDTH = 64
"""Channels of the text embedding of a tiny SD 1.x model."""

ENCODERS = {"sd1": {"l": WIDTH}, "sd2": {"h": 96}, "sdxl": {"l": 48, "g": 80}}
"""Channels of the text encoders of each family, in the order of the text embedding."""

LAYOUTS = {
    "sd1": ("sd1", "SD15", [1, 1], 1, [1, 1, 1, 1]),
    "sd2": ("sd2", "SD20", [1, 1], 1, [1, 1, 1, 1]),
    "sdxl": ("sdxl", "SDXL", [0, 2], 3, [0, 0, 2, 2]),
    "ssd1b": ("sdxl", "SSD1B", [0, 2], -1, [0, 0, 1, 2]),
    "vega": ("sdxl", "Segmind_Vega", [1, 2], -1, [1, 1, 1, 2]),
    "koala": ("sdxl", "KOALA_700M", [0, 2], -2, [0, 0, 2, 2]),
}
"""Family, class in ComfyUI and depths of the transformers (input, middle, output) of each tiny model.

A middle depth of -1 leaves one ResBlock there, -2 nothing.
"""


@functools.cache
def _random_values(parameters, seed, gain):
    """Sensible random values for parameters of these names and shapes; drawn once, however many models need them."""
    generator = torch.Generator().manual_seed(seed)
    values = []
    for name, shape in parameters:
        value = torch.randn(shape, generator=generator)
        if len(shape) > 1:
            values.append(value * gain * shape[1:].numel() ** -0.5)
        else:
            values.append(value * 0.02 + (0 if name.endswith("bias") else 1))
    return values


def _randomize(module, seed, gain=1.0):
    """Give every parameter a random value; ComfyUI's layers come uninitialised."""
    parameters = tuple((name, parameter.shape) for name, parameter in module.named_parameters())
    for parameter, value in zip(module.parameters(), _random_values(parameters, seed, gain), strict=True):
        parameter.data.copy_(value)


def make_model(seed=0, dtype=torch.float32, layout="sd1", prediction=None, zsnr=False, heads=4, quant_config=None):
    """A MODEL of one of LAYOUTS: 32 and 64 image channels, 1 to 2 M weights.

    ``prediction`` is the name of a ModelType, as the class in ComfyUI finds it in a checkpoint.
    """
    import comfy.model_base
    import comfy.model_management as mm
    import comfy.model_patcher
    import comfy.supported_models

    family, config_class, depths, middle, output_depths = LAYOUTS[layout]
    widths = ENCODERS[family]

    def build(disable_dynamic=False):
        config = getattr(comfy.supported_models, config_class)(
            {
                "model_channels": 32,
                "num_res_blocks": [1, 1],
                "channel_mult": [1, 2],
                "transformer_depth": depths,
                "transformer_depth_output": output_depths,
                "transformer_depth_middle": middle,
                "context_dim": sum(widths.values()),
                "in_channels": 4,
                "out_channels": 4,
                "image_size": 32,
                "use_spatial_transformer": True,
                "legacy": False,
                "use_linear_in_transformer": family != "sd1",
                "num_classes": "sequential" if family == "sdxl" else None,
                "adm_in_channels": widths["g"] + 6 * 256 if family == "sdxl" else None,
                "use_checkpoint": False,
                "use_temporal_resblock": False,
                "use_temporal_attention": False,
            }
        )
        config.unet_config.update({"num_heads": heads} if family == "sd1" else {"num_head_channels": 16})
        if prediction:
            config.model_type = lambda state_dict, prefix="": comfy.model_base.ModelType[prediction]
        config.sampling_settings["zsnr"] = zsnr
        config.set_inference_dtype(dtype, None)
        config.quant_config = quant_config
        model = config.get_model({}, "", device=torch.device("cpu"))
        _randomize(model.diffusion_model, seed, gain=1.2)
        # Sharper cross attention than random weights give: the maps must matter for a test of maps to mean anything.
        for name, parameter in model.diffusion_model.named_parameters():
            if "attn2.to_q" in name or "attn2.to_k" in name or "attn2.to_v" in name:
                parameter.data.mul_(2.0)
        patcher = comfy.model_patcher.CoreModelPatcher(
            model, load_device=mm.get_torch_device(), offload_device=mm.unet_offload_device()
        )
        patcher.cached_patcher_init = (build, ())
        return patcher

    return build()


def sizes(width, count):
    """The sizes of a tiny text encoder of ``width`` channels."""
    return {
        "num_hidden_layers": count,
        "hidden_size": width,
        "num_attention_heads": 4,
        "intermediate_size": 2 * width,
        "projection_dim": width,
    }


@functools.cache
def _shared(tokenizer):
    """``tokenizer`` as ComfyUI makes it, one for all CLIPs: reading its vocabulary takes longest of making one."""
    made = tokenizer()
    return lambda **_: made


def make_clip(seed=0, dtype=torch.float32, embedding_directory=None, family="sd1", layers=None, tokenizer_data=None):
    """A CLIP of one of ENCODERS with ComfyUI's tokenizers; ``layers`` are other sizes for encoder l."""
    import comfy.sd
    import comfy.sd1_clip
    import comfy.sdxl_clip
    from comfy.text_encoders import sd2_clip

    classes = {
        "sd1": (comfy.sd1_clip.SD1Tokenizer, comfy.sd1_clip.SD1ClipModel),
        "sd2": (sd2_clip.SD2Tokenizer, sd2_clip.SD2ClipModel),
        "sdxl": (comfy.sdxl_clip.SDXLTokenizer, comfy.sdxl_clip.SDXLClipModel),
    }
    tokenizer, clip = classes[family]
    if not (embedding_directory or tokenizer_data):
        tokenizer = _shared(tokenizer)
    target = types.SimpleNamespace(params={}, tokenizer=tokenizer, clip=clip)
    encoders = {key: sizes(width, 2 if family == "sd1" else 4) for key, width in ENCODERS[family].items()}
    if layers:
        encoders["l"] = layers
    clip = comfy.sd.CLIP(
        target,
        embedding_directory=embedding_directory,
        tokenizer_data=tokenizer_data or {},
        model_options={"dtype": dtype, **{f"clip_{key}_model_config": each for key, each in encoders.items()}},
    )
    _randomize(clip.cond_stage_model, seed)
    return clip


def make_vae(seed=0):
    """A KL VAE with 8 x 8 pixels to a latent position and 32 channels."""
    import comfy.sd
    from comfy.ldm.models.autoencoder import AutoencoderKL

    ddconfig = {
        "double_z": True,
        "z_channels": 4,
        "resolution": 64,
        "in_channels": 3,
        "out_ch": 3,
        "ch": 32,
        "ch_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    with torch.inference_mode(False):
        module = AutoencoderKL(ddconfig=ddconfig, embed_dim=4)
        _randomize(module, seed)
    return comfy.sd.VAE(sd=module.state_dict(), config={"params": {"ddconfig": ddconfig, "embed_dim": 4}})
