"""A feed in a folder, its photos on a server, and the stage that reads it."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from visnet.pipeline.log import SILENT
from visnet.stages import raw_images
from visnet.storage.table import Table

# As tests/photos/web/fetching.py has it.
QUICK = {"timeout_s": 15.0, "deadline_s": 40.0, "backoff_s": 0.0, "tries": 1}
HASTY = {**QUICK, "timeout_s": 1.0, "deadline_s": 2.0}


def jpeg(seed: int, side_px: int = 16) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()


class Shop:
    """A feed in a folder, its batches numbered, and the stage that reads it."""

    def __init__(self, folder: Path, photos: str) -> None:
        self.inbox, self.out, self.photos, self.seq = folder / "inbox", folder / "raw_images", photos, 0
        self.download = QUICK
        self.inbox.mkdir()

    def say(self, **photos: list[str] | None) -> None:
        """Put a batch: product -> its photos, None = it is gone."""
        lines = []
        for product_id, paths in photos.items():
            self.seq += 1
            row: dict[str, Any] = {"product_id": product_id, "seq": self.seq, "op": "upsert" if paths else "delete"}
            lines.append(json.dumps(row | ({"photos": paths, "category": "hats"} if paths else {})))
        (self.inbox / f"{self.seq:04d}.jsonl").write_text("\n".join(lines) + "\n")

    def run(self, **more: object) -> dict[str, Any]:
        feed = {"photos": self.photos, "download": self.download}
        table = {"source": "feed", "metadata": str(self.inbox), "feed": feed, **more}
        return raw_images.build(out=self.out, params=raw_images.Params.model_validate(table), log=SILENT)

    def rebuilt(self) -> str:
        """Return the digest of a build from nothing."""
        kept, self.out = self.out, self.out.with_name("clean")
        digest = self.run()["digest"]
        self.out = kept
        return str(digest)

    def there(self) -> dict[str, bytes | str]:
        rows = Table(self.out / "photos.lance").opened().to_table().to_pylist()
        assert len({row["photo_id"] for row in rows}) == len(rows)
        return {row["photo_id"]: row["lost"] or row["image"] for row in rows}


def counts(report: dict[str, Any], *names: str) -> tuple[int, ...]:
    return tuple(report[name] for name in names)


ASKED = ("asked_conditionally", "not_modified", "same_bytes", "kept_stale", "downloaded")
