# syntax=docker/dockerfile:1

# Two images, for amd64 and arm64: `docker build --target server .` and `docker build --target worker .`.
# Both run as user 65532 and write nothing outside of volumes. docs/operations/images.md says how to use them.

# The Python that the tests run on.
ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY requirements.lock ./
# uv too is the locked one, by its hash.
RUN sed -n '/^uv==/,/[^\\]$/p' requirements.lock > /tmp/uv.txt \
    && pip install --no-cache-dir --require-hashes --no-deps --root-user-action ignore --requirement /tmp/uv.txt
COPY pyproject.toml ./
COPY proto/python proto/python
COPY clients/python clients/python
COPY worker worker
COPY service service
# The build backend is in uv itself, so nothing is fetched.
RUN uv build --wheel --all-packages --no-index --out-dir /wheels \
    && uv venv --python /usr/local/bin/python3 /opt/protojobs
COPY deploy/docker/install ./


FROM build AS build-server
RUN --mount=type=cache,target=/root/.cache/uv \
    ./install /opt/protojobs /wheels proto-jobs-proto proto-jobs-client proto-jobs-worker \
        "proto-jobs-service[import,kafka,mysql,oidc,otlp,postgres,uvloop]"


FROM build AS build-worker
RUN --mount=type=cache,target=/root/.cache/uv \
    ./install /opt/protojobs /wheels proto-jobs-proto "proto-jobs-client[encryption]" "proto-jobs-worker[pydantic]"


FROM python:${PYTHON} AS base
ARG VERSION=0
ARG REVISION=unknown
LABEL org.opencontainers.image.vendor="Proto Jobs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/proto-jobs/proto-jobs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 65532 protojobs \
    && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /var/lib/protojobs --shell /usr/sbin/nologin protojobs \
    && install --directory --owner 65532 --group 65532 /var/lib/protojobs
ENV PATH="/opt/protojobs/bin:${PATH}" PYTHONUNBUFFERED=1
STOPSIGNAL SIGTERM


# Runs handlers that another image adds: FROM this one, COPY them to /app, CMD ["module:worker"].
FROM base AS worker
LABEL org.opencontainers.image.title="Proto Jobs worker" \
      org.opencontainers.image.description="The Python runtime of Proto Jobs: handlers for background jobs."
COPY --from=build-worker /opt/protojobs /opt/protojobs
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["python", "-m", "protojobs_worker"]


# The last one, so it is what a build without --target makes.
FROM base AS server
LABEL org.opencontainers.image.title="Proto Jobs server" \
      org.opencontainers.image.description="Background jobs over gRPC on SQLite, PostgreSQL, MariaDB or Kafka."
COPY --from=build-server /opt/protojobs /opt/protojobs
# All addresses: a server that listens there without TLS refuses to start, unless PROTOJOBS_INSECURE is true.
ENV PROTOJOBS_HOST=0.0.0.0 PROTOJOBS_SQLITE__PATH=/var/lib/protojobs/protojobs.db
WORKDIR /var/lib/protojobs
EXPOSE 50051 8080
USER 65532:65532
ENTRYPOINT ["protojobs"]
CMD ["serve"]
