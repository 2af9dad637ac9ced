#!/bin/bash
# Three hosts in network namespaces: curl on the client, tcpmitm on the gateway,
# a web server on the server. `tcpmitm lab` makes them, and removes everything
# at the end, also on Ctrl-C.
#
#   test/demo/demo.sh path/to/tcpmitm
set -euo pipefail

program=$(realpath "${1:?usage: demo.sh path/to/tcpmitm}")
PATH=$PATH:/usr/sbin:/sbin
folder=$(mktemp -d /tmp/tcpmitm-demo.XXXXXX)
cd "$folder"
trap 'rm -rf "$folder"' EXIT
trap 'echo; echo "== interrupted, everything removed"; exit 130' INT TERM HUP

say() { echo "== $*"; }
fail() {
	echo "the demo failed: $*" >&2
	exit 1
}

say "three hosts: client 10.1.0.2 -- gateway with tcpmitm -- server 10.2.0.2"
say "the gateway's configuration: one rule, for connections to port 80"
tee config.toml <<'END' | sed 's/^/     /'
[[rule]]
name   = "late goodbye"
match  = { ports = [80] }
faults = [{ leg = "client", on = "fin", do = "delay", by = "1s" }]
END

say "client: curl gets 100 MB, through two TCP connections of tcpmitm's"
say "  tcpmitm lab --config config.toml -- curl http://server/bytes/100000000"
took=$("$program" lab --quiet --offload --config config.toml -- \
	curl -4 -sS --fail -D headers -o body -w '%{time_total}' http://server/bytes/100000000)
want=$(sed -n 's/^X-Content-Sha256: \([0-9a-f]*\).*/\1/p' headers)
got=$(sha256sum <body)
[ -n "$want" ] && [ "${got%% *}" = "$want" ] || fail "the client got something else than the server sent"
rm body
say "all of it came, in $took s; SHA-256 is equal at both ends: ${want:0:16}..."

echo
say "client: curl asks for a page that ends when the connection does; the rule holds its end back for a second"
say "what follows is one ladder of two connections, with four ISNs that have nothing in common"
say "  tcpmitm lab --config config.toml -- curl http://server/close"
# While the FIN is late, ss is asked what there is; its answer comes later.
"$program" lab --trace --config config.toml -- bash -c \
	'curl -4 -sS --fail -o page http://server/close & sleep 0.5; "$0" ss >ss; wait $!' "$program" 2>&1 | tee ladder
[ "$(grep -o 'ISN [0-9]*' ladder | sort -u | wc -l)" -eq 4 ] || fail "this is not a ladder with four ISNs"
grep -q 'fin held 1s by rule late goodbye' ladder || fail "the FIN was not held back"
grep -q 'is over after 1\.' ladder || fail "the connection did not take a little more than a second"

echo
say "half a second after its beginning, tcpmitm ss showed one state for each leg:"
sed 's/^/     /' ss
say "the client has its page: $(cat page)"
say "on a gateway of your own: copy bin/tcpmitm there, put the rule above into a file, and run as root"
say "tcpmitm run --config FILE -v   (Ctrl-C takes every trace of it away again)"
