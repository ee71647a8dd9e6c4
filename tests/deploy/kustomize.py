"""What `kubectl kustomize` makes of a folder, as far as the project's folders use it."""

import copy
from pathlib import Path
from typing import Any

import yaml

Manifest = dict[str, Any]
KNOWN = {"apiVersion", "kind", "resources", "components", "images", "patches"}


def manifests(path: Path) -> list[Manifest]:
    """The manifests of a file."""
    return [each for each in yaml.safe_load_all(path.read_text(encoding="utf-8")) if each]


def render(folder: Path) -> list[Manifest]:
    """The manifests of a folder with a kustomization."""
    (kustomization,) = manifests(folder / "kustomization.yaml")
    return render_as(kustomization, folder)


def render_as(kustomization: Manifest, folder: Path) -> list[Manifest]:
    """The manifests that `kustomization` would make if it lay in `folder`."""
    assert kustomization.keys() <= KNOWN, kustomization.keys() - KNOWN
    return _added([], kustomization, folder)


def _added(made: list[Manifest], kustomization: Manifest, folder: Path) -> list[Manifest]:
    """`made`, and what a kustomization or component in `folder` adds to it and changes of it."""
    made = [*made]
    for name in kustomization.get("resources", ()):
        path = (folder / name).resolve()
        made += render(path) if path.is_dir() else manifests(path)
    for name in kustomization.get("components", ()):
        (component,) = manifests(folder / name / "kustomization.yaml")
        assert component["kind"] == "Component" and component.keys() <= KNOWN, name
        made = _added(made, component, folder / name)
    made = patched(made, kustomization.get("patches", ()))
    for image in kustomization.get("images", ()):
        for container in containers(made):
            if container["image"].partition(":")[0] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
    return made


def containers(made: list[Manifest]) -> list[Manifest]:
    """The containers of all pods in `made`."""
    pods = [each["spec"]["template"]["spec"] for each in made if "template" in each.get("spec", {})]
    return [container for pod in pods for container in pod["containers"]]


def patched(made: list[Manifest], patches: list[Manifest]) -> list[Manifest]:
    """`made` after patches by JSON Patch; each must find what it is for."""
    made = copy.deepcopy(made)
    for patch in patches:
        kind, name = patch["target"]["kind"], patch["target"]["name"]
        (target,) = [each for each in made if (each["kind"], each["metadata"]["name"]) == (kind, name)]
        for step in yaml.safe_load(patch["patch"]):
            _apply(target, step)
    return made


def _apply(target: Any, step: Manifest) -> None:
    *way, last = (part.replace("~1", "/").replace("~0", "~") for part in step["path"].split("/")[1:])
    for part in way:
        target = target[int(part) if isinstance(target, list) else part]
    if isinstance(target, list):
        assert step["op"] == "add" and last == "-", step
        target.append(step["value"])
    else:
        assert step["op"] == "add" or (step["op"] in ("replace", "remove") and last in target), step
        if step["op"] == "remove":
            del target[last]
        else:
            target[last] = step["value"]
