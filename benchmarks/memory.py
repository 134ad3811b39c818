"""How much memory the stages take that hold photos: the largest resident size of each, as a process of its own.

    python benchmarks/memory.py --workspace NEW_FOLDER             # 2,000 photos of a phone, 16 deep PNGs: minutes
    python benchmarks/memory.py --workspace NEW_FOLDER --quick     # 40 and 3

The photos of a phone have 12 megapixels and 4 MB; they are one file of many names, which each stage reads and decodes
as often. The deep PNGs have 64 megapixels of 16 bits, in half a megabyte. The embeddings are by a network that is not
trained. Prints one line a stage, and fails when one takes more than 1.5 GB.
"""

import argparse
import csv
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
MOST_MB = 1500
STAGES = ("raw_images", "crops", "photo_quality", "catalog_embeddings")
PARAMS = """
[raw_images]
source = "table"
metadata = "stock.csv"

[raw_images.table]
images = "photos"

[crops]
side_px = 160
"""


def phone_photo(path: Path) -> None:
    """Write a photo of 4000 x 3000 px in about 4 MB."""
    rng = np.random.default_rng(1)
    coarse = Image.fromarray(rng.integers(0, 256, (60, 80, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((4000, 3000), Image.Resampling.BICUBIC)).astype(np.int16)
    noise = rng.integers(-6, 7, (3000, 4000, 1), dtype=np.int16)
    Image.fromarray((smooth + noise).clip(0, 255).astype(np.uint8)).save(path, quality=93)


def deep_png(path: Path, side_px: int = 8000) -> None:
    """Write a grey PNG of 16 bits that is small as a file and large as a picture."""
    packed, row = zlib.compressobj(1), np.linspace(0, 65535, side_px).astype(">u2").tobytes()
    body = b"".join([packed.compress(b"\2" + (row if y == 0 else bytes(len(row)))) for y in range(side_px)])
    head = struct.pack(">IIBBBBB", side_px, side_px, 16, 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", body + packed.flush()), (b"IEND", b""))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks)
    )


def params(folder: Path) -> None:
    """Write the parameters of a shop whose photos lie in photos/."""
    (folder / "params.toml").write_text(PARAMS)


def shop(folder: Path, phones: int, deep: int, files: Path) -> None:
    """Lay out a shop of the photos phone.jpg and deep.png of a folder, two to a product."""
    (folder / "photos").mkdir(parents=True)
    rows = []
    for number in range(phones + deep):
        source = "phone.jpg" if number < phones else "deep.png"
        name = f"{number:06d}{Path(source).suffix}"
        (folder / "photos" / name).hardlink_to(files / source)
        rows.append(["bag", "red", f"p{number // 2}", name])
    with (folder / "stock.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["_category", "_color", "_id", "_name"], *rows])
    params(folder)


def network(folder: Path) -> None:
    """Put a network with first weights in the place of a trained one."""
    code = (
        "from pathlib import Path; from visnet import zoo; from visnet.zoo import weights;"
        "entry = zoo.entry('mildnet_small');"
        "weights.save(zoo.build_model(entry, seed=1), entry.toml(), Path('data/trained_model'))"
    )
    subprocess.run(
        [sys.executable, "-P", "-c", code], check=True, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


def run(folder: Path, stage: str) -> tuple[float, float]:
    """Run a stage; return its largest resident size in MB, and its seconds."""
    begun_s = time.monotonic()
    with (folder / f"{stage}.log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "visnet", "run", stage],
            cwd=folder, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{stage} failed:\n{(folder / f'{stage}.log').read_text()[-2000:]}")
    return used.ru_maxrss / 1000, time.monotonic() - begun_s


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workspace", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    phones, deep = (40, 3) if options.quick else (2000, 16)
    options.workspace.mkdir(parents=True)
    phone_photo(options.workspace / "phone.jpg")
    deep_png(options.workspace / "deep.png")
    shop(options.workspace, phones, deep, options.workspace)
    network(options.workspace)
    print(f"{phones} photos of 12 megapixels, {deep} of 64 megapixels of 16 bits, {os.cpu_count()} cores")
    over = []
    for stage in STAGES:
        peak_mb, wall_s = run(options.workspace, stage)
        print(f"  {stage:<20} {peak_mb:7,.0f} MB {wall_s:8.1f} s", flush=True)
        over += [stage] * (peak_mb > MOST_MB)
    if over:
        raise SystemExit(f"over {MOST_MB} MB: {', '.join(over)}")


if __name__ == "__main__":
    main()
