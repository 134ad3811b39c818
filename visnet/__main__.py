"""The command line, as a process: `visnet COMMAND`, or `python -m visnet COMMAND` as DVC calls it."""

import io
import signal
import sys

from typer.exceptions import TyperException

from visnet.commands.app import app
from visnet.commands.exit_codes import misused


def main() -> int:
    """Run the command that `sys.argv` names, and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a product's name may hold what a terminal cannot show
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite stop leaves the same state as Ctrl-C
    try:
        return int(app(prog_name="visnet", standalone_mode=False))
    except TyperException as error:  # in what stands before the command
        return misused("visnet", error)


if __name__ == "__main__":
    sys.exit(main())
