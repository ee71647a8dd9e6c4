"""Recognise out-of-memory errors, and release memory that libraries cache.

Every allocator words the same event differently: CUDA, HIP, Apple, Intel, the libraries above them, ONNX Runtime,
NumPy, OpenCV, the operating system.
"""

import ctypes
import errno
import gc
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress

from memory.compute import known_devices

_log = logging.getLogger(__name__)

_WORDINGS = re.compile(
    "|".join(
        (
            # CUDA, HIP, XPU, MPS, NCCL, ONNX Runtime's CUDA provider; not "out of memory bounds".
            r"\bout of memory\b(?! (?:bounds|range|access|index))",
            r"cuda_?error_?out_?of_?memory|cudaErrorMemoryAllocation|hipErrorOutOfMemory",
            r"OUT_OF_(?:DEVICE|HOST)_MEMORY|PI_ERROR_OUT_OF_RESOURCES|UR_RESULT_ERROR_OUT_OF_RESOURCES",
            r"invalid buffer size: [\d.]+ ?[kmgt]i?b",  # MPS, for a single tensor above its size limit
            # Libraries that take workspace of their own.
            r"(?:CU|HIP|ROC)(?:BLAS|SOLVER|SPARSE|DNN)_STATUS_ALLOC_FAILED|rocblas_status_memory_error",
            r"CUDNN_STATUS_INTERNAL_ERROR_(?:DEVICE|HOST)_ALLOCATION_FAILED|miopenStatusAllocFailed",
            r"CUFFT_ALLOC_FAILED|HIPFFT_ALLOC_FAILED",
            r"unable to find a valid cuDNN algorithm",  # each algorithm's workspace was refused
            # ONNX Runtime, OpenCV, C++, NumPy, torch on the CPU.
            r"failed to allocate (?:memory|\d+ bytes)",
            r"available memory of \d+ is smaller than requested bytes",
            r"insufficient memory",
            r"std::bad_alloc",
            r"unable to allocate (?:array|[\d.]+ ?(?:bytes|[kmgtpe]i?b))",
            r"not enough memory: you tried to allocate",
            # The operating system; the loader's wording for a full TLS block is another matter.
            r"(?:cannot|can't|could not) allocate memory(?! in static tls)",
            r"paging file is too small",
            r"not enough memory resources are available",
        )
    ),
    re.IGNORECASE,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error`, or one that it was raised from, means out of memory."""
    return any(_is_out_of_memory(each) for each in chain(error))


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield `error`, its causes and contexts, and the members of groups; each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        waiting += [each.__cause__, None if each.__suppress_context__ else each.__context__]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions


def release() -> None:
    """Collect garbage, synchronise devices, and return what allocators cache to the system. Never raises.

    Call it outside `except` blocks: an error being handled keeps the frames whose variables hold tensors.
    """
    gc.collect()
    _trim_heap()
    for device in known_devices():
        _try(device.synchronise)
        _try(device.release)


def _trim_heap() -> None:
    """Return freed memory from the C library to the system, which only glibc supports."""
    with suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    # torch.OutOfMemoryError has moved between modules; its name has stayed.
    named = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return named or _WORDINGS.search(str(error)) is not None


def _try(action: Callable[[], object]) -> None:
    try:
        action()
    except RuntimeError as error:
        _log.warning("memory could not be released: %s", error)
