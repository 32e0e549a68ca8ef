"""Write the committed results into the benchmarks' README and the page on use, each between its two marks."""

from __future__ import annotations

import json
import re
from pathlib import Path

from shared.tables import markdown, tables

HERE = Path(__file__).resolve().parent
README = HERE / "README.md"
USING = HERE.parent / "docs/using.md"
NOT_MEASURED = "Not measured yet.\n"
STORE = "Prompt-to-Prompt store, diffusers"
LOOP = "DreamBooth loop, diffusers"
RATIOS = (
    ("Source pass with Capture / without", "attention-costs-cpu{}", "", ("capture pass", "plain pass")),
    ("Stylization pass with Inject / without", "attention-costs-cpu{}", "", ("inject pass", "plain pass")),
    (
        "Both passes / Prompt-to-Prompt's attention store in diffusers, 512 x 512",
        *("attention-cpu{}", "512x512", ("both passes", STORE)),
    ),
    ("A step of `full` / a DreamBooth loop in diffusers", "training-cpu", "", ("full, fp32", LOOP)),
)
"""What a user wants to know: its name, the result it is in (with `-sdpa` the other's), its table, and its row."""


def results() -> dict[str, dict]:
    """Every committed result by its name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in (HERE / "results").glob("*.json")}


def with_tables(text: str) -> str:
    """``text`` with the tables of NAME's result between `<!-- NAME -->` and `<!-- end -->`."""
    found = results()

    def fill(match: re.Match) -> str:
        name = match[1]
        return f"<!-- {name} -->\n{tables(found[name]) if name in found else NOT_MEASURED}<!-- end -->"

    return re.sub(r"<!-- ([\w-]+) -->\n.*?<!-- end -->", fill, text, flags=re.S)


def with_summary(text: str) -> str:
    """``text`` with the figures that matter to a user between `<!-- measured:begin -->` and `<!-- measured:end -->`."""
    begin, end = "<!-- measured:begin -->\n", "<!-- measured:end -->"
    before, _, rest = text.partition(begin)
    return before + begin + _summary(results()) + end + rest.partition(end)[2]


def _summary(found: dict[str, dict]) -> str:
    """What was measured on a CPU and what was counted for SD1.5."""
    time = [["Time on a CPU, a small model of the same layout", "ComfyUI's default", "`--use-pytorch-cross-attention`"]]
    for text, name, size, row in RATIOS:
        names = dict.fromkeys(name.format(way) for way in ("", "-sdpa"))
        ratios = [_ratio(found[name], size, *row) for name in names]
        time.append([text, *ratios, *[""] * (2 - len(ratios))])
    counted = next(table for title, table in found["training-cpu"]["tables"].items() if title.endswith("counted"))
    memory = [["Memory counted for SD1.5 at 512 pixels, `bf16`, checkpointing", "StyO IDL Train", "That loop"]]
    memory += [[f"`{method}`", _gigabytes(ours), _gigabytes(peer)] for method, _, ours, peer, _ in counted[1:]]
    portraits = [["Error to ground truth on the demo's portraits, 0 to 1", "Mean", "95 % interval"]]
    for row, figures in found.get("portraits-cpu", {"figures": {"Results": {}}})["figures"]["Results"].items():
        mean, low, high = figures["pixels"]
        portraits.append([row, f"{mean:.3f}", f"{low:.3f} .. {high:.3f}"])
    shown = [table for table in (time, memory, portraits) if len(table) > 1]
    return "\n\n".join(["No measurement on a GPU has been made yet.", *map(markdown, shown)]) + "\n"


def _ratio(result: dict, size: str, what: str, peer: str) -> str:
    """The ratio of ``what`` to ``peer`` in the table whose title has ``size``."""
    rows = [row for title, table in result["tables"].items() if size in title for row in table if isinstance(row, dict)]
    return next(f"{row['ratio']:.2f}" for row in rows if (row["what"], row["peer"]) == (what, peer))


def _gigabytes(megabytes: str) -> str:
    return f"{float(megabytes.removesuffix(' MB')) / 1000:.1f} GB" if megabytes else ""


if __name__ == "__main__":
    for path, fill in ((README, with_tables), (USING, with_summary)):
        path.write_text(fill(path.read_text("utf-8")), "utf-8")
