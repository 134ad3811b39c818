"""What is promised of a catalog that never stands still: when, how late, how often, one at a time."""

from datetime import timedelta
from typing import Any

import dagster as dg

# Whatever reads or writes the catalog's tables is in this pool; dagster.yaml lets one run of it go at a time.
POOL = "catalog"

# Experiments take hours: they wait for each other, and no refresh waits for them. A compaction is in both pools.
EXPERIMENTS = "experiments"

REFRESH_AT = "0 * * * *"  # UTC: every full hour
COMPACT_AT = "30 3 * * *"
PRUNE_AT = "0 5 * * 0"
KEEP_RUNS_DAYS = 90  # after which a run of Dagster may be deleted, if that is switched on

# A refresh goes before what waits for the same pool and has time: trainings, experiments.
REFRESH_TAGS = {"dagster/priority": "10"}

# How old what shoppers are served may become. An hour in which nothing changed counts as looked at.
LATE = {
    "publish": dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=2), fail_window=timedelta(hours=6)),
}

# For a killed process or a broken line: after half a minute, one, and two. What the user must mend is not retried, and
# neither is what an operator has stopped: see retry.py.
RETRY = dg.RetryPolicy(max_retries=3, delay=30, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

# By data version: an input that was made again and came out the same starts nothing. What follows from a change goes in
# the same run, where DVC skips what turns out not to change: stage by stage, half a change could be published.
_CHANGED: dg.AutomationCondition[Any] = (
    dg.AutomationCondition.any_deps_match(
        dg.AutomationCondition.data_version_changed() | dg.AutomationCondition.will_be_requested()
    )
    | dg.AutomationCondition.code_version_changed()
)
ON_NEW_DATA = (
    _CHANGED.since_last_handled()
    & ~dg.AutomationCondition.any_deps_missing()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
    & dg.AutomationCondition.all_deps_blocking_checks_passed()
)
