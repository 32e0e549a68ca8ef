"""The figures that a user of the pack wants to know, out of the committed results."""

from __future__ import annotations

from .tables import markdown

STORE = "Prompt-to-Prompt store, diffusers"
LOOP = "DreamBooth loop, diffusers"
PAPERS_SIZE = "512x512"
COUNTED = "counted"
PORTRAIT_ROWS = (
    "StyO",
    "StyO, Source Attention",
    "StyO, source inverted",
    "StyO, without FCC",
    "StyO, image to image",
    "DreamBooth, image to image",
    "colour transfer (Reinhard)",
    "the source itself",
    "the target itself",
    "ground truth through the VAE (ceiling)",
)


def summary(results: dict[str, dict]) -> str:
    """What was measured on a CPU and what was counted for SD1.5, as Markdown."""
    ways = ("", "-sdpa")
    costs = [results[f"attention-costs-cpu{way}"] for way in ways]
    attention = [results[f"attention-cpu{way}"] for way in ways]
    training = results["training-cpu"]
    measured = [
        ["Time on a CPU, a small model of the same layout", "ComfyUI's default", "`--use-pytorch-cross-attention`"],
        ["Source pass with Capture / without", *(_ratio(result, "capture pass", "plain pass") for result in costs)],
        ["Stylization pass with Inject / without", *(_ratio(result, "inject pass", "plain pass") for result in costs)],
        [
            "Both passes / Prompt-to-Prompt's attention store in diffusers, 512 x 512",
            *(_ratio(result, "both passes", STORE, PAPERS_SIZE) for result in attention),
        ],
        ["A step of `full` / a DreamBooth loop in diffusers", _ratio(training, "full, fp32", LOOP), ""],
    ]
    counted = next(table for title, table in training["tables"].items() if title.endswith(COUNTED))
    memory = [["Memory counted for SD1.5 at 512 pixels, `bf16`, checkpointing", "StyO IDL Train", "That loop"]]
    memory += [[f"`{method}`", _gigabytes(ours), _gigabytes(peer)] for method, _, ours, peer, _ in counted[1:]]
    tables = [measured, memory, *(_portraits(results[name]) for name in ("portraits-cpu",) if name in results)]
    return "\n\n".join(["No measurement on a GPU has been made yet.", *map(markdown, tables)]) + "\n"


def _portraits(result: dict) -> list[list[str]]:
    """Error to ground truth of what a user may compare."""
    rows = result["figures"]["Results"]
    table = [["Error to ground truth on the demo's portraits, 0 to 1", "Mean", "95 % interval"]]
    for row in PORTRAIT_ROWS:
        mean, low, high = rows[row]["pixels"]
        table.append([row, f"{mean:.3f}", f"{low:.3f} .. {high:.3f}"])
    return table


def _ratio(result: dict, what: str, peer: str, size: str = "") -> str:
    """The ratio of ``what`` to ``peer`` in the table whose title has ``size``."""
    rows = [row for title, table in result["tables"].items() if size in title for row in table if isinstance(row, dict)]
    return next(f"{row['ratio']:.2f}" for row in rows if (row["what"], row["peer"]) == (what, peer))


def _gigabytes(megabytes: str) -> str:
    return f"{float(megabytes.removesuffix(' MB')) / 1000:.1f} GB" if megabytes else ""
