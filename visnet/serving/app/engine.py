"""One served version, ready to answer: its model, gallery, lists, facts and pictures."""

import asyncio
import functools
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor

import numpy as np
import torch
from PIL import Image

from visnet.categorizing.answers import PathAnswer
from visnet.categorizing.teller import Teller
from visnet.errors import Damaged, NotReady
from visnet.localizing.localizer import Localizer, Proposal
from visnet.photos import codec
from visnet.photos.cutting import Box
from visnet.serving import galleries
from visnet.serving.app.answers.reply import Lineage
from visnet.serving.app.batches import Together
from visnet.serving.app.columns import ProductColumns, Where
from visnet.serving.app.copies import Copies
from visnet.serving.app.current import Current
from visnet.serving.app.facts import Facts
from visnet.serving.app.metrics import Metrics
from visnet.serving.app.steps import DEPTH, Embedder, Question, categorized, proposed, ranked
from visnet.serving.catalog import Serving
from visnet.serving.duplicates import duplicate_groups
from visnet.serving.live.overlay import Overlay
from visnet.serving.live.ranks import Ranks
from visnet.serving.live.store import LiveStore
from visnet.serving.ranking import Ranking
from visnet.serving.searcher import Searcher

AT_ONCE = 16  # requests that go through the network, or the search, together
ALIKE = 1e-3  # squared distance at which a photo of the catalog, embedded here, is the same as its stored vector


