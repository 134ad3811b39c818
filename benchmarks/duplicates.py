"""Double listings: how many copies are found and how many pairs are wrong, beside imagededup; and how long it takes.

    python benchmarks/duplicates.py quality [--photos FOLDER ...] [--fit]    made copies, one change each
    python benchmarks/duplicates.py speed [--photos-count N]                 all pairs, and one new photo against all

Each copy stands alone in the catalog of the originals, as a second listing would. Photos are split into two sets; with
`--fit` the weights of `visnet.duplicates.verdict` and the least score are chosen on the first (the synthetic shop's
look-alikes are further negatives). Those in use were chosen on earlier draws from the same folders, so that neither set
is held out from them: measure on folders of your own to judge them. Wrong pairs are of two originals, or of a copy and
another original; a colour variant is wrong with its own original. Without --photos, the synthetic shop's photos.
imagededup is measured where it is installed (`pip install imagededup`), by its two methods at their default limits.
"""

import argparse
import importlib
import io
import json
import time
from pathlib import Path

import numpy as np
import torch
from duplicate_pairs import FIVE, MADE, collage, recoloured
from PIL import Image
from sklearn.linear_model import LogisticRegression

from kernels.nearest import Gallery, nearest, pairs_among
from visnet import zoo
from visnet.duplicates import verdict
from visnet.duplicates.candidates import hash_pairs, unique, vector_pairs
from visnet.duplicates.comparison import compare
from visnet.duplicates.views import SIDE_PX, hashes
from visnet.embedding.crop_dataset import square
from visnet.photos.codec import fit
from visnet.pipeline.log import SILENT
from visnet.sources import synthetic
from visnet.stages.duplicates import Params

CROP_PX, NETWORK, NETWORK_PX = 160, "efficientnet_lite0_frozen", 128
VARIANT, COLLAGE = "another colour", "collage"


def read(folders: list[Path], count: int) -> list[Image.Image]:
    """Read up to `count` photos of each folder, the same ones each time."""
    found = []
    for folder in folders:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
        chosen = np.random.default_rng(1).permutation(len(paths))[:count]
        found += [fit(Image.open(paths[at]).convert("RGB"), 224) for at in chosen]
    return found


def synthetic_photos(count: int) -> list[Image.Image]:
    """Paint one shop photo of each of `count` products of the synthetic shop, look-alikes and all."""
    params = synthetic.Params(products=count)
    listing = synthetic.listing(params, Path(synthetic.__file__))
    records = listing.records.to_pandas()
    first = records[records["side"] == "shop"].drop_duplicates("product_id")["photo_id"].tolist()
    photos = listing.photos.to_pandas().set_index("photo_id")
    wanted = [(photo_id, photos.loc[photo_id].iloc[0]) for photo_id in first]
    answers = synthetic.fetch(params, wanted, metadata=Path(synthetic.__file__), log=SILENT)
    return [Image.open(io.BytesIO(answer.data)).convert("RGB") for answer in answers if answer.data]


def made(
    photos: list[Image.Image], strangers: list[Image.Image], chosen: np.ndarray, seed: int
) -> tuple[list[Image.Image], list[tuple[int, str]]]:
    """Make the copies and variants of some photos; return them with the number of the original and what was done.

    strangers: what stands in a collage beside the photo, none of them in the catalog.
    """
    rng = np.random.default_rng(seed)
    pictures, said = [], []
    for at in chosen.tolist():
        others = [strangers[number] for number in rng.choice(len(strangers), 3, replace=False)]
        copies = {name: change(photos[at], rng) for name, change in MADE.items()}
        copies |= {COLLAGE: collage(photos[at], others, rng), VARIANT: recoloured(photos[at], rng)}
        pictures += list(copies.values())
        said += [(at, name) for name in copies]
    return pictures, said


def embedded(pictures: list[Image.Image]) -> torch.Tensor:
    """Embed by a pretrained trunk that has seen none of them, [N, D]."""
    network = zoo.trunk(NETWORK, "package").eval()
    with torch.no_grad():
        parts = [
            network(torch.stack([square(one, NETWORK_PX) for one in pictures[first : first + 32]]).float() / 255)
            for first in range(0, len(pictures), 32)
        ]
    return torch.nn.functional.normalize(torch.cat(parts))


