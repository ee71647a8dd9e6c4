"""Faces: detection, selection, tracking, alignment, cropping and pasting back."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "aligned_view": ["FacePlacement"],
        "alignment": ["fit"],
        "cascade": ["FaceBox", "detect_by_votes", "detect_fast"],
        "crop": ["DrivingWindow", "PasteBack", "Square"],
        "onnx_landmarks": ["OnnxDetector"],
        "preview": ["MarkedFaces", "marked_faces"],
        "selection": ["CascadeDetector", "FaceDetector", "UserBox", "find_faces", "find_reference"],
        "small_faces": ["detect_small", "smallest_face_px"],
        "track": ["FaceTrack", "follow_face"],
    },
)
