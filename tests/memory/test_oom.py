import errno
import gc
import platform
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from memory.oom import is_out_of_memory, release

WORDINGS = {
    "cuda allocator": RuntimeError(
        "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 7.79 GiB."
    ),
    "cuda": RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    "cuda driver": RuntimeError("CUDA driver error: out of memory"),
    "cuda driver name": RuntimeError("cuMemCreate failed: CUDA_ERROR_OUT_OF_MEMORY"),
    "cuda runtime name": RuntimeError("cudaErrorMemoryAllocation: api failed"),
    "hip allocator": RuntimeError("HIP out of memory. Tried to allocate 2.00 GiB"),
    "hip": RuntimeError("HIP error: out of memory"),
    "hip name": RuntimeError("hipErrorOutOfMemory"),
    "mps": RuntimeError("MPS backend out of memory (MPS allocated: 17.86 GB, max allowed: 18.13 GB)"),
    "mps buffer": RuntimeError("Invalid buffer size: 24.00 GB"),
    "xpu": RuntimeError("XPU out of memory. Tried to allocate 3.00 GiB (GPU 0; 15.56 GiB total capacity)"),
    "xpu runtime": RuntimeError(
        "level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"
    ),
    "xpu plugin": RuntimeError("Native API failed. Native API returns: -5 (PI_ERROR_OUT_OF_RESOURCES)"),
    "cublas": RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    "hipblas": RuntimeError("HIPBLAS_STATUS_ALLOC_FAILED when calling hipblasCreate"),
    "cusolver": RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED"),
    "cufft": RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
    "cudnn": RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    "cudnn 9 device": RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    "cudnn 9 host": RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
    "cudnn workspace": RuntimeError("Unable to find a valid cuDNN algorithm to run convolution"),
    "miopen": RuntimeError("miopenStatusAllocFailed"),
    "nccl": RuntimeError("NCCL error: unhandled cuda error, Cuda failure 2 'out of memory'"),
    "onnx runtime": RuntimeError(
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : BFCArena::AllocateRawInternal(size_t, bool) "
        "Failed to allocate memory for requested buffer of size 268435456"
    ),
    "onnx runtime limit": RuntimeError("Available memory of 1024 is smaller than requested bytes of 4096"),
    "onnx runtime cuda": RuntimeError("CUDA failure 2: out of memory ; GPU=0"),
    "torch on the cpu": RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 400000000000 bytes. Error code 12 (Cannot allocate memory)"
    ),
    "torch on windows": RuntimeError(
        "DefaultCPUAllocator: not enough memory: you tried to allocate 400 bytes."
    ),
    "python": MemoryError(),
    "numpy": MemoryError("Unable to allocate 7.28 TiB for an array with shape (1000000000000,)"),
    "numpy text": RuntimeError("Unable to allocate 3.0 GiB for an array"),
    "opencv": RuntimeError(
        "OpenCV(5.0.0) alloc.cpp:73: error: (-4:Insufficient memory) Failed to allocate 480000000000 bytes"
    ),
    "opencv short": RuntimeError("Failed to allocate 24883200 bytes in function 'allocate'"),
    "c++": RuntimeError("std::bad_alloc"),
    "system": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "system text": RuntimeError("mmap failed: Cannot allocate memory"),
    "fork": RuntimeError("fork: could not allocate memory"),
    "windows": OSError("[WinError 1455] The paging file is too small for this operation to complete"),
    "windows resources": OSError(
        "[WinError 8] Not enough memory resources are available to process this command"
    ),
}

