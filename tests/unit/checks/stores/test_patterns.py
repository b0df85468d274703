"""Which regular expressions are the same in PostgreSQL; that they match alike is tested on a real one."""

import pytest

from sluice.checks.presets import PRESETS
from sluice.checks.stores.patterns import Untranslatable, to_postgres


@pytest.mark.parametrize(
    ("pattern", "translated"),
    [
        ("N[0-9]{3}", "^(?:N[0-9]{3})$"),
        ("(a|b)+c?", "^(?:(?:a|b)+c?)$"),
        (r"\d{2}\.\d*", r"^(?:[0-9]{2}\.[0-9]*)$"),
        ("[^a-z]", "^(?:[^a-z])$"),
        ("[A-Za-z0-9._-]{1,255}", "^(?:[A-Za-z0-9._-]{1,255})$"),
        ("a{2,}", "^(?:a{2,})$"),
    ],
)
def test_a_plain_pattern_is_translated(pattern: str, translated: str) -> None:
    assert to_postgres(pattern) == translated


@pytest.mark.parametrize(
    "pattern",
    [
        *("", "a.b", r"\w+", r"\bx", "(?i)a", "^a", "a$", "a*?", "a**", "a{2}{3}", "(a", "a)", "[", "[z-a]", "[]a]"),
        *("a{256}", "a{3,2}", "a||b", "(|a)", "(a{9}){9}", "é", "[é]", "[[:alpha:]]", "(?<n>a)", r"\1"),
        *("[a-]-z]", "***=a", "a\nb", r"\x41", "[a-c-e]", "{", "a{", "a{,3}", "[A-z]"),
    ],
)
def test_a_pattern_that_may_mean_something_else_is_not(pattern: str) -> None:
    with pytest.raises(Untranslatable):
        to_postgres(pattern)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_is_translated(name: str) -> None:
    assert to_postgres(PRESETS[name].pattern)
