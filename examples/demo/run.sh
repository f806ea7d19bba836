#!/bin/sh
# Starts the demo server, lets three players loose on it, and says how it went.
# Run from the project's folder after `make`. SKYNET, LUA_PROGRAM and DEMO_CONFIG name other programs
# and another config.
set -u
skynet=${SKYNET:-./skynet}
lua=${LUA_PROGRAM:-3rd/lua/lua}
config=${DEMO_CONFIG:-examples/demo/config}
players="alice bob carol"
dir=$(mktemp -d)
log=$dir/log
server=
trap 'test -z "$server" || kill $server 2>/dev/null; rm -rf "$dir"' EXIT

# The clients' socket module watches standard input and ends its process at its end: give them one
# that has none.
mkfifo "$dir/stdin"
exec 3<>"$dir/stdin"

start_server() {
	DEMO_PORT=$1 "$skynet" "$config" >"$log" 2>&1 &
	server=$!
	i=0
	while [ $i -lt 100 ]; do
		grep -q "demo server is ready" "$log" && return 0
		kill -0 $server 2>/dev/null || return 1
		# The port may be taken by another program.
		grep -q "Listen error" "$log" && break
		sleep 0.1
		i=$((i + 1))
	done
	kill $server 2>/dev/null
	wait $server 2>/dev/null
	return 1
}

port=
for try in 1 2 3 4 5; do
	candidate=$((20000 + ($$ * 7 + try * 131) % 20000))
	if start_server $candidate; then
		port=$candidate
		break
	fi
done
if [ -z "$port" ]; then
	echo "demo: the server did not start:"
	cat "$log"
	exit 1
fi
echo "demo: the server listens on 127.0.0.1:$port; players: $players"

clients=
for name in $players; do
	"$lua" examples/demo/client.lua $port $name $players <&3 &
	clients="$clients $!"
done
failed=0
for client in $clients; do
	wait $client || failed=$((failed + 1))
done

"$lua" examples/demo/client.lua $port stop <&3 || failed=$((failed + 1))
wait $server
code=$?
server=

echo "demo: what the server logged:"
sed 's/^/    /' "$log"
if [ $code -ne 0 ]; then
	echo "demo: the server ended with code $code"
	failed=$((failed + 1))
fi
if [ $failed -ne 0 ]; then
	echo "demo: FAILED"
	exit 1
fi
echo "demo: every reply was right"
