"""The memory of one training step of every family at its own size, counted on tensors without data.

bf16, batch 3, gradient checkpointing, as the node's defaults are. A few minutes on a CPU, which measures nothing.
"""

from __future__ import annotations

from shared import launch

CASES = (("lora", "adam"), ("cross_attention", "adam"), ("full", "adafactor"), ("full", "adam"))
GIB = 2**30


def rows(names: list[str]):
    """A row a model: its name, its resolution, and the peak of each of CASES in GiB and in GB."""
    import torch
    from shared import sd15, unets
    from training_cost import counted_memory

    models = [(unets.SDXL, 1024), (unets.SSD_1B, 1024), (unets.VEGA, 1024), (unets.SD2, 768), (sd15.REAL, 512)]
    for model, resolution in models:
        if names and model.name not in names:
            continue
        for method, kind in CASES:
            peak = counted_memory.ours(method, torch.bfloat16, True, model, resolution // 8, kind)
            yield model.name, resolution, method, kind, peak


if __name__ == "__main__":
    parser = launch.common_options(__doc__)
    parser.add_argument("--model", action="append", default=[], help="only this one; may be repeated")
    options = parser.parse_args()
    launch.enter(options.here, peer=None)
    launch.start(options)
    print("| model | pixels | method | optimizer | GiB | GB |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    for name, resolution, method, kind, peak in rows(options.model):
        print(f"| {name} | {resolution} | {method} | {kind} | {peak / GIB:.1f} | {peak / 1e9:.1f} |", flush=True)
