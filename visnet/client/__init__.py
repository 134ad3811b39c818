"""What speaks to the search service: a small client."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar, cast
from urllib.parse import quote

import httpx
from pydantic import BaseModel

from visnet.serving.app.answers.catalog import CatalogAnswer, CompareAnswer, ProductAnswer, SimilarAnswer
from visnet.serving.app.answers.categories import CategorizeAnswer
from visnet.serving.app.answers.changes import ChangesAnswer, EventsAnswer
from visnet.serving.app.answers.copies import DuplicatesAnswer
from visnet.serving.app.answers.search import SearchAnswer
from visnet.serving.app.answers.trace import TraceAnswer
from visnet.serving.events import Event

__all__ = ["Client", "Event", "ServiceError"]

Photo = Path | bytes
Box = tuple[float, float, float, float]
Filter = Mapping[str, Any]
Told = TypeVar("Told", bound=BaseModel)
TIMEOUT_S = 30.0
WAIT_S = 0.05  # between two questions whether changes are visible


class ServiceError(Exception):
    """An answer that is a problem: its status, what was wrong and what is allowed, and the request's id.

    retry_after_s: after how many seconds the same may succeed, None where the service says nothing of it.
    """

    def __init__(self, status: int, detail: str, request_id: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(f"{status}: {detail}")
        self.status, self.detail = status, detail
        self.request_id, self.retry_after_s = request_id, retry_after_s


class Client:
    """Asks a service, as `Client("http://127.0.0.1:8080")`; each method raises `ServiceError` for a problem.

    What changes the catalog needs a key, of `python -m visnet keys add`.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        timeout_s: float = TIMEOUT_S,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._http = httpx.Client(base_url=url, timeout=timeout_s, transport=transport, headers=headers)

    def search(
        self,
        *photos: Photo,
        query_id: str | None = None,
        url: str | None = None,
        box: Box | Sequence[Box] | None = None,
        group_by: Literal["box"] | None = None,
        category: str | None = None,
        limit: int = 24,
        offset: int = 0,
        min_probability: float | None = None,
        filter: Filter | None = None,
        facets: Sequence[str] | None = None,
        collapse: Literal["duplicates"] | None = None,
        in_category: bool = False,
    ) -> SearchAnswer:
        """Find the products most like a thing, by 1 to 8 photos of it, an earlier query, or a photo's address.

        box: left, top, right, bottom in pixels of the first photo, upright; or several, which are looks at one thing.
        group_by: "box" searches for each box alone, or without boxes for each thing that the localizer is sure of; the
        answer's `groups` have what is found. filter: which products may answer, such as
        {"column": "price", "range": {"max": 30}}, by the grammar of `visnet.serving.app.filters`. facets: the columns
        whose values are counted; "category/" counts the levels of paths, one at a time. collapse: "duplicates" has one
        answer of each confirmed double listing. in_category: keep to what the photo shows, by the version's model of
        categories; the answer's `in_category` says which path that is.
        """
        fields: dict[str, Any] = {
            "query_id": query_id,
            "url": url,
            "box": _corners(box),
            "group_by": group_by,
            "category": category,
            "limit": limit,
            "offset": offset,
        }
        fields |= {"in_category": "true"} if in_category else {}
        fields |= {"min_probability": min_probability, "filter": filter, "facets": facets, "collapse": collapse}
        return self._post(SearchAnswer, "/v1/search", photos, fields)

    def query(self, query_id: str, **narrowed: Any) -> SearchAnswer:
        """Answer an earlier search by the catalog of now.

        narrowed: limit, offset, category, min_probability, filter, facets, collapse, as in `search`.
        """
        return self._get(SearchAnswer, f"/v1/queries/{quote(query_id, safe='')}", narrowed)

    def similar(self, product_id: str, **narrowed: Any) -> SimilarAnswer:
        """Return the products most like one of the catalog: of its published list or, with a filter, of all it finds.

        narrowed: limit, offset, filter, facets, collapse, as in `search`.
        """
        return self._get(SimilarAnswer, f"{_product(product_id)}/similar", narrowed)

    def product(self, product_id: str) -> ProductAnswer:
        """Return what the catalog says of a product."""
        return self._get(ProductAnswer, _product(product_id))

    def trace(self, product_id: str) -> TraceAnswer:
        """Say where a product's answers are from: its record, photos, runs, data, version, and changes since."""
        return self._get(TraceAnswer, f"{_product(product_id)}/trace")

    def compare(self, *things: Photo | str) -> CompareAnswer:
        """Say how far two things are from each other: each a photo (a path or bytes), or a product's id (a text)."""
        photos = [thing for thing in things if not isinstance(thing, str)]
        products = [thing for thing in things if isinstance(thing, str)]
        return self._post(CompareAnswer, "/v1/compare", photos, {"product_id": products})

    def duplicates(self, thing: Photo | str) -> DuplicatesAnswer:
        """Find the products that show the same picture as a photo (a path or bytes) or a product (its id, a text)."""
        photos, product = ([], thing) if isinstance(thing, str) else ([thing], None)
        return self._post(DuplicatesAnswer, "/v1/duplicates", photos, {"product_id": product})

    def categorize(self, *photos: Photo) -> CategorizeAnswer:
        """Say what 1 to 8 photos show, down the taxonomy, each as far as the model is sure."""
        return self._post(CategorizeAnswer, "/v1/categorize", photos, {})

    def looks(self, query_id: str) -> bytes:
        """Draw where the model of categories looks in the photo of an earlier search, level by level, as a PNG."""
        return _good(self._http.get(f"/v1/queries/{quote(query_id, safe='')}/looks")).content

    def catalog(self) -> CatalogAnswer:
        """Say what is served."""
        return self._get(CatalogAnswer, "/v1/catalog")

    def put(self, product_id: str, record: Mapping[str, Any], *photos: Photo) -> ChangesAnswer:
        """Add a product, or say of it anew all there is to say; photos are uploaded beside those the record names."""
        if not photos:
            return _told(ChangesAnswer, self._http.put(_product(product_id), json=dict(record)))
        form = {"record": json.dumps(record)}
        return _told(ChangesAnswer, self._http.put(_product(product_id), data=form, files=_files(photos)))

    def delete(self, product_id: str) -> ChangesAnswer:
        """Withdraw a product."""
        return _told(ChangesAnswer, self._http.delete(_product(product_id)))

    def batch(self, records: Iterable[Mapping[str, Any]]) -> ChangesAnswer:
        """Change up to 1,000 products: records with `product_id` and `op`; each is accepted or refused on its own."""
        lines = "".join(f"{json.dumps(record)}\n" for record in records)
        headers = {"Content-Type": "application/x-ndjson"}
        return _told(ChangesAnswer, self._http.post("/v1/products:batch", content=lines.encode(), headers=headers))

    def changes(self, batch: str) -> ChangesAnswer:
        """Say what became of the changes that were sent together."""
        return self._get(ChangesAnswer, f"/v1/changes/{quote(batch, safe='')}")

    def wait(self, batch: str, *, timeout_s: float = TIMEOUT_S) -> ChangesAnswer:
        """Return what became of changes once none of them waits; `TimeoutError` when some still do."""
        deadline_s = time.monotonic() + timeout_s
        told = self.changes(batch)
        while any(change.state == "waiting" for change in told.changes):
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"batch {batch}: changes still wait for their photos after {timeout_s:g} s")
            time.sleep(WAIT_S)
            told = self.changes(batch)
        return told

    def tell(self, *events: Event) -> EventsAnswer:
        """Tell what was done with answers, 1 to 1,000 acts; what was told before is kept once."""
        body = [event.model_dump(mode="json", exclude_none=True) for event in events]
        return _told(EventsAnswer, self._http.post("/v1/events", json=body))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _get(self, told: type[Told], path: str, asked: Mapping[str, Any] | None = None) -> Told:
        return _told(told, self._http.get(path, params=_given(asked or {})))

    def _post(self, told: type[Told], path: str, photos: Sequence[Photo], fields: Mapping[str, Any]) -> Told:
        # Without a file httpx would send the fields as a form of another kind, which the service takes, too.
        return _told(told, self._http.post(path, data=_given(fields), files=_files(photos) or None))


