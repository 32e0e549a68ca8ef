"""What a training step of SD1.5 asks of a GPU: operations to start, casts among them, waits, and FLOPs.

bf16, batch 3, 512 px. Counted on tensors without data; some minutes on a CPU, which times nothing.
"""

from shared import launch

CASES = (
    ("full", "adam", True),
    ("full", "adam", False),
    ("full", "adafactor", True),
    ("cross_attention", "adam", True),
    ("lora", "adam", True),
)

if __name__ == "__main__":
    parser = launch.common_options(__doc__)
    options = parser.parse_args()
    launch.begin(options, peer=None)
    from shared import models
    from styo.training.settings import Settings
    from training_cost.counted_work import work_of_a_step

    unet, resolution = (models.TOY, 64) if options.quick else (models.SD15, 512)
    print("| method | optimizer | checkpointing | forward | backward | optimizer | casts | waits | TFLOP |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    for method, kind, checkpointing in CASES[2:3] if options.quick else CASES:
        settings = Settings(method, optimizer=kind, resolution=resolution, gradient_checkpointing=checkpointing)
        work = work_of_a_step(settings, unet)
        counts = (work.forward, work.backward, work.optimizer, work.casts, work.waits)
        cells = [method, kind, "on" if checkpointing else "off", *map(str, counts), f"{work.flops / 1e12:.2f}"]
        print(f"| {' | '.join(cells)} |", flush=True)
