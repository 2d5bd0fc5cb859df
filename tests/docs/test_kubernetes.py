"""What Kubernetes is asked for: the fields are known, the pods are shut in, and they agree with compose.yaml."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

import kubernetes_validate
import pytest
import yaml
from conftest import REPO
from containers import DOCKER, DOCKERFILE, SERVICES, instruction, ray_start_help
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all((DOCKER / "kubernetes.yaml").read_text(encoding="utf-8")))
NAMED = {(found["kind"], found["metadata"]["name"]): found for found in OBJECTS}
CLUSTER: dict[str, Any] = NAMED["RayCluster", "search"]["spec"]
JOB: dict[str, Any] = NAMED["RayJob", "digits"]["spec"]
GROUPS: list[dict[str, Any]] = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
PODS: dict[str, dict[str, Any]] = {
    f"{kind} {name}": found["spec"]["template"]["spec"]
    for (kind, name), found in NAMED.items()
    if "template" in found["spec"]
} | {group["template"]["spec"]["containers"][0]["name"]: group["template"]["spec"] for group in GROUPS}
VERSION = "1.34"

KUBERAY: dict[str, Any] = json.loads((REPO / "tests" / "fixtures" / "kuberay.json").read_text(encoding="utf-8"))
"""Kind to the schema of its spec, of KubeRay's CRDs. Pods are checked by Kubernetes' own schemas."""


@pytest.mark.parametrize("found", OBJECTS, ids=lambda found: f"{found['kind']} {found['metadata']['name']}")
def test_kubernetes_knows_every_field(found: dict[str, Any]) -> None:
    if found["apiVersion"] != "ray.io/v1":
        kubernetes_validate.validate(found, VERSION, strict=True)
        return
    assert set(found) == {"apiVersion", "kind", "metadata", "spec"}
    assert faults(found) == []
    for template in templates(found["spec"]):
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "one"}, "template": template}
        kubernetes_validate.validate(pod, VERSION, strict=True)


def faults(found: dict[str, Any]) -> list[str]:
    """What KubeRay's schema has against an object."""
    schema = Draft202012Validator({**KUBERAY, "$ref": f"#/{found['kind']}"})
    return [f"{error.json_path}: {error.message}" for error in schema.iter_errors(found["spec"])]


def templates(part: Any) -> Iterator[dict[str, Any]]:
    """The pods that an object of KubeRay describes."""
    if isinstance(part, list):
        for one in part:
            yield from templates(one)
    elif isinstance(part, dict):
        for name, value in part.items():
            yield from [value] if name == "template" else templates(value)


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("RayCluster", {"headGroupSpec": {"rayStartParam": {}, "template": {}}}, "'rayStartParam' was unexpected"),
        ("RayCluster", {"enableInTreeAutoscaling": "yes"}, "'yes' is not of type 'boolean'"),
        ("RayCluster", {"workerGroupSpecs": [{"replicas": 0}]}, "'groupName' is a required property"),
        ("RayCluster", {"authOptions": {"mode": "password"}}, "'password' is not one of"),
        ("RayJob", {"entryPoint": "search"}, "'entryPoint' was unexpected"),
        ("RayJob", {"ttlSecondsAfterFinished": "60"}, "'60' is not of type 'integer'"),
    ],
)
def test_what_kuberay_would_refuse_is_found(kind: str, change: dict[str, Any], said: str) -> None:
    (whole,) = (found for found in OBJECTS if found["kind"] == kind)
    (fault,) = [fault for fault in faults(whole | {"spec": whole["spec"] | change}) if said in fault]
    assert fault


