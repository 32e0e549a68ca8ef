"""What a run reached, told to the user: one line a run in the log, a warning or an error where part of it is absent."""

from __future__ import annotations

import collections
import dataclasses
import logging
from collections.abc import Sequence

from .tagged_prompts import Part, Prompt

NOTHING_REACHED = (
    "{node}: the UNet's cross-attention layers are never reached, so nothing is {did}: another node on this MODEL runs "
    "the UNet with a function of its own, as DeepCache does. Take that node out."
)


@dataclasses.dataclass
class Reach:
    """How far one evaluation reached the prompts that are ``due`` in it.

    ``entered`` tells whether the UNet was called, ``called`` whether no other node's wrapper then kept it from running.
    ``counts`` numbers the UNet calls of a prompt, apart for those that guidance adds once ``guidance`` has begun.
    """

    due: Sequence[Prompt]
    entered: bool = False
    called: bool = False
    guidance: bool = False
    layers: int = 0
    missed: int = 0
    parts: list[Part] = dataclasses.field(default_factory=list)
    counts: collections.Counter = dataclasses.field(default_factory=collections.Counter)

    def note(self, parts: Sequence[Part], layers: int, missed: int) -> None:
        """One UNet call with ``parts`` has passed all of its ``layers`` but ``missed``."""
        self.parts += parts
        self.layers = max(self.layers, layers - missed)
        self.missed += missed

    @property
    def is_complete(self) -> bool:
        """Whether every due prompt passed every layer."""
        return not self.missed and set(self.due) <= {part.prompt for part in self.parts}


class Report:
    """Counts the active evaluations of one run of ``node``, which has ``did`` (read, replaced) its content columns."""

    def __init__(self, node: str, did: str):
        self._node, self._did = node, did
        self._complete = self._partial = self._absent = self._skipped = self._layers = 0
        self._said: set[str] = set()

    def add(self, reach: Reach) -> None:
        """Count one evaluation. Raises ValueError where the first one never reached a layer, as then none will."""
        if not reach.due:
            return
        self._layers = max(self._layers, reach.layers)
        if reach.is_complete:
            self._complete += 1
        elif reach.layers:
            self._partial += 1
        elif reach.entered and not reach.called:
            self._skipped += 1
        else:
            self._absent += 1
            if self.evaluations == 1:
                raise ValueError(NOTHING_REACHED.format(node=self._node, did=self._did))

    @property
    def evaluations(self) -> int:
        """Active evaluations so far."""
        return self._complete + self._partial + self._absent + self._skipped

    def require(self, reach: Reach) -> None:
        """Raise ValueError unless ``reach``, of a reading that replacing depends on, is complete."""
        if not reach.is_complete:
            raise ValueError(NOTHING_REACHED.format(node=self._node, did=self._did))

    def warn_once(self, message: str, topic: str) -> None:
        """Log a warning, once a run for each ``topic``."""
        if topic not in self._said:
            self._said.add(topic)
            logging.warning("StyO: %s", message)

    def close(self, details: str) -> None:
        """End the run: warn of what was missed, and log what was done, with ``details``."""
        if self._absent and not self._complete + self._partial:
            raise ValueError(NOTHING_REACHED.format(node=self._node, did=self._did))
        if missed := self._partial + self._absent:
            logging.warning(
                "StyO: in %d of %d evaluations another node ran the UNet in part or in its own way (as DeepCache "
                "does); there the content columns are not all %s. Take that node out of this MODEL.",
                missed,
                self.evaluations,
                self._did,
            )
        skipped = f" ({self._skipped} were skipped by another node)" if self._skipped else ""
        logging.info(
            "StyO: %s the content columns of %d cross-attention layers at %d of %d evaluations%s%s",
            self._did,
            self._layers,
            self._complete + self._partial,
            self.evaluations,
            skipped,
            details,
        )
