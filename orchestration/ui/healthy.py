"""Ask the service of this container whether it answers: `python -m orchestration.ui.healthy PATH`; 0 where it does.

For Dagster's daemon, which answers nothing, `daemon` in the place of a path asks whether it has said that it lives.
"""

import os
import sys

import httpx

from orchestration.ui.guard import PASSWORD
from orchestration.ui.roles import Missing, environment

TIMEOUT_S = 10


def main() -> int:
    """Ask once; say in a line what came instead of an answer."""
    try:
        env = environment()
    except Missing as error:
        print(error)
        return 1
    if sys.argv[1] == "daemon":
        os.execve(sys.executable, [sys.executable, "-m", "dagster._daemon", "liveness-check"], env)
    password = env.get(PASSWORD)
    url = f"http://127.0.0.1:{os.environ['PORT']}{sys.argv[1]}"
    try:
        answer = httpx.get(url, timeout=TIMEOUT_S, trust_env=False, auth=("visnet", password) if password else None)
    except httpx.HTTPError as error:
        print(f"{url}: {error or type(error).__name__}")
        return 1
    print(f"{url}: {answer.status_code}")
    return 0 if answer.is_success else 1


if __name__ == "__main__":
    sys.exit(main())
