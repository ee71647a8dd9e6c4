"""What the tests of networks share: stand-in weights and goldens beside the repository, and a count of live tensors."""

import importlib.util
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_iter


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Tests run side by side: threads that wait for each other in turns would take the time of all."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def propainter_weights(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of stand-in weights of this published name (without `.pth`), made when it is first asked for."""
    spec = importlib.util.spec_from_file_location("stand_in_weights", shared / "parity/weights.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder = tmp_path_factory.mktemp("propainter")

    def of(name: str) -> Path:
        path = folder / f"{name}.pth"
        if not path.exists():
            torch.save(module.make_state_dict(shared / f"parity/propainter/{name}.manifest.json", 1), path)
        return path

    return of


@pytest.fixture(scope="session")
def propainter_golden(shared: Path) -> Callable[[str], dict[str, Tensor]]:
    """A golden file by name: its arrays as float32 tensors (numbers stay numbers)."""

    def of(name: str) -> dict[str, Tensor]:
        with np.load(shared / f"parity/propainter/{name}.npz") as arrays:
            return {key: torch.from_numpy(np.asarray(value)).float() for key, value in arrays.items()}

    return of


class Tally(TorchDispatchMode):
    """Counts the bytes of tensors that operations made and that live at once: `peak` is their worst moment."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in tree_iter((args, kwargs)) if isinstance(t, Tensor)}
        for tensor in tree_iter(result):
            if not isinstance(tensor, Tensor):
                continue
            storage = tensor.untyped_storage()
            if storage._cdata not in self._known | given:
                self._known.add(storage._cdata)
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._gone, storage._cdata, storage.nbytes())
        return result

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


@pytest.fixture
def tally_of() -> Callable[[Callable[[], object]], int]:
    """The most bytes of tensors that live at once while something runs."""

    def of(run: Callable[[], object]) -> int:
        with Tally() as counted:
            run()
        return counted.peak

    return of
