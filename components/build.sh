#!/usr/bin/env bash
# Build the container images of components/Dockerfile.
#
#   components/build.sh [target...]        # default: data train serve monitor featureserver triton
#
# BUILDER      buildah, podman or docker     (default: the first that is installed)
# BASE_IMAGE   image with Python 3.11 and pip (default: that of the Dockerfile)
# REGISTRY     prefix of the image names      (default: none; ClusterConfig.registry must be the same)
# TAG          tag of the images              (default: the project's version)
# TRITON_IMAGE the official server, for triton (default: that of the Dockerfile)
# ACCELERATOR  cpu or gpu, for train          (default: cpu)
# PIP_CONF     pip.conf with your package index; used in the build, never stored in the image
# BUILD_FLAGS  more flags for the builder, for example "--isolation=chroot"
set -euo pipefail
cd "$(dirname "$0")/.."

BUILDER=${BUILDER:-$(for b in buildah podman docker; do command -v "$b" && break; done || true)}
if [ -z "$BUILDER" ]; then
  echo "components/build.sh: no image builder found; install buildah, podman or docker." >&2
  exit 7
fi
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' counterpoint/__init__.py)
tag=${TAG:-$version}
flags=(--file components/Dockerfile --build-arg "ACCELERATOR=${ACCELERATOR:-cpu}")
[ -z "${BASE_IMAGE:-}" ] || flags+=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
[ -z "${TRITON_IMAGE:-}" ] || flags+=(--build-arg "TRITON_IMAGE=$TRITON_IMAGE")
[ -z "${PIP_CONF:-}" ] || flags+=(--secret "id=pip,src=$PIP_CONF")
# HEALTHCHECK is part of Docker's image format only; layers of `base` are reused by the next target.
case $(basename "$BUILDER") in
  buildah | podman) flags+=(--format docker --layers) ;;
esac
# Several flags in one variable: split on purpose.
# shellcheck disable=SC2206
flags+=(${BUILD_FLAGS:-})

targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(data train serve monitor featureserver triton)
for target in "${targets[@]}"; do
  name="${REGISTRY:+$REGISTRY/}counterpoint-$target:$tag"
  echo "== $name" >&2
  SECONDS=0
  "$BUILDER" build "${flags[@]}" --target "$target" --tag "$name" .
  echo "== $name built in $SECONDS s" >&2
done
