"""The photos of each product, by numbers: as a loop over all photos would find them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from visnet.serving.product_rows import ProductRows


@given(st.lists(st.sampled_from("abcde漢")))
def test_each_product_has_its_photos_in_order(products: list[str]) -> None:
    rows = ProductRows.of_photos(np.array(products, object))
    assert list(rows.names) == list(dict.fromkeys(products))
    assert (rows.count, [rows.names[code] for code in rows.code]) == (len(set(products)), products)
    for name in "abcde漢f":
        assert rows.of(name).tolist() == [at for at, own in enumerate(products) if own == name]
        assert (name in rows) == (name in products)
