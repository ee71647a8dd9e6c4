"""Models of the server's current state, for the API, the page and the metrics.

All sizes are bytes, all times seconds.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from memory.probe import Host
from pipelines.storage.paths import PROJECT_ROOT

Role = Literal["page", "worker", "other"]


class _FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True)


class HostNow(_FrozenModel):
    """Host memory."""

    total_bytes: int = Field(description="The machine's or the container's, whichever is smaller.")
    available_bytes: int
    used_bytes: int = Field(description="By everyone.")
    machine_bytes: int
    in_container: bool = False

    @classmethod
    def of(cls, host: Host) -> "HostNow":
        """The model of probed host memory."""
        used = max(0, host.total_bytes - host.available_bytes)
        return cls(
            total_bytes=host.total_bytes,
            available_bytes=host.available_bytes,
            used_bytes=used,
            machine_bytes=host.machine_bytes,
            in_container=host.in_container,
        )


class DeviceNow(_FrozenModel):
    """One accelerator."""

    kind: Literal["cuda", "mps"]
    index: int
    name: str
    total_bytes: int
    free_bytes: int
    ours_bytes: int
    others_bytes: int = Field(description="What other people's processes hold.")
    utilisation_percent: int | None = None


class HardwareNow(_FrozenModel):
    """The hardware, as far as a container shows it."""

    host: HostNow
    devices: tuple[DeviceNow, ...] = ()
    no_device_reason: str = Field(default="", description="Why there is no device, in a sentence.")
    no_device_code: str = Field(default="", description="The same as a word for programs.")
    no_device_detail: str = Field(default="", description="What the driver, or a setting, says of it.")
    cores: int = Field(default=1, description="Cores that this process may use.")


class PresetNow(_FrozenModel):
    """The tiers that this machine belongs to; a video's size and length decide the rest."""

    vram: str
    host: str
    reason: str


class DiskNow(_FrozenModel):
    """The disk that holds the jobs. `folder` is for the server's owner alone."""

    total_bytes: int
    free_bytes: int
    folder: str | None = None


class ProcessNow(_FrozenModel):
    """One of our processes; for the server's owner alone."""

    pid: int
    name: str
    role: Role
    host_bytes: int


class ProcessesNow(_FrozenModel):
    """Host memory of our processes: proportional set size where the system reports it, else resident."""

    page_bytes: int
    worker_bytes: int = Field(default=0, description="The workers and everything that they started.")
    other_bytes: int = Field(default=0, description="Helpers of the page: looking at uploads.")
    each: tuple[ProcessNow, ...] | None = None

    @property
    def total_bytes(self) -> int:
        """Memory of all our processes together."""
        return self.page_bytes + self.worker_bytes + self.other_bytes


class WorkerNow(_FrozenModel):
    """The worker process."""

    state: Literal["none", "warm", "busy"]
    engine: str = ""
    jobs_run: int = 0
    seconds: float = Field(default=0.0, description="How long it has been so, as of the newest sample.")
    pid: int | None = Field(default=None, description="Told to the person at this machine only.")


class QueueNow(_FrozenModel):
    """How many jobs run and wait."""

    running: int
    waiting: int


class CountersNow(_FrozenModel):
    """Counters since the server started; `frames_per_second` is recent."""

    frames_per_second: float = 0.0
    restarts: int = Field(default=0, description="Workers that died and were replaced.")
    degradations: int = Field(default=0, description="Times that a job went on with less memory.")
    finished: Mapping[str, int] = Field(default_factory=dict, description="Jobs, by how they ended.")


class BaselineNow(_FrozenModel):
    """Memory before the first job and when idle after jobs. None where not known.

    The page is compared with itself before the first job, a warm worker with itself after its first job, or after the
    first one of an engine that it had not run before.
    """

    returned: bool | None = Field(default=None, description="Whether memory came back; null: not known yet.")
    page_before_bytes: int | None = None
    page_after_bytes: int | None = None
    worker_first_bytes: int | None = None
    worker_after_bytes: int | None = None
    worker_first_device_bytes: int | None = None
    worker_after_device_bytes: int | None = None
    worker_jobs: int = Field(default=0, description="Jobs that lie between the worker's two readings.")
    sentence: str = ""


class System(_FrozenModel):
    """The server's current state. Sizes are bytes, times seconds."""

    version: str
    hardware: HardwareNow
    preset: PresetNow
    disk: DiskNow
    processes: ProcessesNow
    worker: WorkerNow = Field(description="That of the first place for a job.")
    workers: tuple[WorkerNow, ...] = Field(
        default=(), description="Those of all places: so many jobs may run at once."
    )
    queue: QueueNow
    counters: CountersNow
    baseline: BaselineNow


@cache
def version() -> str:
    """The program's version, as `pyproject.toml` states it."""
    try:
        text = (PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8")
        return str(tomllib.loads(text)["project"]["version"])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        return "unknown"