def _files(photos: Sequence[Photo]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("photo", ("photo", photo.read_bytes() if isinstance(photo, Path) else photo)) for photo in photos]


def _corners(box: Box | Sequence[Box] | None) -> list[str]:
    """Say boxes as the service reads them: one, or several."""
    several = [box] if box and isinstance(box[0], float | int) else box or []
    return [",".join(f"{side:g}" for side in one) for one in cast(Sequence[Box], several)]


def _product(product_id: str) -> str:
    return f"/v1/products/{quote(product_id, safe='/')}"


def _given(fields: Mapping[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in fields.items() if value is not None}
    if "filter" in said:
        said["filter"] = json.dumps(said["filter"], ensure_ascii=False)
    if "facets" in said:
        said["facets"] = ",".join(said["facets"])
    return said


def _told(told: type[Told], answer: httpx.Response) -> Told:
    return told.model_validate_json(_good(answer).content)


def _good(answer: httpx.Response) -> httpx.Response:
    if answer.is_success:
        return answer
    try:
        said = answer.json()
    except ValueError:
        said = {}
    detail = said.get("detail", answer.reason_phrase) if isinstance(said, dict) else answer.reason_phrase
    again = answer.headers.get("retry-after", "")
    request_id = answer.headers.get("x-request-id", "")
    raise ServiceError(answer.status_code, str(detail), request_id, float(again) if again.isdecimal() else None)
