"""The chart: what it installs by default, what each value changes, what it refuses, what the operator may then do."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import yaml

if TYPE_CHECKING:
    from tests.unit.chart.conftest import Helm, Object, Rendered

FILES = {"webhook": {"mode": "files", "certManager": {"enabled": True}}}
OWN_CERTIFICATE = {"webhook": {"mode": "files", "secretName": "our-tls", "caBundle": "Q0E="}}
NAMESPACED = {"namespaces": ["orders", "billing"]}
CREDENTIALS = {
    "gates": {
        "credentials": [
            {"namespace": "orders", "secrets": ["prometheus-token", "mimir.auth"]},
            {"namespace": "billing", "secrets": ["datadog-keys"]},
        ]
    }
}
VALIDATED = ["datapipelines", "pipelineruns", "qualitygates", "canaries", "metricsources"]
"""What the webhook validates in a namespace."""


def values_with(path: str, value: Any) -> dict[str, Any]:
    """The values that set one dotted path: `values_with("log.level", "debug")`."""
    first, _, rest = path.partition(".")
    return {first: values_with(rest, value) if rest else value}


def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid over it, mapping by mapping."""
    result = dict(base)
    for name, value in over.items():
        both = isinstance(value, dict) and isinstance(result.get(name), dict)
        result[name] = merged(result[name], value) if both else value
    return result


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values that can be set, with their defaults. A mapping that takes names of the user's own is one value."""
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict) and value and path not in OPEN_MAPPINGS:
            yield from leaves(value, f"{path}.")
        else:
            yield path, value


