"""Examples that the project draws itself: clips with known faults and with an object to remove, and a portrait."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "clip": ["Example", "write_example"],
        "crossing": ["RemovalExample", "write_removal_example"],
        "faults": ["FAULTS", "Fault"],
        "portrait": ["PortraitExample", "write_portrait_example"],
    },
)
