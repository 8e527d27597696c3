# Sourced by init.sh, inside the node: containerd, images, kubelet and kube-proxy, each started again when it ends.
export PATH=$DEBIAN_PATH:$PATH
mkdir -p /etc/kubernetes/manifests
cp -n "$CNI_PLUGINS"/* /opt/cni/bin/

cat > /etc/containerd.toml <<Y
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "$RUNTIME"
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
Y
cat > /etc/kubelet.yaml <<Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
makeIPTablesUtilChains: false
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $CLUSTER/pki/ca.crt}}
authorization: {mode: Webhook}
clusterDNS: [$DNS_SERVICE]
clusterDomain: cluster.local
evictionHard: {memory.available: "50Mi", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%", imagefs.inodesFree: "0%"}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
maxPods: 200
serializeImagePulls: false
nodeStatusUpdateFrequency: 5s
syncFrequency: 10s
shutdownGracePeriod: 0s
registerNode: true
staticPodPath: /etc/kubernetes/manifests
Y

# supervise NAME COMMAND...
supervise() {
  local name=$1; shift
  while :; do
    "$@" >> "$LOGS/$NODE-$name.log" 2>&1 || true
    echo "$name ended; starting it again" >> "$LOGS/$NODE-$name.log"
    sleep 0.5
  done
}
proxy() { "$PROGRAMS/kube-proxy" --kubeconfig="$CLUSTER/proxy.conf" --hostname-override="$NODE" \
  --proxy-mode="$(cat "$CLUSTER/proxy-mode")" --cluster-cidr="$POD_CIDR" --conntrack-max-per-core=0 \
  --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0 --v=2; }

supervise containerd containerd -c /etc/containerd.toml &
until [ -S /run/containerd/containerd.sock ] && ctr version >/dev/null 2>&1; do sleep 0.1; done
for image in "$IMAGES"/*.tar; do ctr -n k8s.io images import "$image"; done
supervise kubelet "$PROGRAMS/kubelet" --config=/etc/kubelet.yaml --kubeconfig="$CLUSTER/$NODE.conf" \
  --hostname-override="$NODE" --node-ip="$NODE_IP" --v=2 &
supervise proxy proxy &
# As the first process it also takes care of orphans, which bash does while it waits.
while :; do wait -n || sleep 1; done
