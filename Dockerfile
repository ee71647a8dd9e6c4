# The page and the command line in a container: `docker build .` for a CPU, `docker build --target cuda .` for NVIDIA GPUs.
# Jobs and weights are the volumes /jobs and /weights, never part of an image. All of it: docs/deploy.md.
ARG PYTHON_VERSION=3.12

# -- packages: wheels alone, so no compiler is needed --------------------------------------------------------

# PyPI's torch brings the libraries of CUDA 13 with it.
FROM python:${PYTHON_VERSION}-slim AS packages-cuda
WORKDIR /build
COPY requirements.txt requirements-faces.txt requirements-track.txt ./
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir -r requirements-faces.txt -r requirements-track.txt

FROM python:${PYTHON_VERSION}-slim AS packages-cpu
WORKDIR /build
COPY requirements.txt requirements-faces.txt requirements-track.txt ./
RUN python -m venv /opt/venv \
    && /opt/venv/bin/pip install --no-cache-dir --index-url https://download.pytorch.org/whl/cpu \
        "$(grep '^torch==' requirements.txt)" \
    && /opt/venv/bin/pip install --no-cache-dir -r requirements-faces.txt -r requirements-track.txt

# -- program -------------------------------------------------------------------------------------------------

FROM python:${PYTHON_VERSION}-slim AS program
WORKDIR /app
COPY LICENSE pyproject.toml app.py ./
COPY memory memory
COPY pipelines pipelines
COPY presets presets
COPY ui ui
COPY deploy/healthcheck.py deploy/healthcheck.py
# Nothing is compiled at run time, where the folder is read-only; whoever runs the container may read it all.
RUN python -m compileall -q --invalidation-mode unchecked-hash . \
    && chmod -R a+rX .

# -- what both images run on ---------------------------------------------------------------------------------

FROM python:${PYTHON_VERSION}-slim AS system
# tini passes signals on and reaps workers that outlive their parent. Debian keeps one version of it in a release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends fonts-dejavu-core tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 1000 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin longtake \
    && install -d -o longtake -g longtake /jobs /weights
# All that is written goes to /jobs and /tmp: the root may be read-only, and the user need not have a home.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONDONTWRITEBYTECODE=1 \
    GRADIO_SERVER_NAME=0.0.0.0 \
    LONGTAKE_CACHE=/jobs/.longtake \
    LONGTAKE_CONFIG=/jobs/.longtake \
    LONGTAKE_WEIGHTS=/weights \
    XDG_CACHE_HOME=/tmp/cache
WORKDIR /app
VOLUME ["/jobs", "/weights"]
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-I", "/app/deploy/healthcheck.py"]
USER 1000:1000
ENTRYPOINT ["tini", "--"]
CMD ["python", "app.py", "--jobs-dir", "/jobs", "--workers", "auto"]

# -- images; the last one is what `docker build .` makes -----------------------------------------------------

FROM system AS cuda
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility,video \
    CUDA_CACHE_PATH=/tmp/cuda
COPY --from=packages-cuda /opt/venv /opt/venv
COPY --from=program /app /app

FROM system AS cpu
COPY --from=packages-cpu /opt/venv /opt/venv
COPY --from=program /app /app
