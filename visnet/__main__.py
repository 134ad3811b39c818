"""The command line: `visnet STAGE` as DVC calls it, and what a person asks of a built catalog."""

import argparse
import io
import os
import signal
import sys
from pathlib import Path

from visnet.pipeline import os_faults
from visnet.pipeline.stage import STAGES


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
    experiment = commands.add_parser("experiment", help="train and evaluate zoo entries beside the line, one run each")
    experiment.add_argument("names", nargs="*", metavar="NAME", help="a zoo entry, or the path of a .toml; see `zoo`")
    experiment.add_argument("--version", type=int, action="append", default=[], help="evaluate a registered version")
    experiment.add_argument(
        "-S", dest="settings", action="append", default=[], metavar="STAGE.KEY=VALUE", help="laid over params.toml"
    )
    experiment.add_argument("--again", action="store_true", help="also what was done before with the same inputs")
    commands.add_parser("zoo", help="list the models there are, with their sizes and losses")
    commands.add_parser("leaderboard", help="compare all evaluated runs; writes reports/leaderboard.html and .csv")
    commands.add_parser("sync-runs", help="tell MLflow what could not be told while it was gone")
    promote = commands.add_parser("promote", help="make a run's model champion, and have the line serve it")
    promote.add_argument("run", help="a run id or its beginning, a version's number, or a config (its newest run)")
    view = commands.add_parser("triplets-view", help="judge sampled triplets by eye; marks go to exclusions.csv")
    view.add_argument("--split", default="train", choices=("train", "validation", "test"))
    view.add_argument("--count", type=int, default=100, help="how many triplets (default 100)")
    view.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    view.add_argument("--port", type=int, default=8010, help="port to listen on (default %(default)s)")
    view.add_argument("--write", type=Path, metavar="PICTURE", help="write a contact sheet instead of serving a page")
    feed = commands.add_parser("feed", help="bring the change feed's new batches into the inbox, and check them")
    feed.add_argument("names", nargs="*", metavar="NAME", help="just these batches, again")
    emit = commands.add_parser("emit-feed", help="write the synthetic shop as a change feed: batches/, photos/, truth/")
    emit.add_argument("out", type=Path, metavar="OUT", help="the folder that they are written under")
    emit.add_argument(
        "--hours", type=int, default=24, help="how many batches, the first the whole catalog (default 24)"
    )
    emit.add_argument(
        "--first", type=int, default=0, help="the hour to begin with, those before it being there already"
    )
    emit.add_argument("--products", type=int, default=440, help="at first (default 440)")
    emit.add_argument("--churn", type=float, default=0.02, help="share that changes in an hour (default 0.02)")
    emit.add_argument("--seed", type=int, default=7)
    emit.add_argument("--start", default="2026-01-05", metavar="TIME", help="ISO 8601 (default %(default)s)")
    emit.add_argument("--side-px", type=int, default=160, help="a shop photo's side (default 160)")
    emit.add_argument("--photos", type=int, nargs=2, default=(2, 3), metavar=("LEAST", "MOST"), help="per product")
    for name, share in (("late", 0.1), ("repeated", 0.1), ("bad", 0.02)):
        emit.add_argument(f"--{name}", type=float, default=share, help=f"share of the records (default {share})")
    commands.add_parser("deploy", help="serve what is checked out: after a clone and `dvc pull`, a checkout, a restore")
    rollback = commands.add_parser("rollback", help="serve an earlier version of the catalog, and hold it")
    rollback.add_argument("version", type=int, nargs="?", help="its number (default: the one before); see `versions`")
    commands.add_parser("roll-forward", help="serve the newest version again, and each that is published")
    listed = commands.add_parser("versions", help="list the versions of the catalog that were published")
    listed.add_argument("--check", action="store_true", help="say whether what is served is checked out; exit 2 if not")
    commands.add_parser("compact", help="write the tables' small files together, and remove what nobody reads")
    commands.add_parser("verify", help="read all that stands on disk, and hold it against what was recorded of it")
    commands.add_parser("summary", help="say what is built here, how well it finds, and what to do next")
    return whole


def _run(args: argparse.Namespace) -> None:
    # What a command does not need is not imported: torch and MLflow take seconds.
    if args.command == "similar":
        from visnet.serving import similar

        print(similar.answer(args.photo, args.k, args.category, args.box, args.out))
    elif args.command == "feed":
        from visnet.commands import feed

        print(feed.bring(args.names))
    elif args.command == "emit-feed":
        from visnet.commands import feed
        from visnet.synthetic.trade import Habits

        taken = ("products", "churn", "seed", "side_px", "late", "repeated", "bad")
        said = {name: getattr(args, name) for name in taken}
        habits = Habits(**said, start=feed.moment(args.start), shop_photos=tuple(args.photos))
        print(feed.emit(args.out, habits, args.hours, args.first))
    elif args.command == "summary":
        from visnet.commands import summary

        print(summary.text())
    elif args.command == "experiment":
        from visnet.runs import experiment

        experiment.run(args.names, args.version, args.settings, again=args.again)
        print("Next       python -m visnet leaderboard         all runs in one table")
    elif args.command == "zoo":
        from visnet import zoo

        print(zoo.listing())
    elif args.command == "leaderboard":
        from visnet.tracking import leaderboard

        frame = leaderboard.table()
        leaderboard.write(frame)
        print(leaderboard.text(frame))
    elif args.command == "sync-runs":
        from visnet.tracking import recorder

        print(recorder.sync())
    elif args.command == "promote":
        from visnet.runs import experiment, runner
        from visnet.tracking import registry

        runner.read_params()  # in a folder where none can be served, no alias moves
        done = registry.promote(args.run)
        experiment.serve(int(str(done["version"])))
        before = done["champion_recall_at_1"]
        print(
            f"Champion   version {done['version']} ({done['config']}), recall@1 {done['recall_at_1']:.4f}"
            + (f"; before, version {done['champion_before']}: {before:.4f}" if before is not None else "")
            + "\nNext       dvc repro                            the line takes this version, and serves it"
        )
    elif args.command == "versions":
        from visnet.serving import versions

        if args.check and (behind := versions.behind()):
            raise ValueError(behind)
        print(versions.standing() if args.check else versions.listing())
    elif args.command in ("deploy", "rollback", "roll-forward"):
        from visnet.commands import deploy
        from visnet.serving import versions
        from visnet.tracking import serving_alias

        if args.command == "deploy":
            print(deploy.run(), flush=True)
        else:
            back = args.command == "rollback"
            print(versions.rollback(args.version) if back else versions.roll_forward(), flush=True)
        if untold := serving_alias.tell():  # the act is done, whatever comes of this
            print(untold, file=sys.stderr)
    elif args.command == "compact":
        from visnet.commands import compact

        print(compact.text(compact.run()))
    elif args.command == "verify":
        from visnet.commands import verify
        from visnet.pipeline.reports import REPORTS
        from visnet.runs.console import Console

        print(verify.run(Console("verify", REPORTS)))
    elif args.command == "triplets-view":
        from visnet import review

        if args.write:
            print(review.write(args.write, args.split, args.count))
        else:
            review.serve(args.split, args.count, host=args.host, port=args.port)
    else:
        from visnet.runs import runner

        runner.run(args.command)


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
        _run(args)
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
