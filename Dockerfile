# One image for each service:   docker build --build-arg SERVICE=sms-sender --tag spacehub/sms-sender .
# and one for the simulators:   docker build --build-arg SERVICE=simulators --build-arg MEMBER=dev ...
#
# BuildKit is needed. Where the package index stands behind a CA of one's own: --secret id=ca,src=FILE; it is not kept.
# No syntax line: it would be pulled.
ARG BASE=python:3.12-slim-bookworm

# Every locked package, checked by its hash; the same layer for all services. From here on nothing is downloaded.
FROM ${BASE} AS wheels
RUN python3 -m venv /tools
COPY requirements.lock /
RUN --mount=type=secret,id=ca \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    /tools/bin/pip wheel --quiet --no-cache-dir --disable-pip-version-check --require-hashes --no-deps \
        --wheel-dir /wheels --requirement /requirements.lock

# The service with what it needs of them, and no more.
FROM wheels AS built
ARG SERVICE
ARG MEMBER=services/${SERVICE}
WORKDIR /srv/spacehub
COPY shared shared
COPY ${MEMBER} ${MEMBER}
RUN python3 -m venv --without-pip venv \
    && /tools/bin/pip --python venv/bin/python install --quiet --no-cache-dir --disable-pip-version-check \
        --no-index --find-links /wheels --editable ./shared --editable ./${MEMBER} \
    && venv/bin/python -m compileall -q shared ${MEMBER}
COPY deploy/image/healthy.py healthy.py

FROM ${BASE}
RUN rm -rf /usr/local/lib/python3*/site-packages/pip* /usr/local/lib/python3*/ensurepip /usr/local/bin/pip* \
    && install --directory --owner=10001 --group=10001 --mode=0711 /var/lib/spacehub \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/spacehub/keys \
    && install --directory --owner=10001 --group=10001 --mode=0755 /var/lib/spacehub/gateway
COPY --from=built /srv/spacehub /srv/spacehub
WORKDIR /srv/spacehub
# The root file system may be read-only: nothing is written, neither bytecode nor a home.
ENV PATH=/srv/spacehub/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/nonexistent
USER 10001:10001
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python3", "-I", "/srv/spacehub/healthy.py"]
# What a container runs is said where it is started: `sms-sender consume`. It is process 1, so SIGTERM drains it.
CMD ["spacehub", "--help"]
