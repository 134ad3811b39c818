"""Train models of category paths on the crops whose category is known, choose among them, and measure them."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from visnet.categorizing import answers, apart
from visnet.categorizing.categorizer import Categorizer, PathSettings, built
from visnet.categorizing.choices import PathModels
from visnet.categorizing.files import AGAIN, ALLOWED, TOGETHER, Head, Model
from visnet.categorizing.network import PathNetwork
from visnet.categorizing.side_by_side import rounded, side_by_side
from visnet.categorizing.sureness import NEVER, Sureness, sureness
from visnet.categorizing.task import Labelled, PathTask, labelled
from visnet.models.pretrained import load_pretrained
from visnet.pipeline.log import Log, Shifted
from visnet.pipeline.stage import Report
from visnet.storage.table import Table
from visnet.taxonomy.path_file import allowed_paths
from visnet.taxonomy.tree import Taxonomy
from visnet.training import Fitted, Options, fit
from visnet.zoo import Optimizer, Schedule

WHERE = "taxonomy_model.toml: [taxonomy_model]"
NAMED = 5  # categories that are no path, the most frequent
KNOWN = "lost IS NULL AND category != ''"
COLUMNS = ["crop_id", "photo_id", "product_id", "category", "split", "content"]


def learn(crops: Path, out: Path, params: PathModels, checkpoints: Path, log: Log) -> Report:
    """Train each model, or go on where a killed training stopped; choose among them by the validation's photos.

    The chosen one learns once more, from these photos too, for as many epochs as were best, and both answer together:
    they know more than the one that was calibrated, and are taken to be no surer of it than that one.
    Writes the models to `out`, and how right they are on the test's photos. `ValueError` where photos are lacking, or
    there is nothing to choose.
    """
    rows = Table(crops / "crops.lance").read(COLUMNS, KNOWN).to_pandas()
    taxonomy = _taxonomy(rows["category"])
    rows, unfit = _allowed(rows, taxonomy, log)
    rows = apart.apart(crops, rows, params, WHERE, log)
    sides = {"train": params.side_px, "validation": params.answered_px}
    parts = {split: _labelled(crops, rows, taxonomy, split, side_px) for split, side_px in sides.items()}
    log.say(f"  {len(taxonomy.paths)} paths, {len(parts['train'].paths)} photos to learn from")
    heads = list(dict.fromkeys(params.models))
    networks: dict[Head, PathNetwork] = {}
    fitted: dict[Head, Fitted] = {}
    scores: dict[Head, np.ndarray] = {}
    for number, head in enumerate(heads):
        log.say(f"  model {head!r}")
        later = Shifted(log, number * params.epochs)
        networks[head], fitted[head] = _trained(
            taxonomy, head, parts["train"], parts["validation"], params, checkpoints / head, later
        )
        own = Categorizer(taxonomy, {head: networks[head]}, _settings(params, head, {}, NEVER))
        scores[head] = own.scores(head, parts["validation"].images, log, params.workers)
    truth = parts["validation"].paths
    temperatures: dict[Model, float] = {head: answers.temperature(found, truth) for head, found in scores.items()}
    exact = {head: one.metrics["validation_exact_path"] for head, one in fitted.items()}
    best = first_of_the_best(exact, len(truth))
    likely = answers.probabilities(scores[best], temperatures[best])
    sure = sureness(taxonomy, likely, truth, _groups(rows, parts["validation"]), params.precision, params.seed)
    if not sure.answered:
        log.say(f"  no answer is told: {best!r} is at no confidence right in {params.precision} of validation's photos")
    log.say(f"  model {best!r} once more, from all {len(parts['train'].paths) + len(truth)} photos")
    every = labelled(
        crops, rows.assign(split=rows["split"].replace("validation", "train")), taxonomy, "train", params.side_px
    )
    as_long = params.model_copy(update={"epochs": fitted[best].best_epoch})
    later = Shifted(log, len(heads) * params.epochs)
    again, fitted_again = _trained(taxonomy, best, every, None, as_long, checkpoints / AGAIN, later)
    settings = _settings(params, best, {**temperatures, TOGETHER: temperatures[best]}, sure.least)
    categorizer = Categorizer(taxonomy, networks, settings, again)
    tested = side_by_side(categorizer, crops, rows, params, out, log)
    apart.write(out, rows)
    categorizer.save(out)
    return {
        "chosen": best,
        "paths": len(taxonomy.paths),
        "depth": taxonomy.depth,
        "taxonomy": taxonomy.version,
        "products_left_out": unfit,
        "photos": len(parts["train"].paths),
        "validation_photos": len(truth),
        "validation_groups": int(rows.loc[rows["split"] == "validation", "group"].nunique()),
        **_sure(sure),
        **tested,
        **{name: value for head in networks for name, value in _told(head, fitted[head], temperatures[head]).items()},
        "again_training_s": round(fitted_again.wall_s, 3),
        "training_s": round(sum(one.wall_s for one in (*fitted.values(), fitted_again)), 3),
        "digest": categorizer.made_by,
    }


def first_of_the_best(exact: Mapping[Head, float], photos: int) -> Head:
    """Return the first model of those whose share of right photos is within a standard error of the best one's.

    Between those the photos cannot decide (Breiman et al., "Classification and Regression Trees", 1984, 3.4.3): the
    order in which they are asked for does.
    """
    top = max(exact.values())
    least = top - math.sqrt(top * (1 - top) / photos)
    return next(head for head, share in exact.items() if share >= least)


def _taxonomy(categories: pd.Series) -> Taxonomy:
    """Take the allowed paths, or the crops' categories where none are written down."""
    if allowed := allowed_paths(ALLOWED):
        return Taxonomy.of(allowed)
    try:
        return Taxonomy.of(categories)
    except ValueError as error:
        raise ValueError(f"{WHERE} enabled: the crops' categories: {error}") from None


