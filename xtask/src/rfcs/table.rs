//! Titles of the RFCs that the code cites, and what of each is not done: the hand-written part of `docs/bgp.md`.

/// How much of a document is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All that a speaker of IPv4 and IPv6 unicast needs.
    Done,
    /// All but this.
    Partly(&'static str),
    /// Not about BGP, or only read for a rule: named where it is used.
    Named,
}

/// A document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Its number.
    pub rfc: u32,
    /// Its title.
    pub title: &'static str,
    /// How much of it is done.
    pub status: Status,
}

use Status::{Done, Named, Partly};

/// By number.
const ROWS: &[(u32, &str, Status)] = &[
    (768, "User Datagram Protocol", Named),
    (791, "Internet Protocol", Named),
    (793, "Transmission Control Protocol", Named),
    (826, "An Ethernet Address Resolution Protocol", Named),
    (1112, "Host Extensions for IP Multicasting", Named),
    (1122, "Requirements for Internet Hosts - Communication Layers", Named),
    (1191, "Path MTU Discovery", Named),
    (1812, "Requirements for IP Version 4 Routers", Named),
    (1918, "Address Allocation for Private Internets", Named),
    (1930, "Guidelines for Creation, Selection, and Registration of an Autonomous System (AS)", Named),
    (1997, "BGP Communities Attribute", Done),
    (2003, "IP Encapsulation within IP", Named),
    (2385, "Protection of BGP Sessions via the TCP MD5 Signature Option", Done),
    (2439, "BGP Route Flap Damping", Named),
    (2474, "Definition of the Differentiated Services Field (DS Field) in the IPv4 and IPv6 Headers", Named),
    (2545, "Use of BGP-4 Multiprotocol Extensions for IPv6 Inter-Domain Routing", Done),
    (2622, "Routing Policy Specification Language (RPSL)", Named),
    (2918, "Route Refresh Capability for BGP-4", Done),
    (3021, "Using 31-Bit Prefixes on IPv4 Point-to-Point Links", Named),
    (3065, "Autonomous System Confederations for BGP (obsolete)", Named),
    (3339, "Date and Time on the Internet: Timestamps", Named),
    (3392, "Capabilities Advertisement with BGP-4 (obsolete)", Named),
    (3927, "Dynamic Configuration of IPv4 Link-Local Addresses", Named),
    (4007, "IPv6 Scoped Address Architecture", Named),
    (4193, "Unique Local IPv6 Unicast Addresses", Named),
    (
        4271,
        "A Border Gateway Protocol 4 (BGP-4)",
        Partly(
            "the distance to the next hop does not count (§9.1.2.2 e): next hops are on the link or the peer itself; no MinRouteAdvertisementInterval (§9.2.1.1): changes are batched instead",
        ),
    ),
    (4272, "BGP Security Vulnerabilities Analysis", Named),
    (4273, "Definitions of Managed Objects for BGP-4", Named),
    (4291, "IP Version 6 Addressing Architecture", Named),
    (4293, "Management Information Base for the Internet Protocol (IP)", Named),
    (
        4360,
        "BGP Extended Communities Attribute",
        Partly("carried and filtered at the border of the AS, not set by policy"),
    ),
    (4364, "BGP/MPLS IP Virtual Private Networks (VPNs)", Named),
    (4451, "BGP MULTI_EXIT_DISC (MED) Considerations", Named),
    (4456, "BGP Route Reflection: An Alternative to Full Mesh Internal BGP", Done),
    (4486, "Subcodes for BGP Cease Notification Message", Done),
    (4594, "Configuration Guidelines for DiffServ Service Classes", Named),
    (4648, "The Base16, Base32, and Base64 Data Encodings", Named),
    (4724, "Graceful Restart Mechanism for BGP", Done),
    (4760, "Multiprotocol Extensions for BGP-4", Partly("IPv4 and IPv6 unicast; other families are not negotiated")),
    (4861, "Neighbor Discovery for IP version 6 (IPv6)", Named),
    (4862, "IPv6 Stateless Address Autoconfiguration", Named),
    (5004, "Avoid BGP Best Path Transitions from One External to Another", Named),
    (
        5065,
        "Autonomous System Confederations for BGP",
        Partly(
            "a path with segments of a confederation is treated as withdrawn (§5); no member of one can be configured",
        ),
    ),
    (5082, "The Generalized TTL Security Mechanism (GTSM)", Done),
    (5291, "Outbound Route Filtering Capability for BGP-4", Named),
    (5396, "Textual Representation of Autonomous System (AS) Numbers", Named),
    (5398, "Autonomous System (AS) Number Reservation for Documentation Use", Named),
    (5492, "Capabilities Advertisement with BGP-4", Done),
    (5549, "Advertising IPv4 Network Layer Reachability Information with an IPv6 Next Hop", Named),
    (5668, "4-Octet AS Specific BGP Extended Community", Named),
    (5701, "IPv6 Address Specific BGP Extended Community Attribute", Partly("carried only")),
    (
        5880,
        "Bidirectional Forwarding Detection (BFD)",
        Partly("asynchronous mode without the Echo function and without authentication"),
    ),
    (
        5881,
        "Bidirectional Forwarding Detection (BFD) for IPv4 and IPv6 (Single Hop)",
        Partly("without the Echo function"),
    ),
    (5882, "Generic Application of Bidirectional Forwarding Detection (BFD)", Done),
    (5883, "Bidirectional Forwarding Detection (BFD) for Multihop Paths", Done),
    (5925, "The TCP Authentication Option", Named),
    (5952, "A Recommendation for IPv6 Address Text Representation", Named),
    (6164, "Using 127-Bit IPv6 Prefixes on Inter-Router Links", Named),
    (6286, "Autonomous-System-Wide Unique BGP Identifier for BGP-4", Done),
    (6298, "Computing TCP's Retransmission Timer", Named),
    (
        6396,
        "Multi-Threaded Routing Toolkit (MRT) Routing Information Export Format",
        Partly("TABLE_DUMP_V2 is written; the time when a path came is not kept; nothing is read"),
    ),
    (6608, "Subcodes for BGP Finite State Machine Error", Done),
    (6793, "BGP Support for Four-Octet Autonomous System (AS) Number Space", Done),
    (6811, "BGP Prefix Origin Validation", Named),
    (6890, "Special-Purpose IP Address Registries", Named),
    (6901, "JavaScript Object Notation (JSON) Pointer", Named),
    (6996, "Autonomous System (AS) Reservation for Private Use", Named),
    (7153, "IANA Registries for BGP Extended Communities", Named),
    (7196, "Making Route Flap Damping Usable", Named),
    (7300, "Reservation of Last Autonomous System (AS) Numbers", Named),
    (
        7311,
        "The Accumulated IGP Metric Attribute for BGP",
        Partly("discarded, as a speaker without AIGP sessions must"),
    ),
    (7313, "Enhanced Route Refresh Capability for BGP-4", Done),
    (7606, "Revised Error Handling for BGP UPDATE Messages", Done),
    (7607, "Codification of AS 0 Processing", Done),
    (
        7705,
        "Autonomous System Migration Mechanisms and Their Effects on the BGP AS_PATH Attribute",
        Partly(
            "Local AS of a peer, with neither AS added to received paths (§3.3); no second AS accepted in its OPEN (§4)",
        ),
    ),
    (
        7854,
        "BGP Monitoring Protocol (BMP)",
        Partly(
            "no Route Mirroring (§4.7); UPDATEs are written anew from what was understood of them; the agent dials, it does not listen",
        ),
    ),
    (7911, "Advertisement of Multiple Paths in BGP", Done),
    (7938, "Use of BGP for Routing in Large-Scale Data Centers", Named),
    (7947, "Internet Exchange BGP Route Server", Named),
    (7964, "Solutions for BGP Persistent Route Oscillation", Named),
    (7999, "BLACKHOLE Community", Named),
    (
        8050,
        "Multi-Threaded Routing Toolkit (MRT) Routing Information Export Format with BGP Additional Path Extensions",
        Partly("unicast tables, as RFC 6396"),
    ),
    (8092, "BGP Large Communities Attribute", Done),
    (8200, "Internet Protocol, Version 6 (IPv6) Specification", Named),
    (8203, "BGP Administrative Shutdown Communication", Named),
    (
        8212,
        "Default External BGP (EBGP) Route Propagation Behavior without Policies",
        Partly("the default is a policy of its own, see safe-defaults.md"),
    ),
    (8259, "The JavaScript Object Notation (JSON) Data Interchange Format", Named),
    (8277, "Using BGP to Bind MPLS Labels to Address Prefixes", Named),
    (8326, "Graceful BGP Session Shutdown", Done),
    (8538, "Notification Message Support for BGP Graceful Restart", Done),
    (8654, "Extended Message Support for BGP", Done),
    (8671, "Support for Adj-RIB-Out in the BGP Monitoring Protocol (BMP)", Partly("after the policy only")),
    (8950, "Advertising IPv4 Network Layer Reachability Information (NLRI) with an IPv6 Next Hop", Done),
    (8955, "Dissemination of Flow Specification Rules", Named),
    (9003, "Extended BGP Administrative Shutdown Communication", Done),
    (
        9069,
        "Support for Local RIB in the BGP Monitoring Protocol (BMP)",
        Partly("best paths only; changes of a prefix between two looks at it are one"),
    ),
    (9072, "Extended Optional Parameters Length for BGP OPEN Message", Done),
    (9107, "BGP Optimal Route Reflection (BGP ORR)", Named),
    (9234, "Route Leak Prevention and Detection Using Roles in UPDATE and OPEN Messages", Done),
    (9293, "Transmission Control Protocol (TCP)", Named),
    (9384, "A BGP Cease NOTIFICATION Subcode for Bidirectional Forwarding Detection (BFD)", Done),
    (9494, "Long-Lived Graceful Restart for BGP", Done),
    (9515, "Revision to Registration Procedures for Multiple BMP Registries", Named),
    (
        9552,
        "Distribution of Link-State and Traffic Engineering Information Using BGP",
        Partly("the attribute is discarded, as it must not be passed on with unicast routes"),
    ),
    (9687, "Border Gateway Protocol 4 (BGP-4) Send Hold Timer", Done),
    (9736, "The BGP Monitoring Protocol (BMP) Peer Up Message Namespace", Done),
    (9774, "Deprecation of AS_SET and AS_CONFED_SET in BGP", Partly("sets are still believed; we never make one")),
];

/// The row of a document.
pub fn row(rfc: u32) -> Option<Row> {
    let (rfc, title, status) = ROWS.iter().find(|(number, ..)| *number == rfc)?;
    Some(Row { rfc: *rfc, title, status: *status })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_order() {
        assert!(ROWS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
