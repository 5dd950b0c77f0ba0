"""`make chart FULL=1`: a real API server with pod security takes what the chart makes; Helm installs, upgrades and rolls back.

Every step says what came of it; the first that is not as it should be ends the program with exit code 1.
"""

import copy
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen

import yaml

from tests.chart.cluster import Cluster, Done, running_cluster
from tests.chart.rendering import CHART, NAMESPACE, RELEASE, VALUE_FILES, Object, pods, render, render_text
from tests.chart.schemas import find_definitions
from tests.chart.tools import ToolsUnavailable, find_helm

_SERVER = "jobs-protojobs"
_STARTED = time.monotonic()


class Unexpected(Exception):
    """Something is not as it should be; the message says what."""


def main() -> int:
    """Run every step; return the exit code."""
    try:
        with running_cluster() as cluster:
            version = yaml.safe_load(good(cluster.kubectl("version", "--output=yaml")).text)["serverVersion"]["gitVersion"]
            tell("an API server runs", version)
            prepare(cluster)
            for values in VALUE_FILES:
                check_objects(cluster, values)
                check_pods(cluster, values)
            check_release(cluster)
            check_hook(cluster)
            check_volume_stays(cluster)
    except (ToolsUnavailable, Unexpected) as error:
        print(f"FAILED: {error}", file=sys.stderr)
        return 1
    return 0


