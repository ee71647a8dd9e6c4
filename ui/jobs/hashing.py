"""Hash uploads and weights without holding up the page: a few files at a time, in threads of their own."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines.jobs.inputs import InputFile

_AT_ONCE = 2
"""Files that are hashed at a time, of all visitors; the others wait without a thread. Two keep a quick disk busy."""

_threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="hashing")


async def fingerprint(path: Path) -> str:
    """The hash of the whole contents of `path`; from the second time on looked up. Raises as `InputFile.of`."""
    found = await asyncio.get_running_loop().run_in_executor(_threads, InputFile.of, path)
    return found.fingerprint
