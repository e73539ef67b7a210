#!/bin/sh
# What harden writes for a chart, given to real Helm: to version 3 as an executable,
# to version 4 as a plugin. What comes out passes check, and another release fails.
# Helm is built once, into the cache. Needs kubectl or kustomize. Arguments choose
# versions: 3, 4 (default: both).
set -eu
root=$(CDPATH= cd "$(dirname "$0")/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/bulkhead-test/helm
version() {
  case $1 in
    3) echo v3.22.0 ;;
    4) echo v4.3.1 ;;
  esac
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset HELM_PLUGINS
export HELM_CONFIG_HOME="$work/config" HELM_CACHE_HOME="$work/cache" HELM_DATA_HOME="$work/data"
cp -R "$root/test/helm/chart" "$work/chart"
cd "$work"
"$root/bin/bulkhead" harden --out-dir hardened --release mine chart
for major in ${*:-3 4}; do
  helm=$cache/$(version "$major")/helm
  [ -x "$helm" ] || GOBIN=$(dirname "$helm") go install "helm.sh/helm/v$major/cmd/helm@$(version "$major")"
  renderer=hardened/post-render/post-render.sh
  if [ "$major" = 4 ]; then
    "$helm" plugin install hardened/post-render
    renderer=bulkhead-post-render
  fi
  "$helm" template mine chart --values hardened/values.yaml --post-renderer "$renderer" > out.yaml
  grep -q 'runtimeClassName: kata' out.yaml
  grep -q 'readOnlyRootFilesystem: true' out.yaml
  grep -q 'kind: NetworkPolicy' out.yaml
  "$root/bin/bulkhead" check out.yaml > checked || { cat checked; exit 1; }
  if "$helm" template other chart --values hardened/values.yaml --post-renderer "$renderer" > other.yaml 2> why; then
    echo "helm $major: the patch of one release was taken for another" >&2
    exit 1
  fi
  echo "helm $major: $("$helm" version --short): ok; for another release: $(head -n 1 why)"
done
