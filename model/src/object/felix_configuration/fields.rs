//! Every field of Calico's FelixConfiguration: its form, and what margay makes of it.
//!
//! One table for the schema, the warnings and the documentation.
//! Calico `api/pkg/apis/projectcalico/v3/felixconfig.go`.

/// A field.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub form: Form,
    /// What comes of it.
    pub effect: Effect,
}

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// true or false.
    Flag,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A duration such as 90s.
    Duration,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words in whatever case, as Calico takes some.
    AnyCase(&'static [&'static str]),
    /// A port, or a range of them as `first:last`.
    Ports,
    /// A list of texts.
    Texts,
    /// A list of ports or ranges.
    PortsList,
    /// A list of protocol, port and prefix.
    ProtocolPorts,
    /// Texts by name.
    ByName,
    /// A list of names with durations.
    Timeouts,
    /// Numbers from `min` to `max`.
    Range,
    /// A list of those.
    Ranges,
    /// An object of texts with fields of its own.
    Fields(&'static [&'static str]),
}

/// What comes of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is honoured: what it does.
    Honoured(&'static str),
    /// It has none, and why; whoever switches something off with it, or leaves it to the program, gets what was asked for.
    NoneWhenOn(&'static str),
    /// It has none whatever it says, and why.
    None(&'static str),
}

/// A field by its name.
pub fn field(name: &str) -> Option<&'static Field> {
    GROUPS.iter().flat_map(|fields| fields.iter()).find(|field| field.name == name)
}

/// All of them.
pub fn all() -> impl Iterator<Item = &'static Field> {
    GROUPS.iter().flat_map(|fields| fields.iter())
}

const GROUPS: &[&[Field]] =
    &[HONOURED, FIREWALL, LATER, ROUTES, OTHERWISE, PROGRAM, NFTABLES, IPTABLES, BPF, ELSEWHERE];

const fn honoured(name: &'static str, form: Form, what: &'static str) -> Field {
    Field { name, form, effect: Effect::Honoured(what) }
}
const fn off(name: &'static str, form: Form, why: &'static str) -> Field {
    Field { name, form, effect: Effect::NoneWhenOn(why) }
}
const fn never(name: &'static str, form: Form, why: &'static str) -> Field {
    Field { name, form, effect: Effect::None(why) }
}

use Form::*;

const SWITCH: Form = OneOf(&["Enabled", "Disabled"]);
const LEVEL: Form = AnyCase(&["Trace", "Debug", "Info", "Warning", "Error", "Fatal"]);

const HONOURED: &[Field] = &[
    honoured("nodeSelector", Text, "the nodes that an object is for which is named neither default nor node.<name>"),
    honoured("ipForwarding", SWITCH, "Disabled: the agent leaves the sysctls of forwarding alone"),
    honoured("ipipEnabled", Flag, "whether there is a tunnel device; by default if an IPPool needs it"),
    honoured("ipipMTU", Number, "the MTU of the tunnel device, and so of pods; by default the uplink's less 20"),
    honoured(
        "natOutgoingExclusions",
        OneOf(&["IPPoolsOnly", "IPPoolsAndHostIPs"]),
        "whether packets to nodes keep the pod's address, too",
    ),
    honoured(
        "serviceLoopPrevention",
        AnyCase(&["Drop", "Reject", "Disabled"]),
        "what becomes of packets to announced service addresses that no Service has; Drop by default",
    ),
];

