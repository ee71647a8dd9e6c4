"""Every attack has the outcome that its docstring states."""

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack import blackbox

_OTHERS = ("blackbox", "test_attacks")
_MODULES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in _OTHERS)
_ATTACKS = {
    f"{module}.{name}": attack
    for module in _MODULES
    for name, attack in blackbox.attacks(vars(importlib.import_module(f"tests.attack.{module}"))).items()
}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    yield tmp_path_factory.mktemp("attack")
    blackbox.stop_all()


@pytest.mark.parametrize("name", _ATTACKS)
def test_the_attack_fails(name: str, out: Path) -> None:
    _ATTACKS[name](out)
