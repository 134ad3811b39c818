"""The search page in Chromium, against the service as `python -m visnet serve` starts it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.chromium import CHROMIUM, FLAGS
from tests.serving.page.searching import Open, Service, make

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="session")
def searched_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It stays as it is, but for what its services keep of those who ask."""
    return make(tmp_path_factory.mktemp("page") / "shop")


@pytest.fixture(scope="module")
def service(searched_shop: Path) -> Iterator[Service]:
    service = Service(searched_shop)
    yield service
    service.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=10_000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: "Browser", service: Service) -> Iterator[Open]:
    """Open pages of the service, each in a context of its own; nothing in them may fail or break the policy."""
    faults: list[str] = []
    contexts = []

    def opened(path: str = "/", refused: bool = False, **options: Any) -> "Page":
        context = browser.new_context(**({"viewport": {"width": 1200, "height": 800}} | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "console",
            lambda line: (
                faults.append(line.text)
                if line.type == "error" and not (refused and line.text.startswith("Failed to load resource"))
                else None
            ),
        )
        page.goto(service.url + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert faults == []
