"""The search page for those who do not see it, or see it otherwise: axe-core's rules (WCAG 2.2 AA), in every state."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.chromium import IN_CHROMIUM
from tests.serving.page.searching import Open, Service, drag, products, searched

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = IN_CHROMIUM
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def answered(tab: Open, service: Service, **options: object) -> "Page":
    page = searched(tab, service, **options)
    page.get_by_role("switch", name="Details").click()
    return page


def refused(tab: Open, service: Service, **options: object) -> "Page":
    page = tab("/q/q_unknown", refused=True, **options)
    page.wait_for_selector("[role=alert]")
    return page


def like_a_product(tab: Open, service: Service, **options: object) -> "Page":
    page = tab("/p/p007", **options)
    products(page)
    return page


def traced(tab: Open, service: Service, **options: object) -> "Page":
    page = tab("/p/p007?view=merchandiser", **options)
    page.wait_for_selector(".trace ol")
    return page


def narrowed(tab: Open, service: Service, **options: object) -> "Page":
    filters = '{"and":[{"column":"material","in":["silk","felt"]},{"column":"price","range":{"max":9}}]}'
    page = tab(f"/p/p007?filter={filters}", **options)
    products(page)
    if page.get_by_role("button", name="Filters").is_visible():
        page.get_by_role("button", name="Filters").click()
    return page


def narrowed_to_nothing(tab: Open, service: Service, **options: object) -> "Page":
    page = tab('/p/p007?filter={"column":"price","range":{"min":99}}', **options)
    page.get_by_role("heading", name="No product matches").wait_for()
    return page


def drawn(tab: Open, service: Service, **options: object) -> "Page":
    page = searched(tab, service, **options)
    drag(page)
    products(page)
    return page


STATES: dict[str, Callable[..., "Page"]] = {
    "start": lambda tab, service, **options: tab(**options),
    "answers with details": answered,
    "a drawn area": drawn,
    "like a product": like_a_product,
    "a product's trace": traced,
    "narrowed": narrowed,
    "narrowed to nothing": narrowed_to_nothing,
    "nothing there": refused,
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_nothing_stands_in_anyones_way(tab: Open, service: Service, state: str, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    size = PHONE if scheme == "dark" else {}
    page = STATES[state](tab, service, color_scheme=scheme, reduced_motion="reduce", **size)
    found = Axe().run(page, options=RULES)
    assert found.response["passes"], "the rules were held against it"
    assert found.response["violations"] == [], found.generate_report()
