"""What each command does, and what it then says: a function each, which takes the words that the command line read.

What a command does not need is not imported: torch and MLflow take seconds.
"""

import sys
from argparse import Namespace


def stage(args: Namespace) -> None:
    """Run a stage of the line."""
    from visnet.runs import runner

    runner.run(args.command)


def similar(args: Namespace) -> str:
    """Answer one photo."""
    from visnet.serving import similar

    return similar.answer(args.photo, args.k, args.category, args.box, args.out)


def experiment(args: Namespace) -> str:
    """Train and evaluate beside the line."""
    from visnet.runs import experiment

    experiment.run(args.names, args.version, args.settings, again=args.again)
    return "Next       python -m visnet leaderboard         all runs in one table"


def zoo(args: Namespace) -> str:
    """List the models."""
    from visnet import zoo

    return zoo.listing()


def leaderboard(args: Namespace) -> str:
    """Compare the runs."""
    from visnet.tracking import leaderboard

    frame = leaderboard.table()
    leaderboard.write(frame)
    return leaderboard.text(frame)


def sync_runs(args: Namespace) -> str:
    """Tell MLflow what could not be told."""
    from visnet.tracking import recorder

    return recorder.sync()


def promote(args: Namespace) -> str:
    """Make a model champion, and have the line serve it."""
    from visnet.runs import experiment, runner
    from visnet.tracking import registry

    runner.read_params()  # in a folder where none can be served, no alias moves
    done = registry.promote(args.run)
    experiment.serve(int(str(done["version"])))
    before = done["champion_recall_at_1"]
    said = f"Champion   version {done['version']} ({done['config']}), recall@1 {done['recall_at_1']:.4f}"
    if before is not None:
        said += f"; before, version {done['champion_before']}: {before:.4f}"
    return f"{said}\nNext       dvc repro                            the line takes this version, and serves it"


def triplets_view(args: Namespace) -> str | None:
    """Judge triplets by eye."""
    from visnet import review

    if args.write:
        return review.write(args.write, args.split, args.count)
    review.serve(args.split, args.count, host=args.host, port=args.port)
    return None


def feed(args: Namespace) -> str:
    """Bring the feed's new batches."""
    from visnet.commands import feed

    return feed.bring(args.names)


def emit_feed(args: Namespace) -> str:
    """Write the synthetic shop as a feed."""
    from visnet.commands import feed
    from visnet.synthetic.trade import Habits

    taken = {name: getattr(args, name) for name in ("products", "churn", "seed", "side_px", "late", "repeated", "bad")}
    habits = Habits(**taken, start=feed.moment(args.start), shop_photos=tuple(args.photos))
    return feed.emit(args.out, habits, args.hours, args.first)


def deploy(args: Namespace) -> None:
    """Serve what is checked out."""
    from visnet.commands import deploy

    _switched(deploy.run())


def rollback(args: Namespace) -> None:
    """Serve an earlier version."""
    from visnet.serving import versions

    _switched(versions.rollback(args.version))


def roll_forward(args: Namespace) -> None:
    """Serve the newest version again."""
    from visnet.serving import versions

    _switched(versions.roll_forward())


def _switched(said: str) -> None:
    from visnet.tracking import serving_alias

    print(said, flush=True)
    if untold := serving_alias.tell():  # the act is done, whatever comes of this
        print(untold, file=sys.stderr)


def list_versions(args: Namespace) -> str:
    """List the versions, or hold what is served against what is checked out."""
    from visnet.serving import versions

    if args.check and (behind := versions.behind()):
        raise ValueError(behind)
    return versions.standing() if args.check else versions.listing()


def compact(args: Namespace) -> str:
    """Write small files together."""
    from visnet.commands import compact

    return compact.text(compact.run())


def verify(args: Namespace) -> str:
    """Read everything, and compare it with what was recorded."""
    from visnet.commands import verify
    from visnet.pipeline.reports import REPORTS
    from visnet.runs.console import Console

    return verify.run(Console("verify", REPORTS))


def summary(args: Namespace) -> str:
    """Say what is built."""
    from visnet.commands import summary

    return summary.text()
