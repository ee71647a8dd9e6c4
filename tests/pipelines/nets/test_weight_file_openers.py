"""Weight files are opened in few places, read from the code: whoever adds one must say so here."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[3]

OPENERS = {
    "torch.load": {"pipelines/nets/checkpoint.py"},
    "safetensors.torch.load_file": {"pipelines/nets/checkpoint.py"},
    "onnxruntime.InferenceSession": {"pipelines/nets/onnx.py"},
    "Sam2VideoModel.from_pretrained": {"pipelines/tracking/sam2_model.py"},
}
OPENING = {
    *("load_file", "safe_open", "InferenceSession", "from_pretrained", "load_state_dict_from_url"),
    *("readNet", "readNetFromONNX", "hf_hub_download", "snapshot_download"),
}
"""Names of functions that open weight files, whatever they are called on."""
OPENING_MODULES = {"torch", "torch.jit", "torch.export", "safetensors", "safetensors.torch", "pickle"}
"""Modules whose `load` and `loads` open weight files."""


def opener(call: ast.Call) -> str | None:
    name = ast.unparse(call.func)
    module, _, last = name.rpartition(".")
    if last in OPENING or (last in ("load", "loads") and module in OPENING_MODULES):
        return name
    return None


def test_calls_that_open_weight_files_are_recognised() -> None:
    code = (
        "torch.load(p); from_pretrained(p); json.load(f); model.load(x); st.safe_open(p); torch.jit.load(p)"
    )
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    assert {opener(call) for call in calls} - {None} == {
        *("torch.load", "from_pretrained", "st.safe_open", "torch.jit.load"),
    }


def test_weight_files_are_opened_only_where_the_docstrings_say() -> None:
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in [
        ROOT / "app.py",
        *(file for room in ("pipelines", "ui", "memory") for file in (ROOT / room).rglob("*.py")),
    ]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and (name := opener(node)):
                found[name].add(path.relative_to(ROOT).as_posix())
    assert found == OPENERS
