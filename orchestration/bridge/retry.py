"""Another try of a step after what another try may mend: a killed process, a broken connection."""

import contextlib
import time
from collections.abc import Iterator

import dagster as dg


@contextlib.contextmanager
def retried(context: dg.AssetExecutionContext | dg.OpExecutionContext, policy: dg.RetryPolicy | None) -> Iterator[None]:
    """Have the step tried again, as `policy` says, where it fails and does not refuse that; never where it is stopped.

    An asset's own `retry_policy` takes an operator's Terminate for a failure and runs the step again; and it waits
    between two tries where nothing can stop it. So the policy is followed here, inside the step.
    """
    try:
        yield
    except (dg.Failure, OSError) as error:
        done = context.retry_number
        if policy is None or done >= policy.max_retries or not getattr(error, "allow_retries", True):
            raise
        delay_s = policy.calculate_delay(done + 1)
        context.log.warning(f"{error}; trying again in {delay_s:.0f} s ({done + 1} of {policy.max_retries})")
        time.sleep(delay_s)
        raise dg.RetryRequested(max_retries=policy.max_retries) from error
