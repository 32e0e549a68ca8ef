"""The rows of the training benchmark."""

from __future__ import annotations

import functools
import gc

import torch
from shared import bench, models
from shared.tables import megabytes, verdict
from styo.bridge import learner
from styo.training.settings import Settings

from . import counted_memory
from .our_training import OurTraining, end_to_end, picture_inputs, random_inputs
from .phases import OPTIMIZER, REST, Phases

PEER = "DreamBooth loop, diffusers"
FUSED_PEER = "the same with fused AdamW"
STEP_GOAL = {"cpu": 0.9, "cuda": 0.65}
END_TO_END_GOAL = 60.0
MEMORY_GOAL = {"full": 12e9, "cross_attention": 6e9, "lora": 6e9}
PHASES = ("draw", "forward", "backward", OPTIMIZER, REST)
MAIN = {"cpu": ("full", "fp32", False), "cuda": ("full", "bf16", True)}
"""Method, precision, and whether gradients are checkpointed."""
MORE = {
    "cpu": [("full", "fp32", True), ("full", "bf16", False), ("cross_attention", "fp32", False)],
    "cuda": [
        *(("full", "bf16", False), ("cross_attention", "bf16", True), ("cross_attention", "bf16", False)),
        *(("full", "fp16", True), ("full", "fp16", False)),
        *(("cross_attention", "fp16", True), ("cross_attention", "fp16", False)),
    ],
}


class Bench(bench.Bench):
    """The model of a comparison, and both trainings of it."""

    def __init__(self, options, device: str):
        super().__init__(options, device)
        self.resolution = 512 if self.unet is models.SD15 else 64 if options.quick else 128
        self.model = self.unet.model(torch.float16 if device == "cuda" else torch.float32)
        self.steps_a_run = 4 if device == "cuda" else 1

    def settings(self, method: str, precision: str, checkpointing: bool = False, steps: int = 400) -> Settings:
        how = {"resolution": self.resolution, "precision": precision, "gradient_checkpointing": checkpointing}
        return Settings(method, steps, **how)

    def ours(self, settings: Settings) -> OurTraining:
        return OurTraining(self.unet, self.model, settings, self.device)

    def peer(self, settings: Settings, fused: bool = False):
        """The same training by the DreamBooth loop."""
        from shared.peer_unet import to_diffusers

        from .dreambooth_loop import DreamBoothLoop

        unet = to_diffusers(self.model.model.diffusion_model, self.unet.unet_config()).float().to(self.device)
        latents, embeddings = random_inputs(self.unet, self.resolution)
        contexts = [embedding.tokens for embedding in embeddings]
        return DreamBoothLoop(unet, latents, contexts, settings, self.device, fused)

    def against(self, what: str, peer: str, make, make_peer, goal: float | None = None, **memory) -> dict:
        """A row of the time of a step of two trainings; ``make`` and ``make_peer`` build them."""
        works = [functools.partial(training.steps, self.steps_a_run) for training in (make(), make_peer())]
        row = self.compare(what, peer, *works, goal, self.steps_a_run, **memory)
        del works
        gc.collect()
        return row

    def peak_bytes(self, make, *arguments) -> int:
        """Peak memory of building a training and taking its first two steps, its weights included."""
        gc.collect()
        peak = self.meter.peak_bytes(lambda: make(*arguments).steps(2))
        gc.collect()
        return peak

    def agreement(self) -> float:
        """Largest relative difference of the two losses over three fp32 steps on the same draws."""
        runs = [make(self.settings("full", "fp32")) for make in (self.ours, self.peer)]
        for run in runs:
            run.steps(3)
        return max(abs(a / b - 1) for a, b in zip(*(run.losses for run in runs), strict=True))

    def phases(self, name: str, training, parts: list[tuple[object, str, str]]) -> list[str]:
        """Seconds of each phase of a step."""
        training.steps(1)
        phases = Phases(self.meter)
        steps = 1 if self.options.quick else 3 * self.steps_a_run
        phases.watch(lambda: training.steps(steps), parts)
        return [name, *(f"{phases.seconds[phase] / steps:.4f}" for phase in PHASES)]


