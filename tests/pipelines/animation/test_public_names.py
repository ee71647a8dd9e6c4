"""Public names of the animation packages: each resolves, and none is loaded before it is asked for."""

import importlib
import subprocess
import sys

import pytest

PACKAGES = [
    *(f"pipelines.animation.{name}" for name in ("faces", "motion", "takes", "warp", "liveportrait")),
    "pipelines.example",
]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_resolves(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    assert all(hasattr(module, name) for name in module.__all__)


def test_importing_the_packages_loads_no_heavy_library() -> None:
    heavy = {"av", "cv2", "numpy", "onnxruntime", "scipy", "skimage", "torch"}
    code = f"import sys, {', '.join(PACKAGES)}; print(sorted({heavy!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
