"""argocd/examples in a real Argo CD: what is written there for other people's clusters works in this one.

Only names of places are other ones: the repository, the image, namespaces, and the clusters, all of which are this one.
Needs the add-ons argocd and gateway.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from dev import demo
from dev.cluster.addons import argocd
from tests.cluster.argo import Application, ArgoCD, Refused, Repository
from tests.cluster.kit import ROOT, Manifest, Namespace, pipeline, shell

pytestmark = [pytest.mark.argocd, pytest.mark.gateway]

EXAMPLES = "argocd/examples"
URL = "https://git.example.com/data/sluice.git"
SERVER = "server: https://kubernetes.default.svc"
ENVIRONMENTS = ("dev", "staging", "prod")


@pytest.fixture
def repository(namespace: Namespace, tmp_path: Path) -> Repository:
    """The examples, as they are but for names of places."""
    made = Repository(namespace.name, tmp_path)
    image, _, tag = demo.images()["example-pricing"].rpartition(":")
    other = {
        URL: made.url,
        "newName: registry.example.com/shop/pricing, newTag: 1.0.0": f'newName: {image}, newTag: "{tag}"',
        # One cluster for all, so one region for each environment.
        "          - {environment: prod, region: ap-south}\n": "",
        'name: "{{.environment}}-{{.region}}", namespace: "pricing-{{.environment}}"': SERVER
        + ', namespace: "pricing-{{.environment}}"',
        **{f"name: {environment}-eu-west, namespace": f"{SERVER}, namespace" for environment in ENVIRONMENTS},
        # The namespaces are this test's.
        **{f"pricing-{environment}": f"{namespace.name}-{environment}" for environment in ENVIRONMENTS},
        '"pricing-{{.environment}}"': f'"{namespace.name}-{{{{.environment}}}}"',
        ".example.com]": f".{namespace.name}.local]",
        "namespace: flights}": f"namespace: {namespace.name}-team}}",
        "      namespace: flights\n": f"      namespace: {namespace.name}-team\n    - {SERVER}\n"
        f"      namespace: {namespace.name}-new\n",
    }
    for folder in (EXAMPLES, "examples/pricing"):
        shutil.copytree(ROOT / folder, made.folder / folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    shutil.copy(ROOT / "argocd" / "projects.yaml", made.folder / EXAMPLES / "teams-projects.yaml")
    for file in made.folder.rglob("*.yaml"):
        text = file.read_text()
        for old, new in other.items():
            text = text.replace(old, new)
        file.write_text(text)
    return made


@pytest.fixture
def places(namespace: Namespace) -> Iterator[dict[str, Namespace]]:
    """The namespaces of environments and teams."""
    made = {
        name: Namespace(f"{namespace.name}-{name}", namespace.kubeconfig) for name in (*ENVIRONMENTS, "team", "new")
    }
    for one in made.values():
        namespace.kubectl("create", "namespace", one.name)
    yield made
    for one in made.values():
        namespace.kubectl("delete", "namespace", one.name, "--wait=false")


@contextmanager
def applied(namespace: Namespace, api: ArgoCD, *files: Path) -> Iterator[None]:
    """What lies in Argo CD's namespace is there while this lasts; Applications go before their projects, or they could not."""
    made: list[Manifest] = [thing for file in files for thing in yaml.safe_load_all(file.read_text())]
    try:
        for file in files:
            namespace.kubectl("apply", "-n", argocd.NAMESPACE, "-f", str(file))
        yield
    finally:
        delete = ("delete", "-n", argocd.NAMESPACE, "--ignore-not-found")
        projects = [thing for thing in made if thing["kind"] == "AppProject"]
        for thing in [thing for thing in made if thing not in projects]:
            namespace.kubectl(*delete, thing["kind"].lower(), thing["metadata"]["name"])
        for name in names(api, namespace.name):
            namespace.kubectl(*delete, "application", name)
        for thing in projects:
            namespace.kubectl(*delete, "appproject", thing["metadata"]["name"])


def of(name: str, namespace: Namespace, api: ArgoCD) -> Application:
    """An Application that something else makes, once it is there."""
    made = Application(name, namespace, api)

    def there() -> bool:
        try:
            return bool(api.ask("GET", f"/applications/{name}"))
        except Refused as refused:
            if refused.status in (403, 404):  # 403: Argo CD does not say of whom there is none
                return False
            raise

    namespace.wait_for(f"the Application {name}", there)
    return made


