"""What a person does at the search page, by mouse, finger and keys."""

from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.chromium import IN_CHROMIUM
from tests.serving.page.searching import (
    AREA,
    DRAWN,
    PRODUCTS,
    Open,
    Service,
    drag,
    give,
    products,
    searched,
    used,
)
from visnet.serving import told

pytestmark = IN_CHROMIUM


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


def test_what_the_shop_lacks_is_said_to_be_and_nothing_is_called_the_same(
    tab: Open, service: Service, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page = searched(tab, service)
    expect(page.locator(".lacks")).to_have_count(0)
    expect(page.locator(".alike").first).to_have_text("Possibly the same")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)).save(tmp_path / "noise.png")
    page.set_input_files("#files", tmp_path / "noise.png")
    expect(page.locator(".lacks")).to_have_text("The shop seems not to have this. These look most like it.")
    expect(page.get_by_role("status")).to_contain_text("The shop seems not to have this.")
    assert set(page.locator(".alike").all_text_contents()) == {"Similar"}
    hits = httpx.get(page.url.replace("/q/", "/v1/queries/")).json()
    assert hits["results"][0]["probability"] > 0.4, "which is said of a photo of what the shop has"
    page.get_by_role("switch", name="Details").click()
    expect(page.locator(".lineage")).to_contain_text(f"The shop has it{hits['in_catalog']:.3f}")
    page.goto(page.url + ("&" if "?" in page.url else "?") + 'filter={"column":"colour","equals":"blue"}')
    expect(page.locator(".lacks")).to_have_text(
        "Nothing that fits your filters seems to be this. These look most like it."
    )
    page.locator(".card a.more").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Products like p0")
    expect(page.locator(".lacks")).to_have_count(0)


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


def test_with_details_a_product_says_which_of_its_photos_may_mislead(tab: Open) -> None:
    from playwright.sync_api import expect

    page = tab("/p/p001")
    products(page)
    expect(page.locator("#asked")).not_to_contain_text("close up")
    page.get_by_role("switch", name="Details").click()
    expect(page.locator("#asked")).to_contain_text("Photo 2: unsure, close up (0.50)")
    for nothing in ("/p/p002?view=merchandiser", "/p/p003?view=merchandiser"):  # a good one, and one that nobody knows
        other = tab(nothing)
        products(other)
        expect(other.locator("#asked")).not_to_contain_text("Photo 2:")


def test_with_details_a_search_shows_where_the_model_of_categories_looks_if_there_is_one(
    tab: Open, service: Service
) -> None:
    from playwright.sync_api import expect

    page, drawn = searched(tab, service), service.photo().read_bytes()
    page.get_by_role("switch", name="Details").click()
    looks = page.get_by_alt_text("Where the model of categories looks")
    expect(looks).to_have_count(0)
    page.route("**/v1/catalog", lambda route: route.fulfill(json={**route.fetch().json(), "taxonomy": "a version"}))
    asked: list[str] = []
    page.route("**/looks", lambda route: (asked.append(route.request.url), route.fulfill(body=drawn)))
    page.reload()
    expect(looks).to_be_visible()
    assert asked == [page.url.partition("?")[0].replace("/q/", "/v1/queries/") + "/looks"]
    page.get_by_role("switch", name="Details").click()
    expect(looks).to_have_count(0)


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


def test_an_answer_that_is_opened_is_told_to_the_service(tab: Open, service: Service) -> None:
    page = searched(tab, service)
    query_id = page.url.rpartition("/")[2]
    second = products(page)[1]
    page.locator("#answers .card a.more").nth(1).click()
    page.wait_for_url("**/p/*")
    rows: list[dict[str, object]] = []
    for _ in range(100):
        if rows := [one for one in told.read_events(service.shop / "data").to_pylist() if one["query_id"] == query_id]:
            break
        page.wait_for_timeout(50)
    assert [(row["product_id"], row["kind"], row["position"]) for row in rows] == [(second, "click", 1)]


def test_an_address_is_asked_for_only_where_the_service_takes_one(tab: Open, service: Service) -> None:
    from playwright.sync_api import expect

    page = tab(refused=True)
    page.wait_for_selector("#stock:has-text('Searches')")
    expect(page.locator("#link")).to_be_hidden()
    served = httpx.get(f"{service.url}/v1/catalog").json() | {"url_photos": True}
    page.route("**/v1/catalog", lambda route: route.fulfill(json=served))
    page.reload()
    page.get_by_label("Address of a photo").fill("https://shop.example/photo.jpg")
    with page.expect_request("**/v1/search") as asked:
        page.keyboard.press("Enter")
    assert 'name="url"\r\n\r\nhttps://shop.example/photo.jpg' in (asked.value.post_data or "")
    expect(page.get_by_role("alert")).to_contain_text("--allow-url-photos")
    found = httpx.post(f"{service.url}/v1/search", files={"photo": service.photo().read_bytes()}).json()
    page.route("**/v1/search", lambda route: route.fulfill(json=found))  # as it answers where it takes an address
    page.get_by_label("Address of a photo").press("Enter")
    page.wait_for_url(f"{service.url}/q/{found['query_id']}")
    assert len(products(page)) > 1