def key_lines(node: yaml.Node | None, prefix: str = "") -> Iterator[tuple[str, int]]:
    """The dotted path of every key of a YAML document, and the number of its line, from 0."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            path = f"{prefix}{key.value}"
            yield path, key.start_mark.line
            yield from key_lines(value, f"{path}.")


OPEN_MAPPINGS = {"resources", "podSecurityContext", "nodeSelector"}
"""Values that are mappings, have a default, and belong to Kubernetes rather than to the chart."""


class TestDefaults:
    def test_render_one_operator_with_its_webhook_and_the_crds(self, helm: Helm) -> None:
        rendered = helm.template()

        assert sorted((item["kind"], item["metadata"]["name"]) for item in rendered.objects) == [
            ("ClusterRole", "sluice"),
            ("ClusterRole", "sluice-edit"),
            ("ClusterRole", "sluice-view"),
            ("ClusterRole", "sluice-webhook"),
            ("ClusterRoleBinding", "sluice"),
            ("ClusterRoleBinding", "sluice-webhook"),
            ("ConfigMap", "sluice-pod-template"),
            ("CustomResourceDefinition", "canaries.sluice.dev"),
            ("CustomResourceDefinition", "clustermetricsources.sluice.dev"),
            ("CustomResourceDefinition", "datapipelines.sluice.dev"),
            ("CustomResourceDefinition", "metricsources.sluice.dev"),
            ("CustomResourceDefinition", "pipelineruns.sluice.dev"),
            ("CustomResourceDefinition", "qualitygates.sluice.dev"),
            ("Deployment", "sluice"),
            ("MutatingWebhookConfiguration", "sluice"),
            ("Role", "sluice-lease"),
            ("RoleBinding", "sluice-lease"),
            ("Service", "sluice-metrics"),
            ("Service", "sluice-webhook"),
            ("ServiceAccount", "sluice"),
            ("ValidatingWebhookConfiguration", "sluice"),
        ]

    def test_pass_lint_without_a_warning(self, helm: Helm) -> None:
        result = helm.run("lint", "--strict", str(helm.chart))

        assert result.returncode == 0, result.stdout + result.stderr
        assert "[WARNING]" not in result.stdout
        assert "[ERROR]" not in result.stdout

    def test_run_one_replica_that_is_gone_before_the_next_starts(self, helm: Helm) -> None:
        spec = helm.template().one("Deployment")["spec"]

        assert spec["replicas"] == 1
        assert spec["strategy"] == {"type": "Recreate"}

    def test_start_the_controllers_with_every_setting_in_the_environment(self, helm: Helm) -> None:
        rendered = helm.template()

        assert rendered.container["command"] == ["python", "-m", "sluice.controllers"]
        assert rendered.env == {
            "SLUICE_LEASE": "sluice",
            "SLUICE_NAMESPACES": "",
            "SLUICE_LOG_FORMAT": "json",
            "SLUICE_LOG_LEVEL": "info",
            "SLUICE_METRICS_PORT": "8080",
            "SLUICE_WORKERS": "16",
            "SLUICE_CANARIES_AT_ONCE": "100",
            "SLUICE_GIT_REPOSITORIES": "",
            "SLUICE_GIT_PROTOCOLS": "https,ssh",
            "SLUICE_ARGOCD_NAMESPACE": "",
            "SLUICE_SERVICE_ACCOUNT": "sluice",
            "SLUICE_API_QPS": "200",
            "SLUICE_API_BURST": "400",
            "SLUICE_POD_TEMPLATE_FILE": "/etc/sluice/pod-template.yaml",
            "SLUICE_GATE_IMAGE": "sluice-gate:0.1.0",
            "SLUICE_WEBHOOK_MODE": "self-signed",
            "SLUICE_WEBHOOK_PORT": "9443",
            "SLUICE_WEBHOOK_CONFIG": "sluice",
            "SLUICE_WEBHOOK_SERVICE": "sluice-webhook",
        }
        fields = {
            item["name"]: item["valueFrom"]["fieldRef"]["fieldPath"]
            for item in rendered.container["env"]
            if "valueFrom" in item
        }
        assert fields == {"POD_NAMESPACE": "metadata.namespace", "POD_NAME": "metadata.name"}

    def test_probe_the_metrics_port(self, helm: Helm) -> None:
        container = helm.template().container
        probes = {probe: container[probe]["httpGet"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}

        assert probes == {
            "startupProbe": {"path": "/healthz", "port": "metrics"},
            "livenessProbe": {"path": "/healthz", "port": "metrics"},
            "readinessProbe": {"path": "/readyz", "port": "metrics"},
        }
        assert {"name": "metrics", "containerPort": 8080} in container["ports"]

    def test_give_the_token_to_the_operators_pod_only(self, helm: Helm) -> None:
        rendered = helm.template()

        assert rendered.one("ServiceAccount")["automountServiceAccountToken"] is False
        assert rendered.pod["spec"]["automountServiceAccountToken"] is True

    def test_select_the_pod_by_every_service(self, helm: Helm) -> None:
        rendered = helm.template()
        labels = rendered.pod["metadata"]["labels"]

        for service in rendered.all("Service"):
            assert service["spec"]["selector"].items() <= labels.items()
        assert rendered.one("Deployment")["spec"]["selector"]["matchLabels"].items() <= labels.items()

    def test_keep_every_name_valid_for_any_release(self, helm: Helm) -> None:
        rendered = helm.template(FILES, release="release.with-a-name-of-53-characters-the-most-it-takes"[:53])

        names = [item["metadata"]["name"] for item in rendered.objects]
        assert [name for name in names if len(name) > 63] == []
        assert [name for name in rendered.names("Service") if "." in name] == []
        assert rendered.pod["spec"]["serviceAccountName"] in rendered.names("ServiceAccount")


@pytest.mark.parametrize("values", [{}, FILES, NAMESPACED, {"podSecurityContext": {"runAsUser": 1000}}])
def test_the_pod_satisfies_the_restricted_profile(helm: Helm, values: dict[str, Any]) -> None:
    """Field by field what Pod Security "restricted" asks for."""
    spec = helm.template(values).pod["spec"]

    assert {"hostNetwork", "hostPID", "hostIPC", "initContainers", "ephemeralContainers"}.isdisjoint(spec)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] != 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {kind for volume in spec["volumes"] for kind in volume if kind != "name"} <= {
        "configMap",
        "emptyDir",
        "secret",
    }
    for container in spec["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all("hostPort" not in port for port in container["ports"])
    mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts.pop("tmp")["mountPath"] == "/tmp"
    assert all(mount["readOnly"] for mount in mounts.values())


class TestPermissions:
    """What the operator and its users may do."""

    OPERATOR: ClassVar = {
        ("sluice.dev", "datapipelines"): {"get", "list", "watch"},
        ("sluice.dev", "datapipelines/status"): {"patch"},
        ("sluice.dev", "datapipelines/finalizers"): {"update"},
        ("sluice.dev", "pipelineruns"): {"get", "list", "watch", "create", "patch", "delete"},
        ("sluice.dev", "pipelineruns/status"): {"patch"},
        ("sluice.dev", "pipelineruns/finalizers"): {"update"},
        ("sluice.dev", "qualitygates"): {"get", "list", "watch"},
        ("sluice.dev", "qualitygates/status"): {"patch"},
        ("sluice.dev", "canaries"): {"get", "list", "watch", "patch"},
        ("sluice.dev", "canaries/status"): {"patch"},
        ("sluice.dev", "canaries/finalizers"): {"update"},
        ("sluice.dev", "metricsources"): {"get", "list", "watch"},
        ("sluice.dev", "metricsources/status"): {"patch"},
        ("", "pods"): {"get", "list", "watch", "create", "patch", "delete"},
        ("", "services"): {"get", "list", "watch", "create", "patch", "delete"},
        ("", "configmaps"): {"get"},
        ("", "events"): {"create", "patch"},
        ("apps", "controllerrevisions"): {"get", "list", "watch", "create", "delete"},
        ("apps", "deployments"): {"get", "list", "watch", "create", "patch", "delete"},
        ("apps", "replicasets"): {"get", "list"},
        ("discovery.k8s.io", "endpointslices"): {"list"},
        ("autoscaling", "horizontalpodautoscalers"): {"get", "list", "create", "patch"},
        ("batch", "jobs"): {"get", "create", "delete"},
        ("gateway.networking.k8s.io", "httproutes"): {"get", "list", "watch", "patch"},
        ("gateway.networking.k8s.io", "grpcroutes"): {"get", "list", "watch", "patch"},
    }

    CLUSTER_WIDE: ClassVar = {
        ("sluice.dev", "clustermetricsources"): {"get", "list", "watch"},
        ("sluice.dev", "clustermetricsources/status"): {"patch"},
        ("gateway.networking.k8s.io", "gateways"): {"get"},
        ("gateway.networking.k8s.io", "gatewayclasses"): {"get"},
    }
    """What the operator may do beside that when it works in all namespaces."""

    @staticmethod
    def granted(role: Object) -> dict[tuple[str, str], set[str]]:
        """The verbs that a role grants on each resource of each group."""
        result: dict[tuple[str, str], set[str]] = {}
        for rule in role["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    result.setdefault((group, resource), set()).update(rule["verbs"])
        return result

    @pytest.mark.parametrize("values", [{}, NAMESPACED, FILES])
    def test_name_every_group_resource_and_verb(self, helm: Helm, values: dict[str, Any]) -> None:
        rendered = helm.template(values)

        for role in rendered.all("ClusterRole") + rendered.all("Role"):
            for rule in role["rules"]:
                words = [*rule["apiGroups"], *rule["resources"], *rule["verbs"]]
                assert not any("*" in word for word in words), (role["metadata"]["name"], rule)
                assert "nonResourceURLs" not in rule
                assert {"escalate", "bind", "impersonate"}.isdisjoint(rule["verbs"])
                assert not any(resource.split("/")[0] == "secrets" for resource in rule["resources"])

    def test_grant_the_operator_what_it_needs_and_no_more(self, helm: Helm) -> None:
        rendered = helm.template()

        assert self.granted(rendered.one("ClusterRole", "sluice")) == self.OPERATOR | self.CLUSTER_WIDE
        assert rendered.one("ClusterRoleBinding", "sluice")["roleRef"]["name"] == "sluice"
        assert rendered.one("ClusterRoleBinding", "sluice")["subjects"] == [
            {"kind": "ServiceAccount", "name": "sluice", "namespace": "sluice-system"}
        ]

    @pytest.mark.parametrize("values", [CREDENTIALS, NAMESPACED | CREDENTIALS])
    def test_let_the_operator_get_the_secrets_that_are_named_and_do_nothing_else_with_them(
        self, helm: Helm, values: dict[str, Any]
    ) -> None:
        rendered = helm.template(values)

        for kind in ("Role", "RoleBinding"):
            found = [item for item in rendered.all(kind) if item["metadata"]["name"] == "sluice-credentials"]
            assert [item["metadata"]["namespace"] for item in found] == ["orders", "billing"]
        assert [
            (role["metadata"]["name"], role["metadata"]["namespace"], rule)
            for role in rendered.all("ClusterRole") + rendered.all("Role")
            for rule in role["rules"]
            if any(resource.split("/")[0] == "secrets" for resource in rule["resources"])
        ] == [
            ("sluice-credentials", entry["namespace"], self.getting(*entry["secrets"]))
            for entry in CREDENTIALS["gates"]["credentials"]
        ]
        for binding in rendered.all("RoleBinding"):
            assert binding["roleRef"]["name"] == binding["metadata"]["name"]
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "sluice", "namespace": "sluice-system"}]

    @pytest.mark.parametrize("values", [{}, NAMESPACED])
    def test_let_the_operator_get_applications_in_the_namespace_of_argo_cd_only(
        self, helm: Helm, values: dict[str, Any]
    ) -> None:
        rendered = helm.template(values | {"gitops": {"argocd": {"namespace": "argocd"}}})

        assert [
            (role["metadata"]["name"], role["metadata"].get("namespace"), rule)
            for role in rendered.all("ClusterRole") + rendered.all("Role")
            for rule in role["rules"]
            if "argoproj.io" in rule["apiGroups"]
        ] == [
            ("sluice-argocd", "argocd", {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get"]})
        ]
        assert rendered.one("RoleBinding", "sluice-argocd")["roleRef"]["name"] == "sluice-argocd"

    def test_have_a_bounded_volume_for_clones_where_there_are_repositories(self, helm: Helm) -> None:
        without, rendered = helm.template(), helm.template({"gitops": {"repositories": ["https://git.example/a/"]}})

        assert not [volume for volume in without.pod["spec"]["volumes"] if volume["name"] == "git"]
        assert {"name": "git", "emptyDir": {"sizeLimit": "1Gi"}} in rendered.pod["spec"]["volumes"]
        assert {"name": "git", "mountPath": rendered.env["SLUICE_GIT_FOLDER"]} in rendered.container["volumeMounts"]

    @staticmethod
    def getting(*names: Any) -> dict[str, Any]:
        """The rule that lets these Secrets be read."""
        return {"apiGroups": [""], "resources": ["secrets"], "resourceNames": list(names), "verbs": ["get"]}

    def test_grant_no_secrets_when_roles_are_made_by_other_means(self, helm: Helm) -> None:
        rendered = helm.template(CREDENTIALS | {"rbac": {"create": False}})

        assert rendered.all("Role") + rendered.all("RoleBinding") == []

    def test_limit_the_webhook_permission_to_the_operators_own_configuration(self, helm: Helm) -> None:
        rendered = helm.template()

        assert rendered.one("ClusterRole", "sluice-webhook")["rules"] == [
            {
                "apiGroups": ["admissionregistration.k8s.io"],
                "resources": ["validatingwebhookconfigurations", "mutatingwebhookconfigurations"],
                "resourceNames": rendered.names("ValidatingWebhookConfiguration"),
                "verbs": ["get", "patch"],
            }
        ]

    def test_limit_the_lease_to_the_operators_own(self, helm: Helm) -> None:
        rendered = helm.template()

        lease = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"]}
        assert rendered.one("Role", "sluice-lease")["rules"] == [
            {**lease, "verbs": ["create"]},  # a name cannot be asked for where there is nothing yet
            {**lease, "resourceNames": [rendered.env["SLUICE_LEASE"]], "verbs": ["get", "patch"]},
        ]
        assert rendered.one("RoleBinding", "sluice-lease")["metadata"]["namespace"] == "sluice-system"

    @pytest.mark.parametrize("values", [FILES, OWN_CERTIFICATE, {"webhook": {"mode": "off"}}])
    def test_grant_no_webhook_permission_when_the_operator_writes_no_ca(
        self, helm: Helm, values: dict[str, Any]
    ) -> None:
        rendered = helm.template(values)

        assert "sluice-webhook" not in rendered.names("ClusterRole") + rendered.names("ClusterRoleBinding")

    def test_add_the_kinds_to_the_roles_of_people(self, helm: Helm) -> None:
        rendered = helm.template()
        view, edit = rendered.one("ClusterRole", "sluice-view"), rendered.one("ClusterRole", "sluice-edit")

        assert set().union(*self.granted(view).values()) == {"get", "list", "watch"}
        assert view["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-view"] == "true"
        assert set().union(*self.granted(edit).values()) == {"create", "update", "patch", "delete", "deletecollection"}
        assert "rbac.authorization.k8s.io/aggregate-to-view" not in edit["metadata"]["labels"]
        for role in (view, edit):
            assert role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-edit"] == "true"
            assert role["metadata"]["labels"]["rbac.authorization.k8s.io/aggregate-to-admin"] == "true"
            assert all(group == "sluice.dev" for group, _ in self.granted(role))
        assert {resource for _, resource in self.granted(edit)} == set(VALIDATED)
        assert {resource for _, resource in self.granted(view)} == {
            f"{plural}{part}" for plural in (*VALIDATED, "clustermetricsources") for part in ("", "/status")
        }


class TestNamespaced:
    def test_gives_a_role_in_each_namespace_and_nothing_cluster_wide_but_the_webhook(self, helm: Helm) -> None:
        rendered = helm.template(NAMESPACED)

        for kind in ("Role", "RoleBinding"):
            assert [(item["metadata"]["name"], item["metadata"]["namespace"]) for item in rendered.all(kind)] == [
                ("sluice-lease", "sluice-system"),
                ("sluice", "orders"),
                ("sluice", "billing"),
            ]
        roles = [role for role in rendered.all("Role") if role["metadata"]["name"] == "sluice"]
        assert all(TestPermissions.granted(role) == TestPermissions.OPERATOR for role in roles)
        assert all(
            binding["subjects"] == [{"kind": "ServiceAccount", "name": "sluice", "namespace": "sluice-system"}]
            for binding in rendered.all("RoleBinding")
        )
        assert rendered.names("ClusterRoleBinding") == ["sluice-webhook"]

    def test_gives_nothing_cluster_wide_when_the_webhook_is_off(self, helm: Helm) -> None:
        rendered = helm.template(NAMESPACED | {"webhook": {"mode": "off"}})

        assert rendered.names("ClusterRoleBinding") == []

    def test_tells_the_operator_and_the_webhook_its_namespaces(self, helm: Helm) -> None:
        rendered = helm.template(NAMESPACED)

        assert rendered.env["SLUICE_NAMESPACES"] == "orders,billing"
        assert [webhook["rules"][0]["resources"] for webhook in rendered.webhooks] == [[name] for name in VALIDATED]
        for webhook in rendered.webhooks:
            assert webhook["namespaceSelector"]["matchExpressions"] == [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["orders", "billing"]}
            ]

    @pytest.mark.parametrize("by", ["webhook", "policy"])
    def test_holds_targets_only_there(self, helm: Helm, by: str) -> None:
        rendered = helm.template(NAMESPACED | {"hold": {"by": by}})

        policies = rendered.all("MutatingAdmissionPolicy") + rendered.all("ValidatingAdmissionPolicy")
        rules = rendered.held if by == "webhook" else [item["spec"]["matchConstraints"] for item in policies]
        assert len(rules) == {"webhook": 2, "policy": 3}[by]
        for rule in rules:
            assert rule["namespaceSelector"]["matchExpressions"] == [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["orders", "billing"]}
            ]


class TestWebhook:
    def test_validates_each_kind_at_its_own_path(self, helm: Helm) -> None:
        rendered = helm.template()

        scopes = dict.fromkeys(VALIDATED, "Namespaced") | {"clustermetricsources": "Cluster"}
        assert [webhook["name"] for webhook in rendered.webhooks] == [f"{resource}.sluice.dev" for resource in scopes]
        for webhook, (resource, scope) in zip(rendered.webhooks, scopes.items(), strict=True):
            assert webhook["clientConfig"] == {
                "service": {"name": "sluice-webhook", "namespace": "sluice-system", "path": f"/{resource}", "port": 443}
            }, "caBundle must not be stated, or an upgrade would reset it"
            assert webhook["rules"] == [
                {
                    "apiGroups": ["sluice.dev"],
                    "apiVersions": ["v1alpha1"],
                    "operations": ["CREATE", "UPDATE"],
                    "resources": [resource],
                    "scope": scope,
                }
            ]
            assert webhook["sideEffects"] == "None"
            assert webhook["matchPolicy"] == "Equivalent"
            assert webhook["failurePolicy"] == "Fail"
            assert webhook["timeoutSeconds"] == 5
            assert "namespaceSelector" not in webhook
        service = rendered.one("Service", "sluice-webhook")["spec"]
        assert service["ports"] == [{"name": "webhook", "port": 443, "targetPort": "webhook"}]
        assert {"name": "webhook", "containerPort": 9443} in rendered.container["ports"]

    def test_has_its_certificate_from_cert_manager(self, helm: Helm) -> None:
        rendered = helm.template(FILES)

        certificate = rendered.one("Certificate")
        assert certificate["spec"]["dnsNames"] == [
            "sluice-webhook.sluice-system.svc",
            "sluice-webhook.sluice-system.svc.cluster.local",
        ]
        assert certificate["spec"]["issuerRef"] == {
            "group": "cert-manager.io",
            "kind": "Issuer",
            "name": "sluice-webhook",
        }
        assert rendered.one("Issuer", "sluice-webhook")["spec"] == {"selfSigned": {}}
        for kind in ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"):
            annotations = rendered.one(kind)["metadata"]["annotations"]
            assert annotations == {"cert-manager.io/inject-ca-from": "sluice-system/sluice-webhook"}
        assert rendered.env["SLUICE_WEBHOOK_MODE"] == "files"
        assert rendered.env["SLUICE_WEBHOOK_CERT_DIR"] == "/var/run/sluice/webhook-certs"
        volume = next(item for item in rendered.pod["spec"]["volumes"] if item["name"] == "webhook-certs")
        assert volume["secret"]["secretName"] == certificate["spec"]["secretName"] == "sluice-webhook-tls"
        assert all("caBundle" not in webhook["clientConfig"] for webhook in rendered.webhooks + rendered.held)

    def test_has_its_certificate_from_a_secret_of_the_users(self, helm: Helm) -> None:
        rendered = helm.template(OWN_CERTIFICATE)

        assert rendered.all("Certificate") + rendered.all("Issuer") == []
        assert [webhook["clientConfig"]["caBundle"] for webhook in rendered.webhooks] == ["Q0E="] * 6
        assert [webhook["clientConfig"]["caBundle"] for webhook in rendered.held] == ["Q0E="] * 2
        volume = next(item for item in rendered.pod["spec"]["volumes"] if item["name"] == "webhook-certs")
        assert volume["secret"]["secretName"] == "our-tls"

    def test_leaves_nothing_behind_when_off(self, helm: Helm) -> None:
        rendered = helm.template({"webhook": {"mode": "off"}})

        assert rendered.all("ValidatingWebhookConfiguration") + rendered.all("MutatingWebhookConfiguration") == []
        assert rendered.names("Service") == ["sluice-metrics"]
        assert [port["name"] for port in rendered.container["ports"]] == ["metrics"]
        assert {name for name in rendered.env if "WEBHOOK" in name} == {"SLUICE_WEBHOOK_MODE"}
        assert rendered.env["SLUICE_WEBHOOK_MODE"] == "off"


class TestHold:
    """What holds the targets of canaries."""

    V1, V1BETA1 = (f"admissionregistration.k8s.io/{version}/MutatingAdmissionPolicy" for version in ("v1", "v1beta1"))
    NOT_THE_OPERATOR: ClassVar = {
        "name": "not-the-operator",
        "expression": 'request.userInfo.username != "system:serviceaccount:sluice-system:sluice"',
    }

    def test_is_asked_at_its_own_path_and_closes_when_it_cannot_answer(self, helm: Helm) -> None:
        rendered = helm.template({"webhook": {"failurePolicy": "Ignore"}})

        hold, control = rendered.held
        assert [hold["name"], control["name"]] == ["hold.sluice.dev", "control.sluice.dev"]
        for webhook in (hold, control):
            service = {"name": "sluice-webhook", "namespace": "sluice-system", "path": "/hold", "port": 443}
            assert webhook["clientConfig"] == {"service": service}
            assert webhook["failurePolicy"] == "Fail"
            assert webhook["matchConditions"][0] == self.NOT_THE_OPERATOR
            assert webhook["reinvocationPolicy"] == "IfNeeded"
            assert "namespaceSelector" not in webhook
        assert hold["objectSelector"] == {"matchExpressions": [{"key": "sluice.dev/canary", "operator": "Exists"}]}
        assert [(hold["rules"][0][field]) for field in ("operations", "resources")] == [["UPDATE"], ["deployments"]]
        assert control["rules"][0]["operations"] == ["CREATE", "UPDATE"]
        assert control["rules"][0]["resources"] == ["canaries"]

    def test_is_asked_about_the_same_requests_as_a_policy_is(self, helm: Helm) -> None:
        hold, control = helm.template().held
        rendered = helm.template({"hold": {"by": "policy"}})

        for webhook, name in ((hold, "sluice-hold"), (control, "sluice-control")):
            spec = rendered.one("MutatingAdmissionPolicy", name)["spec"]
            assert spec["matchConditions"] == webhook["matchConditions"]
            assert spec["matchConstraints"]["resourceRules"] == webhook["rules"]
            assert spec["matchConstraints"].get("objectSelector") == webhook.get("objectSelector")
        refusing = rendered.one("ValidatingAdmissionPolicy", "sluice-hold")["spec"]
        assert refusing["matchConditions"] == hold["matchConditions"]
        assert refusing["matchConstraints"]["resourceRules"] == hold["rules"]

    def test_closes_when_a_policy_cannot_be_evaluated_and_binds_each(self, helm: Helm) -> None:
        rendered = helm.template({"hold": {"by": "policy"}})

        policies = rendered.all("MutatingAdmissionPolicy") + rendered.all("ValidatingAdmissionPolicy")
        assert [item["spec"]["failurePolicy"] for item in policies] == ["Fail"] * 3
        for kind, names in (("Mutating", ["sluice-hold", "sluice-control"]), ("Validating", ["sluice-hold"])):
            bindings = rendered.all(f"{kind}AdmissionPolicyBinding")
            assert (
                [item["spec"]["policyName"] for item in bindings] == rendered.names(f"{kind}AdmissionPolicy") == names
            )
        assert rendered.one("ValidatingAdmissionPolicyBinding")["spec"]["validationActions"] == ["Deny"]

    @pytest.mark.parametrize(
        ("by", "served", "versions"),
        [
            ("auto", [], None),
            ("auto", [V1BETA1], "v1beta1"),
            ("auto", [V1], "v1"),
            ("auto", [V1, V1BETA1], "v1"),
            ("webhook", [V1], None),
            ("policy", [], "v1beta1"),
            ("policy", [V1], "v1"),
        ],
    )
    def test_is_a_policy_where_the_api_server_has_them_or_it_is_asked_for(
        self, helm: Helm, by: str, served: list[str], versions: str | None
    ) -> None:
        rendered = helm.template({"hold": {"by": by}}, served=served)

        found = {
            item["apiVersion"]
            for item in rendered.all("MutatingAdmissionPolicy") + rendered.all("MutatingAdmissionPolicyBinding")
        }
        assert found == ({f"admissionregistration.k8s.io/{versions}"} if versions else set())
        assert rendered.names("MutatingWebhookConfiguration") == ([] if versions else ["sluice"])

    def test_needs_no_webhook_as_a_policy(self, helm: Helm) -> None:
        rendered = helm.template({"webhook": {"mode": "off"}}, served=[self.V1])

        assert rendered.names("MutatingAdmissionPolicy") == ["sluice-hold", "sluice-control"]


class TestCrds:
    def test_are_those_of_the_repository(self, root: Path) -> None:
        chart = {file.name: file.read_text() for file in (root / "charts/sluice/files/crds").glob("*.yaml")}
        repository = {file.name: file.read_text() for file in (root / "crds").glob("*.yaml")}

        assert chart == repository
        assert set(chart) == {f"{plural}.yaml" for plural in (*VALIDATED, "clustermetricsources")}

    def test_are_rendered_with_nothing_changed_but_labels_and_annotations(self, helm: Helm) -> None:
        rendered = {item["metadata"]["name"]: item for item in helm.template().all("CustomResourceDefinition")}

        for file in (helm.chart / "files/crds").glob("*.yaml"):
            source = yaml.safe_load(file.read_text())
            crd = rendered.pop(source["metadata"]["name"])
            metadata = crd.pop("metadata")
            assert source.pop("metadata")["name"] == metadata["name"]
            assert crd == source
            assert metadata["annotations"]["helm.sh/resource-policy"] == "keep"
            assert metadata["labels"]["app.kubernetes.io/part-of"] == "sluice"
        assert rendered == {}

    def test_keep_labels_annotations_large_numbers_and_braces(self, helm: Helm, tmp_path: Path) -> None:
        chart = tmp_path / "sluice"
        shutil.copytree(helm.chart, chart)
        stub: dict[str, Any] = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "stubs.sluice.dev", "labels": {"own": "label"}, "annotations": {"own": "annotation"}},
            "spec": {"description": "{{ not a template }}", "maximum": 9007199254740991, "default": "yes"},
        }
        (chart / "files/crds/stubs.yaml").write_text(yaml.safe_dump(stub))

        crd = helm.of(chart).template().one("CustomResourceDefinition", "stubs.sluice.dev")

        assert crd["spec"] == stub["spec"]
        assert crd["metadata"]["labels"]["own"] == "label"
        assert crd["metadata"]["annotations"] == {"own": "annotation", "helm.sh/resource-policy": "keep"}

    def test_refuse_a_file_that_is_no_crd(self, helm: Helm, tmp_path: Path) -> None:
        chart = tmp_path / "sluice"
        shutil.copytree(helm.chart, chart)
        (chart / "files/crds/other.yaml").write_text("kind: Secret\n")

        assert "files/crds/other.yaml is not one CustomResourceDefinition" in helm.of(chart).refusal({})


Change = Callable[["Rendered"], Any]


def pod_template(rendered: Rendered) -> str:
    """The data of the pod template's ConfigMap."""
    return str(rendered.one("ConfigMap")["data"]["pod-template.yaml"])