def prepare(cluster: Cluster) -> None:
    """Define custom objects, and make a namespace that takes only pods of the restricted profile."""
    for path in find_definitions():
        good(cluster.kubectl("apply", "--server-side", f"--filename={path}"))
    for definition in cluster.get("customresourcedefinitions"):
        good(cluster.kubectl("wait", "--for=condition=Established", f"crd/{definition['metadata']['name']}", "--timeout=60s"))
    good(cluster.kubectl("create", "namespace", NAMESPACE))
    good(cluster.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted"))
    # A controller makes it elsewhere.
    good(cluster.kubectl("create", "serviceaccount", "default", f"--namespace={NAMESPACE}"))
    tell("a namespace enforces the restricted profile", f"{len(cluster.get('customresourcedefinitions'))} kinds defined")


def check_objects(cluster: Cluster, values: Path) -> None:
    """Let the server judge every object, then take it, then take it once more, unchanged."""
    text = render_text(find_helm("4"), values)
    command = ("apply", f"--namespace={NAMESPACE}", "--validate=strict", "--filename=-")
    dry = good(cluster.kubectl(*command, "--dry-run=server", given=text)).text.splitlines()
    good(cluster.kubectl(*command, given=text))
    made = _versions(cluster, text)
    good(cluster.kubectl(*command, given=text))
    if _versions(cluster, text) != made:
        raise Unexpected(f"{values.name}: a second apply changes something")
    tell(f"{values.name}: the server takes every object, and a second time changes none", f"{len(dry)} tried, {len(made)} applied")
    good(cluster.kubectl("delete", f"--namespace={NAMESPACE}", "--filename=-", "--force", "--grace-period=0", given=text))


def _versions(cluster: Cluster, text: str) -> dict[str, str]:
    """Return the version of each object: the server counts it up when one changes."""
    command = ("get", f"--namespace={NAMESPACE}", "--output=json", "--filename=-")
    items = yaml.safe_load(good(cluster.kubectl(*command, given=text)).text)["items"]
    return {f"{each['kind']} {each['metadata']['name']}": each["metadata"]["resourceVersion"] for each in items}


def check_pods(cluster: Cluster, values: Path) -> None:
    """Make a bare pod of each template: pod security bites nothing else. The same with a capability must be refused."""
    objects = render(find_helm("4"), values)
    accounts = yaml.safe_dump_all(each for each in objects if each["kind"] == "ServiceAccount")
    good(cluster.kubectl("apply", f"--namespace={NAMESPACE}", "--filename=-", given=accounts))
    places = []
    for place, template in pods(objects):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bare"}, "spec": template["spec"]}
        good(_create(cluster, pod))
        loose = copy.deepcopy(pod)
        loose["spec"]["containers"][0]["securityContext"]["capabilities"] = {"add": ["NET_ADMIN"]}
        refused = _create(cluster, loose)
        if refused.code == 0 or 'violates PodSecurity "restricted' not in refused.text:
            raise Unexpected(f"{place}: pod security did not refuse a capability: {refused.text}")
        places.append(place)
    good(cluster.kubectl("delete", f"--namespace={NAMESPACE}", "--filename=-", given=accounts))
    tell(f"{values.name}: pod security takes every pod, and none with a capability", ", ".join(places))


def _create(cluster: Cluster, pod: Object) -> Done:
    command = ("create", f"--namespace={NAMESPACE}", "--dry-run=server", "--validate=strict", "--filename=-")
    return cluster.kubectl(*command, given=yaml.safe_dump(pod))


def check_release(cluster: Cluster) -> None:
    """Install, upgrade, refuse, roll back and uninstall."""
    values = _values("kafka")
    good(_helm(cluster, "install", RELEASE, CHART, f"--values={values}"))
    first = _deployed(cluster)
    good(_helm(cluster, "upgrade", RELEASE, CHART, f"--values={values}", "--set=image.tag=v2,config.log.level=debug"))
    second = _deployed(cluster)
    refused = _helm(cluster, "upgrade", RELEASE, CHART, f"--values={values}", "--set=config.log.levle=debug")
    if refused.code == 0 or "levle" not in refused.text or _deployed(cluster) != second:
        raise Unexpected(f"a misspelt setting was not refused: {refused.text}")
    good(_helm(cluster, "rollback", RELEASE, "1"))
    if first == second or _deployed(cluster) != first:
        raise Unexpected("a rollback does not bring back what was installed")
    good(_helm(cluster, "uninstall", RELEASE))
    _check_nothing_is_left(cluster)
    tell(
        "install, upgrade, rollback and uninstall",
        f"{first['image']} -> {second['image']} -> {first['image']}, and nothing left",
    )


def check_hook(cluster: Cluster) -> None:
    """Let a migration as a hook succeed, then fail: servers come after it, and not at all."""
    values = f"--values={_values('postgres')}"
    with _release(cluster, "install", RELEASE, CHART, values) as installed:
        job = _wait_for_job(cluster)
        if cluster.get("deployments", f"--namespace={NAMESPACE}"):
            raise Unexpected("servers are there before the migration is done")
        _end(cluster, job, "Complete")
        installed.wait(60)
    first = _deployed(cluster)
    with _release(cluster, "upgrade", RELEASE, CHART, values, "--set=image.tag=v2") as upgraded:
        _end(cluster, _wait_for_job(cluster), "Failed")
        code = upgraded.wait(60)
    if code == 0 or _deployed(cluster) != first:
        raise Unexpected("servers were changed although the migration has failed")
    tell("a hook migrates before servers are made, and when it fails they stay as they were", first["image"])
    good(_helm(cluster, "uninstall", RELEASE))


def check_volume_stays(cluster: Cluster) -> None:
    """Uninstall SQLite: its volume stays, and a new installation takes it again."""
    for _ in range(2):
        good(_helm(cluster, "install", RELEASE, CHART, f"--values={_values('sqlite')}"))
        good(_helm(cluster, "uninstall", RELEASE))
    claims = [each["metadata"]["name"] for each in cluster.get("persistentvolumeclaims", f"--namespace={NAMESPACE}")]
    if claims != [_SERVER]:
        raise Unexpected(f"claims after an uninstall: {claims}")
    tell("the volume of SQLite outlives the release, and the next one takes it", claims[0])


def _values(name: str) -> Path:
    return next(path for path in VALUE_FILES if path.name == f"{name}-values.yaml")


def _helm(cluster: Cluster, *arguments: str | Path) -> Done:
    return cluster.helm(*arguments, f"--namespace={NAMESPACE}")


@contextmanager
def _release(cluster: Cluster, *arguments: str | Path) -> Iterator[Popen[str]]:
    """Run Helm beside us; end it where we fail."""
    with cluster.start_helm(*arguments, f"--namespace={NAMESPACE}", "--timeout=60s") as helm:
        try:
            yield helm
        finally:
            helm.kill()


def _wait_for_job(cluster: Cluster) -> str:
    """Return the name of the migration that waits for its controller."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        for job in cluster.get("jobs", f"--namespace={NAMESPACE}"):
            if not job.get("status", {}).get("conditions"):
                return str(job["metadata"]["name"])
        time.sleep(0.2)
    raise Unexpected("there is no migration")


def _end(cluster: Cluster, job: str, how: str) -> None:
    """Say of a job what its controller would."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    before = {"Complete": "SuccessCriteriaMet", "Failed": "FailureTarget"}[how]
    conditions = [{"type": kind, "status": "True", "lastTransitionTime": now} for kind in (before, how)]
    status = {"startTime": now, "conditions": conditions, **({"completionTime": now, "succeeded": 1} if how == "Complete" else {})}
    patch = yaml.safe_dump({"status": status})
    good(
        cluster.kubectl(
            "patch", f"job/{job}", f"--namespace={NAMESPACE}", "--subresource=status", "--type=merge", f"--patch={patch}"
        )
    )


def _deployed(cluster: Cluster) -> dict[str, str]:
    """Return what tells one version of the servers from another."""
    (server,) = cluster.get("deployments", f"--namespace={NAMESPACE}", "--selector=app.kubernetes.io/component=server")
    template = server["spec"]["template"]
    return {"image": template["spec"]["containers"][0]["image"], **template["metadata"]["annotations"]}


def _check_nothing_is_left(cluster: Cluster) -> None:
    kinds = "deployments,services,configmaps,serviceaccounts,ingresses,poddisruptionbudgets,networkpolicies,jobs"
    left = cluster.get(kinds, f"--namespace={NAMESPACE}", f"--selector=app.kubernetes.io/instance={RELEASE}")
    if left:
        raise Unexpected(f"left behind: {[each['metadata']['name'] for each in left]}")


def good(done: Done) -> Done:
    """Return what a command has done. Raises Unexpected if it failed."""
    if done.code:
        raise Unexpected(done.text)
    return done


def tell(step: str, what: str) -> None:
    """Show a step that is good."""
    print(f"{time.monotonic() - _STARTED:6.1f} s  {step}: {what}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
