"""compose.yaml and the manifests of Kubernetes fit their schemas, the image, the program and each other."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import kustomize
from tests.deploy.dockerfile import ROOT, Image, stages
from tests.deploy.kustomize import Manifest
from ui import launch

KUBERNETES = ROOT / "deploy" / "kubernetes"
VERSIONS = ("1.33", "1.37")
"""The oldest that is still maintained somewhere, and the newest that the schemas know."""
OVERRIDE, KUSTOMIZATION, WORKERS = re.findall(
    r"^```yaml\n(.*?)^```",
    (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8"),
    re.MULTILINE | re.DOTALL,
)
"""What docs/deploy.md tells to write for Compose and for Kubernetes: a page with a login, and one with workers."""
RENDERED = {
    "base": kustomize.render(KUBERNETES / "base"),
    "gpu": kustomize.render(KUBERNETES / "gpu"),
    "login": kustomize.render_as(
        {"resources": ["../base"], "components": ["../login"]}, KUBERNETES / "login"
    ),
    "documented": kustomize.render_as(
        yaml.safe_load(KUSTOMIZATION.replace("longtake/deploy/kubernetes/", "")), KUBERNETES
    ),
    "fetch": kustomize.manifests(KUBERNETES / "fetch" / "job.yaml"),
}

each_set = pytest.mark.parametrize("name", RENDERED)
each_page = pytest.mark.parametrize("name", [name for name in RENDERED if name != "fetch"])


@pytest.fixture(scope="module")
def image() -> Image:
    return stages()["cpu"]


def of_kind(name: str, kind: str) -> Manifest:
    (found,) = [each for each in RENDERED[name] if each["kind"] == kind]
    return found


def pod(name: str) -> Manifest:
    (found,) = [each["spec"]["template"]["spec"] for each in RENDERED[name] if "template" in each["spec"]]
    return dict(found)


def container(name: str) -> Manifest:
    (found,) = pod(name)["containers"]
    return dict(found)


# -- Kubernetes ----------------------------------------------------------------------------------------------


def validated(manifest: Manifest, version: str) -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="not installed (requirements-dev.txt)")
    # A name is needed to tell manifests apart; one that is made from a prefix has none yet.
    metadata = {"name": "made", **manifest["metadata"]}
    validate.validate({**manifest, "metadata": metadata}, version, strict=True)


@each_set
@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_fit_the_schemas_of_kubernetes(name: str, version: str) -> None:
    assert RENDERED[name]
    for manifest in RENDERED[name]:
        validated(manifest, version)


def test_a_misspelt_field_does_not_fit() -> None:
    validate = pytest.importorskip("kubernetes_validate", reason="not installed (requirements-dev.txt)")
    wrong = json.loads(json.dumps(of_kind("base", "Deployment")).replace("readOnlyRoot", "readonlyRoot"))
    with pytest.raises(validate.ValidationError):
        validated(wrong, VERSIONS[-1])


@pytest.mark.parametrize("name", ["base", "gpu"])
def test_kubectl_makes_the_same_of_a_folder(name: str) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not installed")
    made = subprocess.run(
        ["kubectl", "kustomize", KUBERNETES / name], capture_output=True, text=True, check=True, timeout=60
    )

    def in_order(every: list[Manifest]) -> list[Manifest]:
        return sorted(every, key=lambda each: (each["kind"], each["metadata"]["name"]))

    assert in_order(list(yaml.safe_load_all(made.stdout))) == in_order(RENDERED[name])


@each_set
def test_a_pod_may_do_no_more_than_it_needs(name: str, image: Image) -> None:
    who, there = pod(name)["securityContext"], container(name)["securityContext"]
    assert who["runAsNonRoot"] and f"{who['runAsUser']}:{who['runAsGroup']}" == image.words["USER"]
    assert who["fsGroup"] == who["runAsGroup"], "or the volumes cannot be written"
    assert who["seccompProfile"] == {"type": "RuntimeDefault"}
    assert there["readOnlyRootFilesystem"] is True and there["allowPrivilegeEscalation"] is False
    assert there["capabilities"] == {"drop": ["ALL"]}
    assert pod(name)["automountServiceAccountToken"] is False and pod(name)["enableServiceLinks"] is False


@each_set
def test_every_mount_has_its_volume_and_every_volume_its_claim(name: str) -> None:
    volumes = {volume["name"]: volume for volume in pod(name)["volumes"]}
    assert {mount["name"] for mount in container(name)["volumeMounts"]} == set(volumes)
    claims = {
        each["metadata"]["name"] for each in RENDERED["base"] if each["kind"] == "PersistentVolumeClaim"
    }
    claimed = {
        v["persistentVolumeClaim"]["claimName"] for v in volumes.values() if "persistentVolumeClaim" in v
    }
    assert claimed == claims


@each_set
def test_what_the_image_writes_to_is_mounted(name: str, image: Image) -> None:
    mounts = {mount["mountPath"]: mount for mount in container(name)["volumeMounts"]}
    assert {*image.command("VOLUME"), "/tmp"} <= set(mounts)
    assert not mounts["/jobs"].get("readOnly") and not mounts["/tmp"].get("readOnly")
    assert bool(mounts["/weights"].get("readOnly")) is (name != "fetch"), "a page cannot change the weights"


@each_page
def test_the_page_is_started_found_probed_and_scraped_at_one_port(name: str, image: Image) -> None:
    command = [word for word in container(name)["args"] if not word.startswith("--auth-file")]
    assert command == image.command("CMD")
    (port,) = container(name)["ports"]
    assert str(port["containerPort"]) == image.words["EXPOSE"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container(name)[probe]["httpGet"] == {"path": "/healthz", "port": port["name"]}
    deployment = of_kind(name, "Deployment")
    notes = deployment["spec"]["template"]["metadata"]["annotations"]
    assert (notes["prometheus.io/port"], notes["prometheus.io/path"]) == (image.words["EXPOSE"], "/metrics")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    service, budget = of_kind(name, "Service"), of_kind(name, "PodDisruptionBudget")
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == labels
    assert budget["spec"]["selector"]["matchLabels"] == labels
    assert [each["targetPort"] for each in service["spec"]["ports"]] == [port["name"]]


@each_page
def test_there_is_one_page_and_it_has_time_to_end(name: str) -> None:
    deployment = of_kind(name, "Deployment")
    assert deployment["spec"]["replicas"] == 1 and deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert of_kind(name, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 0
    assert pod(name)["terminationGracePeriodSeconds"] > launch.LAST_SECONDS


@each_page
def test_the_memory_that_plans_are_made_for_is_reserved(name: str) -> None:
    resources = container(name)["resources"]
    assert resources["limits"]["memory"] == resources["requests"]["memory"]


def test_the_folder_for_gpus_asks_for_one_and_for_its_image() -> None:
    assert container("gpu")["image"] == "longtake:cuda" and container("base")["image"] == "longtake:cpu"
    assert container("documented")["image"] == "registry.example/longtake:cuda"
    assert container("gpu")["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in container("base")["resources"]["limits"]


@pytest.mark.parametrize("name", ["login", "documented"])
def test_the_login_is_a_file_that_is_mounted(name: str) -> None:
    (flag,) = [word for word in container(name)["args"] if word.startswith("--auth-file=")]
    folder = str(Path(flag.partition("=")[2]).parent)
    (mount,) = [mount for mount in container(name)["volumeMounts"] if mount["mountPath"] == folder]
    (volume,) = [volume for volume in pod(name)["volumes"] if volume["name"] == mount["name"]]
    # YAML reads 0440 as octal.
    assert volume["secret"] == {"secretName": "longtake-users", "defaultMode": 0o440} and mount["readOnly"]


# -- Compose -------------------------------------------------------------------------------------------------


def compose(*names: str) -> Manifest:
    """The files, the later ones laid over the first as Compose does."""

    def laid(lower: Any, upper: Any) -> Any:
        if isinstance(lower, dict) and isinstance(upper, dict):
            return lower | {key: laid(lower.get(key), value) for key, value in upper.items()}
        return upper

    made: Any = {}
    for name in names:
        made = laid(made, yaml.safe_load((ROOT / name).read_text(encoding="utf-8")))
    return dict(made)


def checked(*paths: Path) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("check_jsonschema", reason="not installed (requirements-dev.txt)")
    schema = ["--builtin-schema", "vendor.compose-spec"]
    command = [sys.executable, "-m", "check_jsonschema", *schema, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_files_fit_the_schema_of_compose(tmp_path: Path) -> None:
    (tmp_path / "compose.override.yaml").write_text(OVERRIDE)
    ran = checked(ROOT / "compose.yaml", ROOT / "compose.gpu.yaml", tmp_path / "compose.override.yaml")
    assert ran.returncode == 0, ran.stdout


def test_the_documented_login_of_compose_is_the_images_command_and_flags_of_the_page(image: Image) -> None:
    page = yaml.safe_load(OVERRIDE)["services"]["page"]
    usual = image.command("CMD")
    assert page["command"][: len(usual)] == usual
    assert set(page["command"][len(usual) :: 2]) == {"--auth-file", "--root-path"}
    (mount,) = page["volumes"]
    assert f"{mount.split(':')[1]}/users.txt" in page["command"]


def test_a_misspelt_key_does_not_fit_compose(tmp_path: Path) -> None:
    wrong = (ROOT / "compose.gpu.yaml").read_text().replace("capabilities", "capability")
    (tmp_path / "compose.yaml").write_text(wrong)
    assert "capabilit" in checked(tmp_path / "compose.yaml").stdout


def test_the_page_of_compose_is_closed_and_reached_from_this_machine_alone(image: Image) -> None:
    services = compose("compose.yaml")["services"]
    assert services["page"]["ports"] == [f"127.0.0.1:{image.words['EXPOSE']}:{image.words['EXPOSE']}"]
    assert "ports" not in services["weights"] and services["weights"]["profiles"]
    for service in services.values():
        assert service["read_only"] is True and service["tmpfs"].startswith("/tmp:")
        assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert services["page"]["volumes"] == ["jobs:/jobs", "weights:/weights:ro"]
    assert services["weights"]["volumes"] == ["jobs:/jobs", "weights:/weights"]


def test_compose_waits_longer_than_the_server_takes_to_end() -> None:
    seconds = compose("compose.yaml")["services"]["page"]["stop_grace_period"].removesuffix("s")
    assert float(seconds) > launch.LAST_SECONDS


def test_compose_builds_stages_that_exist() -> None:
    for names, target in ((["compose.yaml"], "cpu"), (["compose.yaml", "compose.gpu.yaml"], "cuda")):
        page = compose(*names)["services"]["page"]
        assert page["build"] == {"context": ".", "target": target} and target in stages()
        assert page["image"] == f"longtake:{target}"
    (device,) = page["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
