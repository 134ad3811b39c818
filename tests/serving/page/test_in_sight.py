"""What matters at the search page is in sight: on a phone, far down the results, with any title, and while it waits."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.chromium import IN_CHROMIUM
from tests.serving.page.searching import Open, Service, products, searched

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = IN_CHROMIUM
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
LONG = "A quilted jacket with a belt, a collar of corduroy and contrasting cuffs, made of recycled wool, of the spring"
ARABIC = "سترة صوفية قصيرة"
SMALL = """() => [...document.querySelectorAll('a, button, input')].filter(node => node.checkVisibility())
    .filter(node => !node.matches('.more, .area, .skip') && node.getBoundingClientRect().height < 44)
    .map(node => node.className + ' ' + node.textContent)"""


def answered(page: "Page", path: str, change: Any) -> None:
    """Have the service's answers of a path changed on their way to the page."""
    page.route(path, lambda route: route.fulfill(json=change(route.fetch().json())))


def test_on_a_phone_nothing_is_too_small_for_a_finger_and_a_row_stays_where_it_was_read_to(
    tab: Open, service: Service
) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service, **PHONE | {"viewport": {"width": 320, "height": 640}})
    page.get_by_role("button", name="Filters").tap()
    row = page.get_by_role("region", name="Material").get_by_role("list")
    row.evaluate("node => node.scrollTo(1000, 0)")
    assert (read_to := row.evaluate("node => node.scrollLeft")) > 0
    row.get_by_role("link", name="Silk 6").tap()
    expect(page.get_by_role("button", name="Filters (1)", expanded=True)).to_be_visible()
    expect(page.locator("#answers .card")).to_have_count(6)
    assert row.evaluate("node => node.scrollLeft") >= read_to
    page.get_by_role("link", name="Hat 3").tap()
    expect(page.get_by_label("Filters that are set").get_by_role("link")).to_have_count(3)
    assert page.evaluate(SMALL) == []


def test_on_a_phone_the_way_ends_in_sight_and_filters_of_before_are_folded(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service, **PHONE)
    page.get_by_role("button", name="Filters").tap()
    for steps in (2, 3, 4):
        page.locator("#answers .card .more").nth(1).dispatch_event("click")
        expect(page.locator("#trail li")).to_have_count(steps)
        products(page)
    expect(page.get_by_role("button", name="Filters", expanded=False)).to_be_visible()
    at = page.locator("#trail [aria-current]").bounding_box()
    assert at
    assert at["x"] + at["width"] <= 390


def test_a_problem_is_in_sight_however_far_down_one_is(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service, refused=True)
    page.route("**/v1/queries/**", lambda route: route.abort())
    page.get_by_role("button", name="Show 24 more").click()
    expect(page.get_by_role("alert")).to_be_in_viewport(ratio=1)
    page.unroute("**/v1/queries/**")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#answers .card")).to_have_count(48)


def test_a_product_that_cannot_be_asked_for_is_shown_with_the_way_back(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service, refused=True)
    before = products(page)
    page.route("**/similar?*", lambda route: route.abort())
    page.locator("#answers .card .more").nth(2).click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    expect(page.locator("#asked")).to_contain_text(before[2])
    shown = page.locator("#asked img").evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert shown > 0
    page.get_by_role("link", name="Your photo").click()
    assert products(page) == before
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_product_is_shown_while_what_is_like_it_is_waited_for_and_from_its_top(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service, viewport={"width": 1200, "height": 400})
    waiting: list[Any] = []
    page.route("**/similar?*", lambda route: waiting.append(route))
    page.locator(".side").evaluate("node => node.scrollTo(0, 300)")
    page.locator("#answers .card .more").first.click()
    expect(page.locator("#asked")).to_contain_text(title := "p007")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Products like {title}")
    expect(page.locator(".skeleton").first).to_be_visible()
    waiting[0].continue_()
    products(page)
    side = page.locator(".side")
    page.unroute("**/similar?*")
    side.evaluate("node => node.scrollTo(0, 300)")
    page.locator("#answers .card .more").first.click()
    expect(page.locator("#trail li")).to_have_count(3)
    products(page)
    expect(page.locator(".skeleton")).to_have_count(0)
    assert side.evaluate("node => node.scrollTop") == 0


def test_titles_of_any_length_and_script_leave_a_row_in_line(tab: Open) -> None:
    def titled(answer: Any) -> Any:
        for hit, title, price in zip(answer["results"], (LONG, ARABIC, "Hat"), ("9", None, "129.90"), strict=True):
            hit["attributes"] = {"title": title} | ({"price": price} if price else {})
        return answer

    page = tab()
    answered(page, "**/v1/products/p007/similar?*", titled)
    answered(page, "**/v1/products/p007", lambda one: one | {"attributes": {"title": LONG}})
    page.goto(f"{page.url}p/p007")
    assert products(page) == [LONG, ARABIC, "Hat"]
    heading = page.get_by_role("heading", level=1).bounding_box()
    assert heading
    assert heading["height"] <= 64, "two lines"
    for part in (".title", ".kind", ".more"):
        edges = [one.bounding_box() for one in page.locator(f"#answers .card {part}").all()]
        assert len({edge["y"] for edge in edges if edge}) == 1, part
    arabic = page.locator("#answers .card .title").nth(1)
    assert arabic.evaluate("node => getComputedStyle(node).direction") == "rtl"


@pytest.mark.parametrize(
    ("attributes", "sold"),
    [
        ({"link": "https://shop.example/p007", "care_label": "cold"}, "https://shop.example/p007"),
        ({"url": "javascript:alert(1)", "care_label": "cold"}, None),
        ({"url": "https://shop.example/p007.jpg", "care_label": "cold"}, None),
    ],
)
def test_a_product_leads_to_where_it_is_sold_and_to_nothing_that_runs(
    tab: Open, attributes: dict[str, str], sold: str | None
) -> None:
    from playwright.sync_api import expect

    page = tab()
    answered(page, "**/v1/products/p007", lambda one: one | {"attributes": attributes})
    page.goto(f"{page.url}p/p007")
    products(page)
    expect(page.locator("#asked dt").last).to_have_text("Care label")
    shop = page.get_by_role("link", name="See it in the shop")
    expect(shop).to_have_count(1 if sold else 0)
    if sold:
        expect(shop).to_have_attribute("href", sold)
        expect(shop).to_have_attribute("rel", "noopener noreferrer")
    assert page.locator("a[href^=javascript]").count() == 0


def test_a_problem_is_told_in_a_shoppers_words_before_the_services(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = tab("/q/q_0000", refused=True)
    alert = page.get_by_role("alert")
    expect(alert.get_by_role("heading")).to_have_text("This search is no longer kept")
    expect(alert.locator("p").first).to_have_text("Search again with the same photo.")
    page.set_input_files("#files", service.shop / "stock.csv")
    expect(alert.locator("p").first).to_have_text("Choose another one.")
    expect(alert).to_contain_text("Not an image; JPEG,")
    expect(page.get_by_role("heading", level=1)).to_have_text("No results")


def test_without_scripts_the_page_says_what_it_needs(tab: Open) -> None:
    from playwright.sync_api import expect

    page = tab(java_script_enabled=False)
    expect(page.locator("noscript p", has_text="needs JavaScript")).to_be_visible()
    expect(page.get_by_role("switch")).to_have_count(0)
