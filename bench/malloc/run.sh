#!/bin/sh
# What a block of the message heap costs, here and elsewhere, measured alternately:
#
#   [SKYNET_NODE=.] [SKYNET_UPSTREAM=TREE] [ROUNDS=7] bench/malloc/run.sh
#
# SKYNET_NODE is the folder with our executable and cservice/ (as make leaves it), SKYNET_UPSTREAM a built tree
# of upstream, whose figures become the reference. Prints the median of the rounds, the smallest and the largest,
# and the ratio of medians (above 1: the reference needs more).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
node=$(cd "${SKYNET_NODE:-$here/../..}" && pwd)
rounds=${ROUNDS:-7}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Without builtins, or the compiler would see through pairs of calls.
"${CC:-cc}" -std=gnu11 -O2 -fno-builtin -Wall -Wextra -Werror -shared -fPIC -pthread \
	-o "$work/blocks.so" "$here/blocks.c"

# measure NAME EXECUTABLE: one run.
measure() {
	cat > "$work/config" <<-END
		thread = 2
		harbor = 0
		bootstrap = "blocks"
		cpath = "$work/?.so;$(dirname "$2")/cservice/?.so"
		logger = "$work/log"
	END
	(cd "$work" && "$2" config) | sed -n "s/^RESULT /$1 /p" >> "$work/results"
}

round=0
while [ "$round" -lt "$rounds" ]; do
	measure ours "$node/skynet"
	[ -z "${SKYNET_UPSTREAM:-}" ] || measure reference "$SKYNET_UPSTREAM/skynet"
	round=$((round + 1))
done

sort -k1,1 -k2,2 -k3,3g "$work/results" | awk '
	{ count[$1, $2]++; value[$1, $2, count[$1, $2]] = $3; if (!($2 in seen)) { seen[$2]; order[++names] = $2 } }
	function median(who, name,    n) { n = count[who, name]; return value[who, name, int((n + 1) / 2)] }
	function show(who, name) {
		return sprintf("%8.2f (%.2f to %.2f)", median(who, name), value[who, name, 1], value[who, name, count[who, name]])
	}
	END {
		printf "%-15s %-30s %-30s %s\n", "", "ours", "reference", "ratio"
		for (i = 1; i <= names; i++) {
			name = order[i]
			printf "%-15s %-30s", name, show("ours", name)
			if (("reference", name) in count) {
				printf " %-30s", show("reference", name)
				if (median("ours", name) > 0)
					printf " %.2f", median("reference", name) / median("ours", name)
			}
			print ""
		}
	}'
