"""The rows of the training benchmark."""

from __future__ import annotations

import dataclasses
import gc

import torch
from shared import report, sd15
from shared.measure import Meter
from shared.tables import megabytes, verdict
from styo.bridge import learner
from styo.bridge.learner import DTYPES
from styo.training.settings import Settings

from . import counted_memory
from .our_training import OurTraining, end_to_end, picture_inputs, random_inputs
from .phases import OPTIMIZER, REST, Phases

PEER = "DreamBooth loop, diffusers"
FUSED_PEER = "the same with fused AdamW"
LEAST = 6
"""Pairs of measurements in a row, unless they take too long."""
STEP_GOAL = {"cpu": 0.9, "cuda": 0.65}
END_TO_END_GOAL = 60.0
MEMORY_GOAL = {"full": 12e9, "cross_attention": 6e9, "lora": 6e9}
PHASES = ("draw", "forward", "backward", OPTIMIZER, REST)


@dataclasses.dataclass(frozen=True)
class Case:
    """One way to train."""

    method: str
    precision: str
    checkpointing: bool
    fused_peer: bool = False

    @property
    def text(self) -> str:
        return f"{self.method}, {self.precision}{', checkpointing' if self.checkpointing else ''}"


CASES = {
    "quick": [Case("full", "fp32", False)],
    "cpu": [
        Case("full", "fp32", False),
        Case("full", "fp32", False, fused_peer=True),
        Case("full", "fp32", True),
        Case("full", "bf16", False),
        Case("cross_attention", "fp32", False),
    ],
    "cuda": [
        Case(method, precision, checkpointing)
        for precision in ("bf16", "fp16")
        for method in ("full", "cross_attention")
        for checkpointing in (True, False)
    ]
    + [Case("full", "bf16", True, fused_peer=True)],
}


class Bench:
    """The model of a comparison, and both trainings of it."""

    def __init__(self, options, device: str):
        self.options, self.device = options, device
        self.meter = Meter(device, options.cpu_time)
        self.shape = sd15.TOY if options.quick else sd15.REAL if device == "cuda" else sd15.MINI
        self.resolution = 512 if self.shape is sd15.REAL else 64 if options.quick else 128
        self.model = sd15.make_model(self.shape, torch.float16 if device == "cuda" else torch.float32)
        self.cases = CASES["quick" if options.quick else device]
        self.steps_a_run = 4 if device == "cuda" else 1

    def settings(self, case: Case, steps: int = 400) -> Settings:
        return Settings(
            method=case.method,
            steps=steps,
            resolution=self.resolution,
            precision=case.precision,
            gradient_checkpointing=case.checkpointing,
        )

    def ours(self, case: Case) -> OurTraining:
        return OurTraining(self.model, self.settings(case), self.device)

    def peer(self, case: Case):
        """The same training by the DreamBooth loop."""
        from shared.peer_unet import to_diffusers

        from .dreambooth_loop import DreamBoothLoop

        model = self.model.model
        unet = to_diffusers(model.diffusion_model, model.model_config.unet_config).float().to(self.device)
        latents, contexts = random_inputs(self.resolution)
        rate, dtype = self.settings(case).learning_rate, DTYPES[case.precision]
        how = (case.method, dtype, case.checkpointing, rate, self.device, case.fused_peer)
        return DreamBoothLoop(unet, latents, contexts, *how)

    def compare(self, case: Case) -> dict:
        """Time per step in pairs, and the peak memory of each from its start."""
        peaks = [self.peak_bytes(make, case) for make in (self.ours, self.peer)]
        ours, peer = self.ours(case), self.peer(case)
        least, most = (1, 1) if self.options.quick else (LEAST, self.options.repeats)
        goal, count = STEP_GOAL[self.device], self.steps_a_run
        ratio = self.meter.paired(
            lambda: ours.steps(count), lambda: peer.steps(count), least, most, goal, self.options.seconds
        )
        ratio = dataclasses.replace(ratio, ours=ratio.ours / count, peer=ratio.peer / count)
        peer_name = FUSED_PEER if case.fused_peer else PEER
        row = report.row(case.text, peer_name, ratio, goal, ours_peak_bytes=peaks[0], peer_peak_bytes=peaks[1])
        print(f"{case.text}: {row['ratio']} {row['interval']} {row['verdict']}", flush=True)
        return row

    def peak_bytes(self, make, case: Case) -> int:
        """Peak memory of building a training and taking its first two steps, its weights included."""
        gc.collect()
        peak = self.meter.peak_bytes(lambda: make(case).steps(2))
        gc.collect()
        return peak

    def agreement(self) -> float:
        """Largest relative difference of the two losses over three fp32 steps on the same draws."""
        case = Case("full", "fp32", False)
        runs = [self.ours(case), self.peer(case)]
        for run in runs:
            run.steps(3)
        return max(abs(a / b - 1) for a, b in zip(*(run.losses for run in runs), strict=True))

    def breakdown(self, case: Case) -> list[list[str]]:
        """Seconds of each phase of a step."""
        table = [["a step's seconds", *PHASES]]
        ours = self.ours(case)
        table.append(
            self._phases(
                "ours",
                ours,
                [
                    (learner, "draw", "draw"),
                    (ours.learner, "losses_of_a_draw", "forward"),
                    (ours.optimizer, "step", "backward"),
                ],
            )
        )
        del ours
        peer = self.peer(case)
        parts = [(peer, "draw", "draw"), (peer, "term", "backward"), (peer, "loss", "forward"), (peer, "update", REST)]
        table.append(self._phases(PEER, peer, parts))
        return table

    def _phases(self, name: str, training, parts: list) -> list[str]:
        training.steps(1)
        phases = Phases(self.meter)
        steps = 1 if self.options.quick else 3 * self.steps_a_run
        phases.watch(lambda: training.steps(steps), parts)
        return [name, *(f"{phases.seconds[phase] / steps:.4f}" for phase in PHASES)]


