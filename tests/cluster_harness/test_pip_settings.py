import pytest

from dev.cluster import pip_settings


@pytest.mark.parametrize(
    ("listing", "expected"),
    [
        ("", {}),
        ("global.cert='/etc/ca.pem'\nglobal.user='true'", {"cert": "/etc/ca.pem"}),
        (":env:.index-url='https://a.test/'\nglobal.index-url='https://b.test/'", {"index-url": "https://a.test/"}),
        ("global.find-links='\\n/a\\n/b'", {"find-links": "/a /b"}),
    ],
)
def test_what_a_build_needs_is_taken_over_and_the_environment_wins(listing: str, expected: dict[str, str]) -> None:
    assert pip_settings.parse(listing) == expected
