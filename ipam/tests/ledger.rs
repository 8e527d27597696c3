//! The journal on disk: kill -9 at any instant, reboots, damage, two agents, a full disk.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use common::{ask, attachment, detach, link, pod, space};
use ipam::ledger::JOURNAL;
use ipam::{Ledger, LedgerError, Opening, PodLink};
use model::Time;
use model::api::{Attached, Attachment};
use proptest::prelude::*;

const BOOT: &str = "b0";

/// A child that another test of this process starts holds every lock for the moment between its fork and its exec.
fn open(directory: &Path, links: &[PodLink]) -> (Ledger, Opening) {
    for _ in 0..200 {
        match Ledger::open(directory, BOOT, links) {
            Err(LedgerError::Locked(_)) => std::thread::sleep(std::time::Duration::from_millis(5)),
            opened => return opened.unwrap(),
        }
    }
    Ledger::open(directory, BOOT, links).unwrap()
}

fn leased(ledger: &Ledger) -> BTreeMap<Attachment, Vec<IpAddr>> {
    ledger.leases().iter().map(|lease| (lease.attachment.clone(), lease.addresses.clone())).collect()
}

/// No address is held twice, and every address that is held has its holder.
fn sound(ledger: &Ledger) {
    let mut seen = BTreeSet::new();
    for lease in ledger.leases().iter() {
        for address in &lease.addresses {
            assert!(seen.insert(*address), "{address} is doubled");
            assert_eq!(ledger.leases().holder(*address).map(|l| &l.attachment), Some(&lease.attachment));
        }
    }
}

#[test]
fn an_answered_lease_outlives_the_agent() {
    let directory = tempfile::tempdir().unwrap();
    let space = space(&["10.1.0.0/24"]);
    let (mut ledger, opening) = open(directory.path(), &[]);
    assert_eq!(opening, Opening::Missing { recovered: 0, left_out: vec![] });
    let given = ledger.attach(&ask("a"), &space).unwrap().lease;
    ledger.attach(&ask("b"), &space).unwrap();
    let attached = Attached { attachment: attachment("a"), host_ifindex: 9, mac: "02:00:00:00:00:01".into() };
    assert!(ledger.attached(&attached).unwrap());
    ledger.detach(&detach("b")).unwrap();
    drop(ledger);
    let (mut ledger, opening) = open(directory.path(), &[]);
    assert_eq!(opening, Opening::Continued { leases: 1, torn: 0 });
    let again = ledger.attach(&ask("a"), &space).unwrap();
    assert!(again.reused);
    assert_eq!(again.lease.addresses, given.addresses);
    assert_eq!(again.lease.plumbed.unwrap().host_ifindex, 9);
    let next = ledger.attach(&ask("c"), &space).unwrap().lease.addresses[0].to_string();
    assert_eq!(next, "10.1.0.2", "what b had is the last to be given again, also after a restart");
}

#[test]
fn another_boot_ends_all_leases() {
    let directory = tempfile::tempdir().unwrap();
    let (mut ledger, _) = open(directory.path(), &[]);
    ledger.attach(&ask("a"), &space(&["10.1.0.0/24"])).unwrap();
    drop(ledger);
    let (ledger, opening) = Ledger::open(directory.path(), "b1\n", &[]).unwrap();
    assert_eq!(opening, Opening::OtherBoot { ended: 1 });
    assert!(ledger.leases().is_empty());
    drop(ledger);
    assert_eq!(Ledger::open(directory.path(), "b1", &[]).unwrap().1, Opening::Continued { leases: 0, torn: 0 });
}

#[test]
fn two_agents_cannot_share_a_state_directory() {
    let directory = tempfile::tempdir().unwrap();
    let (_ledger, _) = open(directory.path(), &[]);
    let error = Ledger::open(directory.path(), BOOT, &[]).unwrap_err();
    assert!(matches!(error, LedgerError::Locked(_)), "{error}");
    assert!(error.to_string().contains("is in use by another agent"));
}

