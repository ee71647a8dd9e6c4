"""Workers beside the page in Kubernetes: pods that may go at any time, as many as the page's metrics ask for."""

import copy
import re

import pytest
import yaml

from pipelines.__main__ import main
from pipelines.scheduler.span_stats import SpanCounts
from pipelines.workers.pulled_crew import _STOP_SECONDS
from tests.deploy import kustomize
from tests.deploy.dockerfile import stages
from tests.deploy.keda import SCALED_OBJECT
from tests.deploy.kustomize import Manifest
from tests.deploy.test_manifests import KUBERNETES, VERSIONS, WORKERS, validated
from tests.ui.server.test_metrics import Queue, look, read
from ui.server.metrics import render
from ui.server.monitor import Monitor

jsonschema = pytest.importorskip("jsonschema", reason="not installed (requirements-dev.txt)")
GPU, SCALED = "nvidia.com/gpu", "ScaledObject"


def rendered(base: str, *components: str) -> list[Manifest]:
    return kustomize.render_as(
        {"resources": [f"../{base}"], "components": [f"../{each}" for each in components]},
        KUBERNETES / "workers",
    )


RENDERED = {
    "cpu": rendered("base", "workers"),
    "keda": rendered("base", "workers", "workers-keda"),
    "documented": kustomize.render_as(
        yaml.safe_load(WORKERS.replace("longtake/deploy/kubernetes/", "")), KUBERNETES
    ),
}
each_set = pytest.mark.parametrize("name", RENDERED)


def named(name: str, kind: str, of: str) -> Manifest:
    (found,) = [each for each in RENDERED[name] if (each["kind"], each["metadata"]["name"]) == (kind, of)]
    return found


def worker(name: str) -> Manifest:
    return dict(named(name, "Deployment", "longtake-workers")["spec"]["template"]["spec"])


def page(name: str) -> Manifest:
    return dict(named(name, "Deployment", "longtake")["spec"]["template"]["spec"])


@each_set
@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_fit_the_schemas_of_kubernetes(name: str, version: str) -> None:
    for manifest in RENDERED[name]:
        if manifest["kind"] != SCALED:
            validated(manifest, version)


@each_set
def test_a_worker_may_do_what_the_page_may(name: str) -> None:
    here, there = worker(name)["containers"][0], page(name)["containers"][0]
    for key in ("securityContext", "image", "resources"):
        assert here[key] == there[key], key
    assert [mount for mount in there["volumeMounts"] if mount["name"] != "users"] == here["volumeMounts"]
    for key in ("securityContext", "automountServiceAccountToken", "enableServiceLinks"):
        assert worker(name)[key] == page(name)[key], key
    assert worker(name)["volumes"] == [each for each in page(name)["volumes"] if each["name"] != "users"]


@each_set
def test_the_page_takes_workers_that_join_its_folder(name: str) -> None:
    args, command = worker(name)["containers"][0]["args"], page(name)["containers"][0]["args"]
    assert args == ["python", "-m", "pipelines", "work", "--jobs-dir", "/jobs"]
    assert command[:6] == ["python", "app.py", "--jobs-dir", "/jobs", "--crew", "pulled"]
    assert command[:4] == stages()["cpu"].command("CMD")[:4]
    for claim in ("longtake-jobs", "longtake-weights"):
        spec = named(name, "PersistentVolumeClaim", claim)["spec"]
        assert spec["accessModes"] == ["ReadWriteMany"], "several nodes use it"


@each_set
def test_a_worker_may_go_at_any_time_and_has_time_to_give_back(name: str) -> None:
    labels = named(name, "Deployment", "longtake-workers")["spec"]["template"]["metadata"]["labels"]
    budget = named(name, "PodDisruptionBudget", "longtake")["spec"]["selector"]["matchLabels"]
    service = named(name, "Service", "longtake")["spec"]["selector"]
    assert not budget.items() <= labels.items() and not service.items() <= labels.items()
    assert worker(name)["terminationGracePeriodSeconds"] > _STOP_SECONDS
    strategy = named(name, "Deployment", "longtake-workers")["spec"]["strategy"]
    assert strategy["rollingUpdate"]["maxSurge"] == 0, "or a new one waits for the GPU of an old one"


def test_gpus_are_for_the_workers_that_are_to_have_one() -> None:
    assert worker("documented")["containers"][0]["resources"]["limits"][GPU] == 1
    assert worker("documented")["containers"][0]["image"] == "registry.example/longtake:cuda"
    assert worker("documented")["tolerations"] == page("documented")["tolerations"]
    assert GPU not in worker("cpu")["containers"][0]["resources"]["limits"]


def test_the_arguments_are_those_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["work", "--help"]) == 0
    assert "--jobs-dir" in capsys.readouterr().out


# -- KEDA ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["keda", "documented"])
def test_what_scales_the_workers_fits_our_schema_of_keda(name: str) -> None:
    jsonschema.validate(named(name, SCALED, "longtake-workers"), SCALED_OBJECT)


@pytest.mark.parametrize(("field", "wrong"), [("threshold", 8), ("serverAdress", "http://x")])
def test_what_is_wrong_does_not_fit_it(field: str, wrong: object) -> None:
    scaled = copy.deepcopy(named("keda", SCALED, "longtake-workers"))
    scaled["spec"]["triggers"][0]["metadata"][field] = wrong
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(scaled, SCALED_OBJECT)


def test_it_scales_the_workers_alone_and_by_metrics_that_there_are() -> None:
    spec = named("keda", SCALED, "longtake-workers")["spec"]
    deployment = named("keda", "Deployment", spec["scaleTargetRef"]["name"])
    assert "replicas" not in deployment["spec"], "or each `apply` would set it back"
    query = spec["triggers"][0]["metadata"]["query"]
    told = read(render(Monitor(Queue, probe=look), {}, SpanCounts()))
    asked = set(re.findall(r"longtake_\w+", query))
    assert asked == {"longtake_spans_waiting", "longtake_spans_running"} and asked <= set(told)
