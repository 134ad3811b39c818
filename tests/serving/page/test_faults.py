"""What the search page says when there is nothing to show, and that nothing is lost by it."""

from tests.chromium import IN_CHROMIUM
from tests.serving.page.searching import AREA, Open, Service, drag, give, products, searched

pytestmark = IN_CHROMIUM


def test_an_address_of_nothing_says_so_and_offers_a_search(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    for path, named in (("/q/q_0000", "q_0000"), ("/p/no%2Fproduct", "no/product"), ("/p/%E0%A4%A", "%E0%A4%A")):
        page = tab(path, refused=True)
        expect(page.get_by_role("alert")).to_contain_text(named)
        expect(page.get_by_role("button", name="Choose a photo")).to_be_visible()


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
