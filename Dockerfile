# For a release pin the base image by digest: --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS libraries
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1
RUN python -m venv /opt/integrator
ENV PATH=/opt/integrator/bin:$PATH
WORKDIR /build
COPY requirements.lock ./
# Every library with version and hash of the lock file, without the Temporal server of local runs:
# containers use a separate one.
RUN pip install --no-compile --require-hashes --only-binary :all: -r requirements.lock

FROM libraries AS build
COPY pyproject.toml README.md worker.py ./
COPY activities activities
COPY api api
COPY integrator integrator
COPY workflows workflows
RUN pip install --no-compile --no-deps --no-build-isolation --no-index .

FROM build AS build-product
# Bytecode without timestamps is reproducible, and a container cannot write its own. pip is removed:
# nothing is installed into a running container.
RUN python -m compileall -q --invalidation-mode unchecked-hash /opt/integrator/lib \
    && pip uninstall --yes pip

# A change of the code repeats no download.
FROM libraries AS build-devtools
COPY requirements-devtools.lock ./
RUN pip install --no-compile --require-hashes --only-binary :all: -r requirements-devtools.lock
COPY --from=build /opt/integrator /opt/integrator
COPY devtools devtools
RUN pip install --no-compile --no-deps --no-build-isolation --no-index ./devtools \
    && python -m compileall -q --invalidation-mode unchecked-hash /opt/integrator/lib \
    && pip uninstall --yes pip

FROM ${PYTHON_IMAGE} AS runtime
ARG INTEGRATOR_VERSION=latest
ARG INTEGRATOR_REVISION=unknown
LABEL org.opencontainers.image.title="payment-integrator" \
      org.opencontainers.image.description="Between Billwerk+ Transform and payment service providers" \
      org.opencontainers.image.version="${INTEGRATOR_VERSION}" \
      org.opencontainers.image.revision="${INTEGRATOR_REVISION}"
RUN useradd --system --uid 10001 --user-group --no-create-home integrator \
    && install --directory --owner integrator --group integrator --mode 0700 /data
ENV PATH=/opt/integrator/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# By number: Kubernetes cannot verify by a name that it is not root.
USER 10001:10001
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM

# The sandbox PSP and the other development tools: `--target devtools`. Not for production: the
# control API of the sandbox PSP has no authentication.
FROM runtime AS devtools
COPY --from=build-devtools /opt/integrator /opt/integrator
EXPOSE 8090
CMD ["python", "-m", "devtools.sandbox_psp"]

FROM runtime AS production
COPY --from=build-product /opt/integrator /opt/integrator
# 8080 the API, 8081 the codec server
EXPOSE 8080 8081
# Checks the API, the default command; deployments define checks for other commands.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-m", "integrator.healthcheck", "api"]
CMD ["python", "-m", "api"]
