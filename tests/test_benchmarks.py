"""What the benchmarks measure with is right, and what is written about their results is what they say."""

import re
import types

import pytest
import readme
import torch
from shared import bench, measure
from shared.intervals import median_interval
from shared.measure import LiveBytes, Meter, Ratio
from shared.tables import markdown, megabytes, verdict
from start_up import rows as import_rows
from styo.training.settings import Settings
from training_cost import counted_memory
from training_cost.counted_work import Started
from training_cost.phases import REST, Phases

RESULTS = readme.results()


class Clock:
    """Time that passes only when some work says so."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        clocks = dict.fromkeys(("perf_counter", "process_time", "monotonic"), lambda: self.now)
        monkeypatch.setattr(measure, "time", types.SimpleNamespace(**clocks))

    def work(self, *seconds):
        """Work that takes ``seconds``, its next run the next of them, and the last ones ever after."""
        left = list(seconds)

        def run():
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_live_bytes_are_those_of_the_storages_that_live_at_once():
    outside = torch.zeros(1000)
    with LiveBytes() as live:
        first = torch.zeros(1000)
        second = first[:500].clone()
        first.add_(outside)
        assert (live.now, live.peak) == (6000, 6000)
        del first
        third = second.view(2, 250).t()
        assert (live.now, live.peak) == (2000, 6000)
        third = third.contiguous()
        assert (live.now, live.peak) == (4000, 6000)
    del third


def test_live_bytes_see_the_gradients_of_a_backward_pass():
    weight = torch.zeros(100, requires_grad=True)
    with LiveBytes() as live:
        (weight * 2).sum().backward()
    assert live.now == weight.grad.nbytes


def test_started_operations_are_those_that_do_work():
    a, b, column = torch.ones(4, 4), torch.ones(4, 4), torch.ones(4, 1)
    with Started() as started:
        a.t().contiguous().view(16).add_(1)
        torch.empty(3).detach()
        torch._foreach_add_([a, b], 1.0)
        torch._foreach_mul_([a, b], [column, column])
    assert started.total == 2 + 1 + 2


def test_a_ratio_is_free_of_a_steady_drift(clock):
    """The machine slows down from run to run; half the work still takes half the time."""
    slower = 0.0

    def work(base):
        def run():
            nonlocal slower
            slower += 0.05
            clock.now += base + slower

        return run

    ratio = Meter("cpu").paired(work(1.0), work(1.0), 5, 5)
    assert ratio.median == pytest.approx(1.0)
    assert ratio.pairs == 5


def test_a_ratio_is_the_median_of_the_turns(clock):
    ours = clock.work(1.0, *[1.0] * 4, 9.0, 9.0, *[1.0] * 4)
    ratio = Meter("cpu").paired(ours, clock.work(2.0), 5, 5)
    assert (ratio.median, ratio.ours, ratio.peer) == (0.5, 1.0, 2.0)
    assert ratio.low <= ratio.median <= ratio.high


def test_measuring_stops_once_the_interval_is_narrower_than_the_distance_to_the_goal(clock):
    assert Meter("cpu").paired(clock.work(1.0), clock.work(2.0), 3, 40, goal=0.8).pairs == 3
    wavering = clock.work(1.0, *[value for _ in range(100) for value in (1.3, 1.3, 1.9, 1.9)])
    assert Meter("cpu").paired(wavering, clock.work(2.0), 3, 12, goal=0.8).pairs == 12


def test_measuring_stops_when_its_time_is_over(clock):
    assert Meter("cpu").paired(clock.work(1.0), clock.work(2.0), 30, 40, budget=20).pairs == 4


def test_the_interval_holds_the_middle_of_the_samples():
    low, high = median_interval([float(value) for value in range(101)])
    assert 30 < low < 50 < high < 70
    assert median_interval([2.0, 2.0, 2.0]) == (2.0, 2.0)


def test_a_verdict_says_when_it_is_unsure():
    def row(median, low, high):
        return bench.row("ours", "peer", Ratio(1, 1, median, low, high, 6), 1.02)["verdict"]

    assert row(1.00, 0.995, 1.005) == "met"
    assert row(1.04, 1.035, 1.045) == "missed by 0.02"
    assert row(1.01, 0.99, 1.03).startswith("met, unsure")
    assert verdict(3, None) == ""


def test_a_phase_within_another_interrupts_it(clock):
    phases = Phases(Meter("cpu"))
    part = types.SimpleNamespace(outer=None, inner=clock.work(2.0))

    def outer():
        clock.now += 1
        part.inner()
        clock.now += 3

    part.outer = outer

    def work():
        clock.now += 10
        part.outer()

    phases.watch(work, [(part, "outer", "outer"), (part, "inner", "inner")])
    assert phases.seconds == {REST: 10, "outer": 4, "inner": 2}


LOG = """\
import time: self [us] | cumulative | imported package
import time:       100 |        100 |   site
import time:      1000 |       1000 |       other.needed
import time:       200 |       1200 |     pack.bridge.idl
import time:        30 |         30 |       other.also
import time:        50 |         80 |     pack.nodes
import time:         7 |       1300 |   elsewhere
some other line
import time:        70 |         70 |   pack.late
"""


def test_imports_are_those_of_the_pack_and_what_it_is_the_first_to_need():
    assert import_rows.imports_of("pack", LOG) == {
        "other.needed": 1000,
        "styo.bridge.idl": 200,
        "other.also": 30,
        "styo.nodes": 50,
        "styo.late": 70,
    }


def test_a_markdown_table_is_aligned():
    assert markdown([["a", "b"], ["long", "c"]]) == "| a    | b |\n|------|---|\n| long | c |"


SD15_BYTES = 859_520_964 * 4
"""The weights of SD1.5's UNet in float32."""


