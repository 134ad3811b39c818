"""visnet.taxonomy.paths: a path's text gives its levels back, whatever their names."""

from hypothesis import given
from hypothesis import strategies as st

from visnet.taxonomy.paths import joined, levels_of


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_any_levels_come_back(levels: list[str]) -> None:
    assert levels_of(joined(levels)) == levels


def test_plain_names_stay_as_they_are() -> None:
    assert joined(["Men", "Western Wear", "Blazers & Suits"]) == "Men/Western Wear/Blazers & Suits"
    assert joined(["Size 1/2", "100 %"]) == "Size 1%2F2/100 %25"