#[test]
fn a_corrupt_journal_is_kept_aside_and_running_pods_keep_their_addresses() {
    let directory = tempfile::tempdir().unwrap();
    let space = space(&["10.1.0.0/29", "fd00::/120"]);
    let (mut ledger, _) = open(directory.path(), &[]);
    let mut links = Vec::new();
    for container in ["a", "b"] {
        links.push(link(&ledger.attach(&pod(container, container, None), &space).unwrap().lease));
    }
    // Calico's, or one whose shim was killed before it was marked.
    links.push(PodLink::new("cali00000000000", 8, 1500, None, vec!["10.1.0.5".parse().unwrap()]));
    drop(ledger);
    let path = directory.path().join(JOURNAL);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.iter().position(|&b| b == b'\n').unwrap() + 30;
    bytes[middle] ^= 0x10;
    fs::write(&path, &bytes).unwrap();

    let (mut ledger, opening) = open(directory.path(), &links);
    let Opening::Recovered { problem, aside, recovered, left_out } = opening else { panic!("{opening:?}") };
    assert!(problem.contains("leases.journal: line 2, byte "), "{problem}");
    assert_eq!(fs::read(aside).unwrap(), bytes, "kept as it was");
    assert_eq!((recovered, left_out), (3, vec![]));
    sound(&ledger);
    let again = ledger.attach(&pod("a", "a", None), &space).unwrap();
    assert!(again.reused, "the link's mark told whose it is");
    let new = ledger.attach(&ask("new"), &space).unwrap().lease;
    assert!(links.iter().all(|link| !link.addresses.contains(&new.addresses[0])), "{new:?}");
    drop(ledger);
    assert_eq!(open(directory.path(), &[]).1, Opening::Continued { leases: 4, torn: 0 });
}

#[test]
fn a_missing_journal_is_made_good_from_the_kernel_and_no_address_is_doubled() {
    let directory = tempfile::tempdir().unwrap();
    let address = |text: &str| vec![text.parse().unwrap()];
    let links = [
        PodLink::new("cali00000000001", 1, 1500, Some("margay c1/eth0 pods"), address("10.1.0.1")),
        PodLink::new("cali00000000002", 2, 1500, Some("margay c1/eth0 pods"), address("10.1.0.2")),
        PodLink::new("cali00000000003", 3, 1500, None, address("10.1.0.1")),
        PodLink::new("cali00000000004", 4, 1500, None, vec![]),
        PodLink::new("eth0", 5, 1500, None, address("10.1.0.4")),
    ];
    let (ledger, opening) = open(directory.path(), &links);
    sound(&ledger);
    let Opening::Missing { recovered, left_out } = opening else { panic!("{opening:?}") };
    assert_eq!(recovered, 2);
    assert_eq!(left_out.len(), 3, "{left_out:?}");
    assert!(left_out[0].contains("10.1.0.1 of cali00000000003: another link has it too"), "{left_out:?}");
}

#[test]
fn a_pod_claims_the_lease_that_was_recovered_for_its_link() {
    let directory = tempfile::tempdir().unwrap();
    let space = space(&["10.1.0.0/29"]);
    let pod = pod("c1", "nginx", None);
    let name = model::pod_link::name(pod.attach.pod.as_ref(), "c1");
    let links = [PodLink::new(&name, 1, 1500, None, vec!["10.1.0.3".parse().unwrap()])];
    let (mut ledger, _) = open(directory.path(), &links);
    let claimed = ledger.attach(&pod, &space).unwrap();
    assert!(claimed.reused);
    assert_eq!(claimed.lease.addresses[0].to_string(), "10.1.0.3");
    assert_eq!(ledger.leases().len(), 1);
    drop(ledger);
    let (ledger, _) = open(directory.path(), &[]);
    assert_eq!(ledger.leases().len(), 1);
}

#[test]
fn the_del_of_a_pod_that_never_claimed_its_recovered_lease_finds_it_by_the_pods_name() {
    let directory = tempfile::tempdir().unwrap();
    let pod = pod("c1", "nginx", None);
    let name = model::pod_link::name(pod.attach.pod.as_ref(), "c1");
    let links = [PodLink::new(&name, 1, 1500, None, vec!["10.1.0.3".parse().unwrap()])];
    let (mut ledger, _) = open(directory.path(), &links);
    let mut del = detach("c1");
    del.pod = pod.attach.pod;
    assert_eq!(ledger.detach(&del).unwrap().links, [name]);
    assert!(ledger.leases().is_empty());
}

#[test]
fn a_long_life_keeps_the_journal_short() {
    let directory = tempfile::tempdir().unwrap();
    let space = space(&["10.1.0.0/29"]);
    let (mut ledger, _) = open(directory.path(), &[]);
    ledger.attach(&ask("stays"), &space).unwrap();
    for n in 0..6000 {
        let container = format!("c{n}");
        ledger.attach(&ask(&container), &space).unwrap();
        ledger.detach(&detach(&container)).unwrap();
    }
    let octets = fs::metadata(directory.path().join(JOURNAL)).unwrap().len();
    assert!(octets < 1 << 20, "{octets}");
    drop(ledger);
    let (ledger, _) = open(directory.path(), &[]);
    assert_eq!(ledger.leases().len(), 1);
    assert_eq!(ledger.leases().iter().next().unwrap().attachment.container_id, "stays");
}

