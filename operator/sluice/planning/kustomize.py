"""Which image a kustomization deploys: read, and changed so that not a byte else of its text is. Pure.

    Image.of(reference)              -> Image    the image of a container
    with_images(text, images, add)   -> str      the text with these versions in `images`

Comments, order, indents and quotes stay as their people wrote them: what is replaced is found by the marks of the YAML
parser, and the outcome is read again and compared with what was wanted.
https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/images/
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

FILES: Final = ("kustomization.yaml", "kustomization.yml", "Kustomization")
MAX_CHARACTERS: Final = 1 << 20
_REFERENCE: Final = re.compile(
    r"(?P<name>[^@\s]+?)(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?(?:@(?P<digest>[a-z0-9]+:[0-9a-f]{32,}))?"
)


class CannotEdit(Exception):
    """The text is not one that can be changed by a program. `str` says why."""


@dataclass(frozen=True)
class Image:
    """An image, as `images` of a kustomization has it. With a digest the tag says nothing."""

    name: str
    tag: str = ""
    digest: str = ""

    @classmethod
    def of(cls, reference: str) -> "Image | None":
        """The image of a container; None without tag and digest, or where it is no reference."""
        found = _REFERENCE.fullmatch(reference)
        if found is None or not (found["tag"] or found["digest"]):
            return None
        return cls(found["name"], "" if found["digest"] else found["tag"], found["digest"] or "")

    def __str__(self) -> str:
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.tag}"

    @property
    def field(self) -> tuple[str, str]:
        """Key and value of its version."""
        return ("digest", self.digest) if self.digest else ("newTag", self.tag)


def with_images(text: str, images: Sequence[Image], *, add: bool = False) -> str:
    """The text with the versions of these images. Those that it does not list are passed over, or added with `add`.

    Raises CannotEdit.
    """
    for image in images:
        text = _with_image(text, image, add=add)
    return text


def listed(text: str, images: Sequence[Image]) -> list[Image]:
    """Those of the images that the text lists. Raises CannotEdit."""
    rows = _rows(_root(text))
    return [image for image in images if _matching(rows, image)]


def _with_image(text: str, image: Image, *, add: bool) -> str:
    root = _root(text)
    rows = _rows(root)
    found = _matching(rows, image)
    if len(found) > 1:
        raise CannotEdit(f"images lists {image.name} {len(found)} times")
    before = yaml.safe_load(text) or {}
    if found:
        changed = _replaced(text, found[0], image)
        wanted = _wanted(before, rows.index(found[0]), image)
    elif add:
        changed = _added(text, root, image)
        key, value = image.field
        wanted = {**before, "images": [*(before.get("images") or []), {"name": image.name, key: value}]}
    else:
        return text
    if _loaded(changed) != wanted:
        raise CannotEdit(f"the entry of {image.name} is written in a way that cannot be changed safely")
    return changed


def _wanted(before: dict[str, Any], index: int, image: Image) -> dict[str, Any]:
    key, value = image.field
    kept = {name: said for name, said in before["images"][index].items() if name not in ("newTag", "digest")}
    rows = list(before["images"])
    rows[index] = {**kept, key: value}
    return {**before, "images": rows}


# -- reading ----------------------------------------------------------------------------------------------------------


def _root(text: str) -> yaml.MappingNode | None:
    """The document; None where there is nothing in it. Raises CannotEdit."""
    if len(text) > MAX_CHARACTERS:
        raise CannotEdit(f"it has more than {MAX_CHARACTERS >> 20} MiB")
    try:
        tokens = list(yaml.scan(text, yaml.SafeLoader))
        documents = list(yaml.compose_all(text, yaml.SafeLoader))
    except (yaml.YAMLError, RecursionError) as error:
        raise CannotEdit(f"it is no YAML: {' '.join(str(error).split())[:200]}") from error
    if any(isinstance(token, yaml.AnchorToken | yaml.AliasToken) for token in tokens):
        raise CannotEdit("it has anchors or aliases")
    if len(documents) > 1:
        raise CannotEdit("it has several documents")
    root = documents[0] if documents else None
    if root is None or (isinstance(root, yaml.ScalarNode) and not root.value):
        return None
    if not isinstance(root, yaml.MappingNode):
        raise CannotEdit("it is no mapping")
    return root


def _loaded(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError):
        return None


def _images(root: yaml.MappingNode | None) -> yaml.Node | None:
    values = [value for key, value in (root.value if root is not None else ()) if key.value == "images"]
    if len(values) > 1:
        raise CannotEdit("it has images twice")
    return values[0] if values else None


def _rows(root: yaml.MappingNode | None) -> list[yaml.MappingNode]:
    node = _images(root)
    if node is None or (isinstance(node, yaml.ScalarNode) and node.value in ("", "null", "~")):
        return []
    if not isinstance(node, yaml.SequenceNode) or not all(isinstance(row, yaml.MappingNode) for row in node.value):
        raise CannotEdit("images is no list of mappings")
    return list(node.value)


def _field(row: yaml.MappingNode, name: str) -> tuple[yaml.ScalarNode, yaml.ScalarNode] | None:
    for key, value in row.value:
        if key.value == name:
            if not isinstance(value, yaml.ScalarNode):
                raise CannotEdit(f"{name} is no text")
            return key, value
    return None


def _matching(rows: Sequence[yaml.MappingNode], image: Image) -> list[yaml.MappingNode]:
    """The entries of this image: by its new name where it has one, else by its name."""
    found = []
    for row in rows:
        named = _field(row, "newName") or _field(row, "name")
        if named is not None and named[1].value == image.name:
            found.append(row)
    return found


# -- writing ----------------------------------------------------------------------------------------------------------


def _replaced(text: str, row: yaml.MappingNode, image: Image) -> str:
    key, value = image.field
    other = _field(row, "newTag" if key == "digest" else "digest")
    same = _field(row, key)
    if same is not None and other is not None:
        raise CannotEdit(f"the entry of {image.name} has both newTag and digest")
    if same is not None:
        return _put(text, same[1], _scalar(value, same[1].style))
    if other is not None:
        text = _put(text, other[1], _scalar(value, other[1].style))
        return _put(text, other[0], key)
    last_key, last_value = row.value[-1]
    if row.flow_style:
        return _insert(text, last_value.end_mark.index, f", {key}: {_scalar(value, None)}")
    return _insert(
        text, _end_of_line(text, last_value), f"\n{' ' * last_key.start_mark.column}{key}: {_scalar(value, None)}"
    )


def _added(text: str, root: yaml.MappingNode | None, image: Image) -> str:
    key, value = image.field
    node, rows = _images(root), _rows(root)
    flow = f"{{name: {_scalar(image.name, None)}, {key}: {_scalar(value, None)}}}"
    if node is None:
        start = text if not text or text.endswith("\n") else f"{text}\n"
        return f"{start}images:\n- name: {_scalar(image.name, None)}\n  {key}: {_scalar(value, None)}\n"
    if not rows and isinstance(node, yaml.ScalarNode):
        return _put(text, node, f"[{flow}]") if node.value else _insert(text, node.end_mark.index, f" [{flow}]")
    if isinstance(node, yaml.SequenceNode) and node.flow_style:
        return _insert(text, node.end_mark.index - 1, f", {flow}" if rows else flow)
    column = rows[-1].start_mark.column
    entry = f"\n{' ' * (column - 2)}- name: {_scalar(image.name, None)}\n{' ' * column}{key}: {_scalar(value, None)}"
    last = rows[-1].value[-1][1]
    return _insert(text, _end_of_line(text, last), entry)


def _end_of_line(text: str, node: yaml.Node) -> int:
    """The end of the line that a value ends in, with the comment behind it."""
    if not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
        raise CannotEdit("an entry of images has a value of several lines")
    end = text.find("\n", node.end_mark.index)
    end = len(text) if end < 0 else end
    return end - 1 if end and text[end - 1] == "\r" else end


def _put(text: str, node: yaml.Node, new: str) -> str:
    return text[: node.start_mark.index] + new + text[node.end_mark.index :]


def _insert(text: str, at: int, new: str) -> str:
    return text[:at] + new + text[at:]


def _scalar(value: str, style: str | None) -> str:
    """A text as YAML: quoted where it was, or where it would be read as something else."""
    if style == "'" and "'" not in value:
        return f"'{value}'"
    plain = _loaded(value) == value and _loaded(f"[{value}]") == [value] and _loaded(f"a: {value}") == {"a": value}
    return value if plain and style != '"' else json.dumps(value)
