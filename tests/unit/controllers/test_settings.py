"""Environment variables: what they mean, and that a bad one is named."""

from pathlib import Path

import pytest

from sluice.controllers.main import main
from sluice.controllers.settings import BadSetting, Settings


def test_an_empty_environment_is_all_defaults() -> None:
    settings = Settings.from_environment({})
    assert (settings.namespaces, settings.webhook_mode, settings.log_format) == ((), "off", "json")
    assert (settings.metrics_port, settings.webhook_port, settings.workers) == (8080, 9443, 16)
    assert settings.pod_template is None
    assert settings.gate_image == "sluice-gate"
    assert settings.own_user == "system:serviceaccount:sluice-system:sluice"


def test_the_image_of_gates_is_as_it_is_given() -> None:
    image = "registry.example.com/data/sluice-gate:0.1.0"
    assert Settings.from_environment({"SLUICE_GATE_IMAGE": image}).gate_image == image


def test_its_own_name_for_the_api_server_is_that_of_its_account() -> None:
    settings = Settings.from_environment({"POD_NAMESPACE": "data", "SLUICE_SERVICE_ACCOUNT": "robot"})
    assert settings.own_user == "system:serviceaccount:data:robot"


def test_namespaces_are_a_list_with_commas() -> None:
    assert Settings.from_environment({"SLUICE_NAMESPACES": "team-a, team-b,"}).namespaces == ("team-a", "team-b")


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("SLUICE_LOG_FORMAT", "xml", '"xml" is not allowed; use one of json, console'),
        ("SLUICE_LOG_LEVEL", "loud", '"loud" is not allowed; use one of debug, info, warning, error'),
        ("SLUICE_WEBHOOK_MODE", "maybe", '"maybe" is not allowed; use one of self-signed, files, off'),
        ("SLUICE_METRICS_PORT", "web", '"web" is not a number'),
        ("SLUICE_METRICS_PORT", "0", "0 must be from 1 to 65535"),
        ("SLUICE_WEBHOOK_PORT", "70000", "70000 must be from 1 to 65535"),
        ("SLUICE_API_QPS", "0", "0 must be from 1 to 10000"),
        ("SLUICE_API_QPS", "nan", "nan must be from 1 to 10000"),
        ("SLUICE_API_BURST", "1.5", "1.5 is not a whole number"),
        ("SLUICE_WORKERS", "1000", "1000 must be from 1 to 256"),
        ("SLUICE_POD_TEMPLATE_FILE", "/nowhere/pod-template.yaml", "No such file"),
    ],
)
def test_a_bad_variable_is_named(name: str, value: str, words: str) -> None:
    with pytest.raises(BadSetting) as caught:
        Settings.from_environment({name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["", "{}", "# nothing\n"])
def test_an_empty_pod_template_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pod-template.yaml"
    file.write_text(text)
    assert Settings.from_environment({"SLUICE_POD_TEMPLATE_FILE": str(file)}).pod_template is None


def test_a_pod_template_is_read(tmp_path: Path) -> None:
    file = tmp_path / "pod-template.yaml"
    file.write_text("spec: {nodeSelector: {pool: batch}}")
    template = Settings.from_environment({"SLUICE_POD_TEMPLATE_FILE": str(file)}).pod_template
    assert template is not None
    assert template.spec is not None
    assert template.spec.node_selector == {"pool": "batch"}


@pytest.mark.parametrize("text", ["spec: {nodeSelektor: {}}", "spec: [", "7"])
def test_a_pod_template_that_cannot_be_read_stops_the_start(tmp_path: Path, text: str) -> None:
    file = tmp_path / "pod-template.yaml"
    file.write_text(text)
    with pytest.raises(BadSetting, match=str(file)):
        Settings.from_environment({"SLUICE_POD_TEMPLATE_FILE": str(file)})


def test_the_operator_ends_with_2_and_the_name_of_a_bad_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLUICE_WORKERS", "many")
    assert main() == 2
    assert "SLUICE_WORKERS" in capsys.readouterr().err
