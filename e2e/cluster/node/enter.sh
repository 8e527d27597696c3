#!/bin/bash
# enter.sh ENVIRONMENT PID COMMAND...: runs a command inside a node whose first process is PID, with its files and cgroups.
set -eu
. "$1"
pid=$2
shift 2
while read -r cgroup; do echo $$ > "$cgroup/cgroup.procs"; done < "$FOLDER/cgroups"
exec nsenter -t "$pid" -m -u -i -n -p -C --root --wdns=/ env PATH="$DEBIAN_PATH:$PATH" "$@"
