"""A card that is not there: a device `sim` for PyTorch whose tensors lie in the host's memory.

What runs on it runs as on a card, where that can be known without one: tensors that lie on the wrong device are
refused, memory is counted and limited, and each operation, each transfer and each wait of the host is counted. With
real values results are those of the CPU's kernels; with shapes only nothing is computed, so that the memory of the
published sizes is known in seconds.

What it cannot show: kernels and their speed, workspaces of libraries, fragmentation, streams, errors of a driver, how
half precision is rounded on a card.

    with simulated_card(limit_bytes=2 * GIB, values=False) as card:
        network.to("sim")
        ...
    print(card.peak_bytes, card.operations.total(), card.waits)
"""

from tests.simulated_card.backend import simulated_card
from tests.simulated_card.card import Card

__all__ = ["Card", "simulated_card"]
