"""The gate before the page: who may ask, from where, and how much, before Gradio sees a request.

Each module is one ASGI middleware and knows nothing of Gradio, except `logins`, which knows the names of its cookies.
"""

from ui.gate.bodies import BoundedBodies
from ui.gate.hosts import OnlyKnownHosts
from ui.gate.logins import OnlyLoggedIn
from ui.gate.mount import OnlyBehindGate, in_front
from ui.gate.names import Names, origin_of_flag, parsed_host
from ui.gate.origins import OnlyOwnOrigins
from ui.gate.uploads import OnlyFiles

__all__ = [
    "BoundedBodies",
    "Names",
    "OnlyBehindGate",
    "OnlyFiles",
    "OnlyKnownHosts",
    "OnlyLoggedIn",
    "OnlyOwnOrigins",
    "in_front",
    "origin_of_flag",
    "parsed_host",
]
