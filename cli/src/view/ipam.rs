//! `ipam show` and `ipam check`, in calicoctl's shape.

use model::api::show::{AddressView, BlockView, BorrowedView, IpamCheckView, IpamView};

use super::when;
use crate::output::{Detail, NOTHING, counted, framed, joined};

/// Which rows the table has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rows {
    /// Pools only.
    Pools,
    /// Pools, each with this node's blocks.
    Blocks,
}

/// How many addresses are used and free.
pub fn usage(ipam: &IpamView, rows: Rows, detail: Detail) -> String {
    if ipam.pools.is_empty() {
        return "No pools, and no pod CIDRs on this node.\n".to_string();
    }
    let mut header = vec!["GROUPING", "CIDR", "IPS TOTAL", "IPS IN USE", "IPS RESERVED", "IPS FREE"];
    if detail == Detail::Wide {
        header.extend(["NAME", "REASON"]);
    }
    let mut lines = Vec::new();
    for pool in &ipam.pools {
        let sum = |of: fn(&BlockView) -> u64| pool.blocks.iter().map(of).fold(0, u64::saturating_add);
        let grouping = if pool.name.is_empty() { "Pod CIDR" } else { "IP Pool" };
        let whole = BlockView {
            cidr: pool.cidr,
            total: sum(|b| b.total),
            in_use: sum(|b| b.in_use),
            reserved: sum(|b| b.reserved),
        };
        let mut line = counts(grouping, &whole);
        if detail == Detail::Wide {
            line.extend([pool.name.clone(), pool.reason.clone()]);
        }
        lines.push(line);
        for block in pool.blocks.iter().filter(|_| rows == Rows::Blocks) {
            let mut line = counts("Block", block);
            if detail == Detail::Wide {
                line.extend([String::new(), String::new()]);
            }
            lines.push(line);
        }
    }
    framed(&header, &lines) + "Counts are of this node's blocks.\n"
}

fn counts(grouping: &str, block: &BlockView) -> Vec<String> {
    let free = block.total.saturating_sub(block.in_use).saturating_sub(block.reserved);
    let share = |part: u64| match block.total {
        0 => "0".to_string(),
        total => format!("{} ({:.0}%)", count(part), part as f64 / total as f64 * 100.0),
    };
    vec![
        grouping.to_string(),
        block.cidr.to_string(),
        count(block.total),
        share(block.in_use),
        count(block.reserved),
        share(free),
    ]
}

/// As calicoctl's `%.5g`: exact up to a million or so, then five digits.
fn count(number: u64) -> String {
    if number < 1_000_000 { number.to_string() } else { format!("{:.4e}", number as f64) }
}

/// Who has an address.
pub fn address(view: &AddressView) -> String {
    let Some(lease) = &view.lease else {
        return format!("{} is not assigned: {}\n", view.ip, view.reason);
    };
    let pod = lease.pod.as_ref().map_or(NOTHING.to_string(), ToString::to_string);
    let since = lease.since.as_ref().map_or("recovered from the kernel".to_string(), |s| when(s));
    let fields = [
        ("Pod", pod),
        ("Container", lease.container_id.clone()),
        ("Interface", lease.ifname.clone()),
        ("Addresses", joined(&lease.addresses)),
        ("Pool", view.pool.clone().unwrap_or_else(|| NOTHING.to_string())),
        ("Since", since),
    ];
    let lines: String = fields.iter().map(|(name, value)| format!("  {name}: {value}\n")).collect();
    format!("IP {} is in use\n{lines}", view.ip)
}

/// Addresses of this node's pods in blocks of others, as `calicoctl ipam show --show-borrowed` has them.
pub fn borrowed(borrowed: &[BorrowedView]) -> String {
    if borrowed.is_empty() {
        return "No pod of this node has an address of another's block.\n".to_string();
    }
    let line = |view: &BorrowedView| {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| NOTHING.to_string());
        vec![
            view.ip.to_string(),
            or_none(view.block.map(|block| block.to_string())),
            or_none(view.owner.clone()),
            or_none(view.pod.as_ref().map(ToString::to_string)),
        ]
    };
    framed(&["IP", "BLOCK", "BLOCK OWNER", "ALLOCATED TO"], &borrowed.iter().map(line).collect::<Vec<_>>())
}

/// Leases against links and pools.
pub fn check(check: &IpamCheckView) -> String {
    let mut text = "Checking leases against links and pools...\n".to_string();
    text += &format!("Found {} of this node.\n", some(check.blocks, "block"));
    text += &format!("Found {}, {} with a living link.\n", some(check.leases, "lease"), check.attached);
    for problem in &check.problems {
        let pod = problem.pod.as_ref().map_or(String::new(), |pod| format!(" ({pod})"));
        text += &format!("  * {}{pod}: {}\n", problem.ip, problem.message);
    }
    text + &format!("Check complete; found {}.\n", counted(check.problems.len(), "problem"))
}

fn some(count: u64, noun: &str) -> String {
    counted(usize::try_from(count).unwrap_or(usize::MAX), noun)
}
