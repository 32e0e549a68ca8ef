"""The trainings of the portrait benchmark: StyO's own, and with one thing changed each."""

from __future__ import annotations

import dataclasses

from .recipe import Recipe
from .triples import TRIPLES

SEEDS = (1, 2, 3)
"""Of the noise that passes start from; the inverted source starts from its own, and is sampled once."""
COMPONENT_TRIPLES, SETTING_TRIPLES = 12, 6
"""On how many of the triples StyO is run without one of its components, and with another repeats or method."""
QUICK_TRIPLES = 3

FULL, NO_NEGATORS, NO_AUXILIARY, DREAMBOOTH, UNTRAINED = (
    "full",
    "no-negators",
    "no-auxiliary",
    "dreambooth",
    "untrained",
)


@dataclasses.dataclass(frozen=True)
class Training:
    """One training of every one of the first ``triples`` triples, ``inspected`` if its inside is looked at too.

    A recipe of 0 steps stands for the model as it comes.
    """

    name: str
    recipe: Recipe
    triples: int
    seeds: tuple[int, ...] = SEEDS

    @property
    def inspected(self) -> bool:
        return self.name in (FULL, UNTRAINED)


def trainings(recipe: Recipe, quick: bool = False, ablations: bool = True) -> list[Training]:
    """All of them, those of the main rows first; the quick ones are fewer, on fewer triples and with one seed.

    Without ``ablations`` only StyO itself is trained, and what it is compared with.
    """

    def changed(**changes) -> Recipe:
        return dataclasses.replace(recipe, **changes)

    plain = changed(source_style=recipe.target_style, target_style="unused", style_repeats=1, negator="")
    main = {FULL: recipe, DREAMBOOTH: plain, UNTRAINED: changed(steps=0)}
    if quick:
        return [Training(name, changes, QUICK_TRIPLES, SEEDS[:1]) for name, changes in main.items()]
    found = [Training(name, changes, TRIPLES, SEEDS if changes.steps else SEEDS[:1]) for name, changes in main.items()]
    if not ablations:
        return found
    components = {NO_NEGATORS: changed(negator=""), NO_AUXILIARY: changed(auxiliary_count=0)}
    settings = {f"style-repeats-{n}": changed(style_repeats=n) for n in (1, 2, 3) if n != recipe.style_repeats}
    settings |= {f"content-repeats-{n}": changed(content_repeats=n) for n in (1, 2, 3) if n != recipe.content_repeats}
    settings |= {f"method-{method}": changed(method=method) for method in ("cross_attention", "lora")}
    found += [Training(name, changes, COMPONENT_TRIPLES) for name, changes in components.items()]
    return found + [Training(name, changes, SETTING_TRIPLES) for name, changes in settings.items()]