def measure_training(options, device: str):
    """Steps against the diffusers loop, memory, where the time goes, and everything end to end."""
    bench = Bench(options, device)
    main = bench.settings(*MAIN[device])
    size = f"{bench.unet.name}, {bench.resolution} px, batch 3"
    agreement = {"loss of three steps": bench.agreement()}
    tables = {
        f"Seconds a step: {size}": _steps(bench, main),
        f"Where a step's time goes: {_text(main)}": _where_time_goes(bench, main),
        "End to end": _end_to_end(bench),
    }
    if device == "cuda":
        measured = (functools.partial(bench.peak_bytes, make) for make in (bench.ours, bench.peer))
        tables[f"Peak memory: {size}, checkpointing"] = _memory("measured", *measured, bench.resolution)
    of, pixels = (models.MINI, 64) if options.quick else (models.SD15, 512)
    counts = (functools.partial(count, of=of) for count in (counted_memory.ours, counted_memory.peer))
    tables["Peak memory: SD1.5, 512 px, batch 3, checkpointing, counted"] = _memory("counted", *counts, pixels)
    place = {"model": bench.unet.name}
    bench.publish("training.py", f"training-{device}", "as in the rows", tables, place, agreement=agreement)


def _text(settings: Settings) -> str:
    return f"{settings.method}, {settings.precision}{', checkpointing' * settings.gradient_checkpointing}"


def _steps(bench: Bench, main: Settings) -> list[dict]:
    """Time per step in pairs, and the peak memory of each from its start."""
    more = [] if bench.options.quick else [(bench.settings(*case), False) for case in MORE[bench.device]]
    rows = []
    for settings, fused in [(main, False), *([] if bench.options.quick else [(main, True)]), *more]:
        makes = functools.partial(bench.ours, settings), functools.partial(bench.peer, settings, fused)
        peaks = dict(zip(("ours_peak_bytes", "peer_peak_bytes"), map(bench.peak_bytes, makes), strict=True))
        peer = FUSED_PEER if fused else PEER
        rows.append(bench.against(_text(settings), peer, *makes, STEP_GOAL[bench.device], **peaks))
    return rows


def _where_time_goes(bench: Bench, settings: Settings) -> list[list[str]]:
    ours = bench.ours(settings)
    parts = [(learner, "draw", "draw"), (ours.learner, "losses_of_a_draw", "forward")]
    table = [["a step's seconds", *PHASES]]
    table.append(bench.phases("ours", ours, [*parts, (ours.optimizer, "step", "backward")]))
    del ours, parts
    peer = bench.peer(settings)
    parts = [(peer, "draw", "draw"), (peer, "loss", "forward"), (peer, "back_propagated", "backward")]
    return [*table, bench.phases(PEER, peer, parts)]


def _end_to_end(bench: Bench) -> list[list[str]]:
    full = bench.unet is models.SD15
    steps = bench.options.steps or (400 if full else 2 if bench.options.quick else 10)
    settings = bench.settings(*MAIN[bench.device], steps)
    inputs = picture_inputs(bench.unet, bench.model, settings)
    seconds = bench.meter.seconds(lambda: end_to_end(inputs))
    goal = f"<= {END_TO_END_GOAL:.0f} s: {verdict(seconds, END_TO_END_GOAL)}" if full and steps == 400 else ""
    head = ["encode, train, save", "steps", "seconds", "goal"]
    return [head, [_text(settings), str(steps), f"{seconds:.1f}", goal]]


def _memory(kind: str, ours, peer, resolution: int) -> list[list[str]]:
    """Peak memory by method with gradient checkpointing, as is the node's default; the loop knows no LoRA."""
    table = [["method", "precision", f"ours, {kind}", f"{PEER}, {kind}", "goal"]]
    for method, goal in MEMORY_GOAL.items():
        settings = Settings(method, precision="bf16", resolution=resolution)
        peak, its = ours(settings), None if method == "lora" else peer(settings)
        goal_text = f"<= {megabytes(goal)}: {verdict(peak, goal)}"
        table.append([method, "bf16", megabytes(peak), megabytes(its), goal_text])
    return table
