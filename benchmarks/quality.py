"""Compare recipes on one catalog with an equal budget of photos, beside pytorch-metric-learning's own recipe.

    cd WORKSPACE && dvc repro triplets && python PROJECT/benchmarks/quality.py --name grocery --photos 30000

Run it in a folder whose line is built up to `triplets`. Every row sees the same photos, up to the same number of them
(rounded to whole epochs), in the same precision, and begins with the weights that --weights says: none, or the entry's
own, as of a pretrained trunk. Big networks see them at a smaller side (--big-side), or a CPU would need days. Each row
is an experiment of its own, in MLflow, too.

Rows: the colour histogram, the untrained network, two recipes of pytorch-metric-learning as its documentation has them
(MPerClassSampler; MultiSimilarityLoss with its miner, and SupConLoss; crop, mirror and colour jitter) on the trunk,
side, optimizer and frozen blocks of our best (--best), the second once more with our augmentation, zoo entries, and our
best. Rows with several seeds are means; ± is the standard deviation over seeds.
"""

import argparse
import dataclasses
import json
import math
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch

from visnet import zoo
from visnet.embedding.crop_dataset import CropImages
from visnet.models import eval_frozen
from visnet.models.inputs import as_floats, stack
from visnet.pipeline.budget import keep_what_is_freed
from visnet.pipeline.reports import DATA, read_report, write_report
from visnet.runs import experiment, runner
from visnet.training import Options
from visnet.training.augment import augment, draw
from visnet.training.frozen_layers import frozen_in_bf16
from visnet.training.plans import ByProduct, ByTriplet
from visnet.training.schedule import optimizer_of
from visnet.zoo import weights

BIG = (
    "mildnet_all_trainable",
    "mildnet_mobilenet",
    "ranknet",
    "resnet18",
    "resnet50",
    "alexnet",
    "mobilenet_v3_large",
    "cardigan",
    "visnet_fynd",
)
MEASURES = {
    "recall_at_1": "recall@1",
    "recall_at_5": "recall@5",
    "street_recall_at_1": "street R@1",
    "street_map_at_r": "street mAP@R",
    "category_agreement": "category@10",
    "colour_agreement": "colour@10",
    "augmented_recall_at_1": "changed R@1",
    "triplet_accuracy": "triplet acc.",
}
KEPT = {"seed", *MEASURES, "parameters", "side_px", "trained_photos", "training_s"}
PEERS = ("pml_multi_similarity", "pml_sup_con", "pml_sup_con_our_augmentation")


def zoo_row(name: str, label: str, seed: int, budget: dict[str, Any], side_px: int | None) -> dict[str, Any]:
    """Train and evaluate a zoo entry as an experiment under another label; return its reports."""
    epochs = max(1, round(budget["photos"] / _per_epoch(zoo.entry(name))))
    chosen = {"config": name, "version": 0, "seed": seed, "epochs": epochs, "precision": budget["precision"]}
    chosen["patience"] = 0
    if budget["weights"] == "none":
        chosen["weights"] = "none"
    if side_px:
        chosen["side_px"] = side_px
    tried = {**runner.read_params(), "trained_model": chosen}
    here = experiment.place(label)
    for stage in experiment.APART:
        runner.run(stage, here, tried)
    return _told(here)


