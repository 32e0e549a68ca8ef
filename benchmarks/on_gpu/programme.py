"""The parts of the run on a GPU, most important first, and how its time is shared among them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Part:
    """One process of the run: its name, which is also its module's, what it answers, and its share of the time."""

    name: str
    question: str
    share: float


PARTS = (
    Part("passes", "Do Capture, Inject and Source Attention draw what dense float64 maps draw, in every mode?", 0.13),
    Part("learning", "Does IDL Train take the right steps, stop, and go on?", 0.10),
    Part("sd15", "How long do 400 steps of SD1.5 take end to end, and in how much memory?", 0.33),
    Part("costs", "What do the passes cost beside plain ones, and beside Prompt-to-Prompt's store?", 0.13),
    Part("sdxl", "How fast is SDXL trained at 1024 pixels, and in how much memory?", 0.16),
    Part("choices", "What would other ways of working cost, of which a CPU says nothing?", 0.15),
)


def allotted(parts: Sequence[Part], seconds: float) -> float:
    """The seconds that the first of ``parts`` may take where ``seconds`` are left for all of them."""
    return seconds * parts[0].share / sum(part.share for part in parts)


def chosen(names: Sequence[str] | None) -> list[Part]:
    """The parts with these names, all without any; raises ValueError for a name that no part has."""
    known = {part.name: part for part in PARTS}
    if unknown := set(names or ()) - set(known):
        raise ValueError(f"there is no part {', '.join(sorted(unknown))}: choose among {', '.join(known)}.")
    return [part for part in PARTS if not names or part.name in names]


def plan(parts: Sequence[Part], seconds: float) -> str:
    """What would run, and for how long at most."""
    lines = [f"{seconds:.0f} seconds in all; what a part leaves over goes to those after it."]
    for i, part in enumerate(parts):
        least = allotted(parts[i:], seconds * sum(p.share for p in parts[i:]) / sum(p.share for p in parts))
        lines.append(f"{part.name:9}{least:5.0f} s  {part.question}")
    return "\n".join(lines)
