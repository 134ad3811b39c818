"""The review page in a browser, judged by keyboard and mouse."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.review.marking import TRIPLETS, crop, judged, needs_chromium, opened, served

Q, P, N, _ = TRIPLETS[0]


@pytest.mark.browser
@needs_chromium
def test_a_person_judges_by_keyboard_and_mouse(data: Path, path: Path) -> None:
    from playwright.sync_api import Page, expect

    def rows() -> list[str]:
        return path.read_text().splitlines()[1:]

    def saved(page: Page, act: Callable[[], None]) -> None:  # a mark is shown at once, and is in the file when answered
        with page.expect_response(lambda answer: answer.request.method == "POST" and answer.ok):
            act()

    def at(page: Page, said: str, seen: int, marked: int) -> None:
        expect(page.locator("h2")).to_have_text(said)
        expect(page.locator("#counted")).to_have_text(f"{seen} of 8 judged · {marked} marked")

    with served(judged(data, path)) as url, opened(url, 900, 700) as (window, page):
        at(page, "1 / 8 product/in", 0, 0)
        assert page.locator("#positive img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 48
        page.keyboard.press("3")
        expect(page.locator("#negative .photo.wrong")).to_have_text("in truth alike")
        page.keyboard.press("Space")
        at(page, "2 / 8 product/in", 2, 2)  # the same pair stands in the fourth
        saved(page, page.locator("#positive .photo").click)  # the same pair stands in three triplets
        at(page, "2 / 8 product/in", 4, 4)
        assert rows() == [f"negative,{Q},{N}", f"positive,{Q},{P}"]

        other = window.new_page()  # a second tab goes on where this one stands, and takes nothing from it
        other.goto(url)
        at(other, "5 / 8 product/in", 4, 4)
        other.keyboard.press("Shift+Digit2")
        expect(other.locator("#positive .photo.wrong")).to_have_text("unusable photo")
        expect(other.locator("#todo")).to_contain_text("3 rows")
        expect(page.locator("#todo")).to_contain_text("3 rows")  # and the first tab hears of it
        at(page, "2 / 8 product/in", 6, 6)
        page.bring_to_front()
        saved(page, lambda: page.keyboard.press("2"))
        expect(page.locator("#positive .wrong")).to_have_count(0)
        page.wait_for_function("document.querySelector('#todo').textContent.startsWith('2 rows')")
        assert rows() == [f"negative,{Q},{N}", f"photo,{crop('a', 2)},"]
        saved(page, lambda: page.keyboard.press("u"))
        expect(page.locator("#todo")).to_contain_text("3 rows")
        assert f"positive,{Q},{P}" in rows()

        page.get_by_role("button", name="product/out").click()
        at(page, "7 / 8 product/out", 6, 6)
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        at(page, "8 / 8 product/out", 8, 6)
        expect(page.locator("#todo")).to_contain_text("All are judged. 3 rows in")
        page.reload()
        at(page, "1 / 8 product/in", 8, 6)


@pytest.mark.browser
@needs_chromium
def test_on_a_phone_all_three_photos_and_what_is_pressed_are_in_sight(data: Path, path: Path) -> None:
    from playwright.sync_api import expect

    with served(judged(data, path)) as url, opened(url, 390, 844) as (_, page):
        photos = page.locator("#three .photo")
        expect(photos).to_have_count(3)
        for one in (*photos.all(), *page.locator(".marks button").all(), page.locator("#fine")):
            expect(one).to_be_in_viewport(ratio=1)
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        pressed = page.locator("#fine").bounding_box()
        for seen in range(1, 5):
            page.locator("#fine").click()
            expect(page.locator("#counted")).to_have_text(f"{seen} of 8 judged · 0 marked")
            assert page.locator("#fine").bounding_box() == pressed, "it stays where one presses it"
