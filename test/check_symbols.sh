#!/bin/sh
# check_symbols.sh LIST MODULE... : what the modules leave undefined must be in LIST, the names that
# upstream's executable exports, or come from a library they are linked with. Then they load into
# either executable. Run by `make check`.
set -eu
export LC_ALL=C

list=$1
shift
[ -s "$list" ] || { echo "$list: missing or empty" >&2; exit 1; }
[ $# -gt 0 ] || { echo "no modules to check" >&2; exit 1; }

status=0
for module in "$@"; do
	symbols=$(nm -D --undefined-only "$module")
	# `U name` is wanted from the executable; `U name@VERSION` was found in a library when the
	# module was linked; `w name` may stay absent.
	unknown=$(printf '%s\n' "$symbols" |
		awk '$1 == "U" && $2 !~ /@/ { print $2 }' | sort | comm -23 - "$list")
	if [ -n "$unknown" ]; then
		echo "$module: upstream's executable does not export:" $unknown >&2
		status=1
	fi
done
exit $status
