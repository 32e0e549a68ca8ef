"""Encoding the four prompts with a ComfyUI CLIP, and tagging each with the positions of its content tokens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from ..styo_attention.content_tokens import ContentTokens, ContentWord, Token, find_content, flatten
from ..training.prompts import IDENTIFIER_FIELDS, Prompts
from .model_checks import require_sd15_clip

CONTENT = "styo_content"
"""Key of a conditioning's dict that holds its `ContentTokens`."""


def encode_prompts(clip, prompts: Prompts) -> tuple[list, list, list, list]:
    """The source, target, auxiliary and stylized CONDITIONING: CLIPTextEncode's, tagged with their content tokens.

    Raises ValueError where ``clip`` is not SD 1.x's, where two identifiers are the same tokens, or where a content part
    cannot be found among its prompt's tokens.
    """
    require_sd15_clip(clip)
    _require_distinct_tokens(clip, prompts)
    return (
        _encode(clip, prompts.source, prompts.source_content_words),
        _encode(clip, prompts.target, prompts.target_content_words),
        _encode(clip, prompts.auxiliary, prompts.auxiliary_content_words),
        _encode(clip, prompts.stylized, prompts.source_content_words),
    )


def _encode(clip, text: str, words: Sequence[ContentWord]) -> list:
    content = find_content(
        flatten(clip.tokenize(text, return_word_ids=True)["l"], _channels(clip)),
        words,
        lambda word: _word_tokens(clip, word),
        lambda tokens: _spell(clip, tokens),
    )
    conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(text))
    return [[embedding, {**options, CONTENT: content}] for embedding, options in conditioning]


def content_of(conditioning: dict) -> ContentTokens | None:
    """The content tokens a conditioning's dict is tagged with, or None."""
    return conditioning.get(CONTENT)


def _word_tokens(clip, text: str) -> list[Token]:
    return [token for _, token in flatten(clip.tokenize(text, return_word_ids=True)["l"], _channels(clip))]


def _channels(clip) -> int:
    return clip.cond_stage_model.clip_l.transformer.get_input_embeddings().weight.shape[1]


def _spell(clip, tokens: Iterable[Token]) -> str:
    return " ".join(
        "<embedding>" if isinstance(token, torch.Tensor) else clip.tokenizer.untokenize([(token, 1.0)])[0][1]
        for token in tokens
    )


def _require_distinct_tokens(clip, prompts: Prompts) -> None:
    taken: dict[tuple, str] = {}
    for name in IDENTIFIER_FIELDS:
        tokens = tuple(_word_tokens(clip, getattr(prompts, name)))
        if not tokens:
            raise ValueError(f"{name} is '{getattr(prompts, name)}', which has no tokens: choose another word.")
        if other := taken.get(tokens):
            raise ValueError(
                f"{name} and {other} are different words but the same tokens ({_spell(clip, tokens)}): choose others."
            )
        taken[tokens] = name
