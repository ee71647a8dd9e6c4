"""The page takes files of any name: what they are follows from their content."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from gradio.data_classes import FileData
from PIL import Image


@pytest.mark.parametrize(
    "name", ["photo", "photo.avif", "IMG_0001.HEIC", "photo.jfif", "moving.webp", "clip.bin"]
)
def test_every_upload_is_taken_whatever_its_suffix(
    name: str,
    page_over: Callable[..., gr.Blocks],
    make_queue: Callable[..., Any],
    good_run: Any,
    tmp_path: Path,
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / name, "PNG")
    page = page_over(make_queue(good_run))
    files = [block for block in page.blocks.values() if isinstance(block, gr.File)]
    uploads = [file for file in files if file.file_count == "single"]
    assert len(uploads) >= 5
    for upload in uploads:
        assert upload.preprocess(FileData(path=str(tmp_path / name))) == str(tmp_path / name)
