#!/bin/sh
# The test of several machines starts a Postgres of its own. Debian's package is installed where that needs no question:
# as root on a machine with apt. Elsewhere the test says why it is skipped.
set -eu
if command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Postgres for the test of several machines"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql \
        >/dev/null || echo "Postgres could not be installed; the test of several machines will be skipped"
else
    echo "No Postgres found; the test of several machines will be skipped (Debian: apt install postgresql)"
fi
