"""The built-in scoring engine: sharpness, blur and smoothness without a network."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"engine": ["BuiltinEngine"]})
