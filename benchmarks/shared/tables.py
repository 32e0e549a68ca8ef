"""A benchmark's result as Markdown tables."""

from __future__ import annotations


def verdict(value: float, goal: float | None) -> str:
    """Whether ``value`` reaches the ``goal`` it must not exceed."""
    if goal is None:
        return ""
    return "met" if value <= goal else f"missed by {value - goal:.3g}"


def cells(rows: list[dict]) -> list[list[str]]:
    """Measured rows as a table's cells, its head first."""
    head = ["what", "against", "time", "its time", "ratio", "95 % interval", "goal", "memory", "its memory"]
    table = [head]
    for row in rows:
        low, high = row["interval"]
        goal = f"<= {row['goal']}: {row['verdict']}" if row["goal"] else ""
        table.append(
            [
                row["what"],
                row["peer"],
                f"{row['ours_seconds']:.3f} s",
                f"{row['peer_seconds']:.3f} s",
                f"{row['ratio']:.3f}",
                f"{low:.3f} .. {high:.3f} ({row['pairs']})",
                goal,
                megabytes(row.get("ours_peak_bytes")),
                megabytes(row.get("peer_peak_bytes")),
            ]
        )
    filled = [i for i, column in enumerate(zip(*table[1:], strict=True)) if any(column)]
    return [[line[i] for i in filled] for line in table]


def megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f} MB"


def markdown(table: list[list[str]]) -> str:
    """A table of cells, its head first, as aligned Markdown."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    head, *lines = ["| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in table]
    return "\n".join([head, "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines])


def tables(result: dict) -> str:
    """All tables of a result, under a line that says where it ran."""
    place = ", ".join(f"{name} {value}" for name, value in result["environment"].items())
    parts = [place]
    if "agreement" in result:
        differences = ", ".join(f"{name} {value:.1e}" for name, value in result["agreement"].items())
        parts.append(f"Relative difference of what ours and a peer compute: {differences}")
    for title, part in result["tables"].items():
        table = cells(part) if isinstance(part[0], dict) else part
        parts += [f"**{title}**", markdown(table)]
    return "\n\n".join(parts) + "\n"
