"""Array and size types that all rooms share."""

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB (H, W, 3) or grey (H, W), 0 to 255."""

Deep = NDArray[np.uint16]
"""R'G'B' (H, W, 3), or one component (H, W), 0 to 65535."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

WHITE: Colour = (255, 255, 255)

Mask = NDArray[np.bool_]
"""(H, W), true where marked."""

Size = tuple[int, int]
"""Width and height in pixels."""

Flags = NDArray[np.uint8]
"""A mask (H, W) as {0, 1} or {0, 255}, for OpenCV."""

Floats = NDArray[np.float32]
"""Fields and colours for computing, (H, W) or (H, W, C)."""
