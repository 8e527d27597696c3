//! Addresses for pods that have none yet, so that selectors can be asked about them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::bail;
use model::PodRef;
use model::object::{Object, Pod};

use crate::output::counted;

/// The first IPv4 address: of 198.18.0.0/15, which is for tests of devices.
const FIRST4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The first IPv6 address: of 2001:2::/48, which is for the same.
const FIRST6: Ipv6Addr = Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, 1);
/// How many there are of each.
const COUNT: u32 = (1 << 17) - 2;
/// The most pods that are named on one line.
const NAMED: usize = 20;

/// Gives pods that have no address one that no policy names: an IPv4 address, and an IPv6 address too where any pod has one,
/// so that each has a family in common with all. Says which pods are left out.
pub fn place(objects: &mut [Object]) -> anyhow::Result<()> {
    let mut pods: Vec<&mut Pod> = objects.iter_mut().filter_map(pod).collect();
    for (why, is_out) in [("hostNetwork", in_host_network as fn(&Pod) -> bool), ("ended", has_ended)] {
        let names = pods.iter().filter(|pod| is_out(pod)).map(|pod| pod.reference().to_string());
        let names: Vec<String> = names.collect();
        if !names.is_empty() {
            eprintln!("margayctl: {} left out ({why}): {}", counted(names.len(), "pod"), listed(&names));
        }
    }
    for (address, first, second) in shared(&pods) {
        eprintln!("margayctl: pods {first} and {second} both have {address}: as peers they are one");
    }
    let has_ipv6 = pods.iter().any(|pod| pod.addresses.iter().any(IpAddr::is_ipv6));
    let mut next = 0u32;
    for pod in pods.iter_mut().filter(|pod| pod.addresses.is_empty() && !pod.host_network && !pod.ended) {
        if next == COUNT {
            bail!("more than {COUNT} pods have no status.podIP");
        }
        pod.addresses.push(IpAddr::V4(Ipv4Addr::from_bits(FIRST4.to_bits() + next)));
        if has_ipv6 {
            pod.addresses.push(IpAddr::V6(Ipv6Addr::from_bits(FIRST6.to_bits() + u128::from(next))));
        }
        next += 1;
    }
    if next > 0 {
        let pods = counted(next as usize, "pod");
        let and = if has_ipv6 { format!(" and {FIRST6}") } else { String::new() };
        eprintln!("margayctl: {pods} without status.podIP: an ipBlock sees addresses from {FIRST4}{and} on");
    }
    Ok(())
}

/// Addresses that several pods have, with the first of them and each other.
fn shared(pods: &[&mut Pod]) -> Vec<(IpAddr, PodRef, PodRef)> {
    let mut holders: BTreeMap<IpAddr, PodRef> = BTreeMap::new();
    let mut shared = Vec::new();
    for pod in pods.iter().filter(|pod| !pod.host_network && !pod.ended) {
        for address in &pod.addresses {
            match holders.get(address) {
                Some(first) if *first != pod.reference() => shared.push((*address, first.clone(), pod.reference())),
                Some(_) => {}
                None => drop(holders.insert(*address, pod.reference())),
            }
        }
    }
    shared
}

fn pod(object: &mut Object) -> Option<&mut Pod> {
    match object {
        Object::Pod(pod) => Some(pod),
        _ => None,
    }
}

fn in_host_network(pod: &Pod) -> bool {
    pod.host_network
}

fn has_ended(pod: &Pod) -> bool {
    pod.ended && !pod.host_network
}

fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let listed: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
    listed.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::object::{Document, parse};

    fn read(pods: &[&str]) -> Vec<Object> {
        let text =
            |(n, rest): (usize, &&str)| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}}}\n{rest}\n---\n");
        let text: String = pods.iter().enumerate().map(text).collect();
        let object = |document| match document {
            Document::Object(found) => found.object,
            Document::Bad(_, error) => panic!("{error}"),
        };
        parse("f.yaml", &text).documents.into_iter().map(object).collect()
    }

    fn placed(pods: &[&str]) -> Vec<usize> {
        let mut objects = read(pods);
        place(&mut objects).expect("addresses");
        objects.iter_mut().filter_map(pod).map(|pod| pod.addresses.len()).collect()
    }

    #[test]
    fn a_pod_without_addresses_has_a_family_in_common_with_each_other_pod() {
        assert_eq!(placed(&["", "status: {podIP: 10.0.0.1}"]), [1, 1]);
        assert_eq!(placed(&["", "status: {podIP: 'fd00::1'}"]), [2, 1]);
    }

    #[test]
    fn pods_that_are_left_out_need_no_address() {
        assert_eq!(placed(&["spec: {hostNetwork: true}", "status: {phase: Succeeded}", ""]), [0, 0, 1]);
    }

    #[test]
    fn pods_with_one_address_are_told_unless_one_of_them_is_left_out() {
        let address = "status: {podIP: 10.0.0.1}";
        let mut objects = read(&[address, "", "status: {podIP: 10.0.0.1, phase: Failed}", address]);
        let pods: Vec<&mut Pod> = objects.iter_mut().filter_map(pod).collect();
        let told: Vec<String> = shared(&pods).iter().map(|(at, one, other)| format!("{at} {one} {other}")).collect();
        assert_eq!(told, ["10.0.0.1 default/p0 default/p3"]);
    }

    #[test]
    fn a_line_names_so_many_pods_and_counts_the_others() {
        let names: Vec<String> = (0..NAMED + 2).map(|n| n.to_string()).collect();
        assert!(listed(&names).ends_with("18, 19 and 2 more"), "{}", listed(&names));
        assert_eq!(listed(&names[..2]), "0, 1");
    }
}
