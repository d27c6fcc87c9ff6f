#!/bin/sh
# Makes the environment of an image, /opt/eureka: install.sh NAME, in a build stage.
# First the pinned packages of requirements-NAME.txt, then our own wheel from /build; no pip stays in it.
# The wheel holds the native kernels, unless NO_NATIVE_KERNELS=1; then no compiler is installed either.
set -eu
name=$1
pip() { environment=$1; shift; python3 -m pip --python "$environment/bin/python" --no-cache-dir "$@"; }

python3 -m venv --without-pip /opt/eureka
pip /opt/eureka install --quiet --no-deps --require-hashes -r "docker/requirements-$name.txt"

python3 -m venv --without-pip /opt/build
pip /opt/build install --quiet --no-deps --require-hashes -r docker/requirements-build.txt
if [ "${NO_NATIVE_KERNELS:-}" != 1 ]; then
    headers=$(python3 -c 'import sysconfig; print(sysconfig.get_path("include"))')
    apt-get update -qq
    # The Python of a distribution has its headers in a package of their own.
    [ -f "$headers/Python.h" ] && development="" || development=python3-dev
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends g++ $development > /dev/null
fi
pip /opt/build wheel --quiet --no-deps --no-build-isolation --no-index --wheel-dir /opt/build/wheel .
pip /opt/eureka install --quiet --no-deps --no-index /opt/build/wheel/*.whl

packages=$(/opt/eureka/bin/python -c 'import sysconfig; print(sysconfig.get_path("platlib"))')
if [ "${NO_NATIVE_KERNELS:-}" != 1 ]; then
    # A kernel that did not compile is left out of a wheel in silence; an image says so.
    /opt/eureka/bin/python -c 'import eureka.engine.native._kernels'
fi
# Tests of libraries; below, stubs of the Triton wheel for other Pythons.
find "$packages" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
# A second, asynchronous client of Kubernetes that we never import: 68 MB.
rm -rf "$packages/kubernetes/aio"
stubs="$packages/pytriton/tritonserver/python_backend_stubs"
if [ -d "$stubs" ]; then
    version=$(/opt/eureka/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    find "$stubs" -mindepth 1 -maxdepth 1 ! -name "$version" -exec rm -rf {} +
fi
/opt/eureka/bin/python docker/notices.py > /opt/eureka/NOTICES.md
