"""What the documents show has to be right: manifests, links, names of make targets, reasons, metrics, the reference."""

import importlib.util
import itertools
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from sluice.api.canary_status import CanaryPhase
from sluice.api.crd import definition
from sluice.api.names import API_VERSION
from sluice.api.reasons import CanaryReason, Reason
from sluice.api.schema import kinds
from sluice.cli.errors import Exit
from sluice.planning.canary_controls import ACTIONS
from sluice.planning.validation import check_manifest
from sluice.telemetry.metrics import REGISTRY

ROOT = Path(__file__).parents[3]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("**/*.md")])
STEP = {"name": "step", "image": "busybox"}


def name_of(document: Path) -> str:
    return str(document.relative_to(ROOT))


# -- fenced blocks ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """A fenced block: where it begins, its language, what follows that, its text."""

    document: Path
    line: int
    language: str
    info: str
    text: str

    @property
    def first_comment(self) -> str:
        line = self.text.split("\n", 1)[0].strip()
        return line.removeprefix("#").strip() if line.startswith("#") else ""

    @property
    def refused(self) -> bool:
        """Whether the document says that this one is wrong."""
        return "refused" in self.info or self.first_comment.startswith("refused")

    def __str__(self) -> str:
        return f"{name_of(self.document)}:{self.line}"


