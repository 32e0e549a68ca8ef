"""What a weights file holds: the trained change of every tensor in ComfyUI's LoRA format, and how it came about."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import torch

from .packed_losses import pack_losses, unpack_losses
from .prompts import Prompts
from .settings import Settings

FORMAT = "1"
FORMAT_KEY = "styo.format"
PROMPTS_KEY = "styo.prompts"
TRAINING_KEY = "styo.training"
BASE_MODEL_KEY = "styo.base_model"
ARCHITECTURE_KEY, LORA = "modelspec.architecture", "/lora"
PREDICTION_KEY = "modelspec.prediction_type"
MAX_NAME_CHARACTERS = 60
CLIP_LAYER_KEY = "styo.clip_layer"
"""The layer of the text encoder that the embeddings come from, as CLIP Set Last Layer counts it; null: its own."""
MAX_PROMPTS_CHARACTERS = 1_000_000
MAX_METADATA_CHARACTERS = 10_000_000
"""More than the losses of the longest training take."""
FP16_LOSS = 5e-4
"""Largest part of a tensor's norm that rounding to fp16 may cost it; where all of it is normal it costs about 2e-4."""

LOW_RANK_SUFFIXES = (".lora_up.weight", ".lora_down.weight")
CHANGE_SUFFIXES = {".weight": ".diff", ".bias": ".diff_b"}


@dataclasses.dataclass(frozen=True)
class Base:
    """The model that a file changes: its name, its architecture (modelspec's word), and what its UNet predicts."""

    name: str
    architecture: str
    prediction: str


class NotStyO(ValueError):
    """The metadata is not that of a StyO weights file."""


def trained_weights(
    parameters: dict[str, torch.Tensor], untrained: Callable[[str], torch.Tensor], rank: int
) -> dict[str, torch.Tensor]:
    """The trained ``parameters`` in the format of ComfyUI's LoRA loader, on the CPU.

    Low-rank matrices are kept as they are, with alpha = ``rank``; else it is the difference to ``untrained(name)``.
    """
    weights = {}
    for name, parameter in parameters.items():
        value = parameter.detach().cpu()
        if name.endswith(LOW_RANK_SUFFIXES):
            weights[name] = _compact(value)
            weights[f"{name.rpartition('.lora_')[0]}.alpha"] = torch.tensor(float(rank))
        else:
            stem, _, kind = name.rpartition(".")
            weights[stem + CHANGE_SUFFIXES[f".{kind}"]] = _compact(value - untrained(name))
    return weights


def changed_rows(table: str, vocabulary: int, ids: torch.Tensor, change: torch.Tensor) -> dict[str, torch.Tensor]:
    """The ``change`` [n, channels] of the rows ``ids`` [n] of a token ``table`` of ``vocabulary`` rows, by name.

    It is of low rank: the up matrix [vocabulary, n] has a single 1 for each row. The whole table would take 76 MB.
    """
    stem = table.removesuffix(".weight")
    place = torch.zeros(vocabulary, len(ids), dtype=torch.float16)
    place[ids, torch.arange(len(ids))] = 1
    return {
        f"{stem}.lora_up.weight": place,
        f"{stem}.lora_down.weight": _compact(change.detach().cpu()),
        f"{stem}.alpha": torch.tensor(float(len(ids))),
    }


def _compact(value: torch.Tensor) -> torch.Tensor:
    """``value`` in fp16, or a float32 copy where fp16 would cost it more than FP16_LOSS of its norm."""
    rounded = value.half()
    if torch.linalg.vector_norm(value - rounded.float()) <= FP16_LOSS * torch.linalg.vector_norm(value):
        return rounded
    return value.clone()


def describe(
    prompts: Prompts,
    settings: Settings,
    losses: list[float],
    terms: dict[str, list[float]],
    fingerprint: str,
    base: Base,
) -> dict[str, str]:
    """The metadata of a weights file after ``len(losses)`` steps; the ``terms`` of the losses only if they fit."""
    training = {
        **settings.deciding(),
        "steps": len(losses),
        "fingerprint": fingerprint,
        "losses": pack_losses(losses),
    }
    return {
        FORMAT_KEY: FORMAT,
        PROMPTS_KEY: json.dumps(prompts.settings()),
        TRAINING_KEY: _training_text(training, terms),
        BASE_MODEL_KEY: base.name,
        "modelspec.sai_model_spec": "1.0.0",
        ARCHITECTURE_KEY: base.architecture + LORA,
        "modelspec.implementation": "https://github.com/comfyanonymous/ComfyUI",
        "modelspec.title": f"StyO {prompts.target_style} {prompts.source_content}",
        "modelspec.description": f"StyO (arXiv 2303.03231), {settings.method}, {len(losses)} steps on {base.name}",
        "modelspec.trigger_phrase": prompts.stylized,
        PREDICTION_KEY: base.prediction,
    }


def _training_text(training: dict, terms: dict[str, list[float]]) -> str:
    packed = {name: pack_losses(losses) for name, losses in terms.items()}
    whole = json.dumps({**training, "terms": packed}, allow_nan=False)
    return whole if terms and len(whole) <= MAX_METADATA_CHARACTERS else json.dumps(training, allow_nan=False)


def read_prompts(metadata: dict[str, str]) -> Prompts:
    """The prompts a file was trained with; raises NotStyO, with the reason, for metadata that StyO did not write."""
    if FORMAT_KEY not in metadata:
        raise NotStyO("it has no StyO metadata")
    if metadata[FORMAT_KEY] != FORMAT:
        raise NotStyO(f"it is in StyO format {metadata[FORMAT_KEY][:20]!r}, which this version does not know")
    fields = _read_object(metadata, PROMPTS_KEY, MAX_PROMPTS_CHARACTERS)
    try:
        return Prompts.from_settings(fields)
    except (TypeError, ValueError, AttributeError):
        raise NotStyO(f"its {PROMPTS_KEY} do not make the prompts of StyO") from None


def read_base(metadata: dict[str, str]) -> Base:
    """The model a StyO file was trained on, its name in one short line; empty words for what it does not say."""
    architecture = metadata.get(ARCHITECTURE_KEY, "").removesuffix(LORA)
    name = " ".join(metadata.get(BASE_MODEL_KEY, "").split())[:MAX_NAME_CHARACTERS]
    return Base(name, architecture, metadata.get(PREDICTION_KEY, ""))


def read_training(metadata: dict[str, str]) -> dict:
    """How a file was trained: its settings, `steps`, `fingerprint` and `losses`; raises NotStyO."""
    if metadata.get(FORMAT_KEY) != FORMAT:
        raise NotStyO("it has no StyO metadata")
    training = _read_object(metadata, TRAINING_KEY, MAX_METADATA_CHARACTERS)
    try:
        terms = {name: unpack_losses(packed) for name, packed in training.get("terms", {}).items()}
        return {**training, "losses": unpack_losses(training["losses"]), "terms": terms}
    except (AttributeError, KeyError, TypeError, ValueError):
        raise NotStyO(f"its {TRAINING_KEY} is not what StyO writes") from None


def _read_object(metadata: dict[str, str], key: str, most: int) -> dict:
    text = metadata.get(key, "")
    try:
        value = json.loads(text) if len(text) <= most else None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise NotStyO(f"its {key} is not what StyO writes")
    return value