def annotations_of(kind: str, name: str = "") -> Change:
    return lambda rendered: rendered.one(kind, name)["metadata"].get("annotations", {})


def spec_of_pod(field: str) -> Change:
    return lambda rendered: rendered.pod["spec"].get(field)


def env(name: str) -> Change:
    return lambda rendered: rendered.env[name]


def webhook(field: str) -> Change:
    return lambda rendered: [item[field] for item in rendered.webhooks]


def policy(rendered: Rendered) -> Any:
    return rendered.one("NetworkPolicy")["spec"]


def endpoint(field: str) -> Change:
    return lambda rendered: rendered.one("ServiceMonitor")["spec"]["endpoints"][0][field]


POLICY = {"networkPolicy": {"enabled": True}}
MONITOR = {"metrics": {"serviceMonitor": {"enabled": True}}}
PEERS = [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
DIGEST = "sha256:" + "a" * 64
TOLERATION = {"key": "dedicated", "operator": "Exists"}
SPREAD = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
AFFINITY: dict[str, Any] = {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}
RESOURCES = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
SECURITY = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 65532,
    "fsGroup": 65532,
    "seccompProfile": {"type": "RuntimeDefault"},
}

# What each value changes: the value, what to look at, what is there then, and other values that it needs to show.
CHANGES: dict[str, tuple[Any, Change, Any, dict[str, Any]]] = {
    "nameOverride": ("flow", lambda r: r.pod["metadata"]["labels"]["app.kubernetes.io/name"], "flow", {}),
    "fullnameOverride": ("flow", lambda r: r.one("Deployment")["metadata"]["name"], "flow", {}),
    "commonLabels": (
        {"team": "data"},
        lambda r: {o["metadata"]["labels"].get("team") for o in r.objects},
        {"data"},
        {},
    ),
    "image.repository": ("registry:5000/x/sluice", lambda r: r.container["image"], "registry:5000/x/sluice:0.1.0", {}),
    "image.tag": ("2.0", lambda r: r.container["image"], "sluice:2.0", {}),
    "image.digest": (DIGEST, lambda r: r.container["image"], f"sluice@{DIGEST}", {}),
    "image.pullPolicy": ("Always", lambda r: r.container["imagePullPolicy"], "Always", {}),
    "imagePullSecrets": ([{"name": "pull"}], spec_of_pod("imagePullSecrets"), [{"name": "pull"}], {}),
    "namespaces": (["a", "b"], env("SLUICE_NAMESPACES"), "a,b", {}),
    "log.format": ("console", env("SLUICE_LOG_FORMAT"), "console", {}),
    "log.level": ("debug", env("SLUICE_LOG_LEVEL"), "debug", {}),
    "workers": (32, env("SLUICE_WORKERS"), "32", {}),
    "canaries.atOnce": (7, env("SLUICE_CANARIES_AT_ONCE"), "7", {}),
    "api.qps": (100_000, env("SLUICE_API_QPS"), "100000", {}),
    "api.burst": (800, env("SLUICE_API_BURST"), "800", {}),
    "podTemplate": (
        {"metadata": {"labels": {"team": "data"}}, "spec": {"priorityClassName": "batch"}},
        lambda r: yaml.safe_load(pod_template(r)),
        {"metadata": {"labels": {"team": "data"}}, "spec": {"priorityClassName": "batch"}},
        {},
    ),
    "gates.image": ("registry:5000/x/gate@" + DIGEST, env("SLUICE_GATE_IMAGE"), "registry:5000/x/gate@" + DIGEST, {}),
    "gates.credentials": (
        [{"namespace": "orders", "secrets": ["prometheus-token"]}],
        lambda r: [(o["kind"], o["metadata"]["namespace"]) for o in r.all("Role") + r.all("RoleBinding")],
        [("Role", "orders"), ("Role", "sluice-system"), ("RoleBinding", "orders"), ("RoleBinding", "sluice-system")],
        {},
    ),
    "gitops.repositories": (
        ["https://git.example/acme/", "git@git.example:acme/apps"],
        env("SLUICE_GIT_REPOSITORIES"),
        "https://git.example/acme/,git@git.example:acme/apps",
        {},
    ),
    "gitops.protocols": (["https", "http"], env("SLUICE_GIT_PROTOCOLS"), "https,http", {}),
    "gitops.argocd.namespace": ("argocd", env("SLUICE_ARGOCD_NAMESPACE"), "argocd", {}),
    "crds.enabled": (False, lambda r: r.all("CustomResourceDefinition"), [], {}),
    "crds.keep": (False, annotations_of("CustomResourceDefinition", "pipelineruns.sluice.dev"), {}, {}),
    "rbac.create": (
        False,
        lambda r: sorted(r.names("ClusterRole") + r.names("ClusterRoleBinding")),
        ["sluice-edit", "sluice-view"],
        {},
    ),
    "rbac.aggregate": (False, lambda r: sorted(r.names("ClusterRole")), ["sluice", "sluice-webhook"], {}),
    "serviceAccount.create": (
        False,
        lambda r: (r.all("ServiceAccount"), r.pod["spec"]["serviceAccountName"]),
        ([], "default"),
        {},
    ),
    "serviceAccount.name": (
        "robot",
        lambda r: (r.names("ServiceAccount"), r.pod["spec"]["serviceAccountName"]),
        (["robot"], "robot"),
        {},
    ),
    "serviceAccount.annotations": ({"role": "arn"}, annotations_of("ServiceAccount"), {"role": "arn"}, {}),
    "webhook.mode": ("off", env("SLUICE_WEBHOOK_MODE"), "off", {}),
    "webhook.port": (
        10250,
        lambda r: (r.env["SLUICE_WEBHOOK_PORT"], r.container["ports"][1]["containerPort"]),
        ("10250", 10250),
        {},
    ),
    "webhook.failurePolicy": ("Ignore", webhook("failurePolicy"), ["Ignore"] * 6, {}),
    "webhook.timeoutSeconds": (
        10,
        lambda r: [item["timeoutSeconds"] for item in r.webhooks + r.held],
        [10] * 8,
        {},
    ),
    "webhook.annotations": (
        {"a": "b"},
        lambda r: [
            r.one(f"{kind}WebhookConfiguration")["metadata"]["annotations"] for kind in ("Validating", "Mutating")
        ],
        [{"a": "b"}] * 2,
        {},
    ),
    "webhook.secretName": ("our-tls", lambda r: r.one("Certificate")["spec"]["secretName"], "our-tls", FILES),
    "webhook.caBundle": (
        "Q0E=",
        lambda r: r.webhooks[1]["clientConfig"]["caBundle"],
        "Q0E=",
        {"webhook": {"mode": "files", "secretName": "our-tls", "annotations": {"a": "b"}}},
    ),
    "webhook.certManager.enabled": (
        True,
        lambda r: r.names("Certificate"),
        ["sluice-webhook"],
        {"webhook": {"mode": "files", "secretName": "our-tls", "annotations": {"a": "b"}}},
    ),
    "webhook.certManager.issuerRef": (
        {"name": "corp", "kind": "ClusterIssuer"},
        lambda r: (r.one("Certificate")["spec"]["issuerRef"], r.all("Issuer")),
        ({"name": "corp", "kind": "ClusterIssuer"}, []),
        FILES,
    ),
    "webhook.certManager.duration": ("24h", lambda r: r.one("Certificate")["spec"]["duration"], "24h", FILES),
    "webhook.certManager.renewBefore": ("8h", lambda r: r.one("Certificate")["spec"]["renewBefore"], "8h", FILES),
    "hold.by": ("policy", lambda r: r.names("MutatingAdmissionPolicy"), ["sluice-hold", "sluice-control"], {}),
    "metrics.port": (
        9090,
        lambda r: (
            r.env["SLUICE_METRICS_PORT"],
            r.container["ports"][0]["containerPort"],
            r.one("Service", "sluice-metrics")["spec"]["ports"][0]["port"],
        ),
        ("9090", 9090, 9090),
        {},
    ),
    "metrics.service.enabled": (False, lambda r: r.names("Service"), ["sluice-webhook"], {}),
    "metrics.service.annotations": ({"a": "b"}, annotations_of("Service", "sluice-metrics"), {"a": "b"}, {}),
    "metrics.service.scrapeAnnotations": (
        True,
        annotations_of("Service", "sluice-metrics"),
        {"prometheus.io/scrape": "true", "prometheus.io/path": "/metrics", "prometheus.io/port": "8080"},
        {},
    ),
    "metrics.serviceMonitor.enabled": (True, lambda r: r.names("ServiceMonitor"), ["sluice"], {}),
    "metrics.serviceMonitor.interval": ("5s", endpoint("interval"), "5s", MONITOR),
    "metrics.serviceMonitor.scrapeTimeout": ("4s", endpoint("scrapeTimeout"), "4s", MONITOR),
    "metrics.serviceMonitor.labels": (
        {"release": "prom"},
        lambda r: r.one("ServiceMonitor")["metadata"]["labels"]["release"],
        "prom",
        MONITOR,
    ),
    "networkPolicy.enabled": (True, lambda r: policy(r)["policyTypes"], ["Ingress", "Egress"], {}),
    "networkPolicy.metricsFrom": (PEERS, lambda r: policy(r)["ingress"][0]["from"], PEERS, POLICY),
    "networkPolicy.webhookFrom": (PEERS, lambda r: policy(r)["ingress"][1]["from"], PEERS, POLICY),
    "networkPolicy.egress": ([{"to": PEERS}], lambda r: policy(r)["egress"], [{"to": PEERS}], POLICY),
    "hostNetwork": (
        True,
        lambda r: (r.pod["spec"]["hostNetwork"], r.pod["spec"]["dnsPolicy"]),
        (True, "ClusterFirstWithHostNet"),
        {},
    ),
    "resources": (RESOURCES, lambda r: r.container["resources"], RESOURCES, {}),
    "podSecurityContext": ({"runAsUser": 1000}, spec_of_pod("securityContext"), SECURITY, {}),
    "terminationGracePeriodSeconds": (60, spec_of_pod("terminationGracePeriodSeconds"), 60, {}),
    "priorityClassName": ("system-cluster-critical", spec_of_pod("priorityClassName"), "system-cluster-critical", {}),
    "nodeSelector": (
        {"pool": "infra"},
        spec_of_pod("nodeSelector"),
        {"kubernetes.io/os": "linux", "pool": "infra"},
        {},
    ),
    "tolerations": ([TOLERATION], spec_of_pod("tolerations"), [TOLERATION], {}),
    "affinity": (AFFINITY, spec_of_pod("affinity"), AFFINITY, {}),
    "topologySpreadConstraints": ([SPREAD], spec_of_pod("topologySpreadConstraints"), [SPREAD], {}),
    "deploymentAnnotations": ({"a": "b"}, annotations_of("Deployment"), {"a": "b"}, {}),
    "podAnnotations": ({"a": "b"}, lambda r: r.pod["metadata"]["annotations"]["a"], "b", {}),
    "podLabels": ({"team": "data"}, lambda r: r.pod["metadata"]["labels"]["team"], "data", {}),
    "extraEnv": ([{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}], env("HTTPS_PROXY"), "http://proxy:3128", {}),
}


