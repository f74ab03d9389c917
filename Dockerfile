# The first stage installs the locked requirements and the project into /venv; the second carries that and nothing that builds.
ARG BASE_IMAGE=python:3.12-slim

FROM ${BASE_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv --without-pip /venv
WORKDIR /src
COPY requirements/runtime.lock requirements/
RUN python -m pip --python /venv/bin/python install --require-hashes -r requirements/runtime.lock
COPY pyproject.toml README.md LICENSE ./
COPY bot bot
COPY sources sources
COPY research research
COPY execution execution
COPY simulators simulators
# Built with the locked hatchling, which then goes: a running bot needs no build backend.
RUN python -m pip --python /venv/bin/python install --no-deps --no-build-isolation . \
 && python -m pip --python /venv/bin/python uninstall --yes hatchling editables pathspec pluggy trove-classifiers

FROM ${BASE_IMAGE}
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ARBITER_BOT__DATA_DIR=/data
COPY --from=build /venv /venv
WORKDIR /app
COPY config config
RUN mkdir /data && chown 10001:10001 /data
USER 10001:10001
VOLUME ["/data"]
STOPSIGNAL SIGTERM
# Asks the bot's own listener (metrics.port) on the container's loopback. It answers as long as the desk's loop turns.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
  CMD ["python", "-m", "bot", "healthcheck", "--timeout", "5"]
ENTRYPOINT ["python", "-m", "bot"]
CMD ["--paper"]
