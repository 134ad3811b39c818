"""The page on Kubernetes: its YAML is YAML, and what it names fits each other, the image, the roles and the routes."""

import importlib
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from orchestration.ui.roles import MODULE, ROLES
from tests.docker.composed import COMPOSE, SERVICES
from tests.workspace import ROOT
from visnet.serving.app.server import application
from visnet.serving.app.settings import Settings

PAGE = (ROOT / "docs/how-to/kubernetes.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
BLOCKS = [(name, list(yaml.safe_load_all(text))) for name, text in re.findall(r"(?ms)^```yaml ?(\S*)\n(.*?)^```", PAGE)]
NAMED = {name: parts[0] for name, parts in BLOCKS if name}
OBJECTS = {(one["kind"], one["metadata"]["name"]): one for name, parts in BLOCKS if not name for one in parts}
VALUES = NAMED["dagster/values.yaml"]
PODS = {name: one["spec"]["template"] for (kind, name), one in OBJECTS.items() if kind in ("Deployment", "Job")}
CONFIG = OBJECTS["ConfigMap", "visnet"]["data"]
SECRET = OBJECTS["Secret", "visnet"]["stringData"]


def values(node: Any, key: str) -> Iterator[Any]:
    """Give what stands under a key, anywhere."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from values(value, key)


def test_every_object_is_named_once_and_every_name_is_of_one() -> None:
    assert len(OBJECTS) == sum(len(parts) for name, parts in BLOCKS if not name)
    everything = [*OBJECTS.values(), VALUES]
    for claim in values(everything, "claimName"):
        assert ("PersistentVolumeClaim", claim) in OBJECTS
    for kind, keys in {"Secret": ("secretRef", "envSecrets"), "ConfigMap": ("configMapRef", "envConfigMaps")}.items():
        for key in keys:
            for one in values(everything, key):
                for ref in one if isinstance(one, list) else [one]:
                    assert (kind, ref["name"]) in OBJECTS
    assert ("Secret", VALUES["global"]["postgresqlSecretName"]) in OBJECTS
    for (kind, name), one in OBJECTS.items():
        if kind == "Service":
            labels = PODS[name]["metadata"]["labels"]
            assert one["spec"]["selector"].items() <= labels.items()
        if kind == "Deployment":
            assert one["spec"]["selector"]["matchLabels"].items() <= PODS[name]["metadata"]["labels"].items()
            assert one["spec"]["strategy"] == {"type": "Recreate"}, "the volume is of one node"


@pytest.mark.parametrize("name", PODS)
def test_a_pod_has_a_role_and_the_workspace_beside_the_others_and_no_more_rights_than_the_image(name: str) -> None:
    spec, first = PODS[name]["spec"], PODS["visnet-code"]["spec"]
    (container,) = spec["containers"]
    (role,) = container["args"]
    assert role in ROLES
    assert name == f"visnet-{role}"
    uid = int(re.findall(r"--uid (\d+)", DOCKERFILE)[0])
    assert spec["securityContext"] == dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"), uid)
    assert PODS[name]["metadata"]["labels"]["workspace"] == "visnet"
    labels = spec["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]["labelSelector"]
    assert labels == {"matchLabels": {"workspace": "visnet"}}
    assert (spec["affinity"], spec["volumes"]) == (first["affinity"], first["volumes"])
    assert container["volumeMounts"] == [{"name": spec["volumes"][0]["name"], "mountPath": "/visnet"}]
    assert "WORKDIR /visnet\n" in DOCKERFILE
    target = SERVICES[role]["build"]["target"]
    assert container["image"].replace(target, "pipeline") == first["containers"][0]["image"]
    assert f"visnet-{target}:" in container["image"]
    given = {one["name"] for one in container.get("env", ())} | set(CONFIG)
    given |= set(SECRET) if any("secretRef" in one for one in container["envFrom"]) else set()
    wanted = {key.removesuffix("_FILE") for key in SERVICES[role]["environment"]}
    assert wanted - given == ({"CODE_ADDRESS", "VISNET_HOSTS"} if role != "serve" else set())
    ports = {one["containerPort"] for one in container.get("ports", ())}
    assert ports == {int(one["value"]) for one in container.get("env", ()) if one["name"] == "PORT"}


def test_the_service_is_asked_at_routes_and_ports_that_it_has_and_waits_for_a_first_version() -> None:
    (container,) = PODS["visnet-serve"]["spec"]["containers"]
    paths = set(application(Settings()).openapi()["paths"])
    probes = {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    assert {one["httpGet"]["path"] for one in probes.values()} <= paths
    assert (probes["liveness"]["httpGet"]["path"], probes["readiness"]["httpGet"]["path"]) == ("/healthz", "/readyz")
    assert {one["httpGet"]["port"] for one in probes.values()} == {container["ports"][0]["name"]}
    assert probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"] == 3600
    notes = PODS["visnet-serve"]["metadata"]["annotations"]
    assert notes["prometheus.io/path"] in paths
    assert int(notes["prometheus.io/port"]) == container["ports"][0]["containerPort"]
    assert PODS["visnet-serve"]["spec"]["terminationGracePeriodSeconds"] == int(
        COMPOSE["x-visnet"]["stop_grace_period"].removesuffix("s")
    )


def test_dagster_s_limits_are_those_of_one_machine_and_it_loads_what_that_loads() -> None:
    own = yaml.safe_load((ROOT / "orchestration/ui/dagster.yaml").read_text(encoding="utf-8"))
    pools, runs, watched = VALUES["concurrency"]["pools"], VALUES["concurrency"]["runs"], own["run_monitoring"]
    assert pools == {"granularity": own["concurrency"]["pools"]["granularity"],
                     "defaultLimit": own["concurrency"]["pools"]["default_limit"]}  # fmt: skip
    assert runs == {"maxConcurrentRuns": own["concurrency"]["runs"]["max_concurrent_runs"]}
    told = {re.sub("[A-Z]", lambda one: f"_{one[0].lower()}", key): value
            for key, value in VALUES["dagsterDaemon"]["runMonitoring"].items()}  # fmt: skip
    assert told == watched
    (server,) = VALUES["dagsterWebserver"]["workspace"]["servers"]
    service = OBJECTS["Service", server["host"]]
    assert (server["name"], server["port"]) == (MODULE, service["spec"]["ports"][0]["port"])
    launcher = VALUES["runLauncher"]["config"]["customRunLauncher"]
    assert hasattr(importlib.import_module(launcher["module"]), launcher["class"])
    assert VALUES["postgresql"]["postgresqlHost"] == CONFIG["POSTGRES_HOST"]
    assert VALUES["postgresql"]["postgresqlUsername"] == CONFIG["POSTGRES_USER"]
    assert str(VALUES["postgresql"]["service"]["port"]) == CONFIG["POSTGRES_PORT"]
    locked = re.findall(r"(?m)^dagster==(\S+)", (ROOT / "requirements.lock").read_text(encoding="utf-8"))
    assert re.findall(r"dagster/dagster --version (\S+)", PAGE) == locked


def test_mlflow_answers_where_the_others_look_for_it() -> None:
    service = OBJECTS["Service", "visnet-mlflow"]
    assert CONFIG["MLFLOW_ADDRESS"] == f"http://visnet-mlflow:{service['spec']['ports'][0]['port']}"
    assert CONFIG["MLFLOW_TRACKING_URI"] == CONFIG["MLFLOW_ADDRESS"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert any(one.startswith("dagster-postgres") for one in extras["services"]), "which the code server's pod needs"


def test_a_gpu_is_asked_for_where_ray_s_workers_ask_for_theirs() -> None:
    pool, workers = NAMED["gpu"], NAMED["ray-cluster/values.yaml"]["additionalWorkerGroups"]["gpu"]
    assert (pool["nodeSelector"], pool["tolerations"]) == (workers["nodeSelector"], workers["tolerations"])
    assert pool["resources"]["limits"].items() <= workers["resources"]["limits"].items()
    image = NAMED["ray-cluster/values.yaml"]["image"]
    (container,) = PODS["visnet-code"]["spec"]["containers"]
    assert f"{image['repository']}:{image['tag']}" == container["image"], "its workers know the same code"
