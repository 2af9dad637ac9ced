#!/bin/bash
# Three hosts in network namespaces, nginx on one end, curl and nc on the
# other, tcpmitm on the gateway between them. Removes everything at its end,
# also on Ctrl-C.
#
#   test/demo/demo.sh path/to/tcpmitm
set -euo pipefail

program=$(realpath "${1:?usage: demo.sh path/to/tcpmitm}")
PATH=$PATH:/usr/sbin:/sbin
c=tmdemo$$-c g=tmdemo$$-g s=tmdemo$$-s
folder=$(mktemp -d /tmp/tcpmitm-demo.XXXXXX)
mitm= web=

cleanup() {
	trap - EXIT INT TERM HUP
	set +e
	for pid in $mitm $web; do kill -TERM "$pid" 2>/dev/null; done
	for pid in $mitm $web; do wait "$pid" 2>/dev/null; done
	for ns in $c $g $s; do
		# Whatever still runs in there was started here.
		for pid in $(ip netns pids "$ns" 2>/dev/null); do kill -KILL "$pid" 2>/dev/null; done
		ip netns del "$ns" 2>/dev/null
	done
	rm -rf "$folder"
}
trap cleanup EXIT
trap 'echo; echo "== interrupted, everything removed"; exit 130' INT TERM HUP

say() { echo "== $*"; }
on() { ip netns exec "$@"; }

# within N command: repeats the command until it succeeds, at most N tenths of a second.
within() {
	local n=$1
	shift
	until "$@" >/dev/null 2>&1; do
		n=$((n - 1))
		if [ "$n" -le 0 ]; then
			echo "this did not come true: $*" >&2
			cat "$folder"/*.log >&2 2>/dev/null || true
			exit 1
		fi
		sleep 0.1
	done
}

say "three hosts: client 10.1.0.2 -- gateway -- server 10.2.0.2"
for ns in $c $g $s; do
	ip netns add "$ns"
	ip -n "$ns" link set lo up
done
ip link add eth0 netns "$c" type veth peer name lan0 netns "$g"
ip link add eth0 netns "$s" type veth peer name wan0 netns "$g"
ip -n "$c" addr add 10.1.0.2/24 dev eth0
ip -n "$g" addr add 10.1.0.1/24 dev lan0
ip -n "$g" addr add 10.2.0.1/24 dev wan0
ip -n "$s" addr add 10.2.0.2/24 dev eth0
ip -n "$c" link set eth0 up
ip -n "$g" link set lan0 up
ip -n "$g" link set wan0 up
ip -n "$s" link set eth0 up
ip -n "$c" route add default via 10.1.0.1
ip -n "$s" route add default via 10.2.0.1
on "$g" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'

say "server: nginx with a file of 100 MB"
mkdir "$folder/www"
head -c 100000000 /dev/urandom >"$folder/www/big"
echo "Hello from a server that knows nothing of the gateway." >"$folder/www/hello"
cat >"$folder/nginx.conf" <<END
daemon off;
master_process off;
user root;
pid $folder/nginx.pid;
error_log $folder/nginx.log;
events {}
http {
  access_log off;
  sendfile on;
  client_body_temp_path $folder/b; proxy_temp_path $folder/p; fastcgi_temp_path $folder/f;
  uwsgi_temp_path $folder/u; scgi_temp_path $folder/s;
  server { listen 10.2.0.2:80; server_tokens off; root $folder/www; }
}
END
ip netns exec "$s" nginx -c "$folder/nginx.conf" -e "$folder/nginx.log" >"$folder/web.log" 2>&1 &
web=$!
within 50 on "$s" curl -s -o /dev/null http://10.2.0.2/hello

cat >"$folder/config.toml" <<'END'
[[rule]]
name   = "late goodbye"
match  = { ports = [80] }
faults = [{ leg = "client", on = "fin", do = "delay", by = "1s" }]
END
say "gateway: tcpmitm run -v, with this configuration"
sed 's/^/     /' "$folder/config.toml"
printf '\n[control]\nsocket = "%s"\n' "$folder/control.sock" >>"$folder/config.toml"
ip netns exec "$g" "$program" run --config "$folder/config.toml" -v >"$folder/tcpmitm.log" 2>&1 &
mitm=$!
within 100 on "$g" "$program" ss --socket "$folder/control.sock"

say "client: curl gets the 100 MB, through two TCP connections of tcpmitm's"
began=$(date +%s%N)
got=$(on "$c" curl -sS --fail http://10.2.0.2/big | sha256sum)
took=$((($(date +%s%N) - began) / 1000000))
want=$(sha256sum <"$folder/www/big")
if [ "$got" != "$want" ]; then
	echo "the client got something else than the server sent" >&2
	exit 1
fi
say "all of it came, in $took ms; SHA-256 is equal at both ends: ${got:0:16}..."

say "client: nc asks for one line and waits for the server's FIN, which the rule holds back for a second"
sleep 1.5
seen=$(stat -c %s "$folder/tcpmitm.log")
printf 'GET /hello HTTP/1.0\r\n\r\n' | ip netns exec "$c" nc 10.2.0.2 80 >"$folder/answer" &
client=$!
sleep 0.4
say "meanwhile tcpmitm ss shows it, one state for each leg"
on "$g" "$program" ss --socket "$folder/control.sock" | grep -v TIME-WAIT | sed 's/^/     /'
wait "$client"
say "the client has its line and its FIN"
tail -n 1 "$folder/answer" | sed 's/^/     /'
sleep 0.5
kill -TERM "$mitm"
wait "$mitm" || true
mitm=

echo
say "that one connection as tcpmitm saw it: one ladder, two connections, four ISNs that have nothing in common"
tail -c +$((seen + 1)) "$folder/tcpmitm.log" | sed '/msg="\?stop/d' >"$folder/ladder"
cat "$folder/ladder"
if [ "$(grep -o 'ISN [0-9]*' "$folder/ladder" | sort -u | wc -l)" -ne 4 ]; then
	echo "this is not a ladder with four ISNs: the demo failed" >&2
	exit 1
fi
echo
say "to do this on a gateway of your own: copy bin/tcpmitm there, put the rule above into a file,"
say "and run as root: tcpmitm run --config FILE -v   (Ctrl-C takes every trace of it away again)"
