"""The admission webhook as it is installed: who is reviewed, by whom, and what the operator may do in the cluster."""

import pytest
import yaml

from tests.cluster.installation import ACCOUNT, Installation
from tests.cluster.kit import Namespace, pipeline, shell


def test_the_api_server_trusts_the_authority_of_the_operator(namespace: Namespace, operator: Installation) -> None:
    assert 1 <= len(operator.authorities()) <= 8
    refused = namespace.apply(pipeline("loop", shell("a", dependsOn=["a"])), check=False)
    assert refused.returncode != 0
    assert 'admission webhook "datapipelines.sluice.dev" denied the request' in refused.stderr
    assert "spec.steps[0].dependsOn[0]" in refused.stderr


def test_the_operator_itself_is_not_reviewed(namespace: Namespace) -> None:
    run = yaml.safe_dump(
        {
            "apiVersion": "sluice.dev/v1alpha1",
            "kind": "PipelineRun",
            "metadata": {"name": "of-nothing"},
            "spec": {"pipeline": {"name": "nothing"}},
        }
    )
    create = ("create", "--dry-run=server", "-f", "-")
    refused = namespace.kubectl(*create, stdin=run, check=False)
    assert "no such DataPipeline" in refused.stderr
    namespace.kubectl(*create, f"--as={ACCOUNT}", stdin=run)


def test_the_status_of_a_pipeline_can_be_written_while_its_spec_could_not(namespace: Namespace) -> None:
    namespace.apply(pipeline("fine", shell("a")))
    patch = ("patch", "pipeline", "fine", "--type=merge", "--dry-run=server", "-p")
    namespace.kubectl(*patch, '{"status": {"health": "Healthy"}}', "--subresource=status")
    refused = namespace.kubectl(*patch, '{"spec": {"schedule": {"cron": ["x"], "timeZone": "UTC"}}}', check=False)
    assert "must have five fields" in refused.stderr


@pytest.mark.parametrize(
    ("words", "allowed"),
    [
        ("list pods", True),
        ("create pods", True),
        ("delete pods", True),
        ("create pipelineruns", True),
        ("patch pipelineruns/status", True),
        ("patch datapipelines/status", True),
        ("create controllerrevisions", True),
        ("create events", True),
        ("create validatingwebhookconfigurations", False),
        ("get secrets", False),
        ("list secrets", False),
        ("create pods/exec", False),
        ("get pods/log", False),
        ("update pods", False),
        ("patch datapipelines", False),
        ("delete datapipelines", False),
        ("patch controllerrevisions", False),
        ("create namespaces", False),
        ("list nodes", False),
        ("patch deployments", True),
        ("update deployments", False),
        ("create services", True),
        ("get configmaps", True),
        ("list configmaps", False),
        ("create jobs.batch", True),
        ("patch httproutes.gateway.networking.k8s.io", True),
        ("create httproutes.gateway.networking.k8s.io", False),
        ("patch canaries", True),
        ("create canaries", False),
        ("delete canaries", False),
        ("create rolebindings", False),
        ("create serviceaccounts/token", False),
        ("impersonate users", False),
        ("* *", False),
    ],
)
def test_the_operator_may_do_what_it_needs_and_no_more(namespace: Namespace, words: str, allowed: bool) -> None:
    verb, _, resource = words.partition(" ")
    resource, _, subresource = resource.partition("/")
    options = [f"--subresource={subresource}"] if subresource else []
    answer = namespace.kubectl("auth", "can-i", verb, resource, *options, f"--as={ACCOUNT}", check=False)
    assert answer.stdout.strip() == ("yes" if allowed else "no"), answer.stderr


@pytest.mark.parametrize("kind", ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"])
@pytest.mark.parametrize(("name", "answer"), [("sluice", "yes"), ("another", "no")])
def test_the_operator_may_change_only_its_own_webhook_configurations(
    namespace: Namespace, kind: str, name: str, answer: str
) -> None:
    words = ("auth", "can-i", "patch", f"{kind}/{name}", f"--as={ACCOUNT}")
    assert namespace.kubectl(*words, check=False).stdout.strip() == answer
