"""Examples that the project draws itself: a clip with known faults for scoring, and a portrait with a driving clip."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "clip": ["Example", "write_example"],
        "faults": ["FAULTS", "Fault"],
        "portrait": ["PortraitExample", "write_portrait_example"],
    },
)
