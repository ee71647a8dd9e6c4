"""The built-in scorer: sharpness, blur and smoothness from pixels alone."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"engine": ["BuiltinEngine"]})
