"""A package lists its public names, and importing it loads none of the heavy libraries behind them."""

import importlib
import subprocess
import sys

import pytest

PACKAGES = [
    "pipelines.inpainting.flow",
    "pipelines.inpainting.propainter",
    "pipelines.masks",
    "pipelines.tracking",
    "pipelines.vision",
]


@pytest.mark.parametrize("package", PACKAGES)
def test_each_public_name_of_a_package_can_be_imported_from_it(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__all__
    for name in module.__all__:
        assert getattr(module, name) is not None


def test_importing_a_package_loads_no_heavy_library() -> None:
    code = f"import sys, {', '.join(PACKAGES)}; print(*sorted({{'av', 'cv2', 'torch'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
