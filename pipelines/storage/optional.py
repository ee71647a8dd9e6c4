"""Pictures that a job can do without: one that cannot be made is told, and never ends the job."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from memory.oom import is_out_of_memory
from pipelines.errors import LongtakeError, Sentence, name_os_error

log = logging.getLogger(__name__)


@contextmanager
def optional(what: str, warn: Callable[[str, str], None]) -> Iterator[None]:
    """Turn an error of the body into the warning that there is no `what`; a lack of memory is raised."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise
        if not (isinstance(error, LongtakeError) or (isinstance(error, OSError) and name_os_error(error))):
            log.warning("no %s", what, exc_info=True)
        warn("no_picture", Sentence(f"The {what} could not be made ({error}).", "no_picture"))
