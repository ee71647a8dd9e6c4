"""The published networks, from where their weights lie onto a device."""

from pathlib import Path

from pipelines.inpainting.propainter.work import Networks


def load_networks(folder: Path | None, device: str) -> Networks:
    """The three networks on `device`, by torch's name. Raises WeightsMissing, WeightsBroken."""
    from pipelines.nets.finding import find
    from pipelines.nets.flow_completion import load_flow_completion
    from pipelines.nets.propainter import load_generator
    from pipelines.nets.raft import load_raft

    paths = find("propainter", folder)
    return Networks(
        load_raft(paths["raft-things.pth"], device),
        load_flow_completion(paths["recurrent_flow_completion.pth"], device),
        load_generator(paths["ProPainter.pth"], device),
        device,
    )
