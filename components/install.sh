#!/bin/sh
# Install the packages of one image at the versions of its lock; runs in the image build.
#   install.sh <stage> [cpu|gpu]     into /opt/venv
#   install.sh triton                into /app/.venv-triton (DeployConfig.triton_env)
set -eu
cd /opt/build
into() {
  environment=$1
  shift
  python -m pip --python "$environment/bin/python" install --no-cache-dir \
    --disable-pip-version-check --progress-bar off "$@"
}
if [ "$1" = triton ]; then
  python -m venv --without-pip /app/.venv-triton
  into /app/.venv-triton --no-deps --requirement triton.txt
else
  python image_requirements.py "$1" --accelerator "${2:-cpu}" > "$1.txt"
  # Both builds of onnxruntime are released under one version.
  sed -n 's/^onnxruntime==/onnxruntime-gpu==/p' lock.txt > gpu.txt
  into /opt/venv --constraint lock.txt --constraint gpu.txt --requirement "$1.txt"
fi