class TestValues:
    @pytest.mark.parametrize("path", CHANGES)
    def test_each_changes_what_it_says(self, helm: Helm, path: str) -> None:
        value, look, expected, needs = CHANGES[path]

        assert look(helm.template(merged(needs, values_with(path, value)))) == expected

    def test_are_all_in_the_table_above(self, root: Path) -> None:
        documented = {path for path, _ in leaves(yaml.safe_load((root / "charts/sluice/values.yaml").read_text()))}

        assert set(CHANGES) == documented

    def test_are_all_in_the_readme_with_their_defaults(self, root: Path) -> None:
        defaults = dict(leaves(yaml.safe_load((root / "charts/sluice/values.yaml").read_text())))
        readme = (root / "charts/sluice/README.md").read_text()
        rows = dict(re.findall(r"^\| `([A-Za-z.]+)` \| `(.*?)` \| .+ \|$", readme, re.MULTILINE))

        assert {path: yaml.safe_load(default) for path, default in rows.items()} == defaults

    def test_each_have_a_comment_above_them(self, root: Path) -> None:
        text = (root / "charts/sluice/values.yaml").read_text()
        lines = text.splitlines()
        positions = dict(key_lines(yaml.compose(text)))

        bare = [path for path in CHANGES if not lines[positions[path] - 1].lstrip().startswith("# ")]
        assert bare == []

    def test_are_described_in_a_schema_that_knows_no_others(self, root: Path) -> None:
        schema = json.loads((root / "charts/sluice/values.schema.json").read_text())
        values = yaml.safe_load((root / "charts/sluice/values.yaml").read_text())

        def compare(schema: dict[str, Any], values: dict[str, Any], path: str) -> None:
            assert schema["additionalProperties"] is False, path
            assert set(values) == set(schema["properties"]) - {"global"}, path
            for name, value in values.items():
                assert schema["properties"][name]["description"], f"{path}{name}"
                if isinstance(value, dict) and value and name not in OPEN_MAPPINGS:
                    compare(schema["properties"][name], value, f"{path}{name}.")

        compare(schema, values, "")

    def test_allow_in_the_pod_template_what_a_pipeline_does(self, root: Path) -> None:
        schema = json.loads((root / "charts/sluice/values.schema.json").read_text())
        crd = yaml.safe_load((root / "crds/datapipelines.yaml").read_text())
        pipeline = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]

        def types(template: dict[str, Any]) -> dict[str, str]:
            return {name: field["type"] for name, field in template["properties"]["spec"]["properties"].items()}

        assert types(schema["properties"]["podTemplate"]) == types(pipeline["properties"]["podTemplate"])

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            ("replicas", 2),
            ("image.repo", "x"),
            ("webhook.certmanager", {"enabled": True}),
            ("podTemplate.labels", {"a": "b"}),
            ("podTemplate.spec", {"tolerantions": []}),
            ("podTemplate.spec", {"hostNetwork": True}),
            ("affinity.nodeaffinity", {}),
            ("image.pullPolicy", "always"),
            ("image.digest", "sha256:abc"),
            ("image.tag", 1.0),
            ("image.repository", "sluice:1.0"),
            ("namespaces", "orders"),
            ("namespaces", ["orders", "orders"]),
            ("namespaces", ["Orders"]),
            ("log.level", "INFO"),
            ("log.format", "text"),
            ("workers", 0),
            ("workers", "16"),
            ("api.qps", -1),
            ("webhook.mode", "selfsigned"),
            ("webhook.port", 443),
            ("hold.by", "policies"),
            ("canaries.atOnce", 0),
            ("webhook.failurePolicy", "fail"),
            ("webhook.timeoutSeconds", 31),
            ("webhook.caBundle", "-----BEGIN CERTIFICATE-----"),
            ("webhook.certManager.issuerRef", {"kind": "ClusterIssuer"}),
            ("webhook.certManager.duration", "90d"),
            ("commonLabels", {"a": "no spaces here"}),
            ("podAnnotations", {"a": True}),
            ("extraEnv", {"A": "b"}),
            ("crds.enabled", "true"),
            ("gates.images", "x"),
            ("gates.credentials", {"namespace": "orders", "secrets": ["a"]}),
            ("gates.credentials", [{"namespace": "orders"}]),
            ("gitops.repositories", ["--upload-pack=x"]),
            ("gitops.repositories", ["https://a/,https://b/"]),
            ("gitops.protocols", ["ext"]),
            ("gitops.protocols", []),
            ("gitops.argocd.namespace", "Argo"),
            ("gates.credentials", [{"secrets": ["a"]}]),
            ("gates.credentials", [{"namespace": "orders", "secrets": []}]),
            ("gates.credentials", [{"namespace": "orders", "secrets": ["*"]}]),
            ("gates.credentials", [{"namespace": "orders", "secrets": ["a", "a"]}]),
            ("gates.credentials", [{"namespace": "Orders", "secrets": ["a"]}]),
            ("gates.credentials", [{"namespace": "orders", "secrets": ["a"], "verbs": ["list"]}]),
        ],
    )
    def test_that_are_misspelt_or_wrong_are_refused(self, helm: Helm, path: str, value: Any) -> None:
        message = helm.refusal(values_with(path, value))

        assert "values don't meet the specifications of the schema" in message

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ({"webhook": {"certManager": {"enabled": True}}}, "set webhook.mode=files"),
            ({"webhook": {"mode": "files"}}, "set webhook.secretName"),
            ({"webhook": {"mode": "files", "secretName": "tls"}}, "set webhook.caBundle"),
            ({"webhook": {"caBundle": "Q0E="}}, "webhook.caBundle is only for webhook.mode=files without cert-manager"),
            (
                merged(FILES, {"webhook": {"caBundle": "Q0E="}}),
                "webhook.caBundle is only for webhook.mode=files without cert-manager",
            ),
            (
                {"gates": {"credentials": [{"namespace": "orders", "secrets": [name]} for name in ("a", "b")]}},
                'the namespace "orders" twice',
            ),
            (
                CREDENTIALS | {"namespaces": ["orders"]},
                'the namespace "billing", which is not among namespaces',
            ),
            (merged(MONITOR, {"metrics": {"service": {"enabled": False}}}), "a ServiceMonitor needs the Service"),
            (
                {"hold": {"by": "webhook"}, "webhook": {"mode": "off"}},
                "nothing would hold the targets of canaries back; set hold.by=policy",
            ),
            ({"metrics": {"port": 9443}}, "metrics.port and webhook.port are both 9443"),
        ],
    )
    def test_that_contradict_each_other_are_refused_with_what_to_do(
        self, helm: Helm, values: dict[str, Any], message: str
    ) -> None:
        assert message in helm.refusal(values)

    def test_never_grant_all_secrets_of_a_namespace_even_when_the_schema_is_not_asked(
        self, helm: Helm, tmp_path: Path
    ) -> None:
        """A role without resourceNames would be for every Secret."""
        chart = tmp_path / "sluice"
        shutil.copytree(helm.chart, chart)
        (chart / "values.schema.json").unlink()

        message = helm.of(chart).refusal({"gates": {"credentials": [{"namespace": "orders", "secrets": []}]}})

        assert 'the namespace "orders" names no Secret' in message

    @pytest.mark.parametrize(
        ("image", "expected"),
        [
            ({"repository": "registry:5000/x/sluice"}, "registry:5000/x/sluice-gate:0.1.0"),
            ({"tag": "2.0"}, "sluice-gate:2.0"),
            ({"digest": DIGEST}, "sluice-gate:0.1.0"),
        ],
    )
    def test_of_the_image_name_that_of_gates_too_unless_it_is_given(
        self, helm: Helm, image: dict[str, str], expected: str
    ) -> None:
        assert helm.template({"image": image}).env["SLUICE_GATE_IMAGE"] == expected

    def test_may_be_those_of_a_parent_chart(self, helm: Helm) -> None:
        assert helm.template({"global": {"anything": 1}}).names("Deployment") == ["sluice"]

    def test_that_change_the_pod_template_restart_the_operator(self, helm: Helm) -> None:
        before = helm.template().pod["metadata"]["annotations"]
        after = helm.template({"podTemplate": {"spec": {"priorityClassName": "batch"}}}).pod["metadata"]["annotations"]

        assert before["checksum/pod-template"] != after["checksum/pod-template"]

    def test_cannot_break_the_selector(self, helm: Helm) -> None:
        mine = {"app.kubernetes.io/name": "mine", "app.kubernetes.io/instance": "mine"}
        rendered = helm.template({"commonLabels": mine, "podLabels": mine})

        assert (
            rendered.one("Deployment")["spec"]["selector"]["matchLabels"].items()
            <= rendered.pod["metadata"]["labels"].items()
        )


