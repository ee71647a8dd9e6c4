"""ONNX models: what is said without onnxruntime, and of files that are no models."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipelines.errors import BadInput, WeightsBroken
from pipelines.nets import onnx

ROOT = Path(__file__).parents[3]
VALUES = np.zeros((1, 3, 8, 8), np.float32)


def test_without_onnxruntime_the_error_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BadInput, match="onnxruntime, which is not installed") as caught:
        onnx.run(tmp_path / "none.onnx", VALUES)
    assert "requirements-faces.txt" in caught.value.hint


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="requirements-faces.txt is not installed")
    path = tmp_path / "det_10g.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(WeightsBroken, match=r"is not the published det_10g\.onnx"):
        onnx.run(path, VALUES)


def test_the_module_loads_neither_torch_nor_onnxruntime() -> None:
    code = "import sys, pipelines.nets.onnx; print({'torch', 'onnxruntime'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True).strip() == "set()"
