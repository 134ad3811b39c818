"""The command line: `visnet STAGE` as DVC calls it, and what a person asks; each ends as a shell expects."""

import io
import os
import signal
import sys

from visnet.commands.grammar import parser
from visnet.pipeline import os_faults


def main() -> int:
    """Run one command; return 2 for what the user can mend (said in one line), 130 when interrupted.

    1 when the memory did not suffice, which another try may mend; 141, silently, when nobody reads on (`| head`).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a product's name may hold what a terminal cannot show
    args = parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite stop leaves the same state as Ctrl-C
    try:
        if said := args.act(args):
            print(said)
        sys.stdout.flush()
    except ValueError as error:  # Lance's are of the disk
        return _refused(args.command, os_faults.explained(error) or str(error))
    except BrokenPipeError:
        # Whatever is still to be flushed goes nowhere, or Python would complain of it at its very end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except OSError as error:
        if (said := os_faults.explained(error)) is None:
            raise
        return _refused(args.command, said)
    except MemoryError as error:  # its text and notes name the photo, where it was one
        said = "; ".join([str(error) or "out of memory", *getattr(error, "__notes__", [])])
        _refused(args.command, f"{said}; {os_faults.STAYS}; run it again with fewer other programs")
        return 1
    except KeyboardInterrupt:
        print(f"visnet {args.command}: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


def _refused(command: str, why: str) -> int:
    print(f"visnet {command}: {' '.join(why.split())}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
