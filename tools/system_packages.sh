#!/bin/sh
# Install Debian or Ubuntu packages that are not there yet; where that is not possible, say so in one line and go on.
#   tools/system_packages.sh PACKAGE...
set -u
missing=""
for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed, because there is no apt-get here:$missing"
    exit 0
fi
if [ "$(id -u)" != 0 ]; then
    echo "not installed, because only root may:$missing (sudo apt-get install$missing)"
    exit 0
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
# shellcheck disable=SC2086  # the list is meant to be split
if { apt-get update && apt-get install -y --no-install-recommends $missing; } >"$log" 2>&1; then
    rm -f "$log"
else
    echo "not installed, because apt-get failed ($(tail -n 1 "$log")):$missing"
fi
exit 0
