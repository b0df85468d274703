"""Well-known forms of Indian data, as regular expressions that have to match the whole value.

Only ASCII digits count: `[0-9]` and not a class that other scripts' digits belong to. The forms say what a value looks
like, not that it was ever issued. Every preset carries its own examples, and the tests run them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A form with its examples."""

    pattern: str
    source: str
    """Where the form is laid down."""
    passing: tuple[str, ...]
    failing: tuple[str, ...]


_STATES = "(0[1-9]|[12][0-9]|3[0-8]|97|99)"

PRESETS: dict[str, Preset] = {
    "in-phone": Preset(
        r"(\+91[ -]?|0)?[6-9][0-9]{9}",
        "National Numbering Plan, Department of Telecommunications: mobile numbers begin with 6 to 9",
        ("9876543210", "+919876543210", "+91 9876543210", "09876543210"),
        ("5876543210", "987654321", "98765432101", "+929876543210", "9876543210\n", "\u0967876543210", ""),
    ),
    "in-pincode": Preset(
        r"[1-9][0-9]{5}",
        "India Post: six digits, the first is the postal zone 1 to 9",
        ("110001", "560034", "999999"),
        ("010001", "11001", "1100011", "11 0001", "110001\n", "11000a", ""),
    ),
    "in-pan": Preset(
        r"[A-Z]{3}[ABCFGHLJPT][A-Z][0-9]{4}[A-Z]",
        "Income Tax Department: five letters, of which the fourth is the kind of holder, four digits, a letter",
        ("ABCPE1234F", "AAACB1234C"),
        ("ABCDE1234F", "abcpe1234f", "ABCPE12345", "ABCPE1234", "ABCPE1234F\n", ""),
    ),
    "in-upi": Preset(
        r"[A-Za-z0-9][A-Za-z0-9._-]{1,255}@[A-Za-z][A-Za-z0-9]{1,63}",
        "NPCI: name@handle; a handle has no dot, so an e-mail address is none",
        ("asha.k@okaxis", "9876543210@ybl", "shop-1@upi"),
        ("someone@gmail.com", "asha.k", "@upi", "a@", "asha k@upi", "asha@upi\n", ""),
    ),
    "in-account": Preset(
        r"[0-9]{9,18}",
        "Reserve Bank of India: bank account numbers have 9 to 18 digits",
        ("123456789", "001234567890123456"),
        ("12345678", "1234567890123456789", "12345678a", "123456789\n", ""),
    ),
    "in-gstin": Preset(
        _STATES + r"[A-Z]{5}[0-9]{4}[A-Z][1-9A-Z]Z[0-9A-Z]",
        "GST Network: state code, PAN, entity number, Z, check character",
        ("29ABCPE1234F1Z5", "07AAACB1234C1ZV"),
        (
            "39ABCPE1234F1Z5",
            "00ABCPE1234F1Z5",
            "29ABCPE1234F0Z5",
            "29ABCPE1234F1Y5",
            "29abcpe1234f1z5",
            "29ABCPE1234F1Z5\n",
        ),
    ),
    "in-aadhaar": Preset(
        r"[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}",
        "UIDAI: twelve digits, the first is neither 0 nor 1; the shape only, without the check digit",
        ("234567890123", "2345 6789 0123", "2345-6789-0123"),
        ("134567890123", "034567890123", "23456789012", "2345678901234", "234567890123\n", ""),
    ),
}