const FIREWALL: &[Field] = &[
    honoured(
        "defaultEndpointToHostAction",
        AnyCase(&["Drop", "Accept", "Return"]),
        "what becomes of packets of a pod to its own node that the pod's policies let pass; Accept by default, as in \
         Calico's manifests",
    ),
    honoured(
        "failsafeInboundHostPorts",
        ProtocolPorts,
        "ports of a node that no policy of a host endpoint closes; by default tcp 22, 179, 2379, 2380, 5473, 6443, 6666, \
         6667 and udp 68",
    ),
    honoured(
        "failsafeOutboundHostPorts",
        ProtocolPorts,
        "ports of others that no policy of a host endpoint closes to the node; by default tcp 179, 2379, 2380, 5473, \
         6443, 6666, 6667 and udp 53, 67",
    ),
    honoured(
        "disableConntrackInvalidCheck",
        Flag,
        "true: packets of pods that belong to no connection that the kernel knows are not dropped",
    ),
    honoured(
        "workloadSourceSpoofing",
        AnyCase(&["Disabled", "Any"]),
        "Any: a pod may also send from the prefixes of its annotation cni.projectcalico.org/allowedSourcePrefixes",
    ),
    honoured("allowIPIPPacketsFromWorkloads", Flag, "true: pods may send IPIP (protocol 4)"),
    honoured("externalNodesList", Texts, "addresses and prefixes that IPIP is taken from, besides those of nodes"),
];

const LOGGED: &str = "what is logged comes with the names of pods and rules, in margayctl policy log";
const WHOLE_RULES: &str = "rules of policies are in a table of margay's own";
const LATER: &[Field] = &[
    off("logActionRateLimit", Text, "at most 20 packets a second are logged"),
    off("logActionRateLimitBurst", Number, "at most 20 packets a second are logged"),
    off("logPrefix", Text, LOGGED),
    off("allowVXLANPacketsFromWorkloads", Flag, "VXLAN of pods is UDP like any other"),
    off("policySyncPathPrefix", Text, "nothing but the kernel applies policies"),
    off("sidecarAccelerationEnabled", Flag, "margay knows no service mesh"),
    off("maxIpsetSize", Number, "sets have no fixed size"),
];

const METRIC: &str = "the metric of margay's routes is 1024";
const EVENTS: &str = "the kernel tells of changes, and what differs is put right at once";
const ROUTES: &[Field] = &[
    never("removeExternalRoutes", Flag, "routes that are not margay's own stay"),
    never("deviceRouteProtocol", Number, "the protocol of margay's routes is 109"),
    off("deviceRouteSourceAddress", Text, "the kernel chooses the source of packets to pods"),
    off("deviceRouteSourceAddressIPv6", Text, "the kernel chooses the source of packets to pods"),
    off("natOutgoingAddress", Text, "packets leave with the address of the interface"),
    off("natPortRange", Ports, "the kernel chooses the port"),
    off("iptablesNATOutgoingInterfaceFilter", Text, "packets are translated on all interfaces"),
    never("ipv4NormalRoutePriority", Number, METRIC),
    never("ipv6NormalRoutePriority", Number, METRIC),
    never("ipv4ElevatedRoutePriority", Number, METRIC),
    never("ipv6ElevatedRoutePriority", Number, METRIC),
    never("liveMigrationRouteConvergenceTime", Duration, "there is no live migration"),
    never("routeRefreshInterval", Duration, EVENTS),
    never("interfaceRefreshInterval", Duration, EVENTS),
    never("routeSource", AnyCase(&["WorkloadIPs", "CalicoIPAM"]), "routes come by BGP"),
    off("routeSyncDisabled", Flag, "margay writes its routes"),
    never("routeTableRange", Range, "all routes are in table main"),
    never("routeTableRanges", Ranges, "all routes are in table main"),
    never("programClusterRoutes", Text, "one agent writes all routes"),
    never("mtuIfacePattern", Text, "the uplink is the link that has the node's address"),
    off("requireMTUFile", Flag, "the shim is told the MTU with each pod's address"),
    never("interfacePrefix", Text, "links of pods begin with cali"),
    never("interfaceExclude", Text, "a host endpoint names its links"),
    never("ipv6Support", Flag, "a node speaks IPv6 if it has pod CIDRs of IPv6"),
    never("netlinkTimeout", Duration, "the agent has its own"),
    never("kubeNodePortRanges", PortsList, "services are kube-proxy's"),
    off("floatingIPs", SWITCH, "there are no floating addresses"),
    off("localSubnetL2Reachability", OneOf(&["Disabled", "PodsAndLoadBalancers"]), "pods are reached by routes"),
    never("localSubnetL2ReachabilityRefreshInterval", Duration, "pods are reached by routes"),
];

