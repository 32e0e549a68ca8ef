"""The rows of the attention benchmark."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from comfy.ldm.modules.attention import optimized_attention
from shared import report, sd15
from shared.measure import Meter
from shared.tables import megabytes, verdict

from .comfy_passes import ComfyPasses, Sampling

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
INJECT, CAPTURE, P2P = "inject", "capture", "p2p"
LEAST = 6
"""Pairs of measurements in a row, unless they take too long."""
STORE = "Prompt-to-Prompt store, diffusers"
GOALS = {"cpu": {INJECT: 1.02, CAPTURE: 1.03, P2P: 0.8}, "cuda": {INJECT: 1.03, CAPTURE: 1.05, P2P: 0.7}}
EXTRA_MEMORY_GOAL = 300e6
"""Bytes of GPU memory that a pass may need above a plain one."""
PAPER_SIDE = 64
"""Latent positions along a side of the paper's 512x512."""


class Bench:
    """The models of a comparison, and the rows over them."""

    def __init__(self, options, device: str):
        self.options, self.device = options, device
        self.meter = Meter(device, options.cpu_time)
        self.dtype = options.dtype or ("fp16" if device == "cuda" else "fp32")
        self.shape = sd15.TOY if options.quick else sd15.REAL if device == "cuda" else sd15.MINI
        side, steps = (64, 50) if self.shape is sd15.REAL else (8 if options.quick else 32, 1)
        self.sampling = Sampling(1, side, side, options.steps or steps)
        self.model = sd15.make_model(self.shape, DTYPES[self.dtype])
        self.conditionings = sd15.conditionings()

    def comfy(self, sampling: Sampling | None = None, conditionings=None) -> ComfyPasses:
        return ComfyPasses(self.model, conditionings or self.conditionings, sampling or self.sampling)

    def compare(self, what: str, peer: str, ours: Callable, theirs: Callable, goal: float | None = None) -> dict:
        """One row: time in pairs, then each one's peak memory."""
        limits = (1, 1) if self.options.quick else (LEAST, self.options.repeats if goal else LEAST)
        ratio = self.meter.paired(ours, theirs, *limits, goal, self.options.seconds)
        peaks = [self.meter.peak_bytes(work) for work in (ours, theirs)]
        row = report.row(what, peer, ratio, goal, ours_peak_bytes=peaks[0], peer_peak_bytes=peaks[1])
        print(f"{what} / {peer}: {row['ratio']} {row['interval']} {row['verdict']}", flush=True)
        return row

    def result(self, command: str, tables: dict) -> dict:
        attention = optimized_attention.__name__
        place = {"model": self.shape.name, "comfyui_attention": attention, **report.environment(self.meter, self.dtype)}
        sampling = dataclasses.asdict(self.sampling)
        return {"command": command, "environment": place, "sampling": sampling, "tables": tables}


