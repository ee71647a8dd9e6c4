"""What the tests of the published system share: goldens, and stand-in weights for them."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """Small tensors are computed faster by one thread than by several."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def goldens(shared: Path) -> Path:
    """The folder with what the published system computed."""
    return shared / "parity" / "propainter"


@pytest.fixture(scope="session")
def weights(goldens: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stand-in weights, in files of the published names; the goldens were made with them."""
    import torch

    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(goldens.parent))
        from weights import make_state_dict

        for name in ("raft-things", "recurrent_flow_completion", "ProPainter"):
            torch.save(make_state_dict(goldens / f"{name}.manifest.json", 1), folder / f"{name}.pth")
    sys.modules.pop("weights", None)
    return folder
