"""The contrastive disentangled prompts of StyO (section 3.2)."""

from __future__ import annotations

import dataclasses
import re

from ..styo_attention.content_tokens import ContentWord

# ComfyUI reads parentheses as weights and `embedding:` as a textual inversion; dynamic prompts use braces and pipes.
PROMPT_SYNTAX = re.compile(r"[(){}|\\]|embedding:", re.IGNORECASE)

IDENTIFIER_FIELDS = ("source_style", "target_style", "source_content", "target_content")
MAX_REPEATS = 8


@dataclasses.dataclass(frozen=True)
class Prompts:
    """The identifiers and repetitions that the four prompts of StyO are made of.

    ``style_repeats`` is n_s and ``content_repeats`` n_c of the paper. An empty ``negator`` gives prompts without their
    negative half. Raises ValueError, naming the field, for values that cannot make the paper's prompts.
    """

    source_style: str = "ak47"
    target_style: str = "aug"
    source_content: str = "sks"
    target_content: str = "m4a1"
    style_repeats: int = 3
    content_repeats: int = 1
    negator: str = "not"
    subject: str = "portrait"

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, str):
                object.__setattr__(self, field.name, " ".join(value.split()))
        taken: dict[str, str] = {}
        for name in IDENTIFIER_FIELDS:
            value = getattr(self, name)
            if not value:
                raise ValueError(f"{name} is empty: give it a rare word, such as '{type(self).__dict__[name]}'.")
            if found := PROMPT_SYNTAX.search(value):
                raise ValueError(
                    f"{name} is '{value}', but '{found.group()}' is prompt syntax: an identifier is a plain rare word."
                )
            if other := taken.get(value.lower()):
                raise ValueError(f"{name} and {other} are both '{value}': the four identifiers must differ.")
            taken[value.lower()] = name
        if found := PROMPT_SYNTAX.search(self.negator):
            raise ValueError(f"negator is '{self.negator}', but '{found.group()}' is prompt syntax: use a plain word.")
        if not self.subject:
            raise ValueError("subject is empty: say what the picture is of, such as 'portrait'.")
        for name in ("style_repeats", "content_repeats"):
            value = getattr(self, name)
            if not isinstance(value, int) or not 1 <= value <= MAX_REPEATS:
                raise ValueError(f"{name} is {value}: it must be a whole number from 1 to {MAX_REPEATS}.")

    def _style(self, positive: str, negative: str) -> str:
        pair = f"{positive} {self.negator} {negative}" if self.negator else positive
        return f"a drawing with {' '.join([pair] * self.style_repeats)} style of"

    def _content(self, positive: str, negative: str) -> list[ContentWord]:
        pair = [("identifier", positive), ("negator", self.negator), ("other identifier", negative)]
        if not self.negator:
            pair = pair[:1]
        words = [ContentWord(role, n, text) for n in range(self.content_repeats) for role, text in pair]
        return [*words, ContentWord("subject", 0, self.subject)]

    @property
    def source_content_words(self) -> list[ContentWord]:
        """The content part of ``source`` and ``stylized``: C_src, the negator, C_tgt, n_c times, and the subject."""
        return self._content(self.source_content, self.target_content)

    @property
    def target_content_words(self) -> list[ContentWord]:
        """The content part of ``target``: C_tgt, the negator, C_src, n_c times, and the subject."""
        return self._content(self.target_content, self.source_content)

    @property
    def auxiliary_content_words(self) -> list[ContentWord]:
        """The content part of ``auxiliary``: the subject alone."""
        return [ContentWord("subject", 0, self.subject)]

    @property
    def source(self) -> str:
        """The prompt that reconstructs the source image."""
        return _join(self._style(self.source_style, self.target_style), self.source_content_words)

    @property
    def target(self) -> str:
        """The prompt that reconstructs the target image."""
        return _join(self._style(self.target_style, self.source_style), self.target_content_words)

    @property
    def auxiliary(self) -> str:
        """The prompt of the auxiliary faces: the source's style without a content part."""
        return _join(self._style(self.source_style, self.target_style), self.auxiliary_content_words)

    @property
    def stylized(self) -> str:
        """The prompt of the result: the target's style with the source's content."""
        return _join(self._style(self.target_style, self.source_style), self.source_content_words)

    def settings(self) -> dict[str, str | int]:
        """The fields as a plain dict, as they are written into a weights file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_settings(cls, settings: dict) -> Prompts:
        """The prompts of a weights file's settings; unknown entries are an error (TypeError)."""
        return cls(**settings)


def _join(style: str, content: list[ContentWord]) -> str:
    return " ".join([style, *(word.text for word in content)])
