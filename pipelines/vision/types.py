"""Array and size types that all rooms share."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB (H, W, 3) or grey (H, W), 0 to 255."""

Mask = NDArray[np.bool_]
"""(H, W), true where marked."""

Size = tuple[int, int]
"""Width and height in pixels."""