def compared(crops: list[Image.Image], originals: int, said: list[tuple[int, str]]) -> tuple[np.ndarray, torch.Tensor]:
    """Return the candidate pairs of originals, and of copies with originals, [P, 2], and their features, [P, F]."""
    params = Params()
    small, vectors = torch.stack([square(crop, SIDE_PX) for crop in crops]), embedded(crops)
    new = np.ones(len(crops), bool)
    near = nearest(vectors, vectors[:originals], params.nearest + 1).row.numpy()
    pairs = [hash_pairs(hashes(small), new, params.hash_bits_max), vector_pairs(vectors, new, 2 - 2 * params.alike_min)]
    pairs += [np.column_stack([np.repeat(np.arange(len(crops)), near.shape[1]), near.reshape(-1)])]
    every = unique(np.concatenate(pairs))
    every = every[every[:, 0] < originals]  # two copies are never in one catalog
    parts = [
        compare(small[some[:, 0]], small[some[:, 1]]).features for some in torch.split(torch.from_numpy(every), 128)
    ]
    return every, torch.cat(parts)


def measure(
    photos: list[Image.Image], strangers: list[Image.Image], copies: int, seed: int, weights: bool = False
) -> dict[str, object]:
    """Measure recall of every change, precision, and variants merged, on one set of photos."""
    chosen = np.sort(np.random.default_rng(seed).choice(len(photos), min(copies, len(photos)), replace=False))
    pictures, said = made(photos, strangers, chosen, seed)
    crops = [fit(one, CROP_PX) for one in [*photos, *pictures]]
    pairs, features = compared(crops, len(photos), said)
    origin = np.array([*range(len(photos)), *(at for at, _ in said)])
    change = np.array(["", *[""] * (len(photos) - 1), *(name for _, name in said)])
    own = origin[pairs[:, 0]] == origin[pairs[:, 1]]
    what = change[pairs[:, 1]]
    true = own & (what != VARIANT)
    if weights:
        fitted(features, true)
    found = verdict.scores(features) >= Params().score_min
    wrong = found & ~own
    names = [*MADE, COLLAGE]
    recall = {name: round(float((found & true & (what == name)).sum() / len(chosen)), 4) for name in names}
    return {
        "photos": len(photos), "copies_each": len(chosen), "compared": len(pairs),
        "recall": recall,
        "recall_all": round(float(np.mean(list(recall.values()))), 4),
        "recall_five": round(float(np.mean([recall[name] for name in FIVE])), 4),
        "candidates": round(float(true.sum() / (len(chosen) * len(names))), 4),
        "precision": round(float((found & true).sum() / max(1, (found & (true | ~own)).sum())), 4),
        "wrong_pairs": int(wrong.sum()),
        "wrong_originals": int((wrong & (what == "")).sum()),
        "variants_merged": round(float((found & own & (what == VARIANT)).sum() / len(chosen)), 4),
        "peers": peers(crops, len(photos), origin, change, len(chosen)),
    }  # fmt: skip


def fitted(features: torch.Tensor, true: np.ndarray) -> None:
    """Print the weights of a logistic curve through these pairs."""
    curve = LogisticRegression(C=1.0, max_iter=5000).fit(verdict.terms(features).numpy(), true)
    print(f"WEIGHTS = {tuple(curve.coef_[0].round(2).tolist())}\nBIAS = {curve.intercept_[0]:.2f}", flush=True)


def peers(crops: list[Image.Image], originals: int, origin: np.ndarray, change: np.ndarray, copies: int) -> object:
    """Measure imagededup on the same pictures, at its default limits: cosine 0.9 of its network, 10 of 64 bits."""
    try:
        methods = importlib.import_module("imagededup.methods")
    except ImportError:
        return "imagededup is not installed"
    hasher = methods.PHash(verbose=False)
    codes = np.array([[int(hasher.encode_image(image_array=np.asarray(one)), 16)] for one in crops], np.uint64)
    pairs = {"imagededup PHash, 10 bits": hash_pairs(codes, np.ones(len(codes), bool), 10)}
    if vectors := _cnn(methods, crops):
        pairs["imagededup CNN, cosine 0.9"] = vector_pairs(
            torch.tensor(np.array(vectors)), np.ones(len(codes), bool), 0.2
        )
    told = {}
    for name, found in pairs.items():
        found = found[found[:, 0] < originals]
        own, what = origin[found[:, 0]] == origin[found[:, 1]], change[found[:, 1]]
        true = own & (what != VARIANT)
        told[name] = {
            "recall_all": round(float(true.sum() / (copies * (len(MADE) + 1))), 4),
            "recall_five": round(float((true & np.isin(what, list(FIVE))).sum() / (copies * len(FIVE))), 4),
            "precision": round(float(true.sum() / max(1, (true | ~own).sum())), 4),
            "variants_merged": round(float((own & (what == VARIANT)).sum() / copies), 4),
        }
    return told


