"""The memory of one training step of every family at its own size, counted on tensors without data.

bf16, batch 3, gradient checkpointing, as the node's defaults are. Half an hour on a CPU, which measures nothing.
"""

from shared import launch

CASES = tuple((method, kind) for method in ("lora", "cross_attention", "full") for kind in ("adafactor", "adam"))

if __name__ == "__main__":
    parser = launch.common_options(__doc__)
    parser.add_argument("--model", action="append", default=[], help="only this one; may be repeated")
    options = parser.parse_args()
    launch.begin(options, peer=None)
    from shared import models
    from styo.training.settings import Settings
    from training_cost import counted_memory

    sizes = {models.SDXL: 1024, models.SSD_1B: 1024, models.VEGA: 1024, models.SD2: 768, models.SD15: 512}
    print("| model | pixels | method | optimizer | GiB | GB |\n| --- | --- | --- | --- | --- | --- |", flush=True)
    for unet in (unet for unet in sizes if unet.name in options.model or not options.model):
        for method, kind in CASES:
            settings = Settings(method, optimizer=kind, precision="bf16", resolution=sizes[unet])
            peak = counted_memory.ours(settings, unet)
            cells = (unet.name, sizes[unet], method, kind, f"{peak / 2**30:.1f}", f"{peak / 1e9:.1f}")
            print(f"| {' | '.join(map(str, cells))} |", flush=True)