def names(api: ArgoCD, part: str) -> set[str]:
    """The Applications whose destination's namespace has this part."""
    rows = api.ask("GET", "/applications").get("items") or []
    return {row["metadata"]["name"] for row in rows if part in row["spec"]["destination"]["namespace"]}


@pytest.mark.long
def test_the_examples_bring_a_service_to_its_environments_and_each_team_its_pipelines(
    namespace: Namespace, repository: Repository, places: dict[str, Namespace]
) -> None:
    team = repository.folder / "teams" / places["team"].name
    team.mkdir(parents=True)
    (team / "pipelines.yaml").write_text(yaml.safe_dump(pipeline("one", shell("main"))))
    first = repository.push("Have what the examples have")
    folder = repository.folder / EXAMPLES
    api = ArgoCD.log_in()
    files = [folder / name for name in ("projects.yaml", "teams-projects.yaml", "applicationset.yaml")]
    with applied(namespace, api, *files):
        for environment in ENVIRONMENTS:
            app = of(f"pricing-{environment}-eu-west", places[environment], api)
            app.synced(first)
            app.is_healthy("Healthy", seconds=120)
            found = places[environment].get("canary", "pricing")
            assert found["status"]["phase"] == "Stable", found["status"]
        assert [places[name].get("deployment", "pricing")["spec"]["replicas"] for name in ENVIRONMENTS] == [1, 2, 4]

        app = of(places["team"].name, places["team"], api)
        app.synced(first)
        assert places["team"].ended(places["team"].run("one"))["phase"] == "Succeeded"
        shutil.copytree(team, team.with_name(places["new"].name))
        second = repository.push("Have another team")
        of(places["new"].name, places["new"], api).synced(second)
        shutil.rmtree(team)
        repository.push("Have a team less")
        namespace.wait_for("the Application to go", lambda: names(api, places["team"].name) == set())
        assert places["team"].get("pipeline", "one"), "preserveResourcesOnDeletion"
        assert names(api, namespace.name) == {places["new"].name, *(f"pricing-{name}-eu-west" for name in ENVIRONMENTS)}


def test_an_application_of_applications_brings_them_in_waves(
    namespace: Namespace, repository: Repository, places: dict[str, Namespace]
) -> None:
    """Without the two of the operator and its CRDs: this cluster's operator is the one under test."""
    folder = repository.folder / EXAMPLES
    for file in ("sluice-crds.yaml", "sluice-operator.yaml", "flights.yaml"):
        (folder / "apps" / file).unlink()
    renamed = {
        "name: platform": f"name: platform-{namespace.name}",
        "name: services": f"name: services-{namespace.name}",
    }
    renamed |= {"project: platform": f"project: platform-{namespace.name}"}
    renamed |= {"project: services": f"project: services-{namespace.name}"}
    renamed |= {"  name: pricing\n  namespace: argocd": f"  name: pricing-{namespace.name}\n  namespace: argocd"}
    for file in (folder / "projects.yaml", folder / "app-of-apps.yaml", folder / "apps" / "pricing.yaml"):
        text = file.read_text()
        for old, new in renamed.items():
            text = text.replace(old, new)
        file.write_text(text)
    first = repository.push("Have what the examples have")
    api = ArgoCD.log_in()
    with applied(namespace, api, folder / "projects.yaml", folder / "app-of-apps.yaml"):
        of(f"platform-{namespace.name}", namespace, api).synced(first)
        app = of(f"pricing-{namespace.name}", places["prod"], api)
        app.synced(first)
        app.is_healthy("Healthy", seconds=120)
        assert places["prod"].get("canary", "pricing")["status"]["phase"] == "Stable"
        made = [
            places["prod"].get(kind, name)["metadata"]
            for kind, name in (("metricsource", "prometheus"), ("qualitygate", "pricing-slo"), ("canary", "pricing"))
        ]
        assert [one["annotations"]["argocd.argoproj.io/sync-wave"] for one in made] == ["2", "3", "5"]
        times = [one["creationTimestamp"] for one in made]
        assert times == sorted(set(times)), "one wave after the other, which are seconds apart"