def blocks_of(document: Path) -> Iterator[Block]:
    pattern = re.compile(r"^( *)```(\w+)([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
    text = document.read_text(encoding="utf-8")
    for match in pattern.finditer(text):
        yield Block(document, text.count("\n", 0, match.start()) + 1, match[2], match[3].strip(), match[4])


BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
YAML = [block for block in BLOCKS if block.language in ("yaml", "yml")]


def manifests_of(block: Block) -> list[dict[str, Any]]:
    """The objects of our kinds in a block. One that begins with `# in spec` or `# in a step` is put where it says."""
    documents = [document for document in yaml.safe_load_all(block.text) if isinstance(document, dict)]
    if block.first_comment in ("in spec", "in a step"):
        (part,) = documents
        spec = {"steps": [STEP], **part} if block.first_comment == "in spec" else {"steps": [{**STEP, **part}]}
        spec |= _what_it_refers_to(block.text) if block.first_comment == "in a step" else {}
        return [{"apiVersion": API_VERSION, "kind": "DataPipeline", "metadata": {"name": "part"}, "spec": spec}]
    return [document for document in documents if document.get("kind") in kinds()]


def _what_it_refers_to(text: str) -> dict[str, Any]:
    """Declarations of the parameters that a part of a step refers to."""
    return {"params": [{"name": name, "default": ""} for name in sorted(set(re.findall(r"\$\(params\.(\w+)", text)))]}


@pytest.mark.parametrize("block", YAML, ids=str)
def test_a_manifest_is_valid_unless_the_document_says_that_it_is_refused(block: Block) -> None:
    errors = [str(error) for manifest in manifests_of(block) for error in check_manifest(manifest)]
    if block.refused:
        assert errors, "nothing is wrong with it"
    else:
        assert errors == []


def test_there_are_manifests_to_check() -> None:
    assert sum(len(manifests_of(block)) for block in YAML) >= 10


def test_the_messages_that_a_document_quotes_are_the_real_ones() -> None:
    """A block of text after a refused manifest quotes what is said of it."""
    quoted = 0
    for block, following in itertools.pairwise(BLOCKS):
        if block.language == "yaml" and block.refused and following.document == block.document:
            said = [str(error) for manifest in manifests_of(block) for error in check_manifest(manifest)]
            assert any(message in following.text for message in said), f"{following} quotes none of {said}"
            quoted += 1
    assert quoted


# -- links and names --------------------------------------------------------------------------------------------------


def _without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def anchors_of(document: Path) -> set[str]:
    """The anchors that GitHub gives to headings."""
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_relative_links_lead_somewhere(document: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _without_code(document.read_text(encoding="utf-8"))):
        if re.match(r"\w+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            broken.append(target)
    assert broken == []


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_make_targets_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:`|^|&& )(?:SLUICE_\w+=\S+ )?make ([a-z-]+)", text, re.MULTILINE))
    assert named <= make_targets()


@pytest.mark.parametrize("document", DOCUMENTS, ids=name_of)
def test_files_of_the_code_that_are_named_exist(document: Path) -> None:
    places = (
        r"tests|kube|planning|reconcile|api|controllers|telemetry|charts|crds|cli|docs|dev|examples|manifests|argocd"
    )
    named = re.findall(rf"`((?:{places})/[\w./-]+\.\w+)`", document.read_text(encoding="utf-8"))
    bases = (ROOT, ROOT / "operator" / "sluice")
    assert [path for path in named if not any((base / path).exists() for base in bases)] == []


def test_the_readme_names_the_test_command() -> None:
    assert re.search(r"^make test\b", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)


# -- completeness -----------------------------------------------------------------------------------------------------


def rows_of(document: str, heading: str) -> set[str]:
    """The names in code type in the first cells of the tables below a heading."""
    text = (ROOT / "docs" / document).read_text(encoding="utf-8")
    part = re.search(rf"^(#+) {heading}$(.*?)(?=^#{{1,3}} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert part, f"{document} has no heading {heading}"
    return {name for line in part[2].splitlines() if line.startswith("| `") for name in _names(line.split("|")[1])}


def _names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_every_reason_is_documented_and_no_other() -> None:
    assert rows_of("pipelines.md", "Reasons") == {str(reason) for reason in Reason}


def test_every_reason_of_a_canary_is_documented_and_no_other() -> None:
    assert rows_of("canaries.md", "Reasons") == {str(reason) for reason in CanaryReason}


def test_every_phase_of_a_canary_is_told_in_words_and_no_other() -> None:
    assert rows_of("canaries.md", "Phases") == {str(phase) for phase in CanaryPhase}


def test_every_request_to_a_canary_is_documented_and_no_other() -> None:
    assert rows_of("canaries.md", "Asking something of it") == set(ACTIONS)


def test_every_group_of_fields_of_a_canary_is_explained() -> None:
    """The top level of the spec, as it is written in a manifest."""
    fields = definition(kinds()["Canary"])["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert rows_of("canaries.md", "What a Canary says") == set(fields["properties"])


def test_the_troubleshooting_names_reasons_that_exist() -> None:
    found = {name for name in rows_of("operations.md", "Troubleshooting") if name[0].isupper()}
    assert found <= {str(reason) for reason in Reason}


def test_every_metric_is_documented_and_no_other() -> None:
    exported = set()
    for metric in REGISTRY.collect():
        if metric.name.startswith("sluice_"):
            exported.add(f"{metric.name}_total" if metric.type == "counter" else metric.name)
    assert rows_of("operations.md", "Probes and metrics") == exported


def test_the_exit_codes_that_the_tutorial_tells_are_those_of_the_command_line() -> None:
    assert (Exit.OK, Exit.NO, Exit.CANCELLED) == (0, 1, 3)
    text = " ".join((ROOT / "docs" / "first-pipeline.md").read_text(encoding="utf-8").split())
    assert "exit code 3 for a cancelled run, 1 for a failed one and 0 for one that succeeded" in text


@pytest.fixture(scope="module")
def generator() -> Any:
    """docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("document", ["reference.md", "gates.md", "canaries.md"])
def test_what_is_generated_is_fresh(generator: Any, document: str) -> None:
    path = ROOT / "docs" / document
    assert path.read_text(encoding="utf-8") == generator.texts()[path]


def test_the_check_names_what_is_stale_and_the_command(
    generator: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    document = tmp_path / "gates.md"
    document.write_text(
        (ROOT / "docs" / "gates.md").read_text(encoding="utf-8").replace("| Fail | Stop |", "| Fail | Go |")
    )
    monkeypatch.setattr(generator, "GATES", document)
    assert generator.main(["--check"]) == 1
    assert capsys.readouterr().out == "docs/gates.md is stale: run `python docs/generate.py`\n"
    assert "| Fail | Go |" in document.read_text(encoding="utf-8"), "a check writes nothing"
    assert generator.main([]) == 0
    assert generator.main(["--check"]) == 0


@pytest.mark.parametrize("text", ["no markers", "<!-- generated: a -->\n<!-- end -->\n" * 2])
def test_a_generated_part_stands_in_its_document_once(generator: Any, text: str) -> None:
    with pytest.raises(ValueError, match="times, not once"):
        generator.with_parts(text, {"a": "part"})


def test_the_tables_of_verdicts_say_what_is_decided(generator: Any) -> None:
    parts = generator.verdict_parts()
    assert "in the order Pass, Warn, Inconclusive, Error, Fail." in parts["severities"]
    assert "| Warn | Pass | Warn | Warn | Warn | Warn |" in parts["severities"]
    assert "| Error | Hold | 0% |" in parts["decisions"]
