"""The published networks, from where their weights lie onto a device."""

from pathlib import Path

from pipelines.inpainting.propainter.context import ProPainterNetworks


def load_networks(folder: Path | None, device: str) -> ProPainterNetworks:
    """The three networks on `device`, by torch's name. Raises WeightsMissing, WeightsBroken."""
    from pipelines.nets.propainter.flow_completion import load_flow_completion
    from pipelines.nets.propainter.generator import load_generator
    from pipelines.nets.raft.model import load_raft
    from pipelines.weights.locate import find

    paths = find("propainter", folder)
    return ProPainterNetworks(
        load_raft(paths["raft-things.pth"], device),
        load_flow_completion(paths["recurrent_flow_completion.pth"], device),
        load_generator(paths["ProPainter.pth"], device),
        device,
    )
