# The commands of mpox in a container. From PyPI, PyTorch on Linux comes with CUDA; for a processor alone give the address of
# PyTorch's index of CPU builds, a third of the size:
#   docker build -t mpox .
#   docker build -t mpox:cpu --build-arg TORCH_INDEX=<address> .
#   docker run --rm --gpus all -v "$PWD:/work" mpox train study=demo
FROM python:3.11-slim-bookworm AS build
ARG TORCH_INDEX=""
WORKDIR /source
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY conf conf
COPY sweeps sweeps
COPY hydra_plugins hydra_plugins
COPY mpox mpox
RUN python -m venv /opt/mpox \
    && if [ -n "$TORCH_INDEX" ]; then \
         /opt/mpox/bin/pip install --no-cache-dir --index-url "$TORCH_INDEX" torch==2.13.0 torchvision; fi \
    && /opt/mpox/bin/pip install --no-cache-dir -c constraints.txt .

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --create-home mpox
COPY --from=build /opt/mpox /opt/mpox
ENV PATH=/opt/mpox/bin:$PATH
USER 10001
WORKDIR /work
ENTRYPOINT ["mpox"]
CMD ["--help"]
