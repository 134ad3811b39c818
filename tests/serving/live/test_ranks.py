"""A change counts as newer than what is known of its product, and older than what the feed says next."""

import pytest

from visnet.serving.live.ranks import Before, Outranked, ranked
from visnet.sources.changefeed.records import UNLIMITED, Limits
from visnet.sources.rows.values import Bad

NOW = 1_790_000_000_000_000  # microseconds since 1970
DELETE = {"product_id": "p", "op": "delete"}


def rank_of(known: tuple[int, int, str] | None, numbered: bool = False, **fields: object) -> tuple[int, int]:
    _, found = ranked(DELETE | fields, Before(known, numbered), NOW, UNLIMITED)
    return found.rank[:2]


def test_a_feed_that_goes_by_time_is_followed_by_now() -> None:
    assert rank_of(None) == (NOW, NOW)
    assert rank_of((NOW - 5, NOW - 5, "a")) == (NOW, NOW)


def test_a_clock_that_is_behind_what_is_known_goes_on_from_there() -> None:
    assert rank_of((NOW + 5, NOW + 5, "a")) == (NOW + 6, NOW + 6)


def test_in_a_feed_that_counts_a_change_has_the_number_that_is_known() -> None:
    assert rank_of((17, NOW - 5, "a"), numbered=True) == (17, NOW)
    assert rank_of((17, -(2**63), "a"), numbered=True) == (17, NOW)  # which gives no times
    assert rank_of(None, numbered=True) == (0, NOW), "below whatever number its product gets"
    assert rank_of((17, NOW, "a"), numbered=True) < (18, 0)


def test_a_change_may_bring_its_own_rank_but_not_an_older_one() -> None:
    assert rank_of((17, NOW, "a"), numbered=True, seq=18)[0] == 18
    assert rank_of((NOW - 5, NOW - 5, "a"), updated_at="2100-01-01T00:00:00Z")[0] > NOW
    with pytest.raises(Outranked, match=r"^product 'p' is known by a newer record: seq 17, .* given is seq 16, "):
        rank_of((17, NOW, "a"), numbered=True, seq=16)


def test_the_same_record_again_is_no_conflict() -> None:
    _, found = ranked(DELETE | {"seq": 5}, Before(None, True), NOW, UNLIMITED)
    assert rank_of(found.rank, numbered=True, seq=5) == found.rank[:2]


def test_a_rank_from_far_ahead_is_refused() -> None:
    with pytest.raises(Bad, match="further ahead of this machine's clock"):
        ranked(DELETE | {"updated_at": "2100-01-01T00:00:00Z"}, Before(None, False), NOW, Limits.ahead(NOW / 1e6, 60))
