"""A drawn face, seen from the front or turned: material that belongs to nobody."""

from typing import Any

import cv2
import numpy as np

Colour = tuple[int, int, int]


def drawn(aside: float, skin: Colour = (226, 180, 150), seed: int = 0) -> Any:
    """Draw a face that is turned: its eyes, nose and mouth lie aside in its outline, and nearer together."""
    picture = np.full((256, 256, 3), (120, 150, 180), np.uint8)
    dark, hair, lips = tuple(round(0.7 * tone) for tone in skin), (70, 45, 30), (190, 80, 85)
    cv2.ellipse(picture, (128, 116), (70, 84), 0, 0, 360, hair, -1, cv2.LINE_AA)
    cv2.ellipse(picture, (128, 130), (60, 77), 0, 0, 360, skin, -1, cv2.LINE_AA)

    def across(position: float) -> int:
        return round(128 + 60 * np.sin(np.arcsin(position) + aside))

    for side in (-0.42, 0.42):
        at, width = across(side), max(5, round(13 * np.cos(np.arcsin(side) + aside)))
        cv2.ellipse(picture, (at, 117), (width, 7), 0, 0, 360, (250, 250, 250), -1, cv2.LINE_AA)
        cv2.circle(picture, (at, 117), 5, (60, 40, 30), -1, cv2.LINE_AA)
        cv2.ellipse(picture, (at, 101), (width + 4, 5), 0, 180, 360, hair, 4, cv2.LINE_AA)
    nose = round(across(0) + 14 * aside)
    cv2.line(picture, (across(0), 118), (nose, 147), dark, 3, cv2.LINE_AA)
    cv2.ellipse(picture, (nose, 149), (10, 5), 0, 0, 180, dark, 3, cv2.LINE_AA)
    width = round(22 * np.cos(aside))
    cv2.ellipse(picture, (across(0), 172), (width, 7), 0, 0, 360, lips, -1, cv2.LINE_AA)
    cv2.line(picture, (across(0) - width, 172), (across(0) + width, 172), (100, 30, 35), 2, cv2.LINE_AA)
    noise = np.random.default_rng(seed).normal(0, 2, picture.shape)
    return np.clip(cv2.GaussianBlur(picture, (0, 0), 0.8) + noise, 0, 255).astype(np.uint8)