class TestNotes:
    @pytest.mark.parametrize(
        ("values", "says"),
        [
            ({}, "It works in all namespaces."),
            (NAMESPACED, "It works in the namespaces orders, billing."),
            ({}, "pod-security.kubernetes.io/enforce=restricted"),
            ({}, "changes to pipelines, runs, gates, canaries and metric sources are refused"),
            ({"webhook": {"mode": "off"}}, "The admission webhook is off"),
            ({"webhook": {"mode": "off"}}, "Nothing holds the targets of canaries"),
            ({}, "changes of the pod templates of canaries' targets are refused (hold.by=webhook)"),
            ({"crds": {"keep": False}}, "deletes the CRDs"),
        ],
    )
    def test_tell_what_was_chosen(self, helm: Helm, tmp_path: Path, values: dict[str, Any], says: str) -> None:
        """helm shows the notes only when it installs, so here they are rendered as if they were an object."""
        chart = tmp_path / "sluice"
        shutil.copytree(helm.chart, chart)
        notes = (chart / "templates/NOTES.txt").read_text()
        (chart / "templates/notes.yaml").write_text(
            f'{{{{ define "notes" }}}}{notes}{{{{ end }}}}\nkind: Notes\ntext: {{{{ include "notes" . | quote }}}}\n'
        )

        assert says in helm.of(chart).template(values).all("Notes")[0]["text"]