def peer_row(name: str, label: str, seed: int, budget: dict[str, Any], best: str) -> dict[str, Any]:
    """Train our best entry's network by pytorch-metric-learning's sampler and loss in a plain loop, and evaluate it."""
    from pytorch_metric_learning import losses, miners, samplers

    entry = zoo.entry(best)
    if budget["side_px"]:
        entry = dataclasses.replace(entry, side_px=budget["side_px"])
    if budget["weights"] == "none":
        entry = dataclasses.replace(entry, weights="none")
    keep_what_is_freed()  # as our loop does
    here = experiment.place(label)
    table = pq.read_table(DATA / "triplets" / "photos.parquet").to_pandas()
    table = table[table["train"]].reset_index(drop=True)
    table = table[table.groupby("label")["label"].transform("size") > 1].reset_index(drop=True)
    labels = torch.from_numpy(pd.factorize(table["label"])[0])
    images = CropImages(DATA / "crops" / "crops.lance", table["crop_id"].tolist(), entry.side_px)
    amounts = zoo.Augment(flip=0.5, crop=0.5, brightness=0.3, contrast=0.3, saturation=0.3)
    if name.endswith("our_augmentation"):
        amounts = entry.augment
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 — the sampler draws from the global generator
    model = zoo.build_model(entry, seed=seed).to(memory_format=torch.channels_last).train()
    eval_frozen(model)
    sampler = samplers.MPerClassSampler(labels, m=4, batch_size=64, length_before_new_iter=len(labels))
    if name == "pml_multi_similarity":
        loss, miner = losses.MultiSimilarityLoss(alpha=2, beta=50, base=0.5), miners.MultiSimilarityMiner(epsilon=0.1)
    else:
        loss, miner = losses.SupConLoss(temperature=0.1), None
    optimizer = optimizer_of(model, entry.optimizer)
    steps = math.ceil(budget["photos"] / 64)
    highest = [group["base_lr"] for group in optimizer.param_groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, highest, total_steps=steps, pct_start=0.05, cycle_momentum=False
    )
    generator = torch.Generator().manual_seed(seed)
    computing = frozen_in_bf16(model, Options.of(entry, seed=seed, precision=budget["precision"]), torch.device("cpu"))
    begun_s, seen, order = time.monotonic(), 0, iter(sampler)
    with computing:
        for _ in range(steps):
            rows = []
            while len(rows) < 64:
                try:
                    rows.append(int(next(order)))
                except StopIteration:
                    order = iter(sampler)
            floats = augment(as_floats(stack(images, rows)), amounts, draw(64, generator))
            with torch.autocast("cpu", torch.bfloat16, enabled=budget["precision"] == "bf16"):
                embeddings = model(floats.contiguous(memory_format=torch.channels_last))
            embeddings = embeddings.float()
            mined = miner(embeddings, labels[rows]) if miner else None
            optimizer.zero_grad()
            loss(embeddings, labels[rows], mined).backward()
            optimizer.step()
            schedule.step()
            seen += 64
    artefact = here.artefact("trained_model")
    shutil.rmtree(artefact, ignore_errors=True)
    saved = dataclasses.replace(entry, name=name)
    digest = weights.save(model, saved.toml(), artefact)
    here.reports.mkdir(parents=True, exist_ok=True)
    size = sum(p.numel() for p in model.parameters())
    report = {"config": name, "parameters": size, "side_px": entry.side_px, "trained_photos": seen}
    report |= {"training_s": round(time.monotonic() - begun_s, 1), "digest": digest[:32]}
    write_report("trained_model", report, here.reports)  # type: ignore[arg-type]
    for stage in experiment.APART[1:]:
        runner.run(stage, here, runner.read_params())
    return _told(here)


def _told(here: Any) -> dict[str, Any]:
    trained, evaluated = (read_report(stage, here.reports) or {} for stage in ("trained_model", "evaluation"))
    return {**evaluated, **{key: trained.get(key) for key in ("parameters", "side_px", "trained_photos", "training_s")}}


def _per_epoch(entry: zoo.Entry) -> int:
    """Count the photos of an epoch: those of its batches, each once."""
    photos = pq.read_table(DATA / "triplets" / "photos.parquet").to_pandas().set_index("crop_id")
    if entry.batches.products:
        plan: ByProduct | ByTriplet = ByProduct(
            np.flatnonzero(photos["train"]), photos["label"].to_numpy(), photos["street"].to_numpy(np.int64),
            products=entry.batches.products, photos=entry.batches.photos, seed=0,
        )  # fmt: skip
    else:
        train = pq.read_table(DATA / "triplets" / "train.parquet").to_pandas()
        rows = np.stack([photos.index.get_indexer(train[side].astype(str)) for side in ("q", "p", "n")], 1)
        plan = ByTriplet(rows, per_batch=entry.batches.triplets, seed=0)
    return sum(len(plan.rows(0, number)[0]) for number in range(plan.batches))


