# Wazi in a container: non-root, works over a read-only root file system, keeps everything in /data.
#
#   docker build -t wazi .    docker run -v wazi:/data --read-only --cap-drop ALL wazi
#
# BASE may be any Debian with, or able to install, Python 3.11 or newer. The secrets are optional: they
# are how a builder behind a proxy or its own mirrors lends its settings; nothing of them is kept.

ARG BASE=docker.io/library/python:3.11-slim-bookworm


FROM ${BASE} AS build

RUN --mount=type=secret,id=apt --mount=type=secret,id=ca \
    set -eu; \
    if [ -f /run/secrets/apt ]; then export APT_CONFIG=/run/secrets/apt; fi; \
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then \
        apt-get update -qq; \
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv; \
    fi

WORKDIR /build
COPY requirements.lock ./
RUN --mount=type=secret,id=pip --mount=type=secret,id=ca \
    set -eu; \
    if [ -f /run/secrets/pip ]; then export PIP_CONFIG_FILE=/run/secrets/pip; fi; \
    python3 -m venv /opt/wazi; \
    /opt/wazi/bin/python -m pip install -q --no-cache-dir --disable-pip-version-check \
        --require-hashes -r requirements.lock

# What only builds is left behind: the back-end, its helpers, and pip.
COPY pyproject.toml README.md LICENSE ./
COPY config config
COPY measurements measurements
COPY probe probe
RUN set -eu; \
    pip="/opt/wazi/bin/python -m pip -q --disable-pip-version-check"; \
    $pip install --no-cache-dir --no-deps --no-build-isolation --no-index .; \
    $pip uninstall -y hatchling pathspec pluggy trove-classifiers setuptools pip


FROM ${BASE}

# Pango and a typeface, 17 MB, are for reports as PDF.
RUN --mount=type=secret,id=apt --mount=type=secret,id=ca \
    set -eu; \
    if [ -f /run/secrets/apt ]; then export APT_CONFIG=/run/secrets/apt; fi; \
    packages="ca-certificates tini libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0 fonts-dejavu-core"; \
    command -v python3 >/dev/null || packages="$packages python3"; \
    apt-get update -qq; \
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages; \
    rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/*; \
    install -d -o 10001 -g 10001 -m 0700 /data

COPY --from=build /opt/wazi /opt/wazi

ENV PATH=/opt/wazi/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/data \
    XDG_DATA_HOME=/data \
    XDG_STATE_HOME=/data \
    XDG_CONFIG_HOME=/data \
    WAZI_STORE__URL=sqlite:////data/wazi.db

LABEL org.opencontainers.image.title="Wazi" \
      org.opencontainers.image.description="A witness for the open internet: measures whether sites can be reached, and proves it when something blocks them." \
      org.opencontainers.image.licenses="MIT"

USER 10001:10001
WORKDIR /data
VOLUME /data
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=60s --timeout=15s --start-period=60s --retries=3 CMD ["wazi", "status", "--health"]

# An init as process 1, so that signals arrive and no zombie stays.
ENTRYPOINT ["tini", "--", "wazi"]
CMD ["run"]
