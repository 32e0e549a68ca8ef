"""What the parts found: a JSON a part and one table of all, written anew after every check, so that nothing is lost."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from shared.tables import markdown

TABLE = "table.md"
OK, FAILED, MEASURED, NOT_HERE, NO_TIME, LOST = "ok", "FAILED", "measured", "not here", "no time left", "LOST"


class NotHere(Exception):
    """What a check needs is not on this machine; the words say what."""


class Wrong(Exception):
    """A check found something else than it must; the words say what."""


@dataclasses.dataclass
class Place:
    """Where a part runs: the device's type, whether everything is a toy, and when its time is over."""

    device: str
    toy: bool
    deadline: float

    def left(self) -> float:
        """The seconds that are left."""
        return self.deadline - time.monotonic()

    def tidy(self):
        """Give back what a check held on the GPU, above all one that failed."""
        if self.device == "cuda":
            import torch

            gc.collect()
            torch.cuda.empty_cache()


Check = tuple[str, Callable[[], dict[str, object]]]
"""What is checked or measured, and the work: returns figures, and whether they had to be of some size."""


class Record:
    """The JSON of one part, whole at any moment."""

    def __init__(self, folder: Path, part: str, environment: dict):
        self._path = folder / f"{part}.json"
        self.result = {"part": part, "environment": environment, "checks": []}
        folder.mkdir(parents=True, exist_ok=True)
        self.write()

    def add(self, what: str, verdict: str, seconds: float, figures: dict | None = None, note: str = ""):
        """Note a check, and write everything."""
        row = {"what": what, "verdict": verdict, "seconds": round(seconds, 1), "figures": figures or {}, "note": note}
        self.result["checks"].append(row)
        self.write()
        print(f"  {what}: {verdict} {_text(row)}", flush=True)

    def write(self):
        partial = self._path.with_suffix(".partial")
        partial.write_text(json.dumps(self.result, indent=1) + "\n", "utf-8")
        os.replace(partial, self._path)


def carry_out(checks: Iterable[Check], record: Record, place: Place):
    """Carry out one check after the other, whatever becomes of each, while there is time."""
    for what, work in checks:
        if place.left() <= 0:
            record.add(what, NO_TIME, 0)
            continue
        begin = time.monotonic()
        verdict, figures, note = MEASURED, None, ""
        try:
            figures = work()
            if "ok" in figures:
                verdict = OK if figures.pop("ok") else FAILED
        except NotHere as missing:
            verdict, note = NOT_HERE, str(missing)
        except Wrong as found:
            verdict, note = FAILED, str(found)
        except Exception as error:  # The next check may do better, and the record says what became of this one.
            verdict, note = FAILED, said(error)
        record.add(what, verdict, time.monotonic() - begin, figures, note)
        place.tidy()


def said(error: Exception) -> str:
    """An exception's kind and words, and below them where it came from; call it where the exception is caught."""
    return f"{type(error).__name__}: {error}\n{traceback.format_exc()}"


def lost(folder: Path, part: str, note: str):
    """Note, in the record of a part whose process is gone, that it did not come to its end."""
    path = folder / f"{part}.json"
    result = json.loads(path.read_text("utf-8")) if path.is_file() else {"part": part, "environment": {}, "checks": []}
    result["checks"].append({"what": "the rest", "verdict": LOST, "seconds": 0, "figures": {}, "note": note})
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


def table(folder: Path, parts: Iterable[str]) -> str:
    """All that ``folder`` holds of ``parts``, as Markdown; it is written there, too."""
    lines = [["part", "what", "verdict", "found", "seconds"]]
    environment: dict[str, object] = {}
    for part in parts:
        path = folder / f"{part}.json"
        if path.is_file():
            result = json.loads(path.read_text("utf-8"))
            environment |= result["environment"]
            for row in result["checks"]:
                lines.append([part, row["what"], row["verdict"], _text(row), f"{row['seconds']:.1f}"])
    place = ", ".join(f"{name} {value}" for name, value in environment.items())
    text = f"{place}\n\n{markdown(lines)}\n"
    (folder / TABLE).write_text(text, "utf-8")
    return text


def _text(row: dict) -> str:
    figures = ", ".join(f"{name} {_figure(value)}" for name, value in row["figures"].items())
    return "; ".join(filter(None, (figures, row["note"].partition("\n")[0].replace("|", "/"))))


def _figure(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
