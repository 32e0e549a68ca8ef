"""What StyO needs of a MODEL and a CLIP, with an error in a user's words where they are something else."""

import comfy.supported_models
from comfy.model_base import ModelType

NEEDED = "StyO needs a Stable Diffusion 1.x model that predicts noise, such as v1-5-pruned-emaonly"


def require_sd15(model) -> None:
    """Raise ValueError unless ``model`` is an SD 1.x MODEL for text to image that predicts eps."""
    config = model.model.model_config
    if not isinstance(config, comfy.supported_models.SD15):
        raise ValueError(f"{NEEDED}; `model` is {type(config).__name__}.")
    if (channels := config.unet_config["in_channels"]) != 4:
        raise ValueError(f"{NEEDED}; `model` takes {channels} latent channels, as inpainting and instruct models do.")
    if model.model.model_type != ModelType.EPS:
        raise ValueError(f"{NEEDED}; `model` predicts {model.model.model_type.name}.")


def require_sd15_clip(clip) -> None:
    """Raise ValueError unless ``clip`` is the single CLIP-L of SD 1.x."""
    if clip is None:
        raise ValueError(f"{NEEDED}; `clip` is empty: the checkpoint holds no text encoder.")
    if not hasattr(clip.cond_stage_model, "clip_l") or set(clip.tokenize("")) != {"l"}:
        raise ValueError(f"{NEEDED}; `clip` is {type(clip.cond_stage_model).__name__}.")
