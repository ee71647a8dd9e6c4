"""Each network package lists its public names, and importing it loads no torch."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
NETWORKS = sorted(
    path.parent.name
    for path in (ROOT / "pipelines/nets").glob("*/__init__.py")
    if path.parent.name != "kernels"
)


def test_all_networks_are_meant() -> None:
    assert {"liveportrait", "propainter", "qalign", "raft"} <= set(NETWORKS)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_package_lists_its_public_names_and_loads_no_torch(network: str) -> None:
    code = (
        "import sys, importlib\n"
        f"package = importlib.import_module('pipelines.nets.{network}')\n"
        "print(len(package.__all__), 'torch' in sys.modules)"
    )
    out = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).split()
    assert int(out[0]) >= 3 and out[1] == "False"


@pytest.mark.parametrize("network", NETWORKS)
def test_every_public_name_is_there_and_is_no_module_by_mistake(network: str) -> None:
    package = importlib.import_module(f"pipelines.nets.{network}")
    assert package.__doc__
    for name in package.__all__:
        value = getattr(package, name)
        assert value is not None
        module = isinstance(value, type(sys))
        assert module == (name == "memory_cost"), f"{name} of {network} is a module"