def lines(rows: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Lay the rows out as a Markdown table of means; measures that no row has are left out."""
    shown = [m for m in MEASURES if any(told.get(m) is not None for found in rows.values() for told in found)]
    head = ["", *(MEASURES[m] for m in shown), "parameters", "side px", "photos seen", "training min"]
    made = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, found in rows.items():
        cells = [name + (f" ({len(found)} seeds)" if len(found) > 1 else "")]
        for measure in shown:
            values = [told[measure] for told in found if told.get(measure) is not None]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            cells.append(f"{statistics.mean(values):.3f}{spread}" if values else "–")
        first = found[0]
        for key, style in (("parameters", ",d"), ("side_px", "d"), ("trained_photos", ",d")):
            cells.append(format(int(first[key]), style) if first.get(key) else "–")
        cells.append(f"{statistics.mean(t['training_s'] for t in found) / 60:.1f}" if first.get("training_s") else "–")
        made.append("| " + " | ".join(cells) + " |")
    return made


def main() -> None:
    """Run every row that has not run yet (--again runs all), print the table, and keep all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--name", required=True, help="of the catalog: names the results")
    parser.add_argument("--best", default="mildnet_small", help="our best entry")
    parser.add_argument("--weights", default="none", choices=("none", "own"), help="what training begins with")
    parser.add_argument("--photos", type=int, default=30_000)
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of our best and of the peers")
    parser.add_argument("--entries", nargs="*", default=["mildnet_small_hinge", *BIG[:4]])
    parser.add_argument("--side", type=int, help="of our best and of the peers, instead of the entry's own")
    parser.add_argument("--big-side", type=int, default=64)
    parser.add_argument("--precision", default="bf16", choices=("auto", "fp32", "bf16"))
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--again", action="store_true")
    options = parser.parse_args()
    kept = options.out / f"quality-{options.name}.json"
    rows: dict[str, list[dict[str, Any]]] = {}
    if kept.exists() and not options.again:
        rows = json.loads(kept.read_text())["rows"]
    budget = {"photos": options.photos, "precision": options.precision, "weights": options.weights}
    budget["side_px"] = options.side
    settings = {**budget, "threads": torch.get_num_threads()}
    best = options.best
    asked = [(name, seed) for name in (*options.peers, best) for seed in options.seeds]
    asked += [(name, options.seeds[0]) for name in options.entries]
    for name, seed in asked:
        if any(told["seed"] == seed for told in rows.get(name, [])):
            continue
        label = f"{name}-seed{seed}"
        if name in PEERS:
            told = peer_row(name, label, seed, budget, best)
        else:
            side_px = options.big_side if name in BIG else options.side if name == best else None
            told = zoo_row(name, label, seed, budget, side_px)
        rows.setdefault(name, []).append({"seed": seed, **told})
        if name == best:  # the histogram and the untrained network are measured with it
            for method in ("untrained", "colour_histogram"):
                if method not in rows:  # the same whatever was trained
                    of = {m: told.get(f"{method}_{m}") for m in MEASURES}
                    rows[method] = [{"seed": seed, **of}]
        options.out.mkdir(parents=True, exist_ok=True)
        rows[name] = [{key: value for key, value in one.items() if key in KEPT} for one in rows[name]]
        kept.write_text(json.dumps({"catalog": options.name, **settings, "rows": rows}, indent=1) + "\n")
        print("\n".join(lines(rows)), flush=True)
    ours, peers = (
        [statistics.mean(t["recall_at_1"] for t in rows[n]) for n in names if rows[n][0].get("recall_at_1") is not None]
        for names in ([best], [name for name in PEERS if name in rows])
    )
    if ours and peers:
        print(f"\n{best} − the best recipe of pytorch-metric-learning: {100 * (ours[0] - max(peers)):+.1f} points")


if __name__ == "__main__":
    main()
