"""Products like one of the catalog: its published list, or what a search by its stored photos finds."""

import numpy as np

from visnet.serving.app.answers.catalog import SimilarAnswer
from visnet.serving.app.answers.counts import Count, Numbers
from visnet.serving.app.columns import Where
from visnet.serving.app.engine import Engine
from visnet.serving.app.search import APART, Narrowed, page
from visnet.serving.app.steps import DEPTH
from visnet.serving.ranking import Ranking


async def similar_ones(engine: Engine, product_id: str, wanted: Narrowed) -> SimilarAnswer:
    """Tell a page of the products most like one: of its published list or, with a filter, of a search within that.

    With a list that products were added to, only these are searched. One that others have gone from is searched for
    as a whole; and so is one that a double listing is on more than once, or the product's own is on, where they are to
    be collapsed.
    """
    where, collapse = wanted.within(engine), wanted.collapse is not None
    own = engine.current.rows(product_id)[:1]
    category = str(engine.current.said("category", own)[0])
    among = where if wanted.filter is not None else Where(category)
    ranking = _listed(engine, product_id, own, collapse) if wanted.filter is None else None
    if ranking is None or engine.current.touched(ranking, category):
        k = DEPTH if wanted.filter is not None else engine.facts.similar_k
        ranking = await engine.like(product_id, among, k, collapse=collapse, known=ranking)
    ranking = engine.current.after_itself(ranking, whole=among.category is None)
    grouped = engine.current.grouped(among) if collapse else APART
    total, counts = len(ranking.row), dict[str, list[Count] | Numbers]()
    if wanted.filter is not None or wanted.facets:
        others, counts = engine.current.others(wanted.facets, product_id, where)
        if wanted.filter is not None:
            every = engine.current.within(where).products
            itself = others < every or grouped.any_of(int(engine.current.listings(own)[0]))
            total = every - grouped.surplus - itself if collapse else others
    if collapse and wanted.facets:
        whole = ranking if wanted.filter is not None else await engine.like(product_id, where, collapse=True)
        counts = engine.current.counted(wanted.facets, whole)
    return SimilarAnswer(
        product_id=product_id,
        results=page(engine, ranking, wanted, grouped),
        total=total,
        offset=wanted.offset,
        limit=wanted.limit,
        facets=counts,
        lineage=engine.lineage,
    )


def _listed(engine: Engine, product_id: str, own: np.ndarray, collapse: bool) -> Ranking | None:
    """Return the published list of a product; None where it is to be searched for."""
    ranking = engine.current.listed(product_id)
    if ranking is None or not collapse:
        return ranking
    listings = engine.current.listings(np.concatenate([own, ranking.row]))
    return ranking if len(np.unique(listings)) == len(listings) else None
