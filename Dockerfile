# Image of the Prefect worker: this project and its dependencies.
FROM python:3.11-slim

# git is not needed, because the checkout is copied in. libgomp is torch's OpenMP runtime.
RUN apt-get update && apt-get install --yes --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*

WORKDIR /app
COPY pyproject.toml README.md ./
COPY steca steca
COPY environments environments
COPY models models
COPY storage storage
COPY configs configs
COPY rollouts rollouts
COPY formats formats
COPY tasks tasks
COPY flows flows
COPY view view
COPY cli cli

# torch comes from its CPU index: the default Linux wheels include gigabytes of CUDA libraries.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
# The same version as the server's image in docker-compose.yml.
ARG PREFECT_VERSION=3.9.1
RUN pip install --no-cache-dir --extra-index-url "$TORCH_INDEX" --editable . "prefect==$PREFECT_VERSION"

ENV DO_NOT_TRACK=1 \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    OMP_WAIT_POLICY=PASSIVE

RUN useradd --create-home steca && mkdir data && chown steca . data
USER steca
VOLUME /app/data
CMD ["steca", "serve", "--pool", "steca", "--with-healthcheck"]