def test_the_autoscalers_container_is_one() -> None:
    options = CLUSTER["autoscalerOptions"]
    more = {name: options[name] for name in ("securityContext", "volumeMounts", "resources")}
    spec = {"containers": [{"name": "autoscaler", "image": "search", **more}]}
    pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": {"name": "one"}, "template": {"spec": spec}}
    kubernetes_validate.validate(pod, VERSION, strict=True)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_shut_in(name: str) -> None:
    pod = PODS[name]
    (container,) = pod["containers"]
    guard = container["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert (guard["readOnlyRootFilesystem"], guard["allowPrivilegeEscalation"]) == (True, False)
    assert guard["capabilities"] == {"drop": ["ALL"]}
    assert {"cpu", "memory"} <= set(container["resources"]["limits"])
    assert {"readinessProbe", "livenessProbe"} <= set(container)
    assert re.search(r":[\w.-]+$", container["image"])  # a tag, which says what runs
    if container["image"].startswith("search:"):
        assert str(pod["securityContext"]["runAsUser"]) == instruction("USER")
    if name != "ray-head":  # whose autoscaler talks to Kubernetes
        assert pod["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", PODS)
def test_a_pod_mounts_what_it_names(name: str) -> None:
    pod = PODS[name]
    (container,) = pod["containers"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    claims = {"database"} if name == "StatefulSet postgres" else set()
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes) | claims
    items = volumes.get("secrets", {}).get("secret", {}).get("items", [])
    said = json.dumps([container.get("args"), container.get("env")])
    if name == "ray-head":
        said += JOB["entrypoint"]
    assert set(re.findall(r"/run/secrets/search/(\w+)", said)) == {item["path"] for item in items}
    assert all("valueFrom" not in variable for variable in container.get("env", []))  # no secret is one


def test_it_is_the_same_as_with_compose() -> None:
    def plain(text: str) -> str:
        return text.replace("/run/secrets/search/", "/run/secrets/")

    (postgres,) = PODS["StatefulSet postgres"]["containers"]
    assert postgres["image"] == SERVICES["postgres"]["image"]
    ours = {variable["name"]: plain(variable["value"]) for variable in postgres["env"]}
    assert ours == SERVICES["postgres"]["environment"]
    assert ["CMD", *postgres["readinessProbe"]["exec"]["command"]] == SERVICES["postgres"]["healthcheck"]["test"]
    (dashboard,) = PODS["Deployment dashboard"]["containers"]
    assert [plain(word) for word in dashboard["args"]] == SERVICES["dashboard"]["command"]
    question = json.loads(instruction("HEALTHCHECK").partition("CMD ")[2])
    assert dashboard["readinessProbe"]["exec"]["command"] == question


def test_ray_asks_for_the_token_and_is_the_version_of_the_image() -> None:
    assert CLUSTER["authOptions"]["mode"] == "token"
    assert CLUSTER["rayVersion"] == version("ray")
    assert JOB["clusterSelector"] == {"ray.io/cluster": "search"}
    assert "RAY_AUTH_MODE=token" in DOCKERFILE


def test_ray_start_has_what_kuberay_is_told_to_say() -> None:
    said = ray_start_help()
    for group in GROUPS:
        assert all(re.search(rf"--{name}\b", said) for name in group["rayStartParams"])


def test_gpu_workers_come_and_go() -> None:
    assert CLUSTER["enableInTreeAutoscaling"]
    (workers,) = CLUSTER["workerGroupSpecs"]
    assert workers["minReplicas"] == 0 < workers["maxReplicas"]
    limits = workers["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert int(limits["nvidia.com/gpu"]) == 1
    program, option, code, *_ = shlex.split(JOB["entrypoint"])
    assert (program, option) == ("python", "-c")
    compile(code, "entrypoint", "exec")
    assert "num_gpus=1" in code


def test_only_those_reach_a_pod_that_need_it() -> None:
    labels = {
        name: NAMED["NetworkPolicy", name]["spec"]["podSelector"]["matchLabels"]
        for name in ("postgres", "ray", "dashboard")
    }
    assert labels == {
        "postgres": {"app": "postgres"},
        "ray": {"ray.io/cluster": "search"},
        "dashboard": {"app": "dashboard"},
    }
    for name in labels:
        policy = NAMED["NetworkPolicy", name]["spec"]
        assert policy["policyTypes"] == ["Ingress"]
        assert all(rule["from"] for rule in policy.get("ingress", []))


def test_the_page_names_what_is_there() -> None:
    page = (REPO / "docs" / "kubernetes.md").read_text(encoding="utf-8")
    lines = [
        line for block in re.findall(r"^```\n(.*?)```", page, re.DOTALL | re.MULTILINE) for line in block.splitlines()
    ]
    said = "\n".join(lines)
    for kind, name in re.findall(r"\b(deployment|service|rayjob)[/ ](\w+)", said):
        assert (kind, name) in {(kind.lower(), name) for kind, name in NAMED}, (kind, name)
    made = {("secret", name) for name in re.findall(r"create secret generic ([\w-]+)", said)}
    made |= {("configmap", name) for name in re.findall(r"create configmap ([\w-]+)", said)}
    volumes = [volume for pod in PODS.values() for volume in pod["volumes"]]
    wanted = {("secret", volume["secret"]["secretName"]) for volume in volumes if "secret" in volume}
    wanted |= {("configmap", volume["configMap"]["name"]) for volume in volumes if "configMap" in volume}
    assert made == wanted | {("secret", CLUSTER["authOptions"]["secretName"])}
    (old, new) = re.findall(r"s#image: (search:\d+)\$#image: (\S+)#", said)[0]
    images = re.findall(rf"image: {old}$", (DOCKER / "kubernetes.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(images) == 3
    assert f"docker push {new}" in said
    assert "crds of v1.6.2" in KUBERAY["source"]
