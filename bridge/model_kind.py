"""The families of models that StyO knows, and whether a MODEL and a CLIP are of one; the only module that names them.

A family is a UNet that reads tokens of CLIP text encoders through cross-attention. All else asks ComfyUI's own objects.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import comfy.model_base
import comfy.supported_models
import torch
from comfy.model_sampling import EPS, V_PREDICTION, ModelSamplingDiscrete

from ..training.settings import RESOLUTION_KEY
from ..training.weights import Base

EPSILON, VELOCITY = "epsilon", "v"
"""What a UNet predicts, as `modelspec.prediction_type` names it."""

DENOISED = {EPSILON: EPS.calculate_denoised, VELOCITY: V_PREDICTION.calculate_denoised}
PREDICTED = {EPSILON: "noise (eps)", VELOCITY: "velocity (v_prediction)"}


@dataclasses.dataclass(frozen=True)
class Family:
    """Models with one kind of text encoders and latents.

    ``config`` and ``model`` are ComfyUI's classes of its text-to-image models, ``encoders`` the tokenizer's keys in the
    order of the context's channels, ``resolution`` the pixels a side of the training pictures by what is predicted, and
    ``architecture`` its name in a weights file (modelspec).
    """

    name: str
    config: type
    model: type
    encoders: tuple[str, ...]
    resolution: dict[str, int]
    architecture: str


FAMILIES = (
    Family(
        "Stable Diffusion 1.x",
        comfy.supported_models.SD15,
        comfy.model_base.BaseModel,
        ("l",),
        {EPSILON: 512, VELOCITY: 512},
        "stable-diffusion-v1",
    ),
    Family(
        "Stable Diffusion 2.x",
        comfy.supported_models.SD20,
        comfy.model_base.BaseModel,
        ("h",),
        {EPSILON: 512, VELOCITY: 768},
        "stable-diffusion-v2",
    ),
    Family(
        "Stable Diffusion XL",
        comfy.supported_models.SDXL,
        comfy.model_base.SDXL,
        ("l", "g"),
        {EPSILON: 1024, VELOCITY: 1024},
        "stable-diffusion-xl-v1-base",
    ),
)

NEEDED = f"StyO needs a text-to-image model of {', '.join(f.name for f in FAMILIES[:-1])} or {FAMILIES[-1].name}"


def family_of(model) -> Family:
    """The family of a MODEL; raises ValueError, in the words of the sockets, where StyO knows none."""
    config = model.model.model_config
    for family in FAMILIES:
        if isinstance(config, family.config):
            if (channels := config.unet_config["in_channels"]) != config.latent_format.latent_channels:
                raise ValueError(
                    f"{NEEDED}; `model` takes {channels} latent channels, as inpainting and instruct models do."
                )
            if type(model.model) is family.model:
                return family
    raise ValueError(f"{NEEDED}; `model` is of another kind ({type(config).__name__}).")


def text_encoders(clip) -> dict[str, torch.nn.Module]:
    """The text encoders of a CLIP by the tokenizer's key, in the order of the context's channels; raises ValueError."""
    return {key: _encoder(clip, key) for key in _family_of_clip(clip).encoders}


def encoder_name(key: str) -> str:
    """The name in a CLIP's modules of the text encoder that reads the tokens of ``key``."""
    return f"clip_{key}"


def require_match(model, clip) -> None:
    """Raise ValueError unless MODEL and CLIP are of one family."""
    family, encoders = family_of(model), _family_of_clip(clip)
    if family is not encoders:
        raise ValueError(
            f"`model` is {family.name}, `clip` is that of {encoders.name}: connect both from one checkpoint."
        )


def _family_of_clip(clip) -> Family:
    if clip is None:
        raise ValueError(f"{NEEDED}; `clip` is empty: the checkpoint holds no text encoder.")
    keys = set(clip.tokenize(""))
    for family in FAMILIES:
        if keys == set(family.encoders) and all(_encoder(clip, key) is not None for key in keys):
            return family
    raise ValueError(f"{NEEDED}; `clip` is {type(clip.cond_stage_model).__name__}, the text encoder of another model.")


def _encoder(clip, key: str) -> torch.nn.Module | None:
    return getattr(clip.cond_stage_model, encoder_name(key), None)


def prediction_of(model) -> str | None:
    """What the UNet of ``model`` predicts, as it is sampled: EPSILON, VELOCITY, or None for anything else."""
    denoised = type(model.get_model_object("model_sampling")).calculate_denoised
    return next((name for name, function in DENOISED.items() if denoised is function), None)


def training_sampling(model) -> torch.nn.Module:
    """The sampling of ``model``; raises ValueError unless it predicts noise or velocity at discrete timesteps."""
    sampling = model.get_model_object("model_sampling")
    discrete = getattr(type(sampling), "timestep", None) is ModelSamplingDiscrete.timestep
    if not discrete or prediction_of(model) is None:
        raise ValueError(
            "StyO IDL Train needs a model that predicts noise or velocity at discrete timesteps: take the node off "
            "`model` that changes its sampling, or load another checkpoint."
        )
    return sampling


def base_of(model) -> Base:
    """What a weights file says of the MODEL it was trained on."""
    return Base(name_of(model), family_of(model).architecture, prediction_of(model) or "")


def require_base(model, base: Base, file: str) -> None:
    """Raise ValueError, naming both, where ``model`` is of another family than ``base`` or predicts something else.

    What ``base`` does not say is not compared, nor the prediction of a ``model`` patched to be sampled another way.
    """
    family, own = family_of(model), base_of(model)
    other = next((f for f in FAMILIES if f.architecture == base.architecture), family)
    if other is not family:
        raise ValueError(
            f"weights_name: {file} was trained on a {other.name} model ({base.name}); `model` is {family.name} "
            f"({own.name}). Load the checkpoint it was trained on."
        )
    if {base.prediction, own.prediction} == set(PREDICTED):
        raise ValueError(
            f"weights_name: {file} was trained on a model that predicts {PREDICTED[base.prediction]} ({base.name}); "
            f"`model` predicts {PREDICTED[own.prediction]} ({own.name}). Load the checkpoint it was trained on, or put "
            "the same ModelSamplingDiscrete before this node."
        )


def native_resolution(model) -> int:
    """Pixels a side of the pictures that ``model``, or models like it, were made with."""
    return model.get_attachment(RESOLUTION_KEY) or family_of(model).resolution[prediction_of(model) or EPSILON]


def name_of(model) -> str:
    """The file name of the checkpoint that ``model`` comes from, or what kind of model it is."""
    arguments = model.cached_patcher_init[1] if model.cached_patcher_init else ()
    names = [Path(argument).name for argument in arguments if isinstance(argument, str)]
    return names[0] if names else type(model.model.model_config).__name__
