"""LivePortrait's small networks: stitching, and the retargeting of eyes and lips. Always float32."""

from itertools import pairwise

from torch import Tensor, nn

from pipelines.nets.liveportrait.folding import Network

WIDTHS = {
    "retarget_shoulder": (126, 128, 128, 64, 65),
    "retarget_mouth": (65, 128, 128, 64, 63),
    "retarget_eye": (66, 256, 256, 128, 128, 64, 63),
}
"""Layer widths by the names in the published file."""


class Perceptron(Network):
    """Linear layers with ReLU between them: (B, first width) -> (B, last width)."""

    def __init__(self, name: str) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for a, b in pairwise(WIDTHS[name]):
            layers += [nn.Linear(a, b), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(B, first width) -> (B, last width)."""
        result: Tensor = self.mlp(x)
        return result
