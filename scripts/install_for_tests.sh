#!/bin/sh
# install_for_tests.sh PACKAGE WHAT PROGRAM...: a Debian package that WHAT needs, unless one of the programs is there.
# Installed where that needs no question: as root on a machine with apt. Elsewhere the tests that need it say why they
# are skipped.
set -eu
package=$1 what=$2
shift 2
for program in "$@"; do
    command -v "$program" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing $package for $what"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" \
        >/dev/null || echo "$package could not be installed; $what will be skipped"
else
    echo "No $package found; $what will be skipped (Debian: apt install $package)"
fi
