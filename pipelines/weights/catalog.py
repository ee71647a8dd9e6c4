"""Catalogue of published weights: the files of each model, where they are published, and under which licence.

No weights ship with the program; their licences bind whoever uses them, whatever the licence of the program.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath


@dataclass(frozen=True)
class Licence:
    """The licence of a model's weights, and where its full text is."""

    name: str
    address: str
    commercial: bool

    @property
    def sentence(self) -> str:
        """The licence in one phrase, such as `NTU S-Lab License 1.0, non-commercial use only`."""
        return f"{self.name}, {'commercial use allowed' if self.commercial else 'non-commercial use only'}"


@dataclass(frozen=True)
class File:
    """One published file. `path` is relative to a folder of weights in the published layout.

    Some have a known size and `sha256`. If those come from copies of the file, not from its publisher (`sure` False), a
    mismatch is a reason to warn, not to refuse. The program also works without a file that is not `needed`.
    """

    path: str
    size_bytes: int | None = None
    sha256: str | None = None
    sure: bool = True
    needed: bool = True

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return PurePosixPath(self.path).name


@dataclass(frozen=True)
class Published:
    """A model's weights: files of a release at `address`, or of the first of `repositories` on the Hugging Face hub.

    Without `files` it is a whole folder: a configuration, an index and the shards that the index names.
    `about_bytes` is the size of the download, rounded.
    """

    model: str
    title: str
    about_bytes: int
    licence: Licence
    files: tuple[File, ...] = ()
    address: str = ""
    repositories: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """The address of the publication, to show to people."""
        return self.address or f"https://huggingface.co/{self.repositories[0]}"


_S_LAB = "NTU S-Lab License 1.0"
_LIVE_PORTRAIT = ("KwaiVGI/LivePortrait", "KlingTeam/LivePortrait")
"""The organisation has been renamed; the hub knows both names."""
_BASE, _RETARGETING = "liveportrait/base_models", "liveportrait/retargeting_models"

PUBLISHED: dict[str, Published] = {
    entry.model: entry
    for entry in (
        Published(
            "propainter",
            "ProPainter",
            200_000_000,
            Licence(_S_LAB, "https://github.com/sczhou/ProPainter/blob/main/LICENSE", commercial=False),
            (
                File(
                    "raft-things.pth",
                    21_108_000,
                    "fcfa4125d6418f4de95d84aec20a3c5f4e205101715a79f193243c186ac9a7e1",
                    sure=False,
                ),
                File("recurrent_flow_completion.pth"),
                File("ProPainter.pth"),
            ),
            address="https://github.com/sczhou/ProPainter/releases/download/v0.1.0/",
        ),
        Published(
            "qalign",
            "Q-Align",
            16_400_000_000,
            Licence(_S_LAB, "https://huggingface.co/q-future/one-align", commercial=False),
            repositories=("q-future/one-align",),
        ),
        Published(
            "liveportrait",
            "LivePortrait",
            640_000_000,
            Licence(
                "MIT License", "https://github.com/KwaiVGI/LivePortrait/blob/main/LICENSE", commercial=True
            ),
            (
                File(
                    f"{_BASE}/appearance_feature_extractor.pth",
                    3_387_959,
                    "5279bb8654293dbdf327030b397f107237dd9212fb11dd75b83dfb635211ceb5",
                ),
                File(
                    f"{_BASE}/motion_extractor.pth",
                    112_545_506,
                    "251e6a94ad667a1d0c69526d292677165110ef7f0cf0f6d199f0e414e8aa0ca5",
                ),
                File(f"{_BASE}/warping_module.pth"),
                File(f"{_BASE}/spade_generator.pth"),
                File(f"{_RETARGETING}/stitching_retargeting_module.pth"),
                File("liveportrait/landmark.onnx", needed=False),
            ),
            repositories=_LIVE_PORTRAIT,
        ),
        Published(
            "insightface",
            "InsightFace",
            22_000_000,
            Licence(
                "InsightFace model licence",
                "https://github.com/deepinsight/insightface#license",
                commercial=False,
            ),
            (
                File(
                    "insightface/models/buffalo_l/det_10g.onnx",
                    16_923_827,
                    "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91",
                ),
                File(
                    "insightface/models/buffalo_l/2d106det.onnx",
                    5_030_888,
                    "f001b856447c413801ef5c42091ed0cd516fcd21f2d6b79635b1e733a7109dbf",
                ),
            ),
            repositories=_LIVE_PORTRAIT,
        ),
        Published(
            "sam2",
            "SAM 2.1",
            156_000_000,
            Licence(
                "Apache License 2.0",
                "https://github.com/facebookresearch/sam2/blob/main/LICENSE",
                commercial=True,
            ),
            (File("config.json"), File("model.safetensors")),
            repositories=("facebook/sam2.1-hiera-tiny",),
        ),
    )
}
"""The weights of all engines by model name; an engine has the name of its model."""