def _cnn(methods: object, crops: list[Image.Image]) -> list[np.ndarray]:
    """Encode by imagededup's network; its weights come from the web, and where they cannot be had there are none."""
    try:
        network = methods.CNN(verbose=False)  # type: ignore[attr-defined]
    except Exception as error:
        print(f"imagededup's network cannot be had: {type(error).__name__}", flush=True)
        return []
    return [network.encode_image(image_array=np.asarray(one))[0] for one in crops]


def clustered(count: int, dimensions: int = 256) -> torch.Tensor:
    """Draw unit vectors in clusters of forty, of which one in fifty is a copy of another: [N, D]."""
    rng = torch.Generator().manual_seed(0)
    spread = torch.linspace(1.6, 0.3, dimensions)
    centres = torch.randn(max(1, count // 40), dimensions, generator=rng) * spread
    vectors = centres[torch.randint(len(centres), (count,), generator=rng)]
    vectors = vectors + 0.5 * spread * torch.randn(count, dimensions, generator=rng)
    copies = count // 50
    vectors[:copies] = vectors[copies : 2 * copies] + 0.05 * torch.randn(copies, dimensions, generator=rng)
    return torch.nn.functional.normalize(vectors)


def speed(count: int) -> dict[str, object]:
    """Time all pairs of embeddings, and one new photo against all by embedding and by hashes."""
    vectors, sq_limit = clustered(count), 2 - 2 * Params().alike_min
    begun_s = time.monotonic()
    found = pairs_among(vectors, sq_limit)
    all_s = time.monotonic() - begun_s
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 2**63, (count, len(hashes(torch.zeros(1, 3, SIDE_PX, SIDE_PX))[0])), np.uint64)
    gallery, new = Gallery(vectors), np.zeros(count, bool)
    new[count // 2] = True
    took_ms: dict[str, list[float]] = {"embedding": [], "hashes": []}
    for _ in range(9):
        begun_s = time.monotonic()
        nearest(vectors[count // 2][None], gallery, 64)  # within the limit are all, unless the last one is, too
        took_ms["embedding"].append(1000 * (time.monotonic() - begun_s))
        begun_s = time.monotonic()
        hash_pairs(codes, new)
        took_ms["hashes"].append(1000 * (time.monotonic() - begun_s))
    return {
        "vectors": count, "threads": torch.get_num_threads(), "pairs": len(found.row), "all_pairs_s": round(all_s, 2),
        **{f"one_new_{name}_ms": round(float(np.median(took)), 2) for name, took in took_ms.items()},
    }  # fmt: skip


def main() -> None:
    """Run what the command line names, and print a report."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("what", choices=("quality", "speed"))
    asked.add_argument(
        "--photos", type=Path, nargs="*", default=[], help="folders of photos, each a product of its own"
    )
    asked.add_argument("--count", type=int, default=1000, help="photos of each folder")
    asked.add_argument("--copies", type=int, default=60, help="photos of each set of which copies are made")
    asked.add_argument("--photos-count", type=int, default=200_000, help="of speed")
    asked.add_argument("--fit", action="store_true", help="print weights fitted on the first set")
    given = asked.parse_args()
    if given.what == "speed":
        print(json.dumps(speed(given.photos_count), indent=1))
        return
    photos = read(given.photos, given.count) if given.photos else synthetic_photos(given.count)
    for number in (0, 1):
        told = measure(photos[number::2], photos[1 - number :: 2], given.copies, number, given.fit and not number)
        print(json.dumps({"set": number + 1, **told}, indent=1), flush=True)


if __name__ == "__main__":
    main()