def tables_titled(name, words):
    """The tables of a committed result whose titles hold ``words``."""
    return [table for title, table in RESULTS[name]["tables"].items() if words in title]


def rows(name):
    """Every measured row of a committed result."""
    return [row for table in RESULTS[name]["tables"].values() for row in table if isinstance(row, dict)]


def test_full_training_needs_the_memory_that_was_counted():
    """Weights and two moments in float32, and far less than as much again for gradients and everything else."""
    counted = counted_memory.ours(Settings("full", precision="bf16", resolution=512))
    assert 3 * SD15_BYTES < counted < 3.3 * SD15_BYTES
    (table,) = tables_titled("training-cpu", "counted")
    assert table[1][:3] == ["full", "bf16", megabytes(counted)]


def test_the_counted_memory_meets_its_goals():
    (table,) = tables_titled("training-cpu", "counted")
    assert [row[0] for row in table[1:]] == ["full", "cross_attention", "lora"]
    assert all(row[-1].endswith(": met") for row in table[1:])


@pytest.mark.parametrize("name", ["attention-costs-cpu", "attention-costs-cpu-sdpa"])
def test_capture_and_inject_cost_what_they_may(name):
    found = rows(name)
    assert [row["what"] for row in found] == ["capture pass", "inject pass"]
    assert all(row["ratio"] <= row["goal"] and row["verdict"].startswith("met") for row in found)


def test_both_passes_surely_beat_the_store_at_the_papers_size_under_pytorch_attention():
    (table,) = tables_titled("attention-cpu-sdpa", "512x512")
    assert [row["verdict"] for row in table] == ["met"]


def test_a_training_step_costs_what_it_may():
    assert {row["verdict"] for row in rows("training-cpu")} == {"met"}


def test_only_the_columns_are_stored():
    for name in ("attention-cpu", "attention-cpu-sdpa"):
        (table,) = tables_titled(name, "Bytes stored")
        assert all(ours == columns for _, ours, columns, _ in table[1:])


@pytest.mark.parametrize("name", [name for name in RESULTS if "agreement" in RESULTS[name]])
def test_the_peers_compute_what_the_pack_computes(name):
    assert max(RESULTS[name]["agreement"].values()) < 1e-4


@pytest.mark.parametrize(("path", "fill"), [(readme.README, readme.with_tables), (readme.USING, readme.with_summary)])
def test_what_is_written_is_what_the_committed_results_say(path, fill):
    text = path.read_text("utf-8")
    assert fill(text) == text, "run benchmarks/readme.py"


def test_every_committed_result_has_its_place():
    places = dict(re.findall(r"<!-- ([\w-]+) -->\n(.*)", readme.README.read_text("utf-8")))
    measured = {name for name, text in places.items() if name != "end" and text != "Not measured yet."}
    assert measured == set(RESULTS)
