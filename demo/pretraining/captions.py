"""Captions in the form of StyO's prompts, with codes of pictures in the places of the identifiers."""

from __future__ import annotations

import dataclasses

import torch
from comfy.sd1_clip import SD1Tokenizer

from ...training.prompts import Prompts
from ..words import END, PERSON, STYLE, rare_words

LENGTH = 77
IDENTIFIERS = ("aug", "ak", "sks", "lun")
"""Four words of one token that hold the places of a style, its negation, a content and its negation."""
TOLD = (STYLE, None, PERSON, None)
"""The part of its picture's code that each of them tells."""
NEGATORS = ("not", "not", "without", "except", "")
EMPTY_SHARE, AUXILIARY_SHARE = 0.1, 0.15
REPEATS = 3


@dataclasses.dataclass(frozen=True)
class Captions:
    """Every kind of caption: the empty one, then ``auxiliary`` ones without content, then as many full ones.

    ``words`` are the token ids of all that is no identifier, which the model has to learn; ``text`` [kinds, LENGTH]
    indexes them, and ``places`` [identifiers, kinds, LENGTH] is True where an identifier stands instead. ``content``
    [kinds, LENGTH] is True in the columns of a content group, which StyO replaces: from its first word to the subject;
    ``style`` in those of a style group, to its last identifier.
    """

    words: list[int]
    text: torch.Tensor
    places: torch.Tensor
    content: torch.Tensor
    style: torch.Tensor
    auxiliary: int

    @classmethod
    def make(cls) -> Captions:
        """All combinations of repeats and negators."""
        tokenizer = SD1Tokenizer()

        def tokens(text: str) -> list[int]:
            return [entry[0] for entry in tokenizer.tokenize_with_weights(text)["l"][0]]

        identifiers = [tokens(word)[1] for word in IDENTIFIERS]
        style, other_style, content, other_content = IDENTIFIERS
        auxiliary, full = [], []
        for negator in NEGATORS:
            for style_repeats in range(1, REPEATS + 1):
                for content_repeats in range(1, REPEATS + 1):
                    prompts = Prompts(
                        source_style=style,
                        target_style=other_style,
                        source_content=content,
                        target_content=other_content,
                        style_repeats=style_repeats,
                        content_repeats=content_repeats,
                        negator=negator,
                    )
                    auxiliary.append(tokens(prompts.auxiliary))
                    full.append(tokens(prompts.source))
        ids = torch.tensor([tokens(""), *auxiliary, *full])
        places = torch.stack([ids == identifier for identifier in identifiers])
        words, text = ids.masked_fill(places.any(0), END).unique(return_inverse=True)
        begun = places[TOLD.index(PERSON)].cumsum(1) > 0
        styles = places[TOLD.index(STYLE)] | places[TOLD.index(STYLE) + 1]
        style = (styles.cumsum(1) > 0) & (styles.flip(1).cumsum(1) > 0).flip(1)
        return cls(words.tolist(), text, places, begun & (ids != END), style, len(auxiliary))

    def draw(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Kinds [count]: some empty, some auxiliary, mostly full."""
        chance = torch.rand(count, generator=generator)
        pick = torch.randint(self.auxiliary, (count,), generator=generator)
        kinds = 1 + self.auxiliary + pick
        kinds[chance < EMPTY_SHARE + AUXILIARY_SHARE] -= self.auxiliary
        kinds[chance < EMPTY_SHARE] = 0
        return kinds

    def told(self, kinds: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """What each token of captions of ``kinds`` [N] tells of pictures of ``codes`` [N, codes]: [N, LENGTH, codes].

        That is a style's or a content's part of the code where an identifier tells it, and zeros elsewhere.
        """
        told = codes.new_zeros(len(kinds), LENGTH, codes.shape[1])
        for identifier, used in enumerate(TOLD):
            if used is not None:
                place = self.places[identifier, kinds]
                told[..., used] = torch.where(place[..., None], codes[:, None, used], told[..., used])
        return told

    def embed(
        self, kinds: torch.Tensor, codes: torch.Tensor, table: torch.nn.Embedding, generator: torch.Generator
    ) -> torch.Tensor:
        """Token embeddings [N, LENGTH, channels] of captions of ``kinds`` [N] for pictures of ``codes`` [N, codes].

        Half of the code an identifier does not use in its place, and all of a negated one's, is another picture's.
        """
        embeddings = table(self.text[kinds].to(table.weight.device))

        def others() -> torch.Tensor:
            return codes[torch.randperm(len(codes), generator=generator)]

        for identifier, used in enumerate(TOLD):
            word = others().clone()
            if used is not None:
                word[:, used] = codes[:, used]
            row = rare_words(word).to(embeddings)
            place = self.places[identifier, kinds].to(embeddings.device)
            embeddings = torch.where(place[..., None], row[:, None], embeddings)
        return embeddings
