"""The trainings of the portrait benchmark: StyO's own, and with one thing changed each."""

from __future__ import annotations

import dataclasses

from styo.training.settings import METHODS

from .recipe import RATES, Recipe
from .triples import TRIPLES

SEEDS = (1, 2, 3)
"""Of the noise that stylizations start from."""
COMPONENT_TRIPLES, SETTING_TRIPLES, INSPECTED_TRIPLES = 12, 3, 3
"""On how many of the triples StyO is run with fewer components, with another repeats or method, and looked into."""
QUICK_TRIPLES = 3

FULL, POSITIVE, NEGATIVE, DREAMBOOTH, UNTRAINED = "full", "positive", "negative", "dreambooth", "untrained"


@dataclasses.dataclass(frozen=True)
class Training:
    """One training of every one of the first ``triples`` triples; a recipe of 0 steps is the model as it comes."""

    name: str
    recipe: Recipe
    triples: int
    seeds: tuple[int, ...] = SEEDS


def trainings(recipe: Recipe, quick: bool = False, ablations: bool = True) -> list[Training]:
    """All of them, those of the main rows first; the quick ones are fewer, on fewer triples and with one seed.

    Without ``ablations`` only StyO itself is trained, and what it is compared with.
    """

    def changed(**changes) -> Recipe:
        return dataclasses.replace(recipe, **changes)

    plain = changed(source_style=recipe.target_style, target_style="unused", style_repeats=1, negator="")
    main = {FULL: (recipe, TRIPLES), DREAMBOOTH: (plain, TRIPLES), UNTRAINED: (changed(steps=0), INSPECTED_TRIPLES)}
    if quick:
        return [Training(name, changes, QUICK_TRIPLES, SEEDS[:2]) for name, (changes, _) in main.items()]
    found = [Training(name, changes, triples) for name, (changes, triples) in main.items()]
    if not ablations:
        return found
    components = {POSITIVE: changed(negator="", auxiliary_count=0), NEGATIVE: changed(auxiliary_count=0)}
    settings = {f"style-repeats-{n}": changed(style_repeats=n) for n in (1, 2, 3) if n != recipe.style_repeats}
    settings |= {f"content-repeats-{n}": changed(content_repeats=n) for n in (1, 2, 3) if n != recipe.content_repeats}
    settings["train-identifiers-False"] = changed(train_identifiers=False)
    others = [("method", method) for method in METHODS if method != recipe.method]
    for setting, name in (*others, ("optimizer", "adafactor")):
        settings[f"{setting}-{name}"] = changed(**{setting: name}, learning_rate=RATES[name])
    found += [Training(name, changes, COMPONENT_TRIPLES) for name, changes in components.items()]
    return found + [Training(name, changes, SETTING_TRIPLES) for name, changes in settings.items()]