const METRICS: &str = "metrics are where the agent's option --http-address says";
const HEALTH: &str = "probes are where the agent's option --http-address says";
const LOG: &str = "see the agent's option --log";
const OTHERWISE: &[Field] = &[
    never("prometheusMetricsEnabled", Flag, METRICS),
    never("prometheusMetricsHost", Text, METRICS),
    never("prometheusMetricsPort", Number, METRICS),
    never("prometheusMetricsCAFile", Text, METRICS),
    never("prometheusMetricsCertFile", Text, METRICS),
    never("prometheusMetricsKeyFile", Text, METRICS),
    never("prometheusMetricsClientAuth", Text, METRICS),
    off("prometheusGoMetricsEnabled", Flag, "there is no Go runtime"),
    never("prometheusProcessMetricsEnabled", Flag, METRICS),
    off("prometheusWireGuardMetricsEnabled", Flag, WIREGUARD),
    never("healthEnabled", Flag, HEALTH),
    never("healthHost", Text, HEALTH),
    never("healthPort", Number, HEALTH),
    never("healthTimeoutOverrides", Timeouts, HEALTH),
    off("logSeverityScreen", LEVEL, LOG),
    off("logSeverityFile", LEVEL, LOG),
    off("logSeveritySys", LEVEL, LOG),
    off("logFilePath", Text, LOG),
    never("logDebugFilenameRegex", Text, LOG),
];

const OPENSTACK: &str = "it is for OpenStack";
const DEBUG: &str = "it is for looking into Felix";
const PROGRAM: &[Field] = &[
    off("reportingInterval", Duration, "the agent reports what changes"),
    off("reportingTTL", Duration, "the agent reports what changes"),
    off("endpointReportingEnabled", Flag, OPENSTACK),
    off("endpointReportingDelay", Duration, OPENSTACK),
    off("openstackRegion", Text, OPENSTACK),
    off("metadataAddr", Text, OPENSTACK),
    off("metadataPort", Number, OPENSTACK),
    never("endpointStatusPathPrefix", Text, "a pod's attachment waits for its network by itself"),
    off("usageReportingEnabled", Flag, "margay reports to nobody"),
    off("usageReportingInitialDelay", Duration, "margay reports to nobody"),
    off("usageReportingInterval", Duration, "margay reports to nobody"),
    never("useInternalDataplaneDriver", Flag, DEBUG),
    off("dataplaneDriver", Text, DEBUG),
    never("dataplaneWatchdogTimeout", Text, DEBUG),
    off("debugDisableLogDropping", Flag, DEBUG),
    off("debugHost", Text, DEBUG),
    off("debugPort", Number, DEBUG),
    off("debugMemoryProfilePath", Text, DEBUG),
    off("debugSimulateCalcGraphHangAfter", Duration, DEBUG),
    off("debugSimulateDataplaneApplyDelay", Duration, DEBUG),
    off("debugSimulateDataplaneHangAfter", Duration, DEBUG),
    never("goGCThreshold", Number, "there is no Go runtime"),
    never("goMaxProcs", Number, "there is no Go runtime"),
    never("goMemoryLimitMB", Number, "there is no Go runtime"),
    never("featureDetectOverride", Text, DEBUG),
    off("featureGates", Text, DEBUG),
    off("cgroupV2Path", Text, BPF_WHY),
];

