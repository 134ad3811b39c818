"""The plan for a large catalog is arithmetic on what was measured, and its page says what the measurements say."""

import dataclasses
import json
import math
import sys
from pathlib import Path

import pytest

sys.path.insert(0, "benchmarks")
from benchmarks import simulate_tables
from benchmarks.simulate_plan import Assumed, Costs, limits, plan

ROOT = Path(__file__).parents[1]
ASSUMED = Assumed(cores=10, ram_gb=100.0, full=0.5, categories=100)
COSTS = Costs(
    photos=5.0,
    rows=2.0,
    build_s=0.02,
    pair_s=1e-9,
    change_s=0.05,
    refresh_row_s=1e-5,
    scan_s=1e-8,
    scan_16_s=2e-9,
    photo_s=0.01,
    ram=1000.0,
    disk=50_000.0,
    hash_s=2e-9,
    cores=2,
)


def test_a_plan_is_what_one_counts_by_hand() -> None:
    made = plan(1_000_000, 100_000.0, COSTS, ASSUMED)
    assert made.build_core_hours == pytest.approx((5e6 * 0.02 + 4e12 / 100 * 1e-9) / 3600)
    assert made.refresh_cores == pytest.approx((50_000 * 5 * 0.05 + 2e6 * 1e-5) / 1800)
    assert made.shards == 1, "2 GB of memory, and 4 ms of a scan"
    assert made.answer_s == pytest.approx(2e6 * 1e-8 / 5 + 0.01)
    assert made.serving_machines == math.ceil(1000 * (0.01 + 2e6 * 2e-9 * 2) / 10 / 0.5)
    assert made.disk_tb == pytest.approx(0.25)
    assert plan(1_000_000_000, 100_000.0, COSTS, ASSUMED).shards == 40, "2 TB, half of 100 GB each"


def test_no_more_changes_in_a_refresh_than_there_are_products() -> None:
    assert plan(1000, 1e9, COSTS, ASSUMED).refresh_cores == plan(1000, 2000.0, COSTS, ASSUMED).refresh_cores


def test_a_limit_is_the_last_size_that_one_machine_does() -> None:
    of = {one.name.partition(" in ")[0]: one.products for one in limits(COSTS, ASSUMED)}
    assert [one.products for one in limits(COSTS, ASSUMED)] == sorted(of.values())
    memory, scan = of["the gallery"], of["an exact scan"]
    assert (memory, scan) == (25e6, 25e6)
    assert [plan(round(memory * share), 0.0, COSTS, ASSUMED).shards for share in (0.99, 1.01)] == [1, 2]
    build = of["the first build"]
    free = dataclasses.replace(COSTS, pair_s=0.0)
    assert [plan(round(build * share), 0.0, free, ASSUMED).build_machines for share in (0.99, 1.01)] == [1, 2]
    assert limits(free, ASSUMED)[-1].products == math.inf, "what was seen to cost nothing ends nowhere"


def test_the_page_says_what_was_measured() -> None:
    told = json.loads((ROOT / "benchmarks/results/scale.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs/concepts/scale.md").read_text(encoding="utf-8")
    assert page == simulate_tables.filled(page, told), "run `python benchmarks/simulate.py page`"
    assert page.count("<!-- table:") == len(simulate_tables.TABLES)
    assert str(told["times"]) == "10"
