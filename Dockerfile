# syntax=docker/dockerfile:1
FROM python:3.13-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/integrator
ENV PATH=/opt/integrator/bin:$PATH
WORKDIR /build
COPY requirements.lock ./
# Without the Temporal server of local runs: a container uses the one next door.
RUN pip install --require-hashes --only-binary :all: -r requirements.lock
COPY pyproject.toml README.md worker.py cli.py ./
COPY activities activities
COPY api api
COPY contract contract
COPY local local
COPY operations operations
COPY psp psp
COPY runtime runtime
COPY codec_server codec_server
COPY sandbox_psp sandbox_psp
COPY store store
COPY workflows workflows
RUN pip install --no-deps --no-build-isolation --no-index .

FROM python:3.13-slim
RUN useradd --system --uid 10001 --user-group --no-create-home integrator \
    && install --directory --owner integrator --group integrator --mode 0700 /data
COPY --from=build /opt/integrator /opt/integrator
ENV PATH=/opt/integrator/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER integrator
WORKDIR /data
VOLUME /data
# 8080 the API, 8090 the sandbox PSP
EXPOSE 8080 8090
CMD ["python", "-m", "api"]
