"""Q-Align (Wu et al., ICML 2024): a vision-language model that rates frames, as VMBench uses it."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"model": ["QAlign", "inspect", "load"]}
)
