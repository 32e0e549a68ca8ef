"""The prompts of a sampler run whose content tokens are known, and where in a batch of the UNet each of them is."""

from __future__ import annotations

import collections
import dataclasses
import uuid
from collections.abc import Sequence

import comfy.utils
import torch

from ..styo_attention.content_tokens import ContentTokens
from .prompt_encoding import content_of


@dataclasses.dataclass(frozen=True, eq=False)
class Prompt:
    """A tagged prompt of a run: its number, its conditioning as ComfyUI has resolved it, and its content tokens."""

    number: int
    conditioning: dict
    content: ContentTokens

    @property
    def embedding(self) -> torch.Tensor:
        """[B or 1, L, C], as the UNet reads it."""
        return self.conditioning["model_conds"]["c_crossattn"].cond

    @property
    def length(self) -> int:
        """The prompt's own number of tokens L."""
        return self.embedding.shape[1]

    @property
    def area(self) -> tuple[int, ...] | None:
        """(height, width, y, x) of the part of the latent it is for."""
        return self.conditioning.get("area")

    def remembered(self) -> Prompt:
        """The prompt without what ComfyUI needs to run it."""
        what = ("area", "mask", "timestep_start", "timestep_end")
        return dataclasses.replace(self, conditioning={k: v for k, v in self.conditioning.items() if k in what})

    def is_due(self, sigma: float) -> bool:
        """Whether ComfyUI runs it at noise level ``sigma``, whatever the other prompts are."""
        starts = self.conditioning.get("timestep_start", float("inf"))
        ends = self.conditioning.get("timestep_end", 0.0)
        return starts >= sigma >= ends and "default" not in self.conditioning

    def is_in_place_of(self, other: Prompt) -> bool:
        """Whether both are for the same part of the picture."""
        mask, their_mask = self.conditioning.get("mask"), other.conditioning.get("mask")
        if mask is None or their_mask is None:
            same_mask = mask is their_mask
        else:
            same_mask = mask.shape == their_mask.shape and torch.equal(mask.cpu(), their_mask.cpu())
        return same_mask and self.area == other.area

    def is_in_time_of(self, other: Prompt) -> bool:
        """Whether both are for the same part of sampling."""
        return all(
            self.conditioning.get(end) == other.conditioning.get(end) for end in ("timestep_start", "timestep_end")
        )


@dataclasses.dataclass(frozen=True)
class Part:
    """A prompt's ``rows`` in the batch of one UNet call, and its how-manieth occurrence in the evaluation that is."""

    rows: slice
    prompt: Prompt
    call: tuple[str, int]


def number_prompts(conds: dict[str, list[dict]], originals: int) -> dict[uuid.UUID, Prompt]:
    """Every tagged positive prompt by its uuid, now that ComfyUI has resolved areas and masks.

    For areas ComfyUI appends copies of conditionings to the ``originals``, which take tag and uuid from the other side
    and only the embedding from their own: a prompt is known by its embedding, and gets a uuid of its own.
    """
    positive = conds["positive"]
    tagged = {id(c["model_conds"]["c_crossattn"]): c for c in positive[:originals] if content_of(c)}
    uses = collections.Counter(c["uuid"] for conditionings in conds.values() for c in conditionings)
    prompts: dict[uuid.UUID, Prompt] = {}
    for i, conditioning in enumerate(positive):
        original = tagged.get(id(conditioning["model_conds"]["c_crossattn"]))
        if original is None:
            continue
        if uses[conditioning["uuid"]] > 1:
            positive[i] = conditioning = {**conditioning, "uuid": uuid.uuid4()}
        prompts[conditioning["uuid"]] = Prompt(len(prompts), conditioning, content_of(original))
    return prompts