def _allowed(rows: pd.DataFrame, taxonomy: Taxonomy, log: Log) -> tuple[pd.DataFrame, int]:
    """Leave out the crops whose category is no path; return the others, and how many products were left out."""
    fits = rows["category"].isin(taxonomy.path_numbers)
    unfit = rows[~fits]
    if not unfit.empty:
        worst = unfit.groupby("category")["product_id"].nunique().sort_values(ascending=False, kind="stable")
        named = ", ".join(f"{category!r} ({count})" for category, count in worst.head(NAMED).items())
        more = f" and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
        said = f"{unfit['product_id'].nunique()} products have a category that is no path of it: {named}{more}"
        if not fits.any():
            raise ValueError(f"{ALLOWED}: no crop's category is a path of it; {said}")
        log.say(f"  {ALLOWED}: {said}; they are left out")
    return rows[fits], unfit["product_id"].nunique()


def _labelled(crops: Path, rows: pd.DataFrame, taxonomy: Taxonomy, split: str, side_px: int) -> Labelled:
    if not (rows["split"] == split).any():
        raise ValueError(
            f"{WHERE} enabled: no crop of the split {split!r} has a category; models "
            "learn from those of train, and are chosen by those of validation (see [crops] validation_share)"
        )
    return labelled(crops, rows, taxonomy, split, side_px)


def _trained(
    taxonomy: Taxonomy,
    head: Head,
    train: Labelled,
    validation: Labelled | None,
    params: PathModels,
    checkpoints: Path,
    log: Log,
) -> tuple[PathNetwork, Fitted]:
    network = built(taxonomy, head, params.network, params.frozen_blocks, params.seed)
    load_pretrained(network, params.weights, WHERE)
    task = PathTask(network, train, validation, batch=params.batch, balance=params.balance, seed=params.seed)
    options = Options(
        epochs=params.epochs,
        patience=params.patience,
        optimizer=Optimizer(name="adamw", lr=params.lr, trunk_lr_factor=0.25, weight_decay=1e-4, clip_value=5.0),
        schedule=Schedule(name="cosine", warmup_epochs=1.0),
        seed=params.seed,
        workers=params.workers,
    )
    return network, fit(task, options, checkpoints, log)


def _groups(rows: pd.DataFrame, photos: Labelled) -> npt.NDArray[np.int64]:
    """Return which photos are right or wrong together, [N]."""
    return rows.set_index("crop_id")["group"].loc[list(photos.images.names)].to_numpy(np.int64)


def _settings(params: PathModels, chosen: Head, temperatures: Mapping[Model, float], sure: float) -> PathSettings:
    return PathSettings(
        network=params.network,
        side_px=params.answered_px,
        frozen_blocks=params.frozen_blocks,
        chosen=chosen,
        sure=sure,
        temperatures=dict(temperatures),
    )


def _told(head: Head, fitted: Fitted, temperature: float) -> Report:
    return {
        f"{head}_validation_exact_path": rounded(fitted.metrics["validation_exact_path"]),
        f"{head}_nll": rounded(fitted.metrics["validation_nll"]),
        f"{head}_temperature": rounded(temperature),
        f"{head}_best_epoch": fitted.best_epoch,
        f"{head}_resumed_from_epoch": fitted.resumed_from_epoch,
        f"{head}_training_s": round(fitted.wall_s, 3),
    }


def _sure(sure: Sureness) -> Report:
    return {
        "sure": round(sure.least, 6),
        "validation_answered_share": round(sure.answered, 6),
        "validation_precision": rounded(sure.precision),
        "validation_precision_low": rounded(sure.low),
        "validation_precision_high": rounded(sure.high),
    }
