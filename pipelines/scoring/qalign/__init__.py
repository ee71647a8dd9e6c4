"""The engine `qalign`: window scores from a vision-language network."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submod_attrs={"engine": ["QAlignEngine"]})
