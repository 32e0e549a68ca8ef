"""Encoding the four prompts with a ComfyUI CLIP, and tagging each with the positions of its content tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

import torch

from ..styo_attention.content_tokens import ContentTokens, ContentWord, Token, find_content, flatten
from ..training.prompts import IDENTIFIER_FIELDS, Prompts
from .model_kind import text_encoders

CONTENT = "styo_content"
"""Key of a conditioning's dict that holds its `ContentTokens`."""


def encode_prompts(clip, prompts: Prompts) -> tuple[list, list, list, list]:
    """The source, target, auxiliary and stylized CONDITIONING: CLIPTextEncode's, tagged with their content tokens.

    Raises ValueError where ``clip`` is of no family StyO knows, where two identifiers are the same tokens, or where a
    content part cannot be found among its prompt's tokens, at the same place for every text encoder.
    """
    readers = _readers(clip)
    for reader in readers:
        _require_distinct_tokens(reader, prompts)
    return (
        _encode(clip, readers, prompts.source, prompts.source_content_words),
        _encode(clip, readers, prompts.target, prompts.target_content_words),
        _encode(clip, readers, prompts.auxiliary, prompts.auxiliary_content_words),
        _encode(clip, readers, prompts.stylized, prompts.source_content_words),
    )


@dataclasses.dataclass(frozen=True)
class _Reader:
    """One text encoder of ``clip``: the ``key`` of its tokens and the ``channels`` of its token embeddings."""

    clip: object
    key: str
    channels: int

    def tokens(self, text: str) -> list[tuple[int, Token]]:
        """The word tokens of ``text`` as (position, token)."""
        return flatten(self.clip.tokenize(text, return_word_ids=True)[self.key], self.channels)

    def words(self, text: str) -> list[Token]:
        return [token for _, token in self.tokens(text)]

    def spell(self, tokens: Iterable[Token]) -> str:
        return " ".join(
            "<embedding>" if isinstance(token, torch.Tensor) else self.clip.tokenizer.untokenize([(token, 1.0)])[0][1]
            for token in tokens
        )


def identifier_tokens(clip, prompts: Prompts) -> dict[str, set[int]]:
    """The ids of the tokens that the four identifiers consist of, by text encoder."""
    words = [getattr(prompts, name) for name in IDENTIFIER_FIELDS]
    return {reader.key: {token for word in words for token in reader.words(word)} for reader in _readers(clip)}


def _readers(clip) -> list[_Reader]:
    return [
        _Reader(clip, key, encoder.transformer.get_input_embeddings().weight.shape[1])
        for key, encoder in text_encoders(clip).items()
    ]


def _encode(clip, readers: Sequence[_Reader], text: str, words: Sequence[ContentWord]) -> list:
    found = [find_content(reader.tokens(text), words, reader.words, reader.spell) for reader in readers]
    conditioning = clip.encode_from_tokens_scheduled(clip.tokenize(text))
    length = min(embedding.shape[1] for embedding, _ in conditioning)
    content = found[0]
    if any(other != content for other in found) or max(content.positions) >= length:
        raise ValueError(
            f"The text encoders of `clip` place the content part of '{text}' differently: a textual inversion in "
            "`subject` that only some of them know, or text encoders of different lengths. Leave it out."
        )
    return [[embedding, {**options, CONTENT: content}] for embedding, options in conditioning]


def content_of(conditioning: dict) -> ContentTokens | None:
    """The content tokens a conditioning's dict is tagged with, or None."""
    return conditioning.get(CONTENT)


def _require_distinct_tokens(reader: _Reader, prompts: Prompts) -> None:
    taken: dict[tuple, str] = {}
    for name in IDENTIFIER_FIELDS:
        tokens = tuple(reader.words(getattr(prompts, name)))
        if not tokens:
            raise ValueError(f"{name} is '{getattr(prompts, name)}', which has no tokens: choose another word.")
        if other := taken.get(tokens):
            raise ValueError(
                f"{name} and {other} are different words but the same tokens ({reader.spell(tokens)}): choose others."
            )
        taken[tokens] = name
