#!/bin/bash
# start.sh ENVIRONMENT: a node, in the network namespace that this runs in. Ends when the node's first process ends.
# The node gets a cgroup of its own below the caller's, so that whatever limits the caller has hold for it too.
set -eu
. "$1"
mkdir -p "$FOLDER"
: > "$FOLDER/cgroups"
while IFS=: read -r _ controller path; do
  case $controller in
    "")     [ -e /sys/fs/cgroup/cgroup.controllers ] || continue    # version 2 is there, but unused
            top=/sys/fs/cgroup;;
    name=*) top=/sys/fs/cgroup/${controller#name=}$path;;
    *)      top=/sys/fs/cgroup/$controller$path;;
  esac
  [ -d "$top" ] || continue
  cgroup=${top%/}/$NAME
  mkdir -p "$cgroup"
  if [ "$controller" = cpuset ]; then
    cat "$top/cpuset.cpus" > "$cgroup/cpuset.cpus"
    cat "$top/cpuset.mems" > "$cgroup/cpuset.mems"
    echo 1 > "$cgroup/cgroup.clone_children"
  fi
  echo "$cgroup" >> "$FOLDER/cgroups"
done < /proc/self/cgroup
while read -r cgroup; do echo $$ > "$cgroup/cgroup.procs"; done < "$FOLDER/cgroups"
exec unshare --mount --uts --ipc --pid --cgroup --fork --kill-child --propagation private "$SCRIPTS/init.sh" "$1"
