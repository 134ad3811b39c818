"""The command line's grammar: which commands there are, which words each takes, and what it then does."""

import argparse
from collections.abc import Callable
from pathlib import Path

from visnet.commands import acts
from visnet.pipeline.stage import STAGES

Act = Callable[[argparse.Namespace], str | None]
Add = Callable[[str, Act, str], argparse.ArgumentParser]


def parser() -> argparse.ArgumentParser:
    """Return the parser; what it reads has the `command` and its `act`, which returns what is then printed."""
    whole = argparse.ArgumentParser(
        prog="visnet", description="Photos in, the most similar products out: what a person asks of a built catalog."
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, act: Act, what: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what)
        command.set_defaults(act=act)
        return command

    _catalog(add)
    _models(add)
    _feed(add)
    for stage in STAGES:
        add(stage, acts.stage, f"run the stage {stage} with its table of params.toml (what `dvc repro` calls)")
    return whole


def _catalog(add: Add) -> None:
    add("summary", acts.summary, "say what is built here, how well it finds, and what to do next")
    similar = add("similar", acts.similar, "show the products of the catalog that are most like a photo")
    similar.add_argument("photo", type=Path, help="an image file")
    similar.add_argument("-k", type=int, default=8, help="how many products (default 8)")
    similar.add_argument("--category", help="search in this category only")
    similar.add_argument("--box", type=float, nargs=4, metavar=("LEFT", "TOP", "WIDTH", "HEIGHT"), help="pixels")
    out = Path("similar.png")
    similar.add_argument("--out", type=Path, default=out, help="the contact sheet (default similar.png)")
    listed = add("versions", acts.list_versions, "list the versions of the catalog that were published")
    listed.add_argument("--check", action="store_true", help="say whether what is served is checked out; exit 2 if not")
    add("deploy", acts.deploy, "serve what is checked out: after a clone and `dvc pull`, a checkout, a restore")
    rollback = add("rollback", acts.rollback, "serve an earlier version of the catalog, and hold it")
    rollback.add_argument("version", type=int, nargs="?", help="its number (default: the one before); see `versions`")
    add("roll-forward", acts.roll_forward, "serve the newest version again, and each that is published")
    add("compact", acts.compact, "write the tables' small files together, and remove what nobody reads")
    add("verify", acts.verify, "read all that stands on disk, and hold it against what was recorded of it")


def _models(add: Add) -> None:
    add("zoo", acts.zoo, "list the models there are, with their sizes and losses")
    experiment = add("experiment", acts.experiment, "train and evaluate zoo entries beside the line, one run each")
    experiment.add_argument("names", nargs="*", metavar="NAME", help="a zoo entry, or the path of a .toml; see `zoo`")
    experiment.add_argument("--version", type=int, action="append", default=[], help="evaluate a registered version")
    experiment.add_argument(
        "-S", dest="settings", action="append", default=[], metavar="STAGE.KEY=VALUE", help="laid over params.toml"
    )
    experiment.add_argument("--again", action="store_true", help="also what was done before with the same inputs")
    add("leaderboard", acts.leaderboard, "compare all evaluated runs; writes reports/leaderboard.html and .csv")
    promote = add("promote", acts.promote, "make a run's model champion, and have the line serve it")
    promote.add_argument("run", help="a run id or its beginning, a version's number, or a config (its newest run)")
    add("sync-runs", acts.sync_runs, "tell MLflow what could not be told while it was gone")
    view = add("triplets-view", acts.triplets_view, "judge sampled triplets by eye; marks go to exclusions.csv")
    view.add_argument("--split", default="train", choices=("train", "validation", "test"))
    view.add_argument("--count", type=int, default=100, help="how many triplets (default 100)")
    view.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    view.add_argument("--port", type=int, default=8010, help="port to listen on (default %(default)s)")
    view.add_argument("--write", type=Path, metavar="PICTURE", help="write a contact sheet instead of serving a page")


def _feed(add: Add) -> None:
    feed = add("feed", acts.feed, "bring the change feed's new batches into the inbox, and check them")
    feed.add_argument("names", nargs="*", metavar="NAME", help="just these batches, again")
    emit = add("emit-feed", acts.emit_feed, "write the synthetic shop as a change feed: batches/, photos/, truth/")
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
