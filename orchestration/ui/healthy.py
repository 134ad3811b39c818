"""Ask the service of this container whether it answers: `python -m orchestration.ui.healthy PATH`; 0 where it does.

For Dagster's daemon, which answers nothing, `daemon` in the place of a path asks whether it has said that it lives.
"""

import base64
import http.client
import os
import sys
from collections.abc import Mapping

from orchestration.ui.guard import PASSWORD
from orchestration.ui.roles import Missing, environment, with_passwords

TIMEOUT_S = 10


def main() -> int:
    """Ask once; say in a line what came instead of an answer.

    A page is asked with what Python itself brings: each look is a process, which every service has each minute.
    """
    try:
        if sys.argv[1] == "daemon":
            os.execve(sys.executable, [sys.executable, "-m", "dagster._daemon", "liveness-check"], environment())
        headers = _who(with_passwords(os.environ))
    except Missing as error:
        print(error)
        return 1
    host = f"127.0.0.1:{os.environ['PORT']}"
    url = f"http://{host}{sys.argv[1]}"
    try:
        connection = http.client.HTTPConnection(host, timeout=TIMEOUT_S)
        connection.request("GET", sys.argv[1], headers=headers)
        status = connection.getresponse().status
        connection.close()
    except (OSError, http.client.HTTPException) as error:
        print(f"{url}: {str(error) or type(error).__name__}")
        return 1
    print(f"{url}: {status}")
    return 0 if 200 <= status < 300 else 1


def _who(env: Mapping[str, str]) -> dict[str, str]:
    password = env.get(PASSWORD)
    if not password:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(f'visnet:{password}'.encode()).decode()}"}


if __name__ == "__main__":
    sys.exit(main())
