"""The rows of the attention benchmark."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from comfy.ldm.modules.attention import optimized_attention
from shared import bench, models
from shared.tables import megabytes, verdict

from .comfy_passes import ComfyPasses, Sampling

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
INJECT, CAPTURE, P2P = "inject", "capture", "p2p"
STORE = "Prompt-to-Prompt store, diffusers"
GOALS = {"cpu": {INJECT: 1.02, CAPTURE: 1.03, P2P: 0.8}, "cuda": {INJECT: 1.03, CAPTURE: 1.05, P2P: 0.7}}
EXTRA_MEMORY_GOAL = 300e6
"""Bytes of GPU memory that a pass may need above a plain one."""
PAPER_SIDE = 64
"""Latent positions along a side of the paper's 512x512."""


class Bench(bench.Bench):
    """The models of a comparison, and the rows over them."""

    def __init__(self, options, device: str):
        super().__init__(options, device)
        self.dtype = options.dtype or ("fp16" if device == "cuda" else "fp32")
        side, steps = (64, 50) if device == "cuda" and not options.quick else (8 if options.quick else 32, 1)
        self.sampling = Sampling(1, side, side, options.steps or steps)
        self.model = self.unet.model(DTYPES[self.dtype])
        self.conditionings = models.conditionings()

    def comfy(self, sampling: Sampling | None = None, conditionings=None) -> ComfyPasses:
        return ComfyPasses(self.model, conditionings or self.conditionings, sampling or self.sampling)

    def compare(self, what: str, peer: str, ours: Callable, theirs: Callable, goal: float | None = None) -> dict:
        """A row with each one's peak memory."""
        peaks = [self.meter.peak_bytes(work) for work in (ours, theirs)]
        memory = {"ours_peak_bytes": peaks[0], "peer_peak_bytes": peaks[1]}
        return super().compare(what, peer, ours, theirs, goal, **memory)

    def costs(self, ours: ComfyPasses, goals: dict[str, float]) -> list[dict]:
        """Capture and inject against plain passes."""
        source = ours.capture()
        return [
            self.compare("capture pass", "plain pass", ours.capture, ours.plain_source, goals.get(CAPTURE)),
            self.compare("inject pass", "plain pass", lambda: ours.inject(source), ours.plain, goals.get(INJECT)),
        ]

    def finish(self, question: str, tables: dict, **more):
        """Publish what was asked, by its option: `attention.py --question`."""
        name = f"attention{QUESTIONS[question][1]}-{self.device}" + "-sdpa" * self.options.sdpa
        place = {"model": self.unet.name, "comfyui_attention": optimized_attention.__name__}
        more["sampling"] = dataclasses.asdict(self.sampling)
        command = f"attention.py --{question}" if question else "attention.py"
        self.publish(command, name, self.dtype, tables, place, **more)


