"""What the chart makes of servers and their migration fits the server, and is bound as a pod should be."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from protojobs_service import settings
from protojobs_service.cli import app
from typer.testing import CliRunner

from tests.chart.rendering import CHART, RELEASE, ROOT, VALUE_FILES, Object, find, pods, render

Made = Callable[[str], list[Object]]
NAMES = [path.name.removesuffix("-values.yaml") for path in VALUE_FILES]
SERVER = {"sqlite": "jobs-protojobs", "postgres": "jobs-protojobs", "mariadb": "jobs", "kafka": "jobs-protojobs"}
# What comes by secrets.
SECRETS: dict[str, dict[str, Any]] = {
    "sqlite": {},
    "postgres": {"postgres": {"dsn": "postgresql://db/jobs"}},
    "mariadb": {"mysql": {"dsn": "mysql://db/jobs"}},
    "kafka": {"postgres": {"dsn": "postgresql://db/jobs"}, "kafka": {"username": "jobs", "password": "secret"}},
}

each_name = pytest.mark.parametrize("name", NAMES)


def _server(objects: list[Object], name: str) -> Object:
    return find(objects, "Deployment", SERVER[name])


def _container(workload: Object) -> Object:
    found: Object = workload["spec"]["template"]["spec"]["containers"][0]
    return found


@each_name
def test_the_server_takes_its_configuration(made: Made, name: str, tmp_path: Path) -> None:
    for each in [each for each in made(name) if each["kind"] == "ConfigMap" and "protojobs.yaml" in each["data"]]:
        file = tmp_path / "protojobs.yaml"
        file.write_text(each["data"]["protojobs.yaml"])

        chosen = settings.load(file, **SECRETS[name])

        assert (chosen.host, chosen.port, chosen.admin_port) == ("0.0.0.0", 50051, 8080)
        assert chosen.insecure != chosen.tls.enabled


@each_name
def test_every_pod_is_bound_as_the_restricted_profile_wants(made: Made, name: str) -> None:
    for place, pod in pods(made(name)):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"], place
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, place
        for container in [*spec.get("initContainers", ()), *spec["containers"]]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, place
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"], place


@each_name
def test_only_a_server_that_reads_the_keys_of_the_cluster_has_a_token_of_it(made: Made, name: str) -> None:
    with_token = [place for place, pod in pods(made(name)) if pod["spec"]["automountServiceAccountToken"]]

    assert with_token == (["Deployment jobs"] if name == "mariadb" else [])


@each_name
def test_what_pods_name_is_made_by_the_chart_or_by_the_values(made: Made, name: str) -> None:
    objects = made(name)
    text = next(path for path in VALUE_FILES if path.name == f"{name}-values.yaml").read_text()
    by_kind = {
        kind: {each["metadata"]["name"] for each in objects if each["kind"] == kind} for kind in ("ConfigMap", "ServiceAccount")
    }
    claims = {each["metadata"]["name"] for each in objects if each["kind"] == "PersistentVolumeClaim"}
    issued = {each["spec"]["secretName"] for each in objects if each["kind"] == "Certificate"}
    for place, pod in pods(objects):
        for volume in pod["spec"]["volumes"]:
            if "configMap" in volume:
                assert volume["configMap"]["name"] in by_kind["ConfigMap"], place
            if "persistentVolumeClaim" in volume:
                assert volume["persistentVolumeClaim"]["claimName"] in claims, place
            if "secret" in volume:
                assert volume["secret"]["secretName"] in issued or volume["secret"]["secretName"] in text, place
        assert pod["spec"].get("serviceAccountName", "default") in by_kind["ServiceAccount"] | {"default"}, place
        for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]:
            mounted = {mount["name"] for mount in container["volumeMounts"]}
            assert mounted <= {volume["name"] for volume in pod["spec"]["volumes"]}, place
            for variable in container["env"]:
                if "secretKeyRef" in (source := variable.get("valueFrom", {})):
                    assert source["secretKeyRef"]["name"] in text, place


@each_name
def test_ports_of_services_and_probes_are_those_of_the_server(made: Made, name: str) -> None:
    objects = made(name)
    container = _container(_server(objects, name))
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}

    assert {container[f"{probe}Probe"]["httpGet"]["port"] for probe in ("startup", "liveness", "readiness")} == {"admin"}
    assert (ports["grpc"], ports["admin"]) == (50051, 8080)
    for service in [each for each in objects if each["kind"] == "Service"]:
        for port in service["spec"]["ports"]:
            assert port["targetPort"] in ports
            # A service without an address translates no ports.
            assert service["spec"].get("clusterIP") != "None" or port["port"] == ports[port["targetPort"]]


@each_name
def test_the_probes_of_an_encrypted_server_use_tls_and_need_no_certificate(made: Made, name: str) -> None:
    config = yaml.safe_load(find(made(name), "ConfigMap", SERVER[name])["data"]["protojobs.yaml"])
    scheme = _container(_server(made(name), name))["readinessProbe"]["httpGet"]["scheme"]

    assert scheme == ("HTTPS" if "tls" in config else "HTTP")
    assert "client_auth" not in config.get("admin_tls", {})


@each_name
def test_there_is_time_to_stop(made: Made, name: str, tmp_path: Path) -> None:
    (tmp_path / "protojobs.yaml").write_text(find(made(name), "ConfigMap", SERVER[name])["data"]["protojobs.yaml"])
    shutdown = settings.load(tmp_path / "protojobs.yaml", **SECRETS[name]).shutdown
    server = _server(made(name), name)
    pause = _container(server)["lifecycle"]["preStop"]["sleep"]["seconds"]

    assert server["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > pause + shutdown.delay + shutdown.grace


def test_sqlite_is_never_open_twice_and_outlives_the_release(made: Made) -> None:
    server = _server(made("sqlite"), "sqlite")
    claim = find(made("sqlite"), "PersistentVolumeClaim", "jobs-protojobs")

    assert (server["spec"]["replicas"], server["spec"]["strategy"]) == (1, {"type": "Recreate"})
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert not [each for each in made("sqlite") if each["kind"] == "PodDisruptionBudget"]


@pytest.mark.parametrize("name", ["postgres", "mariadb", "kafka"])
def test_shared_servers_are_replaced_one_by_one_and_not_evicted_together(made: Made, name: str) -> None:
    server = _server(made(name), name)
    budget = find(made(name), "PodDisruptionBudget", SERVER[name])

    assert server["spec"]["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert budget["spec"]["selector"] == server["spec"]["selector"]
    for spread in server["spec"]["template"]["spec"]["topologySpreadConstraints"]:
        assert spread["labelSelector"] == server["spec"]["selector"]


def test_a_hook_migrates_before_anything_else_and_brings_what_it_needs(made: Made) -> None:
    hooks = [each for each in made("postgres") if "pre-install" in each["metadata"].get("annotations", {}).get("helm.sh/hook", "")]
    weights = {each["kind"]: int(each["metadata"]["annotations"]["helm.sh/hook-weight"]) for each in hooks}
    job = find(hooks, "Job", "jobs-protojobs-migrate")

    assert weights == {"ConfigMap": -10, "NetworkPolicy": -10, "Job": -5}
    # The account of the release comes later; the key of the listeners is nobody's business.
    assert "serviceAccountName" not in job["spec"]["template"]["spec"]
    assert "jobs-tls" not in yaml.safe_dump(job)
    assert _container(job)["args"] == ["migrate", "upgrade"]


def test_a_job_without_hook_gets_another_name_with_what_it_runs(helm: Path) -> None:
    values = next(path for path in VALUE_FILES if path.name == "mariadb-values.yaml")

    def name(*changed: str) -> str:
        (job,) = [each for each in render(helm, values, settings=changed) if each["kind"] == "Job"]
        assert "annotations" not in job["metadata"] or "helm.sh/hook" not in job["metadata"]["annotations"]
        return str(job["metadata"]["name"])

    assert name() == name()
    assert len({name(), name("image.tag=v2,image.digest="), name("config.store.table_prefix=x_")}) == 3


@pytest.mark.parametrize("name", ["sqlite", "kafka"])
def test_an_init_container_migrates_with_the_settings_of_the_server(made: Made, name: str) -> None:
    spec = _server(made(name), name)["spec"]["template"]["spec"]
    (migration,) = spec["initContainers"]
    server_id, *environment = spec["containers"][0]["env"]

    assert (migration["args"], migration["image"]) == (["migrate", "upgrade"], spec["containers"][0]["image"])
    assert (migration["env"], server_id["name"]) == (environment, "PROTOJOBS_SERVER_ID")
    assert "tls" not in {mount["name"] for mount in migration["volumeMounts"]}


def test_its_image_is_the_one_that_a_release_publishes(made: Made, helm: Path) -> None:
    sqlite = next(path for path in VALUE_FILES if path.name == "sqlite-values.yaml")
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text())
    name = workflow["jobs"]["images"]["env"]["IMAGE"]
    for expression, value in {"github.repository_owner": "proto-jobs", "matrix.target": "server"}.items():
        name = name.replace(f"${{{{ {expression} }}}}", value)
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    mirrored = render(helm, sqlite, settings=("global.imageRegistry=mirror.example",))

    assert _container(_server(made("sqlite"), "sqlite"))["image"] == f"{name}:{version}"
    assert _container(_server(mirrored, "sqlite"))["image"] == f"mirror.example/proto-jobs/server:{version}"


def test_servers_start_anew_when_their_settings_change(helm: Path) -> None:
    values = next(path for path in VALUE_FILES if path.name == "sqlite-values.yaml")

    def template(*changed: str) -> Object:
        found: Object = find(render(helm, values, settings=changed), "Deployment", "jobs-protojobs")["spec"]["template"]
        return found

    assert template("config.log.level=debug") != template()
    assert template("service.port=1") == template()


def test_policies_let_in_who_is_named_and_the_release_itself(made: Made) -> None:
    policy = find(made("postgres"), "NetworkPolicy", "jobs-protojobs")
    (clients, monitoring, keda) = policy["spec"]["ingress"]
    own = {"app.kubernetes.io/instance": RELEASE, "app.kubernetes.io/part-of": "protojobs"}

    assert [each["ports"][0]["port"] for each in (clients, monitoring, keda)] == ["grpc", "admin", "scaler"]
    assert clients["from"][0] == {"podSelector": {"matchLabels": own}}
    for place, pod in pods(made("postgres")):
        assert own.items() <= pod["metadata"]["labels"].items(), place
    assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert [rule["ports"][0]["port"] for rule in policy["spec"]["egress"]] == [53, 5432, 4317]


def test_prometheus_finds_the_admin_service_and_checks_its_certificate(made: Made) -> None:
    monitor = find(made("postgres"), "ServiceMonitor", "jobs-protojobs")
    selector = monitor["spec"]["selector"]["matchLabels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]

    services = [each for each in made("postgres") if each["kind"] == "Service" and selector <= each["metadata"]["labels"].items()]

    assert [each["metadata"]["name"] for each in services] == ["jobs-protojobs-admin"]
    assert (endpoint["scheme"], endpoint["port"]) == ("https", services[0]["spec"]["ports"][0]["name"])
    assert endpoint["tlsConfig"]["serverName"] == "jobs-protojobs.shop.svc"


def test_alerts_are_those_of_the_repository_with_links_that_work(made: Made) -> None:
    rules = find(made("postgres"), "PrometheusRule", "jobs-protojobs")["spec"]["groups"][0]["rules"]

    assert len(rules) > 10
    for rule in rules:
        assert rule["annotations"]["runbook_url"] == f"https://git.example/protojobs/blob/main/docs/runbooks/{rule['alert']}.md"


def test_a_chart_around_this_one_may_have_globals_of_its_own(helm: Path) -> None:
    values = next(path for path in VALUE_FILES if path.name == "sqlite-values.yaml")

    assert render(helm, values, settings=("global.environment=test",)) == render(helm, values)


def test_other_objects_may_be_texts_and_are_rendered(helm: Path) -> None:
    values = next(path for path in VALUE_FILES if path.name == "sqlite-values.yaml")
    text = r"extraObjects[0]=apiVersion: v1\nkind: Secret\nmetadata: {name: {{ .Release.Name }}-own}".replace(r"\n", "\n")

    assert find(render(helm, values, settings=(text,)), "Secret", "jobs-own")


@each_name
def test_the_pod_of_helm_test_runs_a_command_that_there_is(made: Made, name: str) -> None:
    for container in [each["spec"]["containers"][0] for each in made(name) if each["kind"] == "Pod"]:
        done = CliRunner().invoke(app, [*container["args"], "--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})

        assert done.exit_code == 0
        assert {arg for arg in container["args"] if arg.startswith("--")} <= set(re.findall(r"--[a-z][a-z-]+", done.output))
