"""The API does what its OpenAPI document says, and refuses whatever that does not allow."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig

from tests.serving.app.running import photo_of, search
from visnet.serving.app import keys
from visnet.serving.app.server import application
from visnet.serving.app.settings import Settings

TAKEN = ["2xx", "3xx", "404", "409"]  # the shop's line reads no feed: it takes no changes
CONFIG = {
    "generation": {"deterministic": True, "database": "none"},
    # That offset + limit has an end, what a photo is, and which fields go together are more than a schema can say.
    "checks": {"positive_data_acceptance": {"expected-statuses": [*TAKEN, "422"]}},
    "operations": [
        {
            "include-method": "POST",
            "checks": {"positive_data_acceptance": {"expected-statuses": [*TAKEN, "400", "403", "415", "422"]}},
        }
    ],
}
API = schemathesis.openapi.from_dict(application(Settings()).openapi(), config=SchemathesisConfig.from_dict(CONFIG))


@pytest.fixture(scope="module")
def key(place: Path) -> str:
    """Give what those need who change the catalog."""
    return keys.add("openapi", place / "data")


KEPT = "/v1/queries/{query_id}"
PRODUCT = "/v1/products/{product_id}"
FREE = (f"{KEPT}/photo", f"{KEPT}/looks", PRODUCT, f"{PRODUCT}/trace", "/v1/changes/{batch}")  # take nothing but ids


@API.hook
def map_path_parameters(context: schemathesis.HookContext, path_parameters: Any) -> Any:
    """Have every second id be of a product that there is."""
    return {name: "p000" if len(str(one)) % 2 else one for name, one in (path_parameters or {}).items()}


OPERATIONS = {one.ok().label: one.ok() for one in API.get_all_operations()}


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize("label", OPERATIONS)  # not API.parametrize: its tests have one name, of which xdist runs one
def test_whatever_is_asked_is_answered_as_documented(
    label: str, mode: GenerationMode, client: httpx.Client, key: str
) -> None:
    """No fault, only documented codes, types and headers; what breaks the schema is refused."""

    @given(case=OPERATIONS[label].as_strategy(generation_mode=mode))
    @settings(max_examples=30, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def holds(case: schemathesis.Case) -> None:
        case.call_and_validate(base_url=str(client.base_url), headers={"Authorization": f"Bearer {key}"})

    if mode is GenerationMode.NEGATIVE and label in [f"GET {path}" for path in FREE]:
        with pytest.raises(Unsatisfiable):  # any text may be an id
            holds()
    else:
        holds()


def test_a_method_that_a_path_does_not_know_is_refused(client: httpx.Client) -> None:
    known: dict[str, set[str]] = {}
    for operation in OPERATIONS.values():
        known.setdefault(operation.path, set()).add(operation.method.upper())
    for path, methods in known.items():
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE"} - methods:
            answer = client.request(method, path.replace("{", "").replace("}", ""))
            # An id of a product may hold slashes: what is put there is a product.
            product = path.startswith("/v1/products/") and method in ("PUT", "DELETE")
            assert answer.status_code == (401 if product else 405), (method, path)


def test_whole_answers_have_the_form_that_is_documented(client: httpx.Client, place: Path) -> None:
    found = search(client, photo_of(place, "p003-0-1"))
    link = f"/v1/queries/{found.json()['query_id']}"
    answers = {("POST", "/v1/search"): found}
    both = {"product_id": ["p000", "p001"]}
    answers["POST", "/v1/compare"] = client.post("/v1/compare", data=both)
    for path, asked in {
        "/v1/queries/{query_id}": link,
        "/v1/queries/{query_id}/photo": f"{link}/photo",
        "/v1/products/{product_id}": "/v1/products/p000",
        "/v1/products/{product_id}/similar": "/v1/products/p000/similar",
        "/v1/products/{product_id}/trace": "/v1/products/p000/trace",
        "/v1/photos/{photo_id}": found.json()["results"][0]["photo_url"],
        "/v1/catalog": "/v1/catalog",
        "/metrics": "/metrics",
    }.items():
        answers["GET", path] = client.get(asked)
    for (method, path), answer in answers.items():
        assert answer.status_code == 200, answer.text
        answer.request.read()
        API[path][method].validate_response(answer)


def test_what_can_be_got_can_be_asked_about_without_its_body(client: httpx.Client) -> None:
    for path in ("/", "/v1/catalog", "/v1/products/p000", "/static/main.js", "/healthz"):
        whole, head = client.get(path), client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(whole.content))
    assert client.head("/v1/products/p999").status_code == 404


def test_another_method_is_refused_with_those_that_are_allowed(client: httpx.Client) -> None:
    for path, allowed in {"/v1/search": "POST", "/v1/catalog": "GET, HEAD", "/static/main.js": "GET, HEAD"}.items():
        answer = client.request("DELETE", path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_s_files_are_asked_for_again_and_sent_only_when_they_changed(client: httpx.Client) -> None:
    first = client.get("/static/main.js")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/static/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["cache-control"]) == (304, b"", "no-cache")