const NFT: &str = "margay always writes nftables, one table of its own";
const NFTABLES: &[Field] = &[
    Field { name: "nftablesMode", form: OneOf(&["Disabled", "Enabled", "Auto"]), effect: Effect::None(NFT) },
    never("nftablesFilterAllowAction", AnyCase(&["Accept", "Return"]), WHOLE_RULES),
    never("nftablesFilterDenyAction", AnyCase(&["Drop", "Reject"]), WHOLE_RULES),
    never("nftablesMangleAllowAction", AnyCase(&["Accept", "Return"]), WHOLE_RULES),
    never("nftablesMarkMask", Number, "margay marks no packets"),
    never("nftablesRefreshInterval", Duration, EVENTS),
    off("nftablesFlowTableOffload", Text, "every packet passes the rules"),
];

const IPTABLES_WHY: &str = "margay writes no iptables";
const IPTABLES: &[Field] = &[
    never("chainInsertMode", AnyCase(&["Insert", "Append"]), IPTABLES_WHY),
    never("iptablesBackend", AnyCase(&["Auto", "Legacy", "NFT"]), IPTABLES_WHY),
    never("iptablesFilterAllowAction", AnyCase(&["Accept", "Return"]), IPTABLES_WHY),
    never("iptablesFilterDenyAction", AnyCase(&["Drop", "Reject"]), IPTABLES_WHY),
    never("iptablesMangleAllowAction", AnyCase(&["Accept", "Return"]), IPTABLES_WHY),
    never("iptablesMarkMask", Number, IPTABLES_WHY),
    never("iptablesLockFilePath", Text, IPTABLES_WHY),
    never("iptablesLockProbeInterval", Duration, IPTABLES_WHY),
    never("iptablesLockTimeout", Duration, IPTABLES_WHY),
    never("iptablesPostWriteCheckInterval", Duration, IPTABLES_WHY),
    never("iptablesRefreshInterval", Duration, IPTABLES_WHY),
    never("ipsetsRefreshInterval", Duration, IPTABLES_WHY),
];

const BPF_WHY: &str = "margay has no eBPF dataplane";
const CONNTRACK: &[&str] = &[
    "creationGracePeriod",
    "genericTimeout",
    "icmpTimeout",
    "tcpEstablished",
    "tcpFinsSeen",
    "tcpResetSeen",
    "tcpSynSent",
    "udpTimeout",
];
const fn bpf(name: &'static str, form: Form) -> Field {
    off(name, form, BPF_WHY)
}
const fn bpf_size(name: &'static str) -> Field {
    off(name, Number, BPF_WHY)
}
const BPF: &[Field] = &[
    bpf("bpfEnabled", Flag),
    // Those below say how an eBPF dataplane is; only bpfEnabled asks for one.
    never("bpfAttachType", Text, BPF_WHY),
    never("bpfCTLBLogFilter", Text, BPF_WHY),
    never("bpfConnectTimeLoadBalancing", OneOf(&["TCP", "Enabled", "Disabled"]), BPF_WHY),
    never("bpfConnectTimeLoadBalancingEnabled", Flag, BPF_WHY),
    bpf("bpfConntrackLogLevel", Text),
    never("bpfConntrackMode", Text, BPF_WHY),
    never("bpfConntrackTimeouts", Fields(CONNTRACK), BPF_WHY),
    bpf("bpfDSROptoutCIDRs", Texts),
    bpf("bpfDataIfacePattern", Text),
    bpf("bpfDisableGROForIfaces", Text),
    bpf("bpfDisableUnprivileged", Flag),
    bpf("bpfEnforceRPF", AnyCase(&["Disabled", "Strict", "Loose"])),
    bpf("bpfExcludeCIDRsFromNAT", Texts),
    bpf_size("bpfExportBufferSizeMB"),
    bpf_size("bpfExtToServiceConnmark"),
    bpf("bpfExternalServiceMode", AnyCase(&["Tunnel", "DSR"])),
    bpf("bpfForceTrackPacketsFromIfaces", Texts),
    bpf("bpfHostConntrackBypass", Flag),
    never("bpfHostNetworkedNATWithoutCTLB", SWITCH, BPF_WHY),
    bpf("bpfIPFragTimeout", Duration),
    bpf("bpfIPFragmentReassemblyEnabled", Flag),
    bpf("bpfJITHardening", OneOf(&["Auto", "Strict"])),
    bpf_size("bpfKubeProxyHealthzPort"),
    bpf("bpfKubeProxyEndpointSlicesEnabled", Flag),
    bpf("bpfKubeProxyIptablesCleanupEnabled", Flag),
    bpf("bpfKubeProxyMinSyncPeriod", Duration),
    bpf("bpfL3IfacePattern", Text),
    bpf("bpfLogFilters", ByName),
    bpf("bpfLogLevel", AnyCase(&["Off", "Info", "Debug"])),
    bpf_size("bpfMaglevMaxEndpointsPerService"),
    bpf_size("bpfMaglevMaxServices"),
    bpf_size("bpfMapSizeConntrack"),
    bpf_size("bpfMapSizeConntrackCleanupQueue"),
    bpf("bpfMapSizeConntrackScaling", AnyCase(&["Disabled", "DoubleIfFull"])),
    bpf_size("bpfMapSizeIPSets"),
    bpf_size("bpfMapSizeIfState"),
    bpf_size("bpfMapSizeNATAffinity"),
    bpf_size("bpfMapSizeNATBackend"),
    bpf_size("bpfMapSizeNATFrontend"),
    bpf_size("bpfMapSizePerCpuConntrack"),
    bpf_size("bpfMapSizeRoute"),
    bpf("bpfOverlayHostSourceIP", OneOf(&["TunnelAddress", "HostAddress"])),
    bpf("bpfPSNATPorts", Ports),
    bpf("bpfPolicyDebugEnabled", Flag),
    bpf("bpfProfiling", SWITCH),
    bpf("bpfRedirectToPeer", OneOf(&["Enabled", "Disabled", "L2Only"])),
    bpf("xdpEnabled", Flag),
    bpf("genericXDPEnabled", Flag),
    bpf("xdpRefreshInterval", Duration),
];