def measure_training(options, device: str):
    """Steps against the diffusers loop, memory, where the time goes, and everything end to end."""
    bench = Bench(options, device)
    main = bench.cases[0]
    size = f"{bench.shape.name}, {bench.resolution} px, batch 3"
    agreement = {"loss of three steps": bench.agreement()}
    tables = {
        f"Seconds a step: {size}": [bench.compare(case) for case in bench.cases],
        f"Where a step's time goes: {main.text}": bench.breakdown(main),
        "End to end": _end_to_end(bench, main),
    }
    if device == "cuda":
        tables[f"Peak memory: {size}, checkpointing"] = _memory("measured", lambda case: _measured(bench, case))
    counted = _memory("counted", lambda case: _counted(case, options.quick))
    tables["Peak memory: SD1.5, 512 px, batch 3, checkpointing, counted"] = counted
    place = {"model": bench.shape.name, **report.environment(bench.meter, "as in the rows")}
    result = {"command": "training.py", "environment": place, "agreement": agreement, "tables": tables}
    report.publish(result, f"training-{device}", options.output)


def _end_to_end(bench: Bench, case: Case) -> list[list[str]]:
    steps = bench.options.steps or (400 if bench.shape is sd15.REAL else 2 if bench.options.quick else 10)
    inputs = picture_inputs(bench.shape, bench.model, bench.settings(case, steps))
    seconds = bench.meter.seconds(lambda: end_to_end(inputs))
    goal = END_TO_END_GOAL if bench.shape is sd15.REAL and steps == 400 else None
    goal_text = f"<= {goal:.0f} s: {verdict(seconds, goal)}" if goal else ""
    return [["encode, train, save", "steps", "seconds", "goal"], [case.text, str(steps), f"{seconds:.1f}", goal_text]]


def _memory(kind: str, peaks) -> list[list[str]]:
    """Peak memory by method with gradient checkpointing, as is the node's default."""
    table = [["method", "precision", f"ours, {kind}", f"{PEER}, {kind}", "goal"]]
    for method, goal in MEMORY_GOAL.items():
        ours, peer = peaks(Case(method, "bf16", True))
        goal_text = f"<= {megabytes(goal)}: {verdict(ours, goal)}"
        table.append([method, "bf16", megabytes(ours), megabytes(peer), goal_text])
    return table


def _measured(bench: Bench, case: Case) -> tuple[int, int | None]:
    peer = None if case.method == "lora" else bench.peak_bytes(bench.peer, case)
    return bench.peak_bytes(bench.ours, case), peer


def _counted(case: Case, quick: bool) -> tuple[int, int | None]:
    size = (sd15.MINI, 8) if quick else (sd15.REAL, 64)
    arguments = (case.method, DTYPES[case.precision], case.checkpointing, *size)
    return counted_memory.ours(*arguments), None if case.method == "lora" else counted_memory.peer(*arguments)
