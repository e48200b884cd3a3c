#!/bin/sh
# Install the packages of one image into /opt/venv at the versions of the lock; runs in the image build.
#   install.sh <image> [cpu|gpu]
set -eu
cd /opt/build
python image_requirements.py "$1" --accelerator "${2:-cpu}" > "$1.txt"
# /opt/venv has no pip; the interpreter that made it does.
python3=$(python -c 'import sys; print(sys._base_executable)')
"$python3" -m pip --python /opt/venv/bin/python install --no-cache-dir --disable-pip-version-check \
  --progress-bar off --constraint lock.txt --requirement "$1.txt"
