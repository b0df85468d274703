import io
import json
import tarfile
from pathlib import Path

import pytest

from dev.cluster import archive
from dev.cluster.errors import ClusterError


@pytest.fixture
def image(tmp_path: Path) -> Path:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    layer = tmp_path / "layer.tar"
    archive.layer(layer, {"/bin/program": program}, {"/bin/alias": "program"}, {"/etc/passwd": "root:x:0:0::/:\n"})
    target = tmp_path / "image.tar"
    archive.write(target, "localhost/test:1", layer, entrypoint=["/bin/program"], environment={"PATH": "/bin"})
    return target


def test_an_archive_holds_its_layer_under_the_digests_that_it_states(image: Path) -> None:
    with tarfile.open(image) as outer:
        content = {name: outer.extractfile(name).read() for name in outer.getnames()}  # type: ignore[union-attr]
    (manifest,) = json.loads(content["manifest.json"])
    config = json.loads(content[manifest["Config"]])
    (layer,) = manifest["Layers"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{layer.partition('/')[0]}"]
    with tarfile.open(fileobj=io.BytesIO(content[layer])) as inner:
        assert inner.getmember("bin/program").mode == 0o755
        assert inner.getmember("bin/alias").linkname == "program"
        assert inner.getmember("tmp").mode == 0o1777


def test_the_same_content_gives_the_same_bytes(image: Path, tmp_path: Path) -> None:
    first = image.read_bytes()
    again = tmp_path / "again.tar"
    archive.write(
        again, "localhost/test:1", tmp_path / "layer.tar", entrypoint=["/bin/program"], environment={"PATH": "/bin"}
    )
    assert again.read_bytes() == first


def test_an_archive_says_its_name(image: Path) -> None:
    assert archive.reference_of(image) == "localhost/test:1"


def test_another_file_is_refused_by_name(tmp_path: Path) -> None:
    other = tmp_path / "other.tar"
    other.write_text("no archive")
    with pytest.raises(ClusterError, match=r"other\.tar is no archive"):
        archive.reference_of(other)