class Engine:
    """Answers from a version that it holds open until `close`; made in a thread, asked from the event's loop."""

    def __init__(
        self,
        version: Serving,
        network: Executor,
        search: Executor,
        metrics: Metrics,
        store: LiveStore | None = None,
        before: "Engine | None" = None,
    ) -> None:
        """Read the version; two threads, for the network and for the search, may be those of other engines, too.

        store: of changes that are laid over it once `warm` is done; None for none. before: an engine whose networks are
        taken where this version has the same.
        """
        self.version, self.number, facts = version, version.number, version.facts()
        shop, groups = galleries.of_version(version), duplicate_groups(version)
        like = None if before is None else before.searcher
        self.searcher: Searcher = Searcher(version.trained_model, shop, version.folder, groups, like)
        self.facts = Facts(version, self.searcher)
        self.columns = ProductColumns(galleries.columns_of(version, shop, self.facts.table), shop.products)
        self._parts: Mapping[str, str] = facts["parts"]
        self.localizer: Localizer | None = None
        self.teller: Teller | None = None
        if before is not None and before._has("localizer", of=self):
            self.localizer = before.localizer
        elif version.localizer is not None:
            self.localizer = Localizer.load(version.localizer)
        if before is not None and before._has("taxonomy", "today", of=self):
            self.teller = before.teller
        elif version.taxonomy_model is not None:
            self.teller = Teller.load(version.taxonomy_model, version.today)
        theirs = (None, None) if before is None else (before.localizer, before.teller)
        self._warmed = [part for part in (self.localizer, self.teller) if part is not None and part in theirs]
        self.model = str(facts["model"])
        published = str(facts["created_at"]).replace("Z", "+00:00")
        run = facts.get("mlflow_run")  # of a version that was published before this was noted, none is known
        self.lineage = Lineage(
            catalog_version=self.number,
            published=published,
            model=self.model[:8],
            mlflow_run=run,
            dagster_run=facts.get("dagster_run"),
            duplicate_groups=self.searcher.listings.groups,
        )
        self._embedder = Embedder(self.searcher)
        self.ranks = Ranks(version)
        self.overlay = Overlay(self.searcher, self.ranks, store, self.model, self._embedder.crops)
        self.current = Current(self.searcher, self.facts, self.columns, self.overlay, store)
        self.copies = Copies(version, self.searcher, self.current, self.overlay)
        self._embedding = Together(self._embedder.squares, network, AT_ONCE, metrics.batch("embed"))
        self._proposing = Together(
            functools.partial(proposed, self.localizer), network, AT_ONCE, metrics.batch("propose")
        )
        self._categorizing = Together(
            functools.partial(categorized, self.teller), network, AT_ONCE, metrics.batch("categorize")
        )
        self._searching = Together(functools.partial(ranked, self.current), search, AT_ONCE, metrics.batch("search"))
        self._known = self._choose_known()

    @property
    def calibrated(self) -> bool:
        """Whether distances have probabilities."""
        return self.searcher.calibrated

    @property
    def sizes(self) -> tuple[int, ...]:
        """In which numbers photos go through the network together, the largest first."""
        return self._embedder.sizes

    def warm(self, sizes: tuple[int, ...] | None = None) -> None:
        """Work once as for a request, but for networks that did, and find the sizes of batch unless they are told.

        `Damaged` when a photo of the catalog does not have its own vector here.
        """
        if not self.facts.photos:
            raise NotReady(f"version {self.number} has no photo of a product that could answer")
        self._embedder.sizes = self.searcher.sizes_alike() if sizes is None else sizes
        self._embedding.most = self.sizes[0]  # more would wait for each other, and be no faster
        square, row = self._known
        (vector,) = self._embedder.squares([square])
        self.check_known(vector)
        if self.localizer is not None and self.localizer not in self._warmed:
            self.localizer.propose([Image.new("RGB", (64, 64))])
        if self.teller is not None and self.teller not in self._warmed:
            self.teller.categorize([self.teller.square(Image.new("RGB", (64, 64)))])
        ranked(self.current, [Question(vector), Question(vector, Where(str(self.searcher.said["category"][row])))])
        self.overlay.catch_up()

    def check_known(self, vector: torch.Tensor) -> None:
        """Hold a known photo's vector as it was made just now against its stored one; `Damaged` if it is another."""
        sq_distance = float((vector - self.searcher.stored(np.array([self._known[1]]))[0]).square().sum())
        if not sq_distance < ALIKE:
            raise Damaged(f"version {self.number}: a known photo is at {sq_distance:.4f} from its own vector")

    async def check(self) -> None:
        """Embed a known photo by the same way as those of requests; `Damaged` when that is not its vector."""
        self.check_known(await self._embedding.ask(self._known[0]))

    async def embed(self, squares: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return one unit vector [D] of photos of one thing: theirs averaged, and made unit again."""
        vectors = await self.embed_each(squares)
        if len(vectors) == 1:
            return vectors[0]
        mean = vectors.mean(0)
        return mean / mean.norm().clamp_min(1e-12)

    async def embed_each(self, squares: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the unit vectors [B, D] of photos, which go through the network together."""
        return torch.stack(await asyncio.gather(*(self._embedding.ask(square) for square in squares)))

    async def propose(self, picture: Image.Image) -> list[Proposal]:
        """Return the boxes that the localizer is sure of, best first; none where there is no localizer."""
        return [] if self.localizer is None else await self._proposing.ask(picture)

    async def categorize(self, square: torch.Tensor) -> PathAnswer:
        """Tell the category path of a photo as the `teller` takes it; there must be one."""
        return await self._categorizing.ask(square)

    async def rank(self, *questions: Question) -> list[Ranking]:
        """Answer questions, all in one search; `NotFound` for an unknown category."""
        return list(await asyncio.gather(*map(self._searching.ask, questions)))

    async def like(
        self, product_id: str, where: Where, k: int = DEPTH, *, collapse: bool = False, known: Ranking | None = None
    ) -> Ranking:
        """Rank the other products by their nearness to any photo of a product; `NotFound` as `rank`, or without it.

        known: those of the version that are nearest, k or all there are.
        """
        rows = self.current.rows(product_id)
        vectors, but = self.current.stored(rows), int(rows[0])
        asked = [Question(vector, where, but, k, collapse, known=known) for vector in vectors]
        rankings = await asyncio.gather(*map(self._searching.ask, asked))
        return self.current.joined(rankings, k, collapse=collapse)

    def square(self, picture: Image.Image, box: Box | None) -> torch.Tensor:
        """Cut a box, left, top, width, height, out of a picture, and make it what the network takes."""
        return self.searcher.square(codec.crop(picture, box))

    def square_to_tell(self, picture: Image.Image, box: Box | None) -> torch.Tensor:
        """Cut a box out of a picture, and make it what the model of categories takes; there must be one."""
        assert self.teller is not None
        return self.teller.square(codec.crop(picture, box))

    def close(self) -> None:
        """Let the version go."""
        self.version.close()

    def _has(self, *parts: str, of: "Engine") -> bool:
        """Whether these parts are the other's, too."""
        return all(self._parts.get(part) == of._parts.get(part) for part in parts)

    def _choose_known(self) -> tuple[torch.Tensor, int]:
        crop = str(self.searcher.said["crop_id"][0]) if self.facts.photos else ""
        if not crop:
            return torch.zeros(0), 0
        picture = codec.decode(self.facts.picture(self.facts.photo_id(crop)))
        return self.searcher.square(picture), 0
