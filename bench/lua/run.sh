#!/bin/sh
# Pure Lua on our VM and another one: instructions by callgrind, and CPU time of alternated runs.
#
#   [LUA_BIN=3rd/lua/lua] [REFERENCE=SKYNET_UPSTREAM/3rd/lua/lua] [ROUNDS=15] bench/lua/run.sh
#
# Prints for each script ours, the reference's and the ratio (below 1: ours needs less). Without valgrind there
# are only times. Counts differ by a percent from run to run, since hashes begin with a random seed.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
ours=$(realpath "${LUA_BIN:-$here/../../3rd/lua/lua}")
reference=${REFERENCE:-${SKYNET_UPSTREAM:+$SKYNET_UPSTREAM/3rd/lua/lua}}
if [ -z "$reference" ]; then
	echo "skipped: neither REFERENCE nor SKYNET_UPSTREAM is set"
	exit 0
fi
rounds=${ROUNDS:-15}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$here"

# instructions LUA SCRIPT: the median of three runs
instructions() {
	for _ in 1 2 3; do
		valgrind --tool=callgrind --callgrind-out-file=/dev/null "$1" "$2.lua" 1 2>&1 |
			sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
	done | sort -n | sed -n 2p
}

# seconds LUA SCRIPT: user and system time of one run
seconds() {
	cat > "$work/time.lua" <<-'END'
		local start = os.clock()
		dofile(table.remove(arg, 1))
		print(os.clock() - start)
	END
	"$1" "$work/time.lua" "$2.lua" 10
}

median() { sort -g "$1" | sed -n "$(((rounds + 1) / 2))p"; }

printf '%-10s %14s %14s %6s   %9s %9s %6s\n' '' instructions reference ratio seconds reference ratio
for script in fib table string coroutine method; do
	a=- b=- ratio=-
	if command -v valgrind > "$work/which"; then
		a=$(instructions "$ours" $script)
		b=$(instructions "$reference" $script)
		ratio=$(echo "$a $b" | awk '{ printf "%.3f", $1 / $2 }')
	fi
	: > "$work/ours"
	: > "$work/reference"
	round=0
	while [ "$round" -lt "$rounds" ]; do
		seconds "$ours" $script >> "$work/ours"
		seconds "$reference" $script >> "$work/reference"
		round=$((round + 1))
	done
	x=$(median "$work/ours")
	y=$(median "$work/reference")
	printf '%-10s %14s %14s %6s   %9.3f %9.3f %6.3f\n' $script "$a" "$b" "$ratio" "$x" "$y" \
		"$(echo "$x $y" | awk '{ print $1 / $2 }')"
done
