"""The sizes of the demo model: a Stable Diffusion 1.x in miniature, for pictures of 128 x 128 pixels.

Its latents have the sixteen channels of newer models: of four, eyes and mouths of ten pixels come back smeared.
"""

RESOLUTION = 128
BLOCK = 8
"""Pixels a side of a latent position."""
LATENT_SIDE = RESOLUTION // BLOCK
LATENT_CHANNELS = 16

CHANNELS = 128
"""Channels of the text embedding."""

CLIP = {
    "num_hidden_layers": 2,
    "hidden_size": CHANNELS,
    "num_attention_heads": 4,
    "intermediate_size": 4 * CHANNELS,
    "projection_dim": CHANNELS,
}

UNET = {
    "image_size": LATENT_SIDE,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "model_channels": 64,
    "channel_mult": [1, 2],
    "num_res_blocks": [1, 1],
    "transformer_depth": [1, 1],
    "transformer_depth_output": [1, 1, 1, 1],
    "transformer_depth_middle": 1,
    "context_dim": CHANNELS,
    "num_heads": -1,
    "num_head_channels": 32,
    "use_spatial_transformer": True,
    "legacy": False,
    "use_linear_in_transformer": False,
    "adm_in_channels": None,
    "use_checkpoint": False,
    "use_temporal_resblock": False,
    "use_temporal_attention": False,
}