def find_rows(
    context: torch.Tensor, uuids: Sequence[uuid.UUID], prompts: dict[uuid.UUID, Prompt], items: int
) -> list[tuple[slice, Prompt]]:
    """Where in ``context`` [B, T, C] of a UNet call the prompts are, in runs of ``items`` rows where they can be.

    ComfyUI puts ``items`` rows a uuid one behind the other. Nodes that cut the latent into tiles or split the batch
    put them elsewhere: then a prompt is where its embedding is. Raises ValueError where tokens were added to it.
    """
    ours = [(i, prompts[name]) for i, name in enumerate(uuids) if name in prompts]
    usual = [(slice(i * items, (i + 1) * items), prompt) for i, prompt in ours]
    if context.shape[0] != len(uuids) * items:
        return _search(context, [prompt for _, prompt in ours], items)
    if all(_holds(context[rows], prompt) for rows, prompt in usual):
        return usual
    moved = _search(context, [prompt for _, prompt in ours], items)
    if not moved and not all(_repeats(context[rows], prompt.length) for rows, prompt in usual):
        raise ValueError(
            f"Another node adds tokens to the prompt ({context.shape[1]} reach the UNet): StyO cannot tell the content "
            "tokens there. Take that node out of this MODEL."
        )
    return moved or usual


def _search(context: torch.Tensor, prompts: Sequence[Prompt], items: int) -> list[tuple[slice, Prompt]]:
    found = []
    for prompt in prompts:
        holds = [_holds(row[None], prompt) for row in context]
        start = 0
        while True in holds[start:]:
            start = holds.index(True, start)
            end = holds.index(False, start) if False in holds[start:] else len(holds)
            step = items if (end - start) % items == 0 else end - start
            found += [(slice(row, row + step), prompt) for row in range(start, end, step)]
            start = end
    return sorted(found, key=lambda part: part[0].start)


def _holds(context: torch.Tensor, prompt: Prompt) -> bool:
    """Whether rows of a context are a prompt's embedding, repeated along tokens as ComfyUI does to batch prompts."""
    if context.shape[1] % prompt.length:
        return False
    embedding = comfy.utils.repeat_to_batch_size(prompt.embedding, context.shape[0]).to(context.device, context.dtype)
    return torch.equal(context, embedding.repeat(1, context.shape[1] // prompt.length, 1))


def _repeats(context: torch.Tensor, length: int) -> bool:
    """Whether rows of a context, whatever they hold, are ``length`` tokens over and over."""
    tokens = context.shape[1]
    return tokens % length == 0 and torch.equal(context, context[:, :length].repeat(1, tokens // length, 1))


def have_twins(prompts: Sequence[Prompt], conds: dict[str, list[dict]]) -> bool:
    """Whether another conditioning of the run has the very embedding of a tagged prompt."""
    embeddings = [c["model_conds"]["c_crossattn"].cond for group in conds.values() for c in group]
    return any(
        sum(e.shape == prompt.embedding.shape and torch.equal(e, prompt.embedding) for e in embeddings) > 1
        for prompt in prompts
    )


def pair(prompt: Prompt, own: Sequence[Prompt], sources: Sequence[Prompt], node: str) -> Prompt:
    """The source prompt whose maps ``prompt`` takes: one of the same words, for the same part of picture and sampling.

    Of prompts that are alike in all of this, as they are in ``own``, the run's prompts, each takes its own by order.
    Raises ValueError, in the words of ``node``, where there is none of these words or more than one it could be.
    """
    of_words = [source for source in sources if source.content.identifier == prompt.content.identifier]
    if not of_words:
        raise ValueError(
            f"{node}: the source pass's prompt has other content words ({sources[0].content}) than this pass's "
            f"({prompt.content}). Connect `source` of StyO Encode Prompts to the positive of the source pass and "
            "`stylized`, of the same prompts, to this sampler's."
        )
    of_tokens = [source for source in of_words if source.content.tokens == prompt.content.tokens] or of_words
    in_place = [source for source in of_tokens if source.is_in_place_of(prompt)]
    alike = [source for source in in_place if source.is_in_time_of(prompt)]
    if alike:
        before = [p for p in own[: own.index(prompt)] if _are_alike(p, prompt)]
        return alike[min(len(before), len(alike) - 1)]
    candidates = in_place or of_tokens
    if len(candidates) == 1:
        return candidates[0]
    raise ValueError(
        f"{node}: this pass's prompt could take the maps of {len(candidates)} prompts of the source pass. Give both "
        "passes the same areas, masks and timestep ranges."
    )


def _are_alike(a: Prompt, b: Prompt) -> bool:
    return a.content.tokens == b.content.tokens and a.is_in_place_of(b) and a.is_in_time_of(b)
