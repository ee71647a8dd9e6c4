"""deploy/ray fits a schema of ours for the operator's part, Kubernetes' for its pods, the image, and the program.

KubeRay publishes its schema with the operator alone: a small one of ours stands for it (ray_cluster.schema.json).
"""

import json
import shlex
from typing import Any

import pytest
import yaml

import app
from tests.deploy import kustomize
from tests.deploy.dockerfile import ROOT, stages
from tests.deploy.kustomize import Manifest
from tests.deploy.test_image import hadolint
from tests.deploy.test_manifests import VERSIONS, validated

RAY = ROOT / "deploy" / "ray"
RENDERED = kustomize.render(RAY)
SCHEMA = json.loads((ROOT / "tests/deploy/ray_cluster.schema.json").read_text())


def of_kind(kind: str, name: str = "longtake") -> Manifest:
    (found,) = [each for each in RENDERED if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


CLUSTER = of_kind("RayCluster")["spec"]
HEAD, (GROUP,) = CLUSTER["headGroupSpec"], CLUSTER["workerGroupSpecs"]
PAGE = of_kind("Deployment")["spec"]["template"]["spec"]
MACHINES = {"head": HEAD["template"]["spec"], "worker": GROUP["template"]["spec"], "page": PAGE}

each_machine = pytest.mark.parametrize("machine", MACHINES)


def fits(manifest: Any) -> bool:
    jsonschema = pytest.importorskip("jsonschema", reason="not installed (requirements-dev.txt)")
    return bool(jsonschema.Draft202012Validator(SCHEMA).is_valid(manifest))


def container(machine: str) -> Manifest:
    (found,) = MACHINES[machine]["containers"]
    return dict(found)


def test_the_cluster_fits_our_schema_and_a_misspelt_one_does_not() -> None:
    cluster = of_kind("RayCluster")
    assert fits(cluster)
    text = json.dumps(cluster)
    for right, wrong in (
        ("authOptions", "authOption"),
        ('"mode": "token"', '"mode": "none"'),
        ('"replicas": 2', '"replicas": "2"'),
        ('"num-cpus": "0"', '"num-cpus": 0'),
    ):
        assert right in text and not fits(json.loads(text.replace(right, wrong)))


@pytest.mark.parametrize("version", VERSIONS)
def test_its_pods_and_the_rest_fit_the_schemas_of_kubernetes(version: str) -> None:
    for name in ("head", "worker"):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": MACHINES[name]}
        validated(json.loads(json.dumps(pod)), version)
    for manifest in RENDERED:
        if manifest["kind"] != "RayCluster":
            validated(manifest, version)


def test_strangers_are_refused_and_all_machines_have_the_token() -> None:
    assert CLUSTER["authOptions"] == {"mode": "token"}
    page = {each["name"]: each for each in container("page")["env"]}
    assert page["RAY_AUTH_MODE"]["value"] == "token"
    # The operator makes this secret, and gives it to the pods of the cluster itself.
    assert page["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "longtake", "key": "auth_token"}


def test_the_version_of_ray_is_that_of_the_requirements() -> None:
    assert f"ray=={CLUSTER['rayVersion']}" in (ROOT / "requirements-ray.txt").read_text().splitlines()


@each_machine
def test_all_machines_have_one_image_the_same_folders_and_few_rights(machine: str) -> None:
    there, pod = container(machine), MACHINES[machine]
    assert there["image"] == "longtake:ray"
    mounts = {mount["mountPath"]: mount for mount in there["volumeMounts"]}
    assert {*stages()["cuda"].command("VOLUME"), "/tmp", "/dev/shm"} == set(mounts)
    assert mounts["/weights"]["readOnly"]
    claims = {each["name"]: each.get("persistentVolumeClaim") for each in pod["volumes"]}
    assert claims["jobs"] == {"claimName": "longtake-jobs"}
    assert pod["securityContext"]["runAsNonRoot"] and pod["automountServiceAccountToken"] is False
    assert there["securityContext"]["readOnlyRootFilesystem"]
    assert there["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert there["resources"]["limits"]["memory"] == there["resources"]["requests"]["memory"]


def test_claims_can_be_mounted_by_many() -> None:
    for name in ("longtake-jobs", "longtake-weights"):
        assert of_kind("PersistentVolumeClaim", name)["spec"]["accessModes"] == ["ReadWriteMany"]


def test_the_head_has_no_place_and_the_others_one() -> None:
    assert (
        HEAD["rayStartParams"]["num-cpus"] == "0"
        and "nvidia.com/gpu" not in container("head")["resources"]["limits"]
    )
    for machine in ("worker", "page"):
        assert container(machine)["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert MACHINES["page"]["tolerations"] == MACHINES["worker"]["tolerations"]


def test_the_page_joins_the_cluster_and_then_becomes_the_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shell, flag, script = container("page")["args"]
    assert (shell, flag) == ("bash", "-c")
    joins, _, serves = script.partition(" && ")
    address = "longtake-head-svc:6379"  # the operator's service for the head
    assert joins.startswith(f"ray start --address={address} ")
    program, python, name, *flags = shlex.split(serves)
    assert (program, python, name) == ("exec", "python", "app.py")
    seen: list[Any] = []
    monkeypatch.setattr("pipelines.workers.ray_access.find_spec", lambda name: name)
    for key in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(key, "token")
    monkeypatch.setattr(app, "_serve", lambda *given, **more: seen.append(more["team"]))
    monkeypatch.setattr(app, "_set_environment", lambda jobs_dir: None)
    monkeypatch.setattr("pathlib.Path.mkdir", lambda *given, **more: None)
    assert app.main(flags) == 0
    assert (seen[0].crew, seen[0].workers, seen[0].ray_address) == ("ray", 0, address)


def test_the_image_adds_ray_to_that_of_the_project_and_the_linter_has_nothing_to_say() -> None:
    ran = hadolint(RAY / "Dockerfile")
    assert (ran.returncode, ran.stdout) == (0, "")
    text = (RAY / "Dockerfile").read_text()
    assert text.rstrip().endswith("USER 1000:1000") and "requirements-ray.txt" in text
    assert yaml.safe_load((RAY / "kustomization.yaml").read_text())["images"][0]["newTag"] == "ray"
