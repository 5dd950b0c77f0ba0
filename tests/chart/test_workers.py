"""What the chart makes of workers fits the worker, KEDA's scaler and the servers."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from protojobs_service import settings
from protojobs_service.transport.scaler_trigger import parse_trigger
from protojobs_worker import WorkerOptions
from protojobs_worker.__main__ import main
from typer.testing import CliRunner

from tests.chart.rendering import VALUE_FILES, Object, find, pods, render

Made = Callable[[str], list[Object]]


def _values(name: str) -> Path:
    return next(path for path in VALUE_FILES if path.name == f"{name}-values.yaml")


def _worker(objects: list[Object], name: str) -> Object:
    """Return the only container of a worker."""
    (pod,) = [pod for _, pod in pods(objects) if pod["metadata"]["labels"].get("protojobs.dev/worker") == name]
    (container,) = pod["spec"]["containers"]
    assert isinstance(container, dict)
    return container


def _environment(container: Object) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


def test_every_option_is_one_of_the_workers_command(made: Made) -> None:
    program = typer.Typer(add_completion=False)
    program.command()(main)
    text = CliRunner().invoke(program, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).output
    known = set(re.findall(r"--[a-z][a-z-]+", text))

    for name in ("mail", "images", "reports"):
        target, *options = _worker(made("postgres"), name)["args"]
        assert target == f"shop.{name}:worker"
        assert {option.partition("=")[0] for option in options} <= known


def test_a_worker_is_told_queues_bounds_and_how_it_is_probed(made: Made) -> None:
    container = _worker(made("postgres"), "mail")

    assert container["args"][1:] == [
        "--queue=mail=3",
        "--queue=newsletter=1",
        "--concurrency=20",
        "--grace=300",
        "--health-port=9000",
    ]
    assert container["ports"] == [{"name": "health", "containerPort": 9000}]
    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/healthz", "port": "health"}


def test_a_worker_leaves_by_itself_before_it_is_killed(made: Made) -> None:
    for place, pod in pods(made("postgres")):
        if grace := [option for option in pod["spec"]["containers"][0]["args"] if option.startswith("--grace=")]:
            stopping = WorkerOptions(queues={"q": 1}).stop_grace
            assert pod["spec"]["terminationGracePeriodSeconds"] > int(grace[0].partition("=")[2]) + stopping, place


def test_a_worker_reaches_the_servers_and_trusts_them_without_their_key(made: Made) -> None:
    container = _worker(made("postgres"), "mail")
    pod = find(made("postgres"), "Deployment", "jobs-protojobs-worker-mail")["spec"]["template"]
    (roots,) = [volume["secret"] for volume in pod["spec"]["volumes"] if volume["name"] == "ca"]

    assert _environment(container)["PROTOJOBS_ADDRESS"] == "jobs-protojobs-headless.shop.svc:50051"
    assert _environment(container)["PROTOJOBS_SERVER_NAME"] == "jobs-protojobs.shop.svc"
    assert find(made("postgres"), "Service", "jobs-protojobs-headless")["spec"]["clusterIP"] == "None"
    assert [item["key"] for item in roots["items"]] == ["ca.crt"]


def test_certificates_have_the_names_that_workers_expect(made: Made) -> None:
    names = find(made("mariadb"), "Certificate", "jobs")["spec"]["dnsNames"]
    environment = _environment(_worker(made("mariadb"), "billing"))

    assert environment["PROTOJOBS_SERVER_NAME"] in names
    assert environment["PROTOJOBS_ADDRESS"].partition(":")[0] in names  # KEDA expects the name that it dials


def test_a_worker_in_another_language_gets_nothing_but_its_own_arguments(made: Made) -> None:
    container = _worker(made("mariadb"), "billing")

    assert (container["command"], container["args"]) == (["/usr/local/bin/billing-worker"], ["--queue=billing"])
    assert not {"startupProbe", "livenessProbe", "ports"} & container.keys()


def test_a_worker_may_show_a_token_of_its_own_account(made: Made) -> None:
    pod = find(made("mariadb"), "Deployment", "jobs-worker-billing")["spec"]["template"]["spec"]
    (token,) = [volume["projected"] for volume in pod["volumes"] if volume["name"] == "token"]

    assert pod["serviceAccountName"] == "jobs-worker-billing"
    assert token["sources"][0]["serviceAccountToken"]["audience"] == "protojobs"
    assert _environment(pod["containers"][0])["PROTOJOBS_TOKEN_FILE"] == "/etc/protojobs/token/token"


def test_keda_asks_the_port_that_servers_have_for_the_queues_that_the_worker_reads(made: Made) -> None:
    scaled = find(made("postgres"), "ScaledObject", "jobs-protojobs-worker-mail")["spec"]
    (trigger,) = scaled["triggers"]
    host, _, port = trigger["metadata"]["scalerAddress"].partition(":")
    headless = find(made("postgres"), "Service", "jobs-protojobs-headless")

    assert trigger["type"] == "external-push"
    assert host == f"{headless['metadata']['name']}.shop.svc"
    assert int(port) in {each["port"] for each in headless["spec"]["ports"] if each["name"] == "scaler"}
    assert (trigger["metadata"]["queues"], trigger["metadata"]["targetPerReplica"]) == ("mail,newsletter", "20")
    assert find(made("postgres"), "TriggerAuthentication", trigger["authenticationRef"]["name"])
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (0, 30)


@pytest.mark.parametrize(("kind", "name"), [("ScaledObject", "mail"), ("ScaledJob", "reports")])
def test_the_scaler_understands_every_trigger(made: Made, kind: str, name: str) -> None:
    scaled = find(made("postgres"), kind, f"jobs-protojobs-worker-{name}")["spec"]

    trigger = parse_trigger(scaled["triggers"][0]["metadata"])

    assert trigger.target == (20 if name == "mail" else 1)


def test_servers_open_the_scaler_and_ask_keda_for_no_certificate(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    container = find(made("postgres"), "Deployment", "jobs-protojobs")["spec"]["template"]["spec"]["containers"][0]
    given = {variable["name"]: variable["value"] for variable in container["env"] if "SCALER" in variable["name"]}
    for name, value in given.items():
        monkeypatch.setenv(name, value)

    chosen = settings.load()

    assert chosen.scaler_port in {port["containerPort"] for port in container["ports"] if port["name"] == "scaler"}
    assert (chosen.scaler_tls.enabled, chosen.scaler_tls.client_auth) == (True, "none")


def test_whoever_is_scaled_has_no_replicas_of_its_own(made: Made) -> None:
    for name in ("mail", "images"):
        assert "replicas" not in find(made("postgres"), "Deployment", f"jobs-protojobs-worker-{name}")["spec"]
    assert find(made("mariadb"), "Deployment", "jobs-worker-billing")["spec"]["replicas"] == 2


def test_a_worker_of_kind_job_leaves_once_nothing_waits(made: Made) -> None:
    scaled = find(made("postgres"), "ScaledJob", "jobs-protojobs-worker-reports")["spec"]
    pod = scaled["jobTargetRef"]["template"]["spec"]

    assert pod["restartPolicy"] == "Never"
    assert pod["containers"][0]["args"][-1] == "--until-empty"
    assert scaled["triggers"][0]["metadata"]["kinds"] == "monthly-report,yearly-report"
    assert not [each for each in made("postgres") if each["kind"] == "Deployment" and each["metadata"]["name"].endswith("reports")]


def test_selectors_take_in_the_pods_of_their_own_workload_alone(made: Made) -> None:
    all_pods = list(pods(made("postgres")))
    for each in made("postgres"):
        if each["kind"] == "Deployment":
            selector = each["spec"]["selector"]["matchLabels"].items()
            chosen = [place for place, pod in all_pods if selector <= pod["metadata"]["labels"].items()]
            assert chosen == [f"Deployment {each['metadata']['name']}"]


@pytest.mark.parametrize(
    ("given", "path", "value"),
    [
        ("healthPort=0", ("ports",), None),
        ("image.registry=other.example", ("image",), "other.example/registry.example/hello-worker:1.2.3"),
        ("resources.limits.memory=1Gi", ("resources", "limits"), {"memory": "1Gi"}),
        ("args[0]=--log-level=debug", ("args", -1), "--log-level=debug"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) and "=" in value else "",
)
def test_what_is_said_of_a_worker_goes_before_what_is_said_of_all(
    helm: Path, given: str, path: tuple[str | int, ...], value: object
) -> None:
    found: object = _worker(render(helm, _values("sqlite"), settings=(f"workers.hello.{given}",)), "hello")
    for part in path:
        found = found.get(part) if isinstance(found, dict) else found[part]  # type: ignore[index] # a list

    assert found == value
