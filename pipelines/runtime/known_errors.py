"""What ended a run, in words that say what to do next."""

from memory.oom import is_out_of_memory
from pipelines.errors import FolderUnusable, LongtakeError, NotEnoughMemory, name_os_error
from pipelines.jobs.job import Job


def job_gone(job: Job) -> FolderUnusable:
    """Return the error for a job whose folder somebody removed."""
    return FolderUnusable(
        f"The folder of the job, {job.folder}, is gone.", "Start the job again.", "job.folder_gone"
    )


def known_error(error: Exception) -> LongtakeError:
    """Turn any exception into an error that says what to do next."""
    if isinstance(error, LongtakeError):
        return error
    if is_out_of_memory(error):
        return NotEnoughMemory(
            f"Out of memory at the smallest settings that this job can use ({error}).",
            "Finished spans are kept. Close other programs or choose a lower --quality, then resume.",
            "memory.smallest",
        )
    if isinstance(error, OSError) and (named := name_os_error(error)):
        return named
    return LongtakeError(f"{type(error).__name__}: {error}.", "This is a bug in Longtake; please report it.")
