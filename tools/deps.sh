#!/bin/sh
# Installs the Debian packages that the tests use, when run as root and when
# they are missing. Without root it says what is missing; tests that need it
# then skip, and say so too.
#
#   runc      the negative control of every boundary test
#   chromium  the reports are looked at in a real browser
#   curl      the steps of the GitHub Action download with it
#   mkfs.erofs, of erofs-utils: images as EROFS roots
set -eu

missing=
for program in runc chromium curl; do
	command -v "$program" >/dev/null || missing="$missing $program"
done
command -v mkfs.erofs >/dev/null || missing="$missing erofs-utils"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
	echo "not installed:$missing. Tests that need them are skipped; install them with: apt-get install$missing" >&2
	exit 0
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # one word a package
apt-get install -y -qq --no-install-recommends $missing >/dev/null
