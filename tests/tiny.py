"""Tiny random Stable Diffusion 1.x models, built as ComfyUI's own MODEL, CLIP and VAE."""

import torch

WIDTH = 64
"""Channels of the text embedding of the tiny models."""


def _randomize(module, generator, gain=1.0):
    """Give every parameter a sensible random value; ComfyUI's layers come uninitialised."""
    for name, parameter in module.named_parameters():
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            value = torch.randn(parameter.shape, generator=generator) * gain * fan_in**-0.5
        elif name.endswith("bias"):
            value = torch.randn(parameter.shape, generator=generator) * 0.02
        else:
            value = 1 + torch.randn(parameter.shape, generator=generator) * 0.02
        parameter.data.copy_(value)


def make_model(seed=0, dtype=torch.float32, heads=4, quant_config=None):
    """A MODEL in SD1.5's layout: 64 text channels, 32 and 64 image channels, 7 cross-attention layers, 1 M weights."""
    import comfy.model_management as mm
    import comfy.model_patcher
    import comfy.supported_models

    def build(disable_dynamic=False):
        config = comfy.supported_models.SD15(
            {
                "model_channels": 32,
                "num_res_blocks": [1, 1],
                "channel_mult": [1, 2],
                "transformer_depth": [1, 1],
                "transformer_depth_output": [1, 1, 1, 1],
                "transformer_depth_middle": 1,
                "context_dim": WIDTH,
                "in_channels": 4,
                "out_channels": 4,
                "image_size": 32,
                "use_spatial_transformer": True,
                "legacy": False,
                "use_linear_in_transformer": False,
                "adm_in_channels": None,
                "use_checkpoint": False,
                "use_temporal_resblock": False,
                "use_temporal_attention": False,
            }
        )
        config.unet_config["num_heads"] = heads
        config.set_inference_dtype(dtype, None)
        config.quant_config = quant_config
        model = config.get_model({}, "", device=torch.device("cpu"))
        _randomize(model.diffusion_model, torch.Generator().manual_seed(seed), gain=1.2)
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


LAYERS = {
    "num_hidden_layers": 2,
    "hidden_size": WIDTH,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "projection_dim": WIDTH,
}


def make_clip(seed=0, dtype=torch.float32, embedding_directory=None, layers=LAYERS, tokenizer_data=None):
    """A CLIP with SD1.x's tokenizer and, by default, a two-layer, 64-channel text encoder."""
    import comfy.sd
    import comfy.sd1_clip

    class Target:
        params = {}
        clip = comfy.sd1_clip.SD1ClipModel
        tokenizer = comfy.sd1_clip.SD1Tokenizer

    clip = comfy.sd.CLIP(
        Target,
        embedding_directory=embedding_directory,
        tokenizer_data=tokenizer_data or {},
        model_options={"clip_l_model_config": layers, "dtype": dtype},
    )
    _randomize(clip.cond_stage_model, torch.Generator().manual_seed(seed))
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
        _randomize(module, torch.Generator().manual_seed(seed))
    return comfy.sd.VAE(sd=module.state_dict(), config={"params": {"ddconfig": ddconfig, "embed_dim": 4}})
