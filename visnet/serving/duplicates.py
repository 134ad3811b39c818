"""The double listings of a version: which products a person has confirmed to be one."""

from visnet.duplicates import files
from visnet.serving.catalog import Serving


def duplicate_groups(version: Serving) -> dict[str, str]:
    """Return product_id -> its group, named by its first product, for products that were confirmed to be one listing.

    All others stand for themselves. A version of before such groups were published has none.
    """
    return files.read(version.folder)
