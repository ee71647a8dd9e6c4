"""Options that come by name, as a program gives them."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pipelines.errors import BadInput
from pipelines.settings import PortraitOptions


def options_of(values: Mapping[str, Any]) -> PortraitOptions:
    """The options that `values` name. Raises BadInput, with the name, for one that is unknown or out of range."""
    try:
        return PortraitOptions.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        raise BadInput(
            f"The option {name} cannot be used: {first['msg'].lower()}.", "See `PortraitOptions`."
        ) from error
