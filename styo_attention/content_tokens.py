"""Which tokens of a prompt are its content: the columns that FCC (section 3.3) takes from the source."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence

import torch

Token = int | torch.Tensor
"""A BPE token id, or one vector [channels] of a textual-inversion embedding."""


@dataclasses.dataclass(frozen=True)
class ContentWord:
    """One word of a prompt's content part: its role, which repetition it belongs to, and its text."""

    role: str
    repetition: int
    text: str


@dataclasses.dataclass(frozen=True)
class ContentTokens:
    """The content tokens of one encoded prompt, in reading order.

    ``labels[i]`` says what token i is, as (role, repetition, index within the word); ``positions[i]`` is its row in the
    text embedding [tokens, channels] the prompt encodes to, counted over all 77-token chunks; ``texts[i]`` is the token
    as a person reads it.
    """

    labels: tuple[tuple[str, int, int], ...]
    positions: tuple[int, ...]
    texts: tuple[str, ...]

    @property
    def tokens(self) -> tuple[tuple, ...]:
        """What each token is: its label and its text."""
        return tuple(zip(self.labels, self.texts, strict=True))

    @property
    def identifier(self) -> tuple[str, ...]:
        """The texts of the first word, which says whose content it is."""
        first = self.labels[0][:2]
        return tuple(text for label, text in self.tokens if label[:2] == first)

    def __str__(self) -> str:
        return " ".join(self.texts)


def align(own: ContentTokens, source: ContentTokens) -> tuple[list[int], list[int]]:
    """Pair the content tokens of two prompts by what they are, not by where they stand.

    Returns the positions of the shared tokens in ``own`` and, for each, its index among ``source``'s content tokens.
    """
    index = {token: i for i, token in enumerate(source.tokens)}
    shared = [
        (position, index[token]) for token, position in zip(own.tokens, own.positions, strict=True) if token in index
    ]
    return [pair[0] for pair in shared], [pair[1] for pair in shared]


def flatten(chunks: Sequence[Sequence[tuple]], channels: int) -> list[tuple[int, Token]]:
    """The word tokens of a tokenized prompt as (position, token), over all chunks.

    ``chunks`` are ComfyUI's lists of (token, weight, word id), word id 0 marking start, end and padding. An embedding
    of other than ``channels`` channels is left out by the text encoder: the tokens behind it stand one further left.
    """
    flat = []
    start = 0
    for chunk in chunks:
        position = start
        for token, _weight, word in chunk:
            if isinstance(token, torch.Tensor) and token.shape[-1] != channels:
                continue
            if word != 0:
                flat.append((position, token))
            position += 1
        start += len(chunk)
    return flat


def find_content(
    prompt: Sequence[tuple[int, Token]],
    words: Sequence[ContentWord],
    tokenize: Callable[[str], Sequence[Token]],
    spell: Callable[[Iterable[Token]], str],
) -> ContentTokens:
    """Find the content part of a prompt by its token ids; the last occurrence counts, as StyO's prompts end with it.

    ``prompt`` comes from `flatten`, ``tokenize`` gives the tokens of one word and ``spell`` writes tokens for a person.
    Raises ValueError with both token lists where the content part does not occur.
    """
    labels, needle, texts = [], [], []
    for word in words:
        for index, token in enumerate(tokenize(word.text)):
            labels.append((word.role, word.repetition, index))
            needle.append(token)
            texts.append(word.text if isinstance(token, torch.Tensor) else spell([token]))
    tokens = [token for _, token in prompt]
    for start in range(len(tokens) - len(needle), -1, -1):
        if all(map(_same, tokens[start:], needle)):
            positions = [position for position, _ in prompt[start : start + len(needle)]]
            return ContentTokens(tuple(labels), tuple(positions), tuple(texts))
    text = " ".join(word.text for word in words)
    raise ValueError(
        f"The content part '{text}' was not found in the prompt. "
        f"Its tokens: {spell(needle)}. The prompt's tokens: {spell(tokens)}."
    )


def _same(a: Token, b: Token) -> bool:
    if isinstance(a, torch.Tensor) or isinstance(b, torch.Tensor):
        return isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and torch.equal(a, b)
    return a == b
