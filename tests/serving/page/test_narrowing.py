"""How the results are narrowed on the search page: by values and ranges of the catalog's columns."""

from typing import Any

from tests.chromium import IN_CHROMIUM
from tests.serving.page.searching import PRODUCTS, Open, Service, products, searched
from visnet.taxonomy.paths import joined

pytestmark = IN_CHROMIUM


def test_facets_narrow_and_more_goes_on(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service)
    page.get_by_role("link", name="Hat 30").click()
    expect(page.get_by_role("link", name="Hat 30")).to_have_attribute("aria-current", "true")
    assert len(hats := products(page)) == 24
    page.get_by_role("button", name="Show 6 more").click()
    expect(page.locator("#answers .card")).to_have_count(30)
    more = products(page)
    assert more[:24] == hats
    assert sorted(more) == [f"p{number:03d}" for number in range(1, PRODUCTS, 2)]
    expect(page.locator("#answers .card .more").nth(24)).to_be_focused()
    assert "offset=24" in page.url
    page.get_by_role("link", name="Blue 5").click()
    expect(page.locator("#answers .card")).to_have_count(5)
    assert {*products(page)} == {f"p00{number}" for number in (1, 3, 5, 7, 9)}
    page.go_back()
    expect(page.locator("#answers .card")).to_have_count(30)
    page.get_by_label("Category").get_by_role("link", name="All").click()
    expect(page.get_by_text(f"24 of {PRODUCTS} products")).to_be_visible()


def test_values_of_any_column_are_chosen_together_and_taken_away_one_by_one(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service)
    before = page.url
    material, chips = page.get_by_role("region", name="Material"), page.get_by_label("Filters that are set")
    material.get_by_role("link", name="Felt 18").click()
    material.get_by_role("link", name="Silk 6").click()  # maybe before the answer to the first
    expect(chips.get_by_role("link")).to_have_text(["Material: Felt×", "Material: Silk×", "Remove all"])
    expect(page.get_by_text("24 products, most alike first")).to_be_visible()
    expect(material.get_by_role("link", name="Straw 36")).to_be_visible()  # what could be chosen beside
    page.get_by_label("Price from").fill("3")
    page.get_by_label("Price to").fill("9.5")
    page.get_by_label("Price to").press("Enter")
    expect(chips.get_by_role("link").nth(2)).to_have_text("Price 3 to 9.5×")
    assert {*products(page)} == {"p003", "p004", "p005", "p006", "p009"}
    other = tab(page.url.removeprefix(service.url))
    assert products(other) == products(page)
    expect(other.get_by_label("Price to")).to_have_value("9.5")
    chips.get_by_role("link", name="Remove Material: Silk").click()
    expect(page.locator("#answers .card")).to_have_count(2)
    assert {*products(page)} == {"p006", "p009"}
    page.get_by_label("Price from").fill("10")
    page.get_by_label("Price from").press("Enter")
    expect(page.get_by_role("heading", name="No product matches")).to_be_visible()
    page.get_by_role("link", name="Remove all filters").click()
    expect(page).to_have_url(before)
    assert len(products(page)) == 24
    expect(chips).to_have_count(0)


def test_products_like_one_are_narrowed_to_all_that_match_and_not_to_its_short_list(
    tab: Open, service: Service
) -> None:
    from playwright.sync_api import expect

    page = tab("/p/p007")
    assert len(products(page)) == 3
    page.get_by_role("link", name="Blue 9").click()
    expect(page.locator("#answers .card")).to_have_count(9)
    assert {*products(page)} == {f"p00{number}" for number in range(10)} - {"p007"}


def test_a_filter_of_an_address_that_the_page_has_no_controls_for_holds(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = tab('/p/p007?filter={"and":[{"column":"material","equals":"silk"},{"not":{"column":"price","equals":0.5}}]}')
    assert {*products(page)} == {f"p00{number}" for number in range(1, 6)}
    page.get_by_role("link", name="Remove Further conditions").click()
    expect(page.locator("#answers .card")).to_have_count(6)
    page = tab('/p/p007?filter={"column":"prise","equals":1}', refused=True)
    expect(page.get_by_role("alert")).to_contain_text("no column 'prise'; near are price")


def test_a_long_list_of_values_stays_unfolded_and_one_that_may_go_on_is_no_choice(tab: Open) -> None:
    from playwright.sync_api import expect

    def listed(route: Any) -> None:
        said = route.fetch().json()
        counts = [{"value": f"Maker {at:02d}", "count": 100 - at} for at in range(100)]
        said["facets"] |= {"maker": counts[:99], "remark": counts}
        route.fulfill(json=said)

    page = tab()
    page.route("**/v1/products/p007/similar?*", listed)
    page.goto(f"{page.url}p/p007")
    products(page)
    makers = page.get_by_role("region", name="Maker").get_by_role("link")
    expect(page.get_by_role("region", name="Remark")).to_have_count(0)
    expect(makers).to_have_count(11)
    page.get_by_role("button", name="89 more").click()
    expect(makers).to_have_count(100)
    expect(makers.nth(11)).to_be_focused()
    page.get_by_role("link", name="Blue 9").click()
    expect(page.locator("#answers .card")).to_have_count(9)
    expect(makers).to_have_count(100)


def test_on_a_phone_filters_are_unfolded(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    expect(page.get_by_role("link", name="Felt 18")).to_be_hidden()
    page.get_by_role("button", name="Filters", expanded=False).tap()
    page.get_by_role("link", name="Felt 18").tap()
    expect(page.get_by_role("button", name="Filters (1)", expanded=True)).to_be_visible()
    expect(page.locator("#answers .card")).to_have_count(18)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_a_category_of_several_levels_is_a_trail(tab: Open) -> None:
    """As `visnet.taxonomy.paths.joined` writes it, its own slashes and percent signs among the levels."""
    page = tab()
    said = "path => import('/static/words.js').then(words => words.valued('category', path))"
    for levels in (["Women", "Western Wear", "Jackets"], ["bags"], ["A/B", "100 %25", "%2F"]):
        shown = " › ".join(level[:1].upper() + level[1:] for level in levels)
        assert page.evaluate(said, joined(levels)) == shown
