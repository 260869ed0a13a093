# goodsam in a container. torch as PyPI has it runs on a CPU and, with `--gpus all`, on NVIDIA GPUs.
#
#   docker build -t goodsam .
#   docker run --rm -v "$PWD/runs:/mnt/runs" goodsam                       # the demo, into runs/demo
#   docker run --rm --gpus all --shm-size 2g -v "$PWD:/mnt" goodsam \
#       cache-sam photos photos.zarr --sam vit_h --fit
#
# Weights from the hub are kept where HF_HOME says; mount a folder there to download them once.
FROM python:3.12-slim

# torch.compile (`--set compile=true`) needs a C++ compiler; leave it out if you do not use it
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/goodsam
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt '.[export,heic,teachers,video]'

ENV HF_HOME=/mnt/.cache/huggingface
WORKDIR /mnt
ENTRYPOINT ["goodsam"]
CMD ["demo", "--out", "runs/demo"]