/// A file system of two pages, which a few leases fill.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> SmallDisk {
        let directory = tempfile::tempdir().unwrap();
        let mount = ["-t", "tmpfs", "-o", "size=8k", "margay-test"];
        let status = Command::new("mount").args(mount).arg(directory.path()).status().unwrap();
        assert!(status.success());
        SmallDisk(directory)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_refuses_the_lease_and_leaves_no_half_line() {
    let disk = SmallDisk::new();
    let space = space(&["10.1.0.0/24"]);
    let (mut ledger, _) = open(disk.0.path(), &[]);
    let refused = (0..200).find_map(|n| ledger.attach(&ask(&format!("c{n}")), &space).err()).unwrap();
    assert!(refused.to_string().contains("leases.journal: append: No space left"), "{refused}");
    let held = leased(&ledger);
    assert!(held.len() > 5);
    drop(ledger);
    let (ledger, opening) = open(disk.0.path(), &[]);
    assert_eq!(opening, Opening::Continued { leases: held.len(), torn: 0 });
    assert_eq!(leased(&ledger), held);
}

#[derive(Debug, Clone)]
enum Act {
    Attach(u8),
    Attached(u8),
    Detach(u8),
    Reconcile(u8),
    /// The agent dies so many octets into its last write and comes back.
    Crash(u16),
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0..12u8).prop_map(Act::Attach),
        2 => (0..12u8).prop_map(Act::Attached),
        3 => (0..12u8).prop_map(Act::Detach),
        1 => (0..12u8).prop_map(Act::Reconcile),
        2 => any::<u16>().prop_map(Act::Crash),
        1 => Just(Act::Reopen),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_kill_at_any_octet_of_any_write_loses_and_doubles_no_address(acts in prop::collection::vec(act(), 1..60)) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(JOURNAL);
        let space = space(&["10.1.0.0/29", "fd00::/125"]);
        let (mut ledger, _) = open(directory.path(), &[]);
        // What was answered before the last change, and how long the journal was then.
        let (mut before, mut length) = (leased(&ledger), fs::metadata(&path).unwrap().len());
        let mut now = Time::START;
        for act in acts {
            let crash = matches!(act, Act::Crash(_) | Act::Reopen);
            if !crash {
                (before, length) = (leased(&ledger), fs::metadata(&path).unwrap().len());
            }
            match act {
                Act::Attach(n) => {
                    let answer = ledger.attach(&ask(&format!("c{n}")), &space);
                    prop_assert!(answer.is_ok() || ledger.leases().len() == 8, "{:?}", answer.map(|_| ()));
                }
                Act::Attached(n) => {
                    let attached = Attached { attachment: attachment(&format!("c{n}")), host_ifindex: n.into(), mac: String::new() };
                    ledger.attached(&attached).unwrap();
                }
                Act::Detach(n) => drop(ledger.detach(&detach(&format!("c{n}"))).unwrap()),
                Act::Reconcile(n) => {
                    now = now + std::time::Duration::from_secs(61);
                    let keep = ledger.leases().iter().filter(|l| l.attachment != attachment(&format!("c{n}")));
                    let living = ipam::Living { links: keep.map(link).collect(), ..Default::default() };
                    ledger.reconcile(&living, now).unwrap();
                }
                Act::Crash(cut) => {
                    let after = leased(&ledger);
                    drop(ledger);
                    let whole = fs::metadata(&path).unwrap().len();
                    let kept = length + u64::from(cut) % (whole - length + 1);
                    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(kept).unwrap();
                    ledger = open(directory.path(), &[]).0;
                    let found = leased(&ledger);
                    // The last change is there or it is not; everything before it is.
                    prop_assert!(found == before || found == after, "{found:?}");
                    prop_assert!(kept < whole || found == after, "a whole write is never lost");
                    (before, length) = (found, fs::metadata(&path).unwrap().len());
                }
                Act::Reopen => {
                    let after = leased(&ledger);
                    drop(ledger);
                    ledger = open(directory.path(), &[]).0;
                    prop_assert_eq!(leased(&ledger), after);
                    (before, length) = (leased(&ledger), fs::metadata(&path).unwrap().len());
                }
            }
            sound(&ledger);
        }
    }

    #[test]
    fn a_journal_of_any_octets_is_an_error_and_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(JOURNAL), &bytes).unwrap();
        let (ledger, opening) = open(directory.path(), &[]);
        let is_recovered = matches!(opening, Opening::Recovered { .. });
        prop_assert!(is_recovered);
        prop_assert!(ledger.leases().is_empty());
    }
}
