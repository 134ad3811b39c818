"""The command line: `visnet STAGE` as DVC calls it, and what a person asks of a built catalog."""

import argparse
import signal
import sys
from pathlib import Path

from visnet.stage import STAGES


def parser() -> argparse.ArgumentParser:
    """Return the command line's grammar."""
    whole = argparse.ArgumentParser(prog="visnet", description=__doc__)
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for stage in STAGES:
        commands.add_parser(stage, help=f"run the stage {stage} with its table of params.toml (what `dvc repro` calls)")
    similar = commands.add_parser("similar", help="show the products of the catalog that are most like a photo")
    similar.add_argument("photo", type=Path, help="an image file")
    similar.add_argument("-k", type=int, default=8, help="how many products (default 8)")
    similar.add_argument("--category", help="search in this category only")
    similar.add_argument("--box", type=float, nargs=4, metavar=("LEFT", "TOP", "WIDTH", "HEIGHT"), help="pixels")
    similar.add_argument(
        "--out", type=Path, default=Path("similar.png"), help="the contact sheet (default similar.png)"
    )
    commands.add_parser("summary", help="say what is built here, how well it finds, and what to do next")
    return whole


def main() -> int:
    """Run one command; return 2 for what the user can mend (said in one line), 130 when interrupted."""
    args = parser().parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite stop leaves the same state as Ctrl-C
    try:
        if args.command == "similar":
            from visnet import similar

            print(similar.answer(args.photo, args.k, args.category, args.box, args.out))
        elif args.command == "summary":
            from visnet import summary

            print(summary.text())
        else:
            from visnet import runner

            runner.run(args.command)
    except ValueError as error:
        print(f"visnet {args.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"visnet {args.command}: interrupted; run it again to go on", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
