//! `get`: objects as they are in force, in calicoctl's columns.

use model::api::show::{ObjectErrorView, ObjectKind, ObjectView};
use serde_json::{Value, json};

use crate::check;
use crate::output::{Column, Detail, column, columns, wide};

/// The list.
pub fn list(kind: ObjectKind, objects: &[ObjectView], detail: Detail) -> String {
    if objects.is_empty() {
        return format!("No {kind}s.\n");
    }
    let mut shown = vec![column("NAME", |o: &ObjectView| o.name.clone())];
    shown.extend(match kind {
        ObjectKind::BGPPeer => bgp_peer(),
        ObjectKind::BGPConfiguration => bgp_configuration(),
        ObjectKind::BGPFilter => bgp_filter(),
        ObjectKind::IPPool => ip_pool(),
        ObjectKind::Node => node(),
    });
    shown.push(wide("ORIGIN", |o: &ObjectView| o.origin.clone()));
    columns(objects, detail, &shown)
}

/// What is written but not in force, below the list.
pub fn not_in_force(kind: ObjectKind, errors: &[ObjectErrorView]) -> String {
    let of_kind = errors.iter().filter(|e| e.object.split('/').next() == Some(kind.to_string().as_str()));
    let lines: String = of_kind.map(|e| format!("  * {}", check::line("", e))).collect();
    if lines.is_empty() { lines } else { format!("\nNot in force\n{lines}") }
}

fn bgp_peer() -> Vec<Column<'static, ObjectView>> {
    vec![
        column("PEERIP", |o| {
            first(o, &["/spec/peerIP", "/spec/peerSelector", "/spec/listenRange", "/spec/peerInterface"], "")
        }),
        column("NODE", |o| first(o, &["/spec/node", "/spec/nodeSelector"], "(global)")),
        column("ASN", |o| first(o, &["/spec/asNumber", "/spec/peerType"], "")),
    ]
}

fn bgp_configuration() -> Vec<Column<'static, ObjectView>> {
    vec![
        column("LOGSEVERITY", |o| field(o, "/spec/logSeverityScreen", "Info")),
        column("MESHENABLED", |o| field(o, "/spec/nodeToNodeMeshEnabled", "true")),
        column("ASNUMBER", |o| field(o, "/spec/asNumber", "")),
        wide("LISTENPORT", |o| field(o, "/spec/listenPort", "179")),
    ]
}

fn bgp_filter() -> Vec<Column<'static, ObjectView>> {
    let rules = |list: &'static str| {
        move |o: &ObjectView| {
            let rules = o.object.pointer(&format!("/spec/{list}")).and_then(Value::as_array);
            rules.map_or(0, Vec::len).to_string()
        }
    };
    vec![
        column("NUMEXPORTV4", rules("exportV4")),
        column("NUMIMPORTV4", rules("importV4")),
        column("NUMEXPORTV6", rules("exportV6")),
        column("NUMIMPORTV6", rules("importV6")),
    ]
}

fn ip_pool() -> Vec<Column<'static, ObjectView>> {
    vec![
        column("CIDR", |o| field(o, "/spec/cidr", "")),
        wide("NAT", |o| field(o, "/spec/natOutgoing", "false")),
        wide("IPIPMODE", |o| field(o, "/spec/ipipMode", "Never")),
        wide("VXLANMODE", |o| field(o, "/spec/vxlanMode", "Never")),
        wide("DISABLED", |o| field(o, "/spec/disabled", "false")),
        wide("DISABLEBGPEXPORT", |o| field(o, "/spec/disableBGPExport", "false")),
        column("SELECTOR", |o| field(o, "/spec/nodeSelector", "all()")),
        wide("ASSIGNMENTMODE", |o| field(o, "/spec/assignmentMode", "Automatic")),
    ]
}

fn node() -> Vec<Column<'static, ObjectView>> {
    let annotation = |name: &'static str, absent: &'static str| {
        move |o: &ObjectView| field(o, &format!("/metadata/annotations/projectcalico.org~1{name}"), absent)
    };
    vec![
        wide("ASN", annotation("ASNumber", "(64512)")),
        column("IPV4", annotation("IPv4Address", "")),
        wide("IPV6", annotation("IPv6Address", "")),
        column("PODCIDRS", |o: &ObjectView| match o.object.pointer("/spec/podCIDRs").and_then(Value::as_array) {
            Some(cidrs) => cidrs.iter().map(plain).collect::<Vec<_>>().join(","),
            None => field(o, "/spec/podCIDR", ""),
        }),
        wide("ROUTEREFLECTOR", annotation("RouteReflectorClusterID", "")),
    ]
}

/// One field, by JSON pointer.
fn field(view: &ObjectView, pointer: &str, absent: &str) -> String {
    view.object.pointer(pointer).map_or(absent.to_string(), plain)
}

/// The first field that is there.
fn first(view: &ObjectView, pointers: &[&str], absent: &str) -> String {
    pointers.iter().find_map(|p| view.object.pointer(p)).map_or(absent.to_string(), plain)
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What `-o json` and `-o yaml` print: one object by its name, else a list, both fit to be applied again.
pub fn document(kind: ObjectKind, by_name: bool, objects: &[ObjectView]) -> Value {
    match objects {
        [one] if by_name => one.object.clone(),
        many => {
            let version = if kind == ObjectKind::Node { "v1" } else { "projectcalico.org/v3" };
            let items: Vec<&Value> = many.iter().map(|o| &o.object).collect();
            json!({ "apiVersion": version, "kind": format!("{kind}List"), "items": items })
        }
    }
}
