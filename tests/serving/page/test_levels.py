"""Categories that are paths, on the search page: chosen level by level, and gone back up."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import refreshing
from tests.chromium import IN_CHROMIUM
from tests.serving.page.searching import Open, Service, products, searched

pytestmark = IN_CHROMIUM
BAGS = [f"Women/Bags/Kind {kind:02d}" for kind in range(14)]  # more than stand below each other
CATEGORIES = [*BAGS, "Women/Shoes", "Women", "Womenswear", "Men/Hats%2FCaps"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    shop = make(tmp_path_factory.mktemp("levels") / "shop")
    service = Service(shop)
    yield service
    service.kill()


def make(folder: Path) -> Path:
    """Publish a shop of three products in each category."""
    shop = refreshing.make(folder, refreshing.stock(3 * len(CATEGORIES)))
    stock = shop / "stock.csv"
    head, *rows = stock.read_text(encoding="utf-8").splitlines()
    of_product = (row.split(",") for row in rows)
    text = "".join(f"{CATEGORIES[int(row[2][1:]) // 3]},{','.join(row[1:])}\n" for row in of_product)
    stock.write_text(f"{head}\n{text}", encoding="utf-8")
    refreshing.refresh(shop)
    return shop


def test_a_category_is_chosen_level_by_level_and_left_upwards(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service)
    group, chips = page.get_by_role("region", name="Category"), page.get_by_label("Filters that are set")
    links = group.get_by_role("link")
    expect(links).to_have_text(["All", "Women48", "Men3", "Womenswear3"])
    links.nth(1).click()
    expect(links).to_have_text(["All", "Women", "Bags42", "Shoes3"])
    expect(page.get_by_text("48 products, most alike first")).to_be_visible()
    links.nth(2).click()
    kinds = [f"Kind {kind:02d}3" for kind in range(14)]
    expect(links.nth(2)).to_have_attribute("aria-current", "true")
    expect(links).to_have_text(["All", "Women", "Bags", *kinds[:10]])
    group.get_by_role("button", name="4 more").click()
    expect(links).to_have_text(["All", "Women", "Bags", *kinds])
    expect(links.nth(13)).to_be_focused()
    links.nth(16).click()
    expect(links).to_have_text(["All", "Women", "Bags", "Kind 13"])
    assert {*products(page)} == {"p039", "p040", "p041"}
    expect(chips.get_by_role("link")).to_have_text(["Women › Bags › Kind 13×"])
    other = tab(page.url.removeprefix(service.url))
    assert products(other) == products(page)
    links.nth(1).click()
    expect(page.get_by_text("48 products, most alike first")).to_be_visible()
    page.go_back()
    expect(page.locator("#answers .card")).to_have_count(3)
    chips.get_by_role("link").click()
    expect(links).to_have_text(["All", "Women48", "Men3", "Womenswear3"])


def test_what_a_level_s_own_name_has_of_a_slash_is_shown_as_it_is(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service)
    links = page.get_by_role("region", name="Category").get_by_role("link")
    links.get_by_text("Men", exact=True).click()
    links.get_by_text("Hats/Caps").click()
    expect(links).to_have_text(["All", "Men", "Hats/Caps"])
    assert {*products(page)} == {"p051", "p052", "p053"}


def test_one_value_that_an_address_asks_for_holds_and_is_left_by_choosing_a_level(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = tab('/p/p001?filter={"column":"category","in":["Women/Shoes","Men/Hats%252FCaps"]}')
    assert len(products(page)) == 6
    links = page.get_by_role("region", name="Category").get_by_role("link")
    expect(links).to_have_text(["All", "Men3", "Women3"])
    links.nth(2).click()
    expect(page.get_by_text("47 products, most alike first")).to_be_visible()  # all but the one that is asked with


def test_on_a_phone_the_levels_stand_in_a_row(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.get_by_role("button", name="Filters", expanded=False).tap()
    page.get_by_role("link", name="Women 48").tap()
    page.get_by_role("link", name="Bags 42").tap()
    expect(page.get_by_role("button", name="Filters (1)", expanded=True)).to_be_visible()
    expect(page.get_by_role("link", name="Kind 13 3")).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
