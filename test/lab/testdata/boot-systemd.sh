#!/bin/bash
# Boots systemd as the first process of a machine of its own: with the files of
# this host, to which nothing is written, and in the network namespace in which
# this is run. It has a cgroup tree, mounts, processes and a host name of its
# own, and nothing of the host's is started in it.
#
#   boot-systemd.sh FOLDER PROGRAM UNIT DROP-IN CONFIG
set -euo pipefail

if [ "$1" != inside ]; then
	folder=$1
	mount --make-rprivate /
	mount -t tmpfs tmpfs "$folder"
	mkdir "$folder/cgroup"
	mount -t cgroup2 cgroup2 "$folder/cgroup"
	own=$folder/cgroup/tcpmitm-lab-$$
	mkdir "$own"
	(
		echo "$BASHPID" >"$own/cgroup.procs"
		exec unshare --pid --fork --kill-child --mount --uts --ipc --cgroup "$0" inside "$@"
	) &
	machine=$!
	trap 'kill -9 $machine || true' TERM INT
	echo "machine $machine"
	while kill -0 $machine 2>/dev/null; do wait $machine || true; done
	for _ in $(seq 50); do # its processes are gone, but the kernel takes its time
		find "$own" -depth -type d -exec rmdir {} + 2>/dev/null && break
		sleep 0.1
	done
	exit
fi

folder=$2 program=$3 unit=$4 dropin=$5 config=$6
mkdir "$folder/changes" "$folder/work" "$folder/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/changes,workdir=$folder/work" "$folder/root"
cd "$folder/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev
mkdir dev/net dev/pts dev/shm
for device in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0 net/tun:10:200; do
	IFS=: read -r name major minor <<<"$device"
	mknod -m 666 "dev/$name" c "$major" "$minor"
	chmod 666 "dev/$name" # as udev makes them
done

# Of the host's units only those that any service depends on, and none that
# sets what is the kernel's.
rm -rf etc/systemd/system
mkdir -p etc/systemd/system/tcpmitm.service.d etc/tcpmitm usr/local/sbin
for name in systemd-{sysctl,modules-load,remount-fs,update-utmp,binfmt,udevd,udev-trigger,logind,hwdb-update,firstboot,random-seed,tmpfiles-setup,tmpfiles-setup-dev,machine-id-commit}.service \
	{sys-kernel-debug,sys-kernel-tracing,sys-kernel-config,sys-fs-fuse-connections,dev-hugepages,dev-mqueue,proc-sys-fs-binfmt_misc}.{mount,automount} \
	systemd-udevd-{kernel,control}.socket kmod-static-nodes.service apparmor.service dbus.service dbus.socket timers.target; do
	ln -sf /dev/null "etc/systemd/system/$name"
done
: >etc/machine-id
: >etc/fstab
install -m 755 "$program" usr/local/sbin/tcpmitm
install -m 644 "$unit" etc/systemd/system/tcpmitm.service
install -m 644 "$dropin" etc/systemd/system/tcpmitm.service.d/test.conf
install -m 644 "$config" etc/tcpmitm/config.toml
exec chroot . env -i container=lab PATH="$PATH" /lib/systemd/systemd --system --unit=basic.target --show-status=no