def measure_passes(bench: Bench):
    """Each pass against a plain one and against the peers, at the main size, at 3:2 and in a batch of 4.

    On a CPU the two latter have half the side, and one step at the paper's size is measured against the store.
    The goals are for the main size; that of the store also for the paper's.
    """
    from shared.peer_unet import to_diffusers

    from .p2p_passes import P2PPasses

    main, device, quick = bench.sampling, bench.device, bench.options.quick
    side = main.height if device == "cuda" else main.height // 2
    wide = dataclasses.replace(main, height=side, width=side * 3 // 2)
    four = dataclasses.replace(main, height=side, width=side, batch=4)
    papers = dataclasses.replace(main, height=PAPER_SIDE, width=PAPER_SIDE, steps=1)
    unet = to_diffusers(bench.model.model.diffusion_model, bench.model.model.model_config.unet_config).to(device)
    tables: dict[str, list] = {}
    stored = [["size", "ours", "positions x heads x columns x evaluations x bytes", "Prompt-to-Prompt"]]
    for sampling in [main, *([] if quick else [wide, four]), *([papers] if device == "cpu" and not quick else [])]:
        ours = bench.comfy(sampling)
        published = P2PPasses(unet, bench.conditionings, sampling, as_published=True)
        goals = {} if sampling in (wide, four) else GOALS[device]
        tables[sampling.text] = rows = [] if sampling is papers else bench.costs(ours, goals)
        rows.append(bench.compare("both passes", STORE, ours.both, published.both, goals.get(P2P)))
        if sampling is main:
            lean = P2PPasses(unet, bench.conditionings, main, as_published=False)
            peers = {"Prompt-to-Prompt": published.both, "dense hook": ours.dense_both}
            agreement = {name: difference(ours, both()) for name, both in peers.items()}
            rows += [
                bench.compare("both passes", "the same, cross attention only, no sums", ours.both, lean.both),
                bench.compare("both passes", "dense hook, ComfyUI", ours.both, ours.dense_both),
                bench.compare("plain pass, no pack", "plain pass, diffusers", ours.plain, lean.plain),
            ]
        stored.append([sampling.text, *map(megabytes, _stored(ours, published.stored_bytes))])
    tables["Bytes stored"] = stored
    if device == "cuda":
        tables["Peak memory above a plain pass"] = _extra_memory(tables)
    bench.finish("", tables, agreement=agreement)


def difference(ours: ComfyPasses, theirs: torch.Tensor) -> float:
    """Relative distance of the stylized latents of two implementations."""
    latent = ours.model.model.process_latent_in(ours.both()["samples"]).float()
    return float(torch.linalg.vector_norm(latent - theirs) / torch.linalg.vector_norm(theirs))


def _stored(ours: ComfyPasses, whole: int) -> tuple[int, int, int]:
    """Bytes stored; those of the columns alone, which they must equal, out of the ``whole`` maps; and those."""
    tokens = ours.conditionings.source[0][0].shape[1]
    stored, columns = ours.stored_bytes(), whole * len(ours.conditionings.columns) // tokens
    if stored != columns:
        raise AssertionError(f"{stored} bytes are stored, but the columns alone are {columns}.")
    return stored, columns, whole


def _extra_memory(tables: dict) -> list[list[str]]:
    lines = [["size", "pass", "above plain", "goal"]]
    for size, rows in tables.items():
        for row in (row for row in rows if isinstance(row, dict) and row["peer"] == "plain pass"):
            extra = row["ours_peak_bytes"] - row["peer_peak_bytes"]
            goal = f"<= {megabytes(EXTRA_MEMORY_GOAL)}: {verdict(extra, EXTRA_MEMORY_GOAL)}"
            lines.append([size, row["what"], megabytes(extra), goal])
    return lines


def measure_costs(bench: Bench):
    """Capture and inject against plain passes and nothing else, for as long as it takes to be sure."""
    bench.finish("costs", {bench.sampling.text: bench.costs(bench.comfy(), GOALS[bench.device])})


def measure_ways(bench: Bench):
    """Both ways to a stylized picture against the stylization pass alone: with a source pass, and without one."""
    ours = bench.comfy()
    rows = [
        bench.compare("Capture and Inject, two passes", "plain pass", ours.both, ours.plain),
        bench.compare("Source Attention, one pass", "plain pass", ours.source_attention, ours.plain),
        bench.compare("Source Attention, one pass", "Capture and Inject", ours.source_attention, ours.both),
    ]
    bench.finish("ways", {bench.sampling.text: rows})


def measure_growth(bench: Bench):
    """How the cost of the two passes grows with content tokens, steps and resolution."""
    main, quick = bench.sampling, bench.options.quick
    table = [["size", "content tokens", "capture / plain", "inject / plain", "stored"]]
    cases = [(repeats, main) for repeats in ((1, 2) if quick else (1, 2, 4, 8))]
    if not quick:
        cases += [(1, dataclasses.replace(main, steps=main.steps * factor)) for factor in (2, 4)]
        sides = (main.height // 2, main.height * 3 // 2)
        cases += [(1, dataclasses.replace(main, height=side, width=side)) for side in sides]
    for repeats, sampling in cases:
        ours = bench.comfy(sampling, models.conditionings(repeats))
        ratios = ["{:.3f} ({:.3f} .. {:.3f})".format(row["ratio"], *row["interval"]) for row in bench.costs(ours, {})]
        tokens = len(ours.conditionings.columns)
        table.append([sampling.text, str(tokens), *ratios, megabytes(ours.stored_bytes())])
    bench.finish("sweep", {"Growth": table})


QUESTIONS = {
    "": (measure_passes, ""),
    "costs": (measure_costs, "-costs"),
    "ways": (measure_ways, "-ways"),
    "sweep": (measure_growth, "-growth"),
}
"""What is measured by the option that asks for it, and what the name of its result holds."""
