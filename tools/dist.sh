#!/bin/sh
# Builds a release: `dist.sh FOLDER`. One archive a system, an SBOM for each
# binary, and checksums. Linux gets everything; macOS and Windows get the verbs
# that need no sandbox. The same commit and Go give the same bytes:
# `dist.sh --verify` builds twice, in two folders with two caches, and compares.
set -eu
cd "$(dirname "$0")/.."

verify() {
	work=$(mktemp -d)
	trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
	for n in 1 2; do
		git clone -q . "$work/$n"
		GOCACHE="$work/cache$n" "$work/$n/tools/dist.sh" "$work/out$n"
	done
	diff -r "$work/out1" "$work/out2"
	echo "two builds of $(git rev-parse --short HEAD) have the same bytes"
}

# build OS ARCH FOLDER: the binaries of one system.
build() {
	ext=
	[ "$1" != windows ] || ext=.exe
	export CGO_ENABLED=0 GOOS="$1" GOARCH="$2" GOFLAGS="-trimpath -buildvcs=false"
	ldflags="-s -w -X github.com/bulkhead-dev/bulkhead/internal/version.linked=$version"
	go build -ldflags "$ldflags" -o "$3/bulkhead$ext" ./cmd/bulkhead
	go build -ldflags "$ldflags" -o "$3/bulkhead-kube$ext" ./cmd/bulkhead-kube
	[ "$1" = linux ] || return 0
	go build -ldflags "$ldflags" -o "$3/" ./cmd/bulkhead-decide ./cmd/bulkhead-guest
	go build -ldflags "$ldflags" -o "$3/bulkhead-hostile" ./examples/hostile
	(cd gvisor && go build -ldflags "$ldflags -E bulkhead_entry" -o "$3/" ./cmd/...)
}

case "${1:-}" in
--verify) verify; exit ;;
'' | -*) echo "usage: dist.sh FOLDER | dist.sh --verify" >&2; exit 2 ;;
esac

mkdir -p "$1"
out=$(cd "$1" && pwd)
rm -rf "${out:?}"/*
version=${VERSION:-$(git describe --tags --always --dirty)}
epoch=$(git log -1 --format=%ct)
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
(cd tools && GOFLAGS= go build -o "$tools/" github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod)

for target in linux/amd64 linux/arm64 darwin/amd64 darwin/arm64 windows/amd64; do
	name="bulkhead-$version-$(echo "$target" | tr / -)"
	mkdir "$out/$name"
	(build "${target%/*}" "${target#*/}" "$out/$name")
	for binary in "$out/$name"/*; do
		"$tools/cyclonedx-gomod" bin -json -std -noserial -notimestamp -version "$version" -output "$binary.cdx.json" "$binary" 2>/dev/null
	done
	cp LICENSE README.md "$out/$name/"
	tar -C "$out" --sort=name --mtime="@$epoch" --owner=0 --group=0 --numeric-owner --mode=u=rwX,go=rX -cf - "$name" | gzip -n9 >"$out/$name.tar.gz"
	rm -rf "${out:?}/$name"
	echo "$name.tar.gz"
done
(cd "$out" && sha256sum -- *.tar.gz >SHA256SUMS)