def measure_passes(options, device: str):
    """Each pass against a plain one and against the peers, at the main size, at 3:2 and in a batch of 4.

    On a CPU the two latter have half the side, and one step at the paper's size is measured against the store.
    The goals are for the main size; that of the store also for the paper's.
    """
    from shared.peer_unet import to_diffusers

    from .p2p_passes import P2PPasses

    bench = Bench(options, device)
    main = bench.sampling
    side = main.height if device == "cuda" else main.height // 2
    wide = dataclasses.replace(main, height=side, width=side * 3 // 2)
    four = dataclasses.replace(main, height=side, width=side, batch=4)
    unet = to_diffusers(bench.model.model.diffusion_model, bench.model.model.model_config.unet_config).to(device)

    lean = P2PPasses(unet, bench.conditionings, main, as_published=False, device=device)
    tables: dict[str, list] = {}
    stored = [["size", "ours", "positions x heads x columns x evaluations x bytes", "Prompt-to-Prompt"]]
    sizes = [main] if options.quick else [main, wide, four]
    papers = dataclasses.replace(main, height=PAPER_SIDE, width=PAPER_SIDE, steps=1)
    store_only = [papers] if device == "cpu" and not options.quick else []
    for sampling in [*sizes, *store_only]:
        ours = bench.comfy(sampling)
        published = P2PPasses(unet, bench.conditionings, sampling, as_published=True, device=device)
        if sampling is main:
            peers = {"Prompt-to-Prompt": published.both, "dense hook": ours.dense_both}
            agreement = {name: difference(ours, both()) for name, both in peers.items()}
        goals = {} if sampling in (wide, four) else GOALS[device]
        tables[sampling.text] = rows = [] if sampling in store_only else _cost_rows(bench, ours, goals)
        rows.append(bench.compare("both passes", STORE, ours.both, published.both, goals.get(P2P)))
        if sampling is main:
            rows += [
                bench.compare("both passes", "the same, cross attention only, no sums", ours.both, lean.both),
                bench.compare("both passes", "dense hook, ComfyUI", ours.both, ours.dense_both),
                bench.compare("plain pass, no pack", "plain pass, diffusers", ours.plain, lean.plain),
            ]
        stored.append([sampling.text, *map(megabytes, (*_stored(ours), published.stored_bytes))])
    tables["Bytes stored"] = stored
    if device == "cuda":
        tables["Peak memory above a plain pass"] = _extra_memory(tables)
    result = {**bench.result("attention.py", tables), "agreement": agreement}
    report.publish(result, f"attention-{_place(options, device)}", options.output)


def difference(ours: ComfyPasses, theirs: torch.Tensor) -> float:
    """Relative distance of the stylized latents of two implementations."""
    latent = ours.model.model.process_latent_in(ours.both()["samples"]).float()
    return float(torch.linalg.vector_norm(latent - theirs) / torch.linalg.vector_norm(theirs))


def _cost_rows(bench: Bench, ours: ComfyPasses, goals: dict[str, float]) -> list[dict]:
    source = ours.capture()
    return [
        bench.compare("capture pass", "plain pass", ours.capture, ours.plain_source, goals.get(CAPTURE)),
        bench.compare("inject pass", "plain pass", lambda: ours.inject(source), ours.plain, goals.get(INJECT)),
    ]


def _stored(ours: ComfyPasses) -> tuple[int, int]:
    """Bytes stored, and the bytes of the columns alone, which they must equal."""
    stored, expected = ours.stored()
    if stored != expected:
        raise AssertionError(f"{stored} bytes are stored, but the columns alone are {expected}.")
    return stored, expected


def _extra_memory(tables: dict) -> list[list[str]]:
    lines = [["size", "pass", "above plain", "goal"]]
    for size, rows in tables.items():
        for row in (row for row in rows if isinstance(row, dict) and row["peer"] == "plain pass"):
            extra = row["ours_peak_bytes"] - row["peer_peak_bytes"]
            goal = f"<= {megabytes(EXTRA_MEMORY_GOAL)}: {verdict(extra, EXTRA_MEMORY_GOAL)}"
            lines.append([size, row["what"], megabytes(extra), goal])
    return lines


def measure_costs(options, device: str):
    """Capture and inject against plain passes and nothing else, for as long as it takes to be sure."""
    bench = Bench(options, device)
    tables = {bench.sampling.text: _cost_rows(bench, bench.comfy(), GOALS[device])}
    report.publish(
        bench.result("attention.py --costs", tables), f"attention-costs-{_place(options, device)}", options.output
    )


def measure_ways(options, device: str):
    """Both ways to a stylized picture against the stylization pass alone: with a source pass, and without one."""
    bench = Bench(options, device)
    ours = bench.comfy()
    rows = [
        bench.compare("Capture and Inject, two passes", "plain pass", ours.both, ours.plain),
        bench.compare("Source Attention, one pass", "plain pass", ours.source_attention, ours.plain),
        bench.compare("Source Attention, one pass", "Capture and Inject", ours.source_attention, ours.both),
    ]
    result = bench.result("attention.py --ways", {bench.sampling.text: rows})
    report.publish(result, f"attention-ways-{_place(options, device)}", options.output)


def _place(options, device: str) -> str:
    return f"{device}-sdpa" if options.sdpa else device


def measure_growth(options, device: str):
    """How the cost of the two passes grows with content tokens, steps and resolution."""
    bench = Bench(options, device)
    main = bench.sampling
    table = [["size", "content tokens", "capture / plain", "inject / plain", "stored"]]
    cases = [(repeats, main) for repeats in ((1, 2) if options.quick else (1, 2, 4, 8))]
    if not options.quick:
        sides = (main.height // 2, main.height * 3 // 2)
        cases += [(1, dataclasses.replace(main, steps=main.steps * factor)) for factor in (2, 4)]
        cases += [(1, dataclasses.replace(main, height=side, width=side)) for side in sides]
    for repeats, sampling in cases:
        ours = bench.comfy(sampling, sd15.conditionings(repeats))
        rows = _cost_rows(bench, ours, {})
        ratios = ["{:.3f} ({:.3f} .. {:.3f})".format(row["ratio"], *row["interval"]) for row in rows]
        stored, _ = _stored(ours)
        table.append([sampling.text, str(len(ours.conditionings.columns)), *ratios, megabytes(stored)])
    result = bench.result("attention.py --sweep", {"Growth": table})
    report.publish(result, f"attention-growth-{_place(options, device)}", options.output)
