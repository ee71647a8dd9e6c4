"""What the image runs, as it runs there: as uid 1000 without a home or a network, below a root that is read-only."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import psutil
import pytest

from tests.deploy import container
from tests.deploy.container import Spec
from tests.deploy.dockerfile import ROOT, Image, stages
from tests.deploy.kustomize import render

PATIENCE_SECONDS = 90
JOB = """
from gradio_client import Client, handle_file
client = Client("http://127.0.0.1:7860", verbose=False)
status, files = client.predict(file=handle_file("/input/clip.mp4"), api_name="/score")
print(status["state"], *sorted(files))
"""


@dataclass
class Running:
    """The page in a container."""

    spec: Spec
    process: subprocess.Popen[bytes]
    log: Path
    jobs: Path

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return container.run_in(self.spec, self.process, *command)


def spec_of(image: Image, program: Image, folder: Path) -> Spec:
    """The container of `image`, with the project's files where the image has them."""
    user = int(image.words["USER"].partition(":")[0])
    for name in ("jobs", "weights"):
        (folder / name).mkdir()
        os.chown(folder / name, user, user)
    mounts = {"/opt/venv": sys.prefix, sys.base_prefix: sys.base_prefix, "/input": str(folder / "input")}
    mounts |= {f"/{name}": str(folder / name) for name in ("jobs", "weights")}
    for sources, target in program.copied:
        for source in sources:
            mounts[f"/app/{source if target == './' else target}"] = str(ROOT / source)
    # Where Debian's packages lie; the image has it from Python's own image.
    path = image.environ["PATH"].replace("$PATH", "/usr/local/bin:/usr/bin:/bin")
    environ = image.environ | {"PATH": path}
    return Spec(mounts, ["/jobs"], environ, image.words["WORKDIR"], image.command("CMD"), user)


@pytest.fixture(scope="module")
def page() -> Iterator[Running]:
    """The image's command, running and healthy; /weights is read-only, as for a page in Compose and Kubernetes."""
    if reason := container.why_not():
        pytest.skip(f"no stand-in for a container: {reason}")
    if not all(path.stat().st_mode & 0o004 for path in (ROOT / "app.py", Path(pytest.__file__))):
        pytest.skip("the project or its packages cannot be read by other users of this machine")
    found = stages()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "input").mkdir()
        draw(folder / "input" / "clip.mp4")
        spec = spec_of(found["cpu"], found["program"], folder)
        log = folder / "log"
        process = container.start(spec, log)
        try:
            running = Running(spec, process, log, folder / "jobs")
            until_healthy(running, found["cpu"].healthcheck())
            yield running
        finally:
            if process.poll() is None:
                for each in [*psutil.Process(process.pid).children(recursive=True), process]:
                    each.kill()
                process.wait()


def draw(clip: Path) -> None:
    encode = ["-c:v", "libx264", "-pix_fmt", "yuv420p", str(clip)]
    source = "testsrc2=size=96x64:rate=20:duration=1"
    ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, *encode], check=True, timeout=60)


def until_healthy(page: Running, healthcheck: list[str]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while page.run(*healthcheck).returncode:
        assert page.process.poll() is None and time.monotonic() < end, page.log.read_text()
        time.sleep(0.5)


@pytest.mark.parametrize(
    "path", ["/", "/app", "/weights", "/opt/venv", "/dev/shm", "/home", "/var/tmp", "/usr"]
)
def test_there_is_nowhere_else_to_write(page: Running, path: str) -> None:
    assert page.run("touch", f"{path}/x").returncode, "the test would prove nothing"


def test_a_job_runs_and_leaves_its_files_with_the_jobs(page: Running) -> None:
    assert page.run("id", "-u").stdout.strip() == "1000"
    ran = page.run("python", "-c", JOB)
    assert ran.returncode == 0, (ran.stderr, page.log.read_text())
    assert ran.stdout.startswith("done") and "report.json" in ran.stdout
    (job,) = page.jobs.glob("*/report.json")
    assert job.stat().st_uid == 1000
    said = page.log.read_text()
    assert "done after" in said
    for complaint in ("Traceback", "Permission", "Read-only", "writable"):
        assert complaint not in said, said


def test_the_command_line_runs_in_any_folder(page: Running) -> None:
    accept = ["python", "-m", "pipelines", "weights", "sam2", "--accept-licence"]
    ran = page.run("env", "--chdir=/tmp", *accept)
    assert ran.returncode == 0, ran.stderr
    assert (page.jobs / ".longtake" / "licences.json").is_file(), "and is remembered beside the jobs"


def test_a_signal_ends_it_within_the_grace_of_its_pod(page: Running) -> None:
    (deployment,) = [each for each in render(ROOT / "deploy/kubernetes/base") if each["kind"] == "Deployment"]
    page.process.terminate()
    grace = deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert page.process.wait(grace) == 0
