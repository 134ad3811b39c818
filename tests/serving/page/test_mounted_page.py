"""The page below a path of another application, in Chromium."""

from typing import TYPE_CHECKING

from tests.chromium import IN_CHROMIUM
from tests.serving.app.running import served
from tests.serving.page.searching import Service, give, products

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = IN_CHROMIUM


def test_a_search_a_product_and_their_permalinks_stay_below_it(browser: "Browser", service: Service) -> None:
    with served(service.shop / "data", below="/shop") as http:
        root, failed = str(http.base_url).rstrip("/"), list[str]()
        context = browser.new_context(viewport={"width": 1200, "height": 800})
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("response", lambda answer: failed.append(answer.url) if answer.status >= 400 else None)
        page.goto(f"{root}/")
        give(page, service.photo())
        first = products(page)
        assert page.url.startswith(f"{root}/q/q_")
        pictures = page.locator("#answers .card img").all()[:4]
        assert all(one.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0 for one in pictures)
        link = page.url
        page.locator("#answers .card a.more").first.click()
        page.wait_for_url(f"{root}/p/**")
        products(page)
        page.locator("a.name").click()
        page.wait_for_url(f"{root}/")
        page.goto(link)
        assert products(page) == first
        context.close()
    assert failed == []
