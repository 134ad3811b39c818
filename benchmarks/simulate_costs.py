"""What each part of the work costs here: measured at a few sizes, for `simulate.py` to fit and to hold against."""

import contextlib
import dataclasses
import functools
import http.server
import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import serve_load as load
import torch
from serve_requests import by_photo, similar
from serve_systems import OURS, started

ROOT = Path(__file__).resolve().parent.parent
STAGES = ("raw_images", "crops", "catalog_embeddings", "knn_results", "publish")
D, K = 256, 20
QUIET_S = 2.0  # for which a rate is taken


def line(folder: Path, products: int, churn: float, model: str) -> dict[str, Any]:
    """Build the synthetic shop's line and refresh it twice; return sizes, and seconds of each stage.

    In a process of its own, by `refresh.py`; one that was built is not built again. photos: all that came. rows: of
    shop photos, which are searched.
    """
    out = folder.parent / f"{folder.name}.json"
    command = [sys.executable, str(ROOT / "benchmarks/refresh.py"), "line", "--unchecked", "--model", model]
    command += ["--products", str(products), "--churn", str(churn), "--rounds", "2", "--workspace", str(folder)]
    if not out.exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([*command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)
    (told,) = json.loads(out.read_text(encoding="utf-8")).values()
    from visnet.storage.table import Table

    data = folder / "line/data"
    crops = Table(data / "crops/crops.lance").read(["side"])["side"].to_numpy()
    return {
        "products": products,
        "churn": churn,
        "photos": len(crops),
        "rows": int((crops == "shop").sum()),
        "bytes": sum(path.stat().st_size for path in data.rglob("*") if path.is_file() and "publish" not in path.parts),
        "full_s": told["full_s"],
        "refresh_s": {name: min(one[name] for one in told["refresh_s"]) for name in STAGES},
    }


def service(workspace: Path) -> dict[str, float]:
    """Serve a workspace; return its resident megabytes, and milliseconds of processor time a request of each kind."""
    found = {}
    with started(OURS, workspace) as one:
        found["ready_s"], found["rss_mb"] = one.ready_s, one.resident_mb()[0]
        for name, requests in (("similar_ms", similar(workspace)[OURS]), ("photo_ms", by_photo(workspace)[OURS])):
            load.fastest(one.port, requests, 8, QUIET_S)
            before_s = one.cpu_s()
            told = load.fastest(one.port, requests, 8, 2 * QUIET_S)
            found[name] = (one.cpu_s() - before_s) / len(told.times_s) * 1e3
    return found


def scan(rows: int, queries: int) -> float:
    """Return the seconds of a search of random unit vectors [rows, 256] by all threads, the best of several."""
    from kernels.nearest import Gallery, nearest

    generator = torch.Generator().manual_seed(rows)
    vectors = torch.randn(rows, D, generator=generator)
    vectors /= torch.linalg.vector_norm(vectors, dim=1, keepdim=True)  # in place: a copy would not fit
    gallery, asked = Gallery(vectors), torch.nn.functional.normalize(torch.randn(queries, D, generator=generator))
    return min(_seconds(lambda: nearest(asked, gallery, K)) for _ in range(6))


def merge(shards: int) -> float:
    """Return the seconds in which the answers of shards to one query become one."""
    from kernels.nearest import merge, nearest

    asked = torch.randn(1, D)
    parts = [nearest(asked, torch.randn(200, D), K) for _ in range(shards)]
    parts = [dataclasses.replace(part, row=part.row + 200 * at) for at, part in enumerate(parts)]
    return min(_seconds(lambda: merge(parts, K)) for _ in range(20))


def hashing(data: Path) -> float:
    """Return the seconds in which DVC hashes a gigabyte."""
    from dvc_data.hashfile.hash import file_md5
    from dvc_objects.fs.local import LocalFileSystem

    path = max((path for path in data.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
    disk = LocalFileSystem()
    once_s = min(_seconds(lambda: file_md5(str(path), disk)) for _ in range(3))
    return once_s / path.stat().st_size * 1e9


def download(folder: Path, most: int = 600) -> dict[str, float]:
    """Fetch photos over HTTP from another process; return seconds of wall and processor, and bytes, of one."""
    from visnet.photos.web.download import fetch
    from visnet.photos.web.options import FetchOptions

    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())[:most]
    with shared(folder) as port:
        wanted = [(name, f"http://127.0.0.1:{port}/{name}") for name in names]
        begun_s, cpu_s = time.perf_counter(), time.process_time()
        answers = list(fetch(wanted, options=FetchOptions(allow_hosts=["127.0.0.1"])))
        wall_s, cpu_s = time.perf_counter() - begun_s, time.process_time() - cpu_s
    data = [one.data for one in answers if one.data is not None]
    if len(data) < len(wanted):
        raise RuntimeError(
            f"{len(wanted) - len(data)} photos were lost: {next(one.lost for one in answers if one.lost)}"
        )
    return {"wall_s": wall_s / len(data), "cpu_s": cpu_s / len(data), "bytes": sum(map(len, data)) / len(data)}


def approximate(data: Path, recalls: tuple[float, ...] = (0.95, 0.99), held_out: int = 200) -> dict[str, float]:
    """Return how many times as long the exact search of one query takes as FAISS's IVF at a recall@10, by recall.

    Of a line's own vectors, some of which are held out to ask with; `indexed` says how many are left. One thread each.
    A recall that no number of probed lists below a half of them reaches is left out.
    """
    import faiss

    from kernels.nearest import Gallery, nearest
    from visnet.embedding.vectors import read_vectors

    drawn = read_vectors(data / "catalog_embeddings").matrix.numpy()
    drawn = np.ascontiguousarray(np.random.default_rng(1).permutation(drawn))
    made, asked, rows = drawn[held_out:], drawn[:held_out], len(drawn) - held_out
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    faiss.omp_set_num_threads(1)
    gallery, queries = Gallery(torch.from_numpy(made)), torch.from_numpy(asked)
    truth = nearest(queries, gallery, 10).row.numpy()
    exact_s = min(_seconds(lambda: [nearest(one[None], gallery, 10) for one in queries[:20]]) for _ in range(3)) / 20
    lists = round(4 * rows**0.5)
    width = made.shape[1]
    index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, lists)
    index.train(made[:: max(1, rows // (64 * lists))])
    index.add(made)
    found: dict[str, float] = {"indexed": rows}
    for probed in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512):
        if probed > lists // 2 or len(found) > len(recalls):
            break
        index.nprobe = probed
        rows_found = index.search(asked, 10)[1]
        recall = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(truth, rows_found, strict=True)])
        once_s = min(_seconds(lambda: [index.search(one[None], 10) for one in asked[:20]]) for _ in range(3)) / 20
        for wanted in recalls:
            if recall >= wanted and str(wanted) not in found:
                found[str(wanted)] = exact_s / once_s
    torch.set_num_threads(threads)
    return found


def processor() -> str:
    """Name this machine's processor."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown")


def _seconds(work: Any) -> float:
    begun_s = time.perf_counter()
    work()
    return time.perf_counter() - begun_s


@contextlib.contextmanager
def shared(folder: Path) -> Iterator[int]:
    """Serve the files of a folder over loopback HTTP, from a process of its own; give the port."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_share, args=(str(folder), theirs), daemon=True)
    process.start()
    yield ours.recv()
    process.terminate()
    process.join()


def _share(folder: str, pipe: Any) -> None:
    class Quiet(http.server.SimpleHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    pipe.send(server.server_address[1])
    server.serve_forever()
