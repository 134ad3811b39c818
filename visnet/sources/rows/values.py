"""What one cell says, of whatever file it is: text, an id, a number, a whole number, a moment.

None, "" and NaN are a missing value. Numbers in text are plain ASCII decimals, with a point and perhaps an exponent:
"1,5", "1_000" and digits of other scripts are none, whatever Python or Arrow would make of them.
"""

import datetime
import decimal
import math
import re
from typing import Any

ID_LENGTH_MAX = 512
FLOAT_EXACT = 2**53  # from here on a float does not hold every whole number
_INT64 = range(-(2**63), 2**63)
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_ROUNDED_ID = re.compile(r"[0-9]\.[0-9]+[eE]\+[0-9]+")  # 4.00638E+12: a spreadsheet's, and several ids are one
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_MICROSECOND = datetime.timedelta(microseconds=1)


class Bad(Exception):
    """A value or record that cannot be used; the message is its reason, the same for all with the same fault."""


class MissingValue(Bad):
    """A value that is needed is not given."""


def text(value: object, field: str) -> str:
    """Return what a text says, without surrounding spaces; whole numbers are written without a point."""
    if isinstance(value, str):
        return value.strip()
    if is_missing(value):
        return ""
    if isinstance(value, bytes):
        try:
            return value.decode().strip()
        except UnicodeDecodeError:
            raise Bad(f"{field}: not UTF-8 text") from None
    if isinstance(value, datetime.date):  # a datetime is one
        return value.isoformat()
    if isinstance(value, int | float | decimal.Decimal) and not isinstance(value, bool) and math.isfinite(value):
        return str(int(value)) if value == int(value) else str(value)
    raise Bad(f"{field}: text is wanted")


def identifier(value: object, field: str) -> str:
    """Return an id: text as it stands, or a whole number of any type that holds all of its digits."""
    if isinstance(value, str):
        pass
    elif isinstance(value, float | decimal.Decimal) and not is_missing(value):
        if not math.isfinite(value) or value != int(value):
            raise Bad(f"{field}: text or a whole number is wanted")
        if isinstance(value, float) and abs(value) >= FLOAT_EXACT:
            raise Bad(f"{field}: a float of over 2**53, which lacks digits; write ids as text or integers")
    elif isinstance(value, bool | datetime.date):
        raise Bad(f"{field}: text or a whole number is wanted")
    found = text(value, field)
    if not found:
        raise MissingValue(f"{field} is missing")
    if len(found) > ID_LENGTH_MAX or not found.isprintable():
        raise Bad(f"{field}: over {ID_LENGTH_MAX} characters, or one that cannot be printed")
    if _ROUNDED_ID.fullmatch(found):
        raise Bad(f"{field}: a number that a spreadsheet has rounded, as 4.00638E+12; write ids as text")
    return found


def number(value: object, field: str) -> float | None:
    """Return a finite number, None where none is given."""
    found = math.nan
    if is_missing(value):
        return None
    if isinstance(value, str):
        if not value.strip():
            return None
        found = float(value) if is_number(value) else math.nan
    elif isinstance(value, int | float | decimal.Decimal) and not isinstance(value, bool):
        try:
            found = float(value)
        except OverflowError:
            found = math.inf
    if not math.isfinite(found):
        raise Bad(f"{field}: a number is wanted")
    return found


def whole(value: object, field: str) -> int | None:
    """Return a whole number of 64 bits, None where none is given."""
    exact: decimal.Decimal | None = None
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        if value in _INT64:
            return value
    elif isinstance(value, str) and is_number(value):
        exact = decimal.Decimal(value.strip())
    elif isinstance(value, decimal.Decimal) or (isinstance(value, float) and abs(value) < FLOAT_EXACT):
        exact = decimal.Decimal(value)
    if (
        exact is not None
        and exact.is_finite()
        and exact.adjusted() < 20
        and exact == int(exact)
        and int(exact) in _INT64
    ):
        return int(exact)
    raise Bad(f"{field}: a whole number of 64 bits is wanted")


def moment(value: object, field: str) -> int | None:
    """Read ISO 8601 (UTC where no zone is given), a date or time, or seconds since 1970, as microseconds since then."""
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    read: Any = value
    try:
        if isinstance(value, str) and (not is_number(value) or _is_day(value)):
            read = datetime.datetime.fromisoformat(value.strip())
        elif isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
            read = datetime.datetime.combine(value, datetime.time())
        elif not isinstance(value, datetime.datetime):
            seconds = number(value, field)
            read = _EPOCH + datetime.timedelta(seconds=seconds or 0.0)  # refuses milliseconds: the year is over 9999
        zoned = read if read.tzinfo else read.replace(tzinfo=datetime.UTC)
        return int((zoned - _EPOCH) // _MICROSECOND)
    except (Bad, ValueError, OverflowError):
        raise Bad(f"{field}: ISO 8601 or seconds since 1970 is wanted") from None


def is_missing(value: object) -> bool:
    """Tell whether nothing is given: None, "", or a number that is none, as tables of floats mark it."""
    return value is None or value == "" or (isinstance(value, float | decimal.Decimal) and math.isnan(value))


def is_number(text: str) -> bool:
    """Tell whether a text, but for spaces around it, is a number as we read it."""
    return _NUMBER.fullmatch(text.strip()) is not None


def _is_day(text: str) -> bool:
    return re.fullmatch("[0-9]{8}", text.strip()) is not None  # 20260105
