"""The search page in Chromium, by mouse, finger and keys, against the service as `python -m visnet serve` starts it."""

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.serving.searching import DRAWN, PRODUCTS, Open, Service, drag, give, make, products, searched, used

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
AREA = ".area[aria-pressed=true]"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    service = Service(make(tmp_path_factory.mktemp("page") / "shop"))
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


@pytest.mark.parametrize("way", ["drop", "paste", "choose"])
def test_a_photo_that_is_given_in_any_way_finds_its_product(tab: Open, service: Service, way: str) -> None:
    from playwright.sync_api import expect

    page = tab()
    expect(page.locator("#stock")).to_have_text(f"Searches {PRODUCTS} products in 2 categories.")
    if way == "choose":
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose a photo").click()
        chooser.value.set_files(service.photo())
    else:
        give(page, service.photo(), way)
    assert products(page)[0] == "p007"
    assert page.url.startswith(f"{service.url}/q/")
    expect(page.get_by_role("status")).to_contain_text(f"{PRODUCTS} products. The most alike: p007")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    pictures = page.locator("#answers .card img")
    assert pictures.first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_several_photos_are_one_thing_and_too_many_are_refused_here(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = tab()
    page.set_input_files("#files", [service.photo()] * 9)
    expect(page.get_by_role("alert")).to_contain_text("up to 8 photos")
    page.set_input_files("#files", [service.photo(), service.photo("p007-0-1.png")])
    assert products(page)[0] == "p007"
    expect(page.locator("#asked")).to_contain_text("Searched with 2 photos")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_box_is_drawn_with_the_mouse_and_back_is_the_photo_before(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service)
    before, order = page.url, products(page)
    drag(page)
    expect(page.locator(AREA)).to_have_attribute("aria-label", "Drawn area")
    assert page.url != before
    assert used(page) == pytest.approx(DRAWN, abs=0.3)
    assert products(page) != order
    page.get_by_role("button", name="Whole photo").click()
    expect(page.get_by_role("button", name="Whole photo", pressed=True)).to_be_visible()
    page.go_back()
    expect(page.locator(AREA)).to_have_attribute("aria-label", "Drawn area")
    page.go_back()
    expect(page).to_have_url(before)
    assert products(page) == order


def test_a_finger_draws_only_when_asked_to(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = searched(tab, service, **phone)
    assert page.evaluate("document.documentElement.scrollWidth") == 390, "nothing is wider than the phone"
    frame = page.locator(".frame")
    assert frame.evaluate("node => getComputedStyle(node).touchAction") == "auto"
    page.get_by_role("button", name="Draw an area").tap()
    assert frame.evaluate("node => getComputedStyle(node).touchAction") == "none"
    page.get_by_role("button", name="Cancel").tap()
    expect(page.get_by_role("button", name="Draw an area")).to_be_focused()
    drag(page, touch=True)
    page.wait_for_timeout(100)
    expect(page.locator(".drawn")).to_have_count(0)  # the page was scrolled, if anything
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("button", name="Draw an area").tap()
    drag(page, touch=True)
    expect(page.locator(AREA)).to_have_attribute("aria-label", "Drawn area")
    assert used(page) == pytest.approx(DRAWN, abs=0.5)


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


def test_more_like_this_leaves_a_way_back(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service)
    photo = page.url
    page.evaluate("scrollTo(0, 400)")
    page.get_by_role("link", name=f"More like this: {products(page)[2]}", exact=True).dispatch_event("click")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Products like p")
    first, similar = page.url, products(page)
    lists = httpx.get(page.url.partition("?")[0].replace("/p/", "/v1/products/") + "/similar").json()
    assert similar == [hit["product_id"] for hit in lists["results"]]
    page.locator(".card .more").first.click()
    trail = page.get_by_role("navigation", name="What was asked").get_by_role("listitem")
    expect(trail).to_have_count(3)
    expect(trail.last).to_have_text(similar[0])
    trail.nth(1).get_by_role("link").click()
    expect(page).to_have_url(first)
    assert products(page) == similar
    page.go_back()
    expect(trail).to_have_count(3)
    page.go_back()
    page.go_back()
    expect(page).to_have_url(photo)
    expect(trail).to_have_count(0)
    products(page)
    assert page.evaluate("scrollY") == 400, "back is where one was"
    page.go_forward()
    expect(page).to_have_url(first)


def test_an_address_shows_the_same_in_another_browser(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service)
    page.get_by_role("link", name="Hat 30").click()
    page.get_by_role("button", name="Show 6 more").click()
    expect(page.locator("#answers .card")).to_have_count(30)
    page.get_by_role("switch", name="Details").click()
    expect(page.locator(".lineage")).to_contain_text("Catalog version1")
    shown = page.locator("#answers .card").all_inner_texts()
    other = tab(page.url.removeprefix(service.url))
    products(other)
    assert other.locator("#answers .card").all_inner_texts() == shown
    expect(other.get_by_role("switch", name="Details")).to_be_checked()
    answer = httpx.get(page.url.partition("?")[0].replace("/q/", "/v1/queries/"), params={"category": "hat"}).json()
    nearest = answer["results"][0]
    for seen in (nearest["photo_id"], f"{nearest['sq_distance']:.3f}", nearest["product_id"]):
        expect(other.locator(".card .numbers").first).to_contain_text(seen)
    page.locator(".card .more").first.click()
    page.wait_for_selector(".about .title")
    assert products(tab(page.url.removeprefix(service.url))) == products(page)


def test_an_address_of_nothing_says_so_and_offers_a_search(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    for path, named in (("/q/q_0000", "q_0000"), ("/p/no%2Fproduct", "no/product"), ("/p/%E0%A4%A", "%E0%A4%A")):
        page = tab(path, refused=True)
        expect(page.get_by_role("alert")).to_contain_text(named)
        expect(page.get_by_role("button", name="Choose a photo")).to_be_visible()


def test_keys_alone_are_enough(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = tab()

    def to(name: str, key: str = "Tab") -> None:
        for _ in range(60):
            page.keyboard.press(key)
            if page.evaluate("document.activeElement.textContent || document.activeElement.ariaLabel").startswith(name):
                shown = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                after = page.evaluate("getComputedStyle(document.activeElement, '::after').outlineStyle")
                assert "solid" in (shown, after), f"the focus on {name} cannot be seen"
                return
        raise AssertionError(f"Tab does not come to {name}")

    with page.expect_file_chooser() as chooser:
        to("Choose a photo")
        page.keyboard.press("Enter")
    chooser.value.set_files(service.photo())
    products(page)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    to("Draw an area", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("application")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    for key in ("ArrowLeft", "ArrowUp", "Shift+ArrowLeft"):
        page.keyboard.press(key)
    expect(page.get_by_role("status")).to_contain_text("From the left 18 %, from the top 18 %, width 58 %, height 60 %")
    page.keyboard.press("Enter")
    expect(page.locator(AREA)).to_have_attribute("aria-label", "Drawn area")
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    to("More like this")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Products like p")
    products(page)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    to("Your photo", "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(AREA)).to_have_attribute("aria-label", "Drawn area")


def test_a_file_that_is_no_photo_is_told_and_nothing_is_lost(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service, refused=True)
    shown = products(page)
    page.set_input_files("#files", service.shop / "stock.csv")
    expect(page.get_by_role("alert")).to_contain_text("This is not a photo that can be read")
    page.get_by_role("button", name="Dismiss").click()
    assert products(page) == shown


def test_a_service_that_is_gone_is_told_and_asked_again(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service, refused=True)
    shown = products(page)
    service.kill()
    page.get_by_role("link", name="Hat 30").click()
    expect(page.get_by_role("alert")).to_contain_text("cannot be reached")
    assert products(page) == shown, "what was found stays"
    give(page, service.photo("p012-0-0.png"))
    expect(page.get_by_role("heading", level=1)).to_have_text("No results yet")
    expect(page.get_by_role("img", name="Your photo")).to_be_visible()
    service.start()
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#answers .card .title").first).to_have_text("p012")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_service_that_keeps_no_photos_is_searched_as_well(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    service.kill()
    service.start("--keep-queries", "0")
    page = searched(tab, service)
    page.get_by_role("link", name="Hat 30").click()
    expect(page.get_by_text("24 of 30 products")).to_be_visible()
    drag(page)
    expect(page.locator(AREA)).to_have_attribute("aria-label", "Drawn area")
    expect(page.get_by_role("img", name="Your photo")).to_be_visible()
    page.get_by_role("button", name="Show 24 more").click()
    expect(page.locator("#answers .card")).to_have_count(48)
