"""What the services are asked: requests, as bytes, of each of them."""

from pathlib import Path

import serve_load as load
import serve_shop
from serve_systems import OURS, PLAIN

LIMIT = 12  # answers of each


def similar(workspace: Path, count: int = 500) -> dict[str, list[bytes]]:
    """Return requests for products like one, of each service."""
    from visnet.serving import catalog

    with catalog.open_current(workspace / "data") as version:
        names = sorted(set(version.vectors().of(side="shop").rows["product_id"]))
    some = names[:: max(1, len(names) // count)]
    ours = [load.get(f"/v1/products/{name}/similar?limit={LIMIT}") for name in some]
    return {PLAIN: [load.get(f"/products/{name}/similar") for name in some], OURS: ours}


def by_photo(workspace: Path) -> dict[str, list[bytes]]:
    """Return requests with photos, of each service."""
    photos = serve_shop.photos(workspace, 64)
    ours = [load.post("/v1/search", photo, limit=str(LIMIT)) for photo in photos]
    return {PLAIN: [load.post("/search", photo) for photo in photos], OURS: ours}
