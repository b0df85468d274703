"""The versions in a kustomization: changed, and nothing else with them."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sluice.planning.kustomize import CannotEdit, Image, listed, with_images

DIGEST = "sha256:" + "ab" * 32
PRICING = Image("ghcr.io/acme/pricing", tag="1.5")


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        ("ghcr.io/acme/pricing:1.5", PRICING),
        ("pricing:v2", Image("pricing", tag="v2")),
        ("registry:5000/pricing:1", Image("registry:5000/pricing", tag="1")),
        (f"pricing@{DIGEST}", Image("pricing", digest=DIGEST)),
        (f"pricing:1.5@{DIGEST}", Image("pricing", digest=DIGEST)),
        ("pricing", None),
        ("registry:5000/pricing", None),
        ("", None),
        ("a b:1", None),
    ],
)
def test_the_image_of_a_container(reference: str, image: Image | None) -> None:
    assert Image.of(reference) == image


@pytest.mark.parametrize(
    ("before", "image", "after"),
    [
        pytest.param(
            "# staging\nimages:\n- name: ghcr.io/acme/pricing  # ours\n  newTag: '1.4'  # by hand\nnamePrefix: s-\n",
            PRICING,
            "# staging\nimages:\n- name: ghcr.io/acme/pricing  # ours\n  newTag: '1.5'  # by hand\nnamePrefix: s-\n",
            id="a tag, as it is quoted",
        ),
        pytest.param(
            "images:\n  - newTag: v1\n    name: pricing\n",
            Image("pricing", tag="1.10"),
            'images:\n  - newTag: "1.10"\n    name: pricing\n',
            id="a tag that would be a number",
        ),
        pytest.param(
            "images:\n- name: pricing\n  newName: ghcr.io/acme/pricing\n  newTag: v1\n",
            Image("ghcr.io/acme/pricing", tag="v2"),
            "images:\n- name: pricing\n  newName: ghcr.io/acme/pricing\n  newTag: v2\n",
            id="by its new name",
        ),
        pytest.param(
            f"images:\n- name: pricing\n  digest: {DIGEST}\n",
            Image("pricing", tag="v2"),
            "images:\n- name: pricing\n  newTag: v2\n",
            id="a tag for a digest",
        ),
        pytest.param(
            "images:\n- {name: pricing, newTag: v1}\n",
            Image("pricing", digest=DIGEST),
            f"images:\n- {{name: pricing, digest: {DIGEST}}}\n",
            id="a digest for a tag, in one line",
        ),
        pytest.param(
            "images:\n- name: pricing # here\nresources: [a]\n",
            Image("pricing", tag="v2"),
            "images:\n- name: pricing # here\n  newTag: v2\nresources: [a]\n",
            id="no version yet",
        ),
        pytest.param(
            "images:\r\n- name: pricing\r\n  newTag: v1\r\n",
            Image("pricing", tag="v2"),
            "images:\r\n- name: pricing\r\n  newTag: v2\r\n",
            id="line ends of Windows",
        ),
        pytest.param("images:\n- name: other\n  newTag: v1\n", PRICING, None, id="not listed"),
        pytest.param("resources: [a]\n", PRICING, None, id="no images"),
        pytest.param("", PRICING, None, id="nothing"),
    ],
)
def test_only_the_version_changes(before: str, image: Image, after: str | None) -> None:
    assert with_images(before, [image]) == (before if after is None else after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'images:\n- name: ghcr.io/acme/pricing\n  newTag: "1.5"\n'),
        ("resources: [a]", 'resources: [a]\nimages:\n- name: ghcr.io/acme/pricing\n  newTag: "1.5"\n'),
        ("images: []\n", 'images: [{name: ghcr.io/acme/pricing, newTag: "1.5"}]\n'),
        ("images:\nresources: [a]\n", 'images: [{name: ghcr.io/acme/pricing, newTag: "1.5"}]\nresources: [a]\n'),
        (
            "images:\n  - name: other\n    newTag: v1 # keep\n\n# the end\nresources: [a]\n",
            'images:\n  - name: other\n    newTag: v1 # keep\n  - name: ghcr.io/acme/pricing\n    newTag: "1.5"\n'
            "\n# the end\nresources: [a]\n",
        ),
    ],
)
def test_an_image_that_is_not_listed_is_added(before: str, after: str) -> None:
    assert with_images(before, [PRICING], add=True) == after


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "no YAML"),
        ("- images\n", "no mapping"),
        ("images: &x []\n", "anchors"),
        ("a: 1\n---\nimages: []\n", "several documents"),
        ("images: pricing\n", "no list"),
        ("images: [pricing]\n", "no list"),
        ("images:\n- {name: ghcr.io/acme/pricing}\n- {name: ghcr.io/acme/pricing}\n", "2 times"),
        (f"images:\n- {{name: ghcr.io/acme/pricing, newTag: v1, digest: '{DIGEST}'}}\n", "both newTag and digest"),
        ("images:\n- name: ghcr.io/acme/pricing\n  newTag: [v1]\n", "newTag is no text"),
        ("images: []\nimages: []\n", "images twice"),
        ("a: " + "x" * (1 << 20), "1 MiB"),
    ],
)
def test_what_no_program_should_touch_is_refused(text: str, why: str) -> None:
    with pytest.raises(CannotEdit, match=why):
        with_images(text, [PRICING])


NAMES = st.sampled_from(["pricing", "ghcr.io/acme/web", "registry:5000/db"])
TAGS = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,12}", fullmatch=True)
ENTRIES = st.fixed_dictionaries({"name": NAMES}, optional={"newTag": TAGS})


@given(
    entries=st.lists(ENTRIES, max_size=3, unique_by=lambda row: row["name"]),
    image=st.builds(Image, NAMES, TAGS) | st.builds(Image, NAMES, digest=st.just(DIGEST)),
    flow=st.sampled_from([True, False, None]),
    seed=st.integers(0, 99),
)
def test_what_is_read_afterwards_is_what_was_wanted_and_other_lines_stay(
    entries: list[dict[str, Any]], image: Image, flow: bool | None, seed: int
) -> None:
    document = {"resources": ["../base"], "images": entries, "commonLabels": {"env": "staging"}}
    text = "# first\n" + yaml.safe_dump(document, default_flow_style=flow, sort_keys=bool(seed % 2)) + "# last\n"
    for add in (False, True):
        changed = with_images(text, [image], add=add)
        key, value = image.field
        row = next((entry for entry in yaml.safe_load(changed)["images"] if entry["name"] == image.name), None)
        if row is None:
            assert (add, changed) == (False, text)
            continue
        assert {name: said for name, said in row.items() if name != "name"} == {key: value}
        assert with_images(changed, [image], add=add) == changed, "twice is once"
        assert listed(changed, [image]) == [image]
        assert (changed.startswith("# first\n"), changed.endswith("# last\n")) == (True, True)