LOOK_ALIKES = [
    IndexError("out of memory bounds index 12"),
    RuntimeError("read out of memory range"),
    IndexError("index 7 is out of bounds for axis 0 with size 5"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("CUDA error: device-side assert triggered"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
    RuntimeError("CUBLAS_STATUS_EXECUTION_FAILED"),
    ImportError("libgomp.so.1: cannot allocate memory in static TLS block"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EAGAIN, "Resource temporarily unavailable"),
    RuntimeError("failed to allocate a port"),
    RuntimeError("unable to allocate resources for the ticket"),
    ValueError("invalid buffer size: must be positive"),
    ValueError("The memory format option is not supported"),
    KeyError("memory"),
    RuntimeError(""),
]


@pytest.mark.parametrize("wording", WORDINGS)
def test_every_wording_is_known(wording):
    assert is_out_of_memory(WORDINGS[wording])


@pytest.mark.parametrize("error", LOOK_ALIKES, ids=str)
def test_look_alikes_are_something_else(error):
    assert not is_out_of_memory(error)


def test_what_libraries_really_raise():
    with pytest.raises(MemoryError) as from_numpy:
        np.empty(1 << 60, np.uint8)
    assert is_out_of_memory(from_numpy.value)
    cv2 = pytest.importorskip("cv2")
    row = np.zeros((1, 1 << 15), np.uint8)
    with pytest.raises(cv2.error) as from_opencv:
        cv2.resize(row, ((1 << 31) - 1, (1 << 31) - 1))
    assert is_out_of_memory(from_opencv.value)


def test_a_class_by_its_name():
    kind = type("OutOfMemoryError", (RuntimeError,), {})
    assert is_out_of_memory(type("Special", (kind,), {})("no text that helps"))


def raised(*errors, **how):
    """The last of `errors`, raised from the one before it, and so on."""
    previous = None
    for error in errors:
        try:
            if previous is None:
                raise error
            raise error from previous
        except (MemoryError, KeyError, ValueError) as caught:
            previous = caught
    return previous


def test_a_mapped_error_is_known_by_its_cause():
    assert is_out_of_memory(raised(MemoryError(), ValueError("a"), ValueError("b")))
    assert not is_out_of_memory(raised(KeyError("x"), ValueError("a"), ValueError("b")))


def test_an_error_while_handling_one_is_known_by_its_context():
    try:
        try:
            raise MemoryError
        except MemoryError:
            {}["missing"]
    except KeyError as error:
        assert is_out_of_memory(error)


def test_a_context_that_was_put_aside_does_not_count():
    try:
        try:
            raise MemoryError
        except MemoryError:
            raise ValueError("something else") from None
    except ValueError as error:
        assert not is_out_of_memory(error)


def test_a_group_is_known_by_its_members():
    assert is_out_of_memory(ExceptionGroup("two", [ValueError("x"), ExceptionGroup("one", [MemoryError()])]))
    assert not is_out_of_memory(ExceptionGroup("one", [ValueError("x")]))


def test_errors_that_lead_in_a_circle():
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert not is_out_of_memory(first)


class TestRelease:
    def test_collects_what_only_circles_hold(self, load_torch):
        load_torch()
        node = type("Node", (), {})()
        node.itself = node
        watch = weakref.ref(node)
        gc.disable()
        try:
            del node
            assert watch() is not None
            release()
            assert watch() is None
        finally:
            gc.enable()

    def test_without_torch(self, without_torch):
        release()

    def test_waits_for_the_device_then_empties_its_cache(self, load_torch):
        torch = load_torch(uuids=("a",))
        release()
        assert torch.cuda.calls == ["cuda.synchronize", "cuda.empty_cache"]
        assert torch.mps.calls == []

    def test_a_driver_that_was_not_started_is_left_alone(self, load_torch):
        torch = load_torch(uuids=("a",), initialized=False)
        release()
        assert torch.cuda.calls == []

    def test_a_device_that_fails_again_does_not_stop_it(self, load_torch, caplog):
        torch = load_torch(uuids=("a",))
        torch.cuda.fails = True
        release()
        assert torch.cuda.calls == ["cuda.synchronize", "cuda.empty_cache"]
        assert "out of memory" in caplog.text

    def test_apple_and_intel(self, load_torch, mps):
        calls = []
        xpu = SimpleNamespace(
            is_available=lambda: True,
            synchronize=lambda: calls.append("synchronize"),
            empty_cache=lambda: calls.append("empty_cache"),
        )
        torch = load_torch(mps(available=True), xpu)
        release()
        assert torch.mps.calls == ["mps.synchronize", "mps.empty_cache"]
        assert calls == ["synchronize", "empty_cache"]


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc keeps freed memory so, and gives it back"
)
def test_freed_memory_goes_back_to_the_system() -> None:
    """Pieces that are too small to be mapped on their own, below one that stays."""
    pieces = [b"x" * 2**16 for _ in range(1024)]
    last = b"y" * 2**16
    pieces.clear()
    before = held_bytes()
    release()
    assert before - held_bytes() > 2**25
    assert len(last) == 2**16


def held_bytes() -> int:
    """What this process holds on its own."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))
