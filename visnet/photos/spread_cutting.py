"""Cut photos on the nodes of a Ray cluster, into the crops that one process makes."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from visnet.engines.blocks import ROW, BlockStep, Work, divided, mapped
from visnet.engines.cluster import Cluster
from visnet.photos.cutting import BOX, Cut, Places, cut_placed, places

BLOCK_BOXES = 128  # of a call of a process; what a lost process begins again
MADE = pa.schema([(ROW, pa.int64()), ("image", pa.large_binary()), ("lost", pa.string())])


@dataclass(frozen=True)
class Cutting:
    """What cuts boxes out of the photos of a version of a table: photo_id, `BOX`, place and size to image or reason."""

    photos: Path
    version: int
    side_px: int
    quality: int

    def __call__(self) -> Work:
        """Return the function of a process, which has a CPU and uses one thread."""
        return self._cut

    def _cut(self, block: pa.Table) -> pa.Table:
        wanted = block.select(["photo_id", *BOX]).to_pandas()
        found = Places(self.version, block["place"].to_numpy(), block["size"].to_numpy())
        made = cut_placed(self.photos, wanted, found, self.side_px, self.quality, threads=1)
        cuts = [cut for _, some in made for cut in some]
        return pa.table([block[ROW], [cut.image for cut in cuts], [cut.lost for cut in cuts]], schema=MADE)


def cut_on(
    nodes: Cluster, photos: Path, wanted: pd.DataFrame, side_px: int, quality: int
) -> Generator[tuple[pd.DataFrame, list[Cut]]]:
    """Yield what `cut_all` yields, in parts of other sizes; the cluster must be connected.

    All nodes must see the photos under the same path. Errors are those of `cut_all`, and `ValueError` when no node has
    a CPU.
    """
    nodes.fit(1)
    found = places(photos, wanted)
    columns = {"photo_id": pa.array(wanted["photo_id"], pa.string())}
    columns |= {name: pa.array(wanted[name], pa.float64(), from_pandas=True) for name in BOX}
    columns |= {"place": pa.array(found.place), "size": pa.array(found.size)}
    load = Cutting(photos.absolute(), found.version, side_px, quality)
    for part in mapped(divided(pa.table(columns), BLOCK_BOXES), [BlockStep(load)]):
        rows = part[ROW].to_pylist()
        cuts = [Cut(*one) for one in zip(part["image"].to_pylist(), part["lost"].to_pylist(), strict=True)]
        yield wanted.iloc[rows[0] : rows[-1] + 1], cuts
