#!/bin/sh
# What tries to use up the machine, each behind a limit: shows what became of
# it, and fails when one was not contained.
set -u
bulkhead=${1:?usage: demo-bombs.sh PATH-OF-BULKHEAD}
failed=0
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# contain TITLE CODE PATTERN ARG...: runs bulkhead, which has to end with CODE
# and to print PATTERN.
contain() {
	title=$1 want=$2 pattern=$3
	shift 3
	"$bulkhead" run "$@" >"$dir/out" 2>&1
	code=$?
	if [ "$code" = "$want" ] && grep -Eq "$pattern" "$dir/out"; then
		printf '  %-16s contained: %s\n' "$title" "$(grep -E "$pattern" "$dir/out" | head -n 1 | cut -c 1-90)"
	else
		printf '  %-16s NOT CONTAINED: exit code %s, want %s\n' "$title" "$code" "$want"
		head -n 5 "$dir/out"
		failed=1
	fi
}

fork='import os, signal, sys
n = 0
try:
    while True:
        if os.fork() == 0: signal.pause()
        n += 1
except OSError as e: print(f"{n} processes, then {e}", flush=True); os._exit(9)'

echo
echo '── What tries to use up the machine ──'
contain 'fork bomb' 9 'processes, then' --pids-limit 64 -- python3 -c "$fork"
if [ "$(id -u)" = 0 ]; then
	contain 'memory bomb' 137 'limit of memory|memory' --memory 128m -- python3 -c 'print(len(bytearray(1 << 30)))'
else
	echo '  memory bomb      not tried: without root a limit of memory needs a delegated cgroup'
fi
contain 'disk filler' 1 'No space left' --disk 8m -- dd if=/dev/zero of=/tmp/fill bs=1M count=64
contain 'endless printer' 137 'output reached the limit' --output-limit 1m -- yes
contain 'endless loop' 124 'ended after' --timeout 1s -- sh -c 'while :; do :; done'
contain 'egress' 0 'egress denied: 169.254.169.254:80' --allow example.com -- sh -c 'curl -s http://169.254.169.254/ || true'
exit $failed
