"""Hints of personal data: e-mail addresses, telephone, card and account numbers and the like, and names of columns.

Numbers that have check digits are held against them. What is found is counted; no value is kept.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

_EMAIL = re.compile(r"[\w.+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
_PHONE = re.compile(
    r"(?<![\w.+-])(\+\d{1,3}[ .-]?)?(\(\d{2,5}\)[ .-]?)?\d{2,5}([ .-]\d{2,5}){1,5}(?![\w-])"
    r"|(?<![\w.])\+\d{9,14}(?!\d)|(?<![\w.])\+\d{1,3}(?:[ .-]\d{1,8}){1,4}(?!\d)"
)
_CHINESE_MOBILE = re.compile(r"(?<![\w.+-])1[3-9]\d{9}(?![\w.-])", re.ASCII)
_CARD = re.compile(r"(?<![\w.-])[3-6]\d{3}(?:[ -]?\d{2,6}){2,4}(?![\w-])")
# Dates, times, IP addresses and decimal numbers: digits in groups that are no telephone numbers.
_NOT_PHONE = re.compile(
    r"(?<!\d)(\d{4}[-./ ]\d{1,2}[-./ ]\d{1,2}|\d{1,2}[-./ ]\d{1,2}[-./ ]\d{4}|(\d{1,3}\.){3}\d{1,3}|\d+\.\d+)(?!\d)"
    r"|\d{1,2}:\d{2}(:\d{2})?"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_IP = re.compile(
    r"(?<![\w.:-])(?:(?:\d{1,3}\.){3}\d{1,3}|(?=[0-9A-Fa-f:]*\d)(?:[0-9A-Fa-f]{0,4}:){3,7}[0-9A-Fa-f]{1,4})(?![\w:]|\.\d)"
)
_CHINESE_ID = re.compile(r"(?<![0-9A-Za-z])\d{17}[\dXx](?![0-9A-Za-z])")
_CHINESE_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_SOCIAL_SECURITY = re.compile(r"(?<![\w-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of a card number (ISO/IEC 7812-1)."""
    doubled = [int(digit) * (1 + position % 2) for position, digit in enumerate(reversed(digits))]
    return sum(number // 10 + number % 10 for number in doubled) % 10 == 0


def iban(text: str) -> bool:
    """Whether the check digits of an account number are right (ISO 13616: 1 modulo 97)."""
    compact = text.replace(" ", "")
    return 15 <= len(compact) <= 34 and int("".join(str(int(one, 36)) for one in compact[4:] + compact[:4])) % 97 == 1


def chinese_id(text: str) -> bool:
    """Whether a resident identity number holds a day of birth and its check character (GB 11643-1999)."""
    year, month, day = int(text[6:10]), int(text[10:12]), int(text[12:14])
    rest = sum(weight * int(digit) for weight, digit in zip(_CHINESE_WEIGHTS, text, strict=False)) % 11
    return 1900 <= year < 2100 and 1 <= month <= 12 and 1 <= day <= 31 and "10X98765432"[rest] == text[17].upper()


def _is_card(text: str) -> bool:
    found = (re.sub(r"\D", "", match.group()) for match in _CARD.finditer(text))
    return any(13 <= len(digits) <= 19 and luhn(digits) for digits in found)


def _is_phone(text: str) -> bool:
    """Nine to fifteen digits in groups, or after a plus; neither a date, an IP address nor another number of these."""
    if _CHINESE_MOBILE.search(text):
        return True
    for match in _PHONE.finditer(_NOT_PHONE.sub(";", text)):
        digits = re.sub(r"\D", "", match.group())
        other = _is_card(match.group()) or _SOCIAL_SECURITY.fullmatch(match.group())
        if 9 <= len(digits) <= 15 and not other:
            return True
    return False


def _is_ip(text: str) -> bool:
    """One that the whole internet knows: private networks use the others."""
    return any(_is_global(match.group()) for match in _IP.finditer(text))


def _is_global(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


KINDS: dict[str, Callable[[str], bool]] = {
    "e-mail addresses": lambda text: "@" in text and _EMAIL.search(text) is not None,
    "phone numbers": _is_phone,
    "card numbers": _is_card,
    "bank accounts (IBAN)": lambda text: any(iban(match.group()) for match in _IBAN.finditer(text)),
    "IP addresses": _is_ip,
    "Chinese identity numbers": lambda text: any(chinese_id(match.group()) for match in _CHINESE_ID.finditer(text)),
    "US social security numbers": lambda text: _SOCIAL_SECURITY.search(text) is not None,
}
_DIGIT = re.compile(r"\d.*\d.*\d|@", re.DOTALL)


def hints(values: Sequence[Any]) -> dict[str, np.ndarray]:
    """What cells look like, of the kinds that some do: which rows, (rows,) bool."""
    texts = {row: str(value) for row, value in enumerate(values) if isinstance(value, (str, int))}
    texts = {row: text for row, text in texts.items() if _DIGIT.search(text)}
    found = {}
    for kind, test in KINDS.items():
        rows = [row for row, text in texts.items() if test(text)]
        if rows:
            found[kind] = np.isin(np.arange(len(values)), rows)
    return found


# Words of a column's name that say that its cells tell who somebody is, or how to reach them.
_NAMES = re.compile(
    "surname|firstname|lastname|fullname|username|forename|email|mail|phone|telephone|mobile|fax|address|street|postcode|"
    "zipcode|birthday|birthdate|birth|dob|ssn|passport|iban|ip|ipaddress|nachname|vorname|telefon|handy|adresse|strasse|"
    "geburtsdatum|nom|prenom|prénom|téléphone|correo|teléfono|dirección|"
    "(?:first|last|full|user|customer) name|zip code"
)
_CHINESE_NAMES = ("姓名", "手机", "电话", "身份证", "邮箱", "地址", "生日", "出生")
_WORD = re.compile(r"[A-Z]?[a-zà-ÿß]+|[A-Z]+(?![a-z])")


def named_so(column: str) -> bool:
    """Whether a column is called like one that holds personal data: `firstName`, `e-mail`, `date_of_birth`."""
    words = [word.lower() for word in _WORD.findall(column.replace("e-mail", "email").replace("E-Mail", "email"))]
    said = [*words, *map(" ".join, pairwise(words))]
    return any(map(_NAMES.fullmatch, said)) or any(name in column for name in _CHINESE_NAMES)
