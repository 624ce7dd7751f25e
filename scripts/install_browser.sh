#!/bin/sh
# The dashboard's browser tests drive Debian's Chromium. Installed where that needs no question: as root on a machine
# with apt. Elsewhere the tests that need it say why they are skipped.
set -eu
if command -v chromium >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing chromium for the browser tests"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium \
        >/dev/null || echo "chromium could not be installed; the browser tests will be skipped"
else
    echo "No chromium found; the browser tests will be skipped (Debian: apt install chromium)"
fi