const VXLAN: &str = "margay has no VXLAN";
const WIREGUARD: &str = "margay has no WireGuard";
const FLOWS: &str = "margay writes no flow logs";
const ELSEWHERE: &[Field] = &[
    off("vxlanEnabled", Flag, VXLAN),
    off("vxlanMTU", Number, VXLAN),
    off("vxlanMTUV6", Number, VXLAN),
    off("vxlanPort", Number, VXLAN),
    off("vxlanVNI", Number, VXLAN),
    off("wireguardEnabled", Flag, WIREGUARD),
    off("wireguardEnabledV6", Flag, WIREGUARD),
    off("wireguardHostEncryptionEnabled", Flag, WIREGUARD),
    off("wireguardInterfaceName", Text, WIREGUARD),
    off("wireguardInterfaceNameV6", Text, WIREGUARD),
    off("wireguardKeepAlive", Duration, WIREGUARD),
    off("wireguardListeningPort", Number, WIREGUARD),
    off("wireguardListeningPortV6", Number, WIREGUARD),
    off("wireguardMTU", Number, WIREGUARD),
    off("wireguardMTUV6", Number, WIREGUARD),
    off("wireguardRoutingRulePriority", Number, WIREGUARD),
    off("wireguardThreadingEnabled", Flag, WIREGUARD),
    off("flowLogsCollectorDebugTrace", Flag, FLOWS),
    off("flowLogsFlushInterval", Duration, FLOWS),
    off("flowLogsGoldmaneServer", Text, FLOWS),
    off("flowLogsLocalReporter", SWITCH, FLOWS),
    off("flowLogsPolicyEvaluationMode", OneOf(&["None", "Continuous"]), FLOWS),
    off("awsSrcDstCheck", OneOf(&["DoNothing", "Enable", "Disable"]), "margay asks no cloud for anything"),
    off("istioAmbientMode", SWITCH, "margay knows no service mesh"),
    off("istioDSCPMark", Ports, "margay knows no service mesh"),
    off("windowsManageFirewallRules", SWITCH, "margay is for Linux"),
];
