#!/bin/bash
# init.sh ENVIRONMENT: the first process of a node. Makes its root out of the machine's, then runs what a node runs.
set -eu
. "$1"
hostname "$NODE"

# The machine's root below, memory on top: an upper folder inside the lower one is refused.
M=$FOLDER/mounts
mkdir -p "$M"
mount -t tmpfs -o mode=755 tmpfs "$M"
mkdir "$M/upper" "$M/work" "$M/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$M/upper,workdir=$M/work" "$M/root"
R=$M/root
mkdir -p "$R/old" "$R/etc/cni/net.d" "$R/opt/cni/bin"

# What a disk keeps over a reboot, in a folder of the node's own. containerd's snapshots cannot lie on an overlay.
for kept in var/lib etc/cni/net.d opt/cni/bin; do
  mkdir -p "$FOLDER/disk/$kept"
  mount --bind "$FOLDER/disk/$kept" "$R/$kept"
done

mount -t proc proc "$R/proc"
mount -t sysfs sysfs "$R/sys"        # the one of this network namespace
mount --rbind /dev "$R/dev"
mount -t tmpfs -o mode=755 tmpfs "$R/run"
mkdir -p "$R/run/lock" "$R/run/netns"
mount -t tmpfs tmpfs "$R/tmp"
for shared in "$CACHE" "$CLUSTER"; do   # programs, images, kubeconfigs, logs: wherever they lie
  mkdir -p "$R$shared"
  mount --bind "$shared" "$R$shared"
done

if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 "$R/sys/fs/cgroup"
  mkdir -p "$R/sys/fs/cgroup/init"    # who has children with controllers has no processes of its own
  while read -r pid; do echo "$pid" > "$R/sys/fs/cgroup/init/cgroup.procs" || true; done < "$R/sys/fs/cgroup/cgroup.procs"
  for controller in $(cat "$R/sys/fs/cgroup/cgroup.controllers"); do
    echo "+$controller" > "$R/sys/fs/cgroup/cgroup.subtree_control" || true
  done
else
  mount -t tmpfs -o mode=755 tmpfs "$R/sys/fs/cgroup"
  while IFS=: read -r _ controller _; do
    [ -n "$controller" ] || continue
    mkdir -p "$R/sys/fs/cgroup/${controller#name=}"
    mount -t cgroup -o "$controller" cgroup "$R/sys/fs/cgroup/${controller#name=}"
  done < /proc/self/cgroup
fi

# The kubelet wants these machine-wide; it finds them as it wants them, and changes nothing.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
               kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
  file=$R/run/kernel-settings/${setting%%=*}
  mkdir -p "${file%/*}"
  echo "${setting#*=}" > "$file"
  mount --bind "$file" "$R/proc/sys/${setting%%=*}"
done

cd "$R"
pivot_root . old
umount -l /old
rmdir /old
mount --make-rshared /                 # mountPropagation of volumes
mount --make-rslave /dev
. "$SCRIPTS/run.sh"
