//! Rules over time: connections that live, pods that begin, agents that die, and others who meddle.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use e2e::netns::Netns;
use e2e::pipe::Pipe;
use e2e::plan::{FAMILIES, Family};
use e2e::pods::{PodLab, policy};
use e2e::prober::{Expected, Probe};
use e2e::{ip, wait};
use model::Protocol;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(20);
/// How long a new pod is watched. The node asks for its MAC address a moment before it has one, and again a second later.
const LIFE: Duration = Duration::from_millis(1500);

/// One node with three pods.
fn lab() -> Result<PodLab> {
    let mut lab = PodLab::new(1)?;
    for name in ["shop/db", "shop/web", "shop/cron"] {
        lab.attach(1, name, &[])?;
        lab.label(name, json!({"app": name.replace("shop/", "")}))?;
    }
    Ok(lab)
}

/// Only `app: web` reaches `app: db`.
fn only_web() -> Value {
    let from = json!([{"podSelector": {"matchLabels": {"app": "web"}}}]);
    policy("shop", "db", json!({"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": from}]}))
}

/// Whether [`only_web`] is in force, in both families.
fn only_web_holds(lab: &mut PodLab) -> Result<()> {
    let mut probes = Vec::new();
    for family in FAMILIES {
        probes.push(lab.probe("shop/web", "shop/db", family, Protocol::TCP, 80)?);
        let cron = lab.probe("shop/cron", "shop/db", family, Protocol::TCP, 80)?;
        probes.push(Probe { expected: Expected::Silence, ..cron });
    }
    lab.prober.hold(&probes)
}

/// The table with its handles, without what counts.
fn table(node: &Netns, family: &str, name: &str) -> Result<String> {
    let text = node.stdout("nft", &["-a", "list", "table", family, name])?;
    let mut words = text.split(' ');
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        kept.push(word);
        if matches!(word, "packets" | "bytes") {
            words.next();
        }
    }
    Ok(kept.join(" "))
}

#[test]
fn an_established_connection_outlives_a_policy_that_forbids_it() -> Result<()> {
    let mut lab = lab()?;
    lab.apply(&[])?;
    let (db, web) = (lab.pod("shop/db")?.clone(), lab.pod("shop/web")?.clone());
    let mut pipes = Vec::new();
    for address in db.addresses {
        pipes.push(Pipe::open(&web.netns, &db.netns, SocketAddr::new(address, 8080))?);
    }
    let policies = [policy("shop", "nothing", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))];
    lab.apply(&policies)?;
    pipes.iter().try_for_each(Pipe::carries)?;
    let mut probes = lab.probes_of_hosts()?;
    for family in FAMILIES {
        let new = lab.probe("shop/web", "shop/db", family, Protocol::TCP, 80)?;
        probes.push(Probe { expected: Expected::Silence, ..new });
    }
    lab.prober.hold(&probes)
}

/// Sends datagrams as fast as a pod that cannot wait, until told to stop; how many left the socket.
fn send_all_the_time(sender: &UdpSocket, target: SocketAddr, stop: &AtomicBool) -> usize {
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        sent += usize::from(sender.send_to(b"first", target).is_ok());
        std::thread::sleep(Duration::from_micros(100));
    }
    sent
}

/// Counts datagrams until told to stop.
fn count(receiver: &UdpSocket, stop: &AtomicBool, seen: &AtomicUsize) -> Result<()> {
    receiver.set_read_timeout(Some(Duration::from_millis(10)))?;
    let mut buffer = [0; 16];
    while !stop.load(Ordering::Relaxed) {
        seen.fetch_add(usize::from(receiver.recv_from(&mut buffer).is_ok()), Ordering::Relaxed);
    }
    Ok(())
}

/// What a new pod sends to `shop/db`, and what `shop/web` sends to the new pod, both from the first moment on: how much of
/// each arrives while the pod is attached and a little longer, and how much of both was sent.
fn from_the_first_moment(lab: &mut PodLab, name: &str, family: Family) -> Result<([usize; 2], [usize; 2])> {
    let (at, address) = match family {
        Family::V4 => (0, "10.244.1.77"),
        Family::V6 => (1, "fd00:244:0:1::77"),
    };
    let any = |port: u16| SocketAddr::new(if at == 0 { [0; 4].into() } else { [0u16; 8].into() }, port);
    let (db, web) = (lab.pod("shop/db")?.clone(), lab.pod("shop/web")?.clone());
    let target = SocketAddr::new(*db.addresses.get(at).context("no address")?, 9000);
    lab.attachment(1, name, &[])?; // the namespace is there before the pod is attached
    let netns = lab.netns(1, name);
    let bind = |netns: &Netns, port| netns.receive(any(port));
    let (new, own, old) = (bind(&netns, 9001)?, bind(&netns, 9000)?, bind(&web.netns, 9001)?);
    let receiver = bind(&db.netns, 9000)?;
    let stop = AtomicBool::new(false);
    let seen = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let sent = std::thread::scope(|scope| -> Result<[usize; 2]> {
        let out = scope.spawn(|| send_all_the_time(&new, target, &stop));
        let back = scope.spawn(|| {
            let target = address.parse().map(|address| SocketAddr::new(address, 9000));
            target.map_or(0, |target| send_all_the_time(&old, target, &stop))
        });
        let counted = [scope.spawn(|| count(&receiver, &stop, &seen[0])), scope.spawn(|| count(&own, &stop, &seen[1]))];
        let both = ["10.244.1.77".to_owned(), "fd00:244:0:1::77".to_owned()];
        let attached = lab.attach(1, name, &both);
        std::thread::sleep(LIFE);
        stop.store(true, Ordering::Relaxed);
        let panicked = |_| anyhow::anyhow!("a thread panicked");
        let sent = [out.join().map_err(panicked)?, back.join().map_err(panicked)?];
        for counter in counted {
            counter.join().map_err(panicked)??;
        }
        attached?;
        Ok(sent)
    })?;
    lab.detach(name)?;
    ip::batch(&[format!("netns del {}", netns.name())])?;
    Ok((seen.map(AtomicUsize::into_inner), sent))
}

#[test]
fn not_one_packet_of_a_new_pod_comes_before_its_policy() -> Result<()> {
    let mut lab = lab()?;
    for family in FAMILIES {
        lab.apply(&[])?;
        let (seen, sent) = from_the_first_moment(&mut lab, "free/new", family)?;
        ensure!(seen[0] > 0 && seen[1] > 0, "without policies {seen:?} of {sent:?} arrive");
        lab.apply(&[policy("late", "nothing", json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}))])?;
        for round in 0..2 {
            let (seen, sent) = from_the_first_moment(&mut lab, "late/new", family)?;
            ensure!(sent[0] > 100 && sent[1] > 100, "only {sent:?} were sent");
            ensure!(seen == [0, 0], "round {round}, {family}: {seen:?} of {sent:?} came before the policy");
        }
    }
    Ok(())
}

#[test]
fn rules_stay_and_hold_while_the_agent_is_dead_and_its_return_touches_none() -> Result<()> {
    let mut lab = lab()?;
    lab.apply(&[only_web()])?;
    only_web_holds(&mut lab)?;
    let node = lab.trial.plan.node_netns(1);
    let before = table(&node, "inet", "margay")?;
    lab.trial.node(1).agent()?.kill()?;
    only_web_holds(&mut lab)?;
    ensure!(table(&node, "inet", "margay")? == before, "the table changed when the agent died");
    lab.trial.node(1).start_agent()?;
    let log = lab.trial.node(1).log();
    wait::until(SOON, "the agent knows everything again", || {
        let text = std::fs::read_to_string(&log)?;
        let last = text.rsplit("margay-agent starts").next().unwrap_or_default();
        for source in ["Objects", "Kernel", "Leases", "Speaker"] {
            ensure!(last.contains(&format!("in sync source={source}")), "{source} is not in sync");
        }
        Ok(())
    })?;
    wait::throughout(Duration::from_secs(1), "the table of the agent that died", || {
        let now = table(&node, "inet", "margay")?;
        ensure!(now == before, "the restart changed it:\n{before}\n— became —\n{now}");
        Ok(())
    })?;
    lab.apply(&[only_web()])?;
    only_web_holds(&mut lab)
}

#[test]
fn what_another_flushes_or_changes_is_there_again_at_once() -> Result<()> {
    let mut lab = lab()?;
    lab.apply(&[only_web()])?;
    let node = lab.trial.plan.node_netns(1);
    let whole = without_handles(&table(&node, "inet", "margay")?);
    for meddling in
        ["flush ruleset", "delete table inet margay", "flush table inet margay", "flush chain inet margay filter"]
    {
        node.stdout("nft", &[meddling])?;
        let begun = Instant::now();
        wait::until(SOON, &format!("the table after `nft {meddling}`"), || {
            let now = without_handles(&table(&node, "inet", "margay")?);
            ensure!(now == whole, "{now:#?}\n— instead of —\n{whole:#?}");
            Ok(())
        })?;
        println!("`nft {meddling}`: whole again after {:?}", begun.elapsed());
        only_web_holds(&mut lab)?;
    }
    Ok(())
}

/// Lines without the handles that end them, in an order that does not depend on when they were made.
fn without_handles(table: &str) -> Vec<String> {
    let lines = table.lines().map(|line| line.split(" # handle").next().unwrap_or_default().trim().to_owned());
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

#[test]
fn the_tables_of_others_are_never_touched() -> Result<()> {
    let mut lab = lab()?;
    let node = lab.trial.plan.node_netns(1);
    let theirs = "add table inet theirs; add chain inet theirs forward { type filter hook forward priority 0; }; \
        add set inet theirs s { type ipv4_addr; }; add element inet theirs s { 192.0.2.1 }; \
        add rule inet theirs forward ip saddr @s counter drop; add table ip margay; add chain ip margay forward";
    node.stdout("nft", &[theirs])?;
    let all = || -> Result<[String; 2]> { Ok([table(&node, "inet", "theirs")?, table(&node, "ip", "margay")?]) };
    let before = all()?;
    lab.apply(&[only_web()])?;
    only_web_holds(&mut lab)?;
    lab.apply(&[])?;
    node.stdout("nft", &["delete table inet margay"])?;
    lab.apply(&[only_web()])?;
    lab.trial.node(1).agent()?.kill()?;
    lab.trial.node(1).start_agent()?;
    lab.apply(&[])?;
    ensure!(all()? == before, "{before:?} became {:?}", all()?);
    Ok(())
}

#[test]
fn a_pod_whose_object_has_not_come_yet_is_shut_if_its_namespace_has_policies() -> Result<()> {
    let mut lab = lab()?;
    let both = json!({"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress", "Egress"]});
    let both = [policy("shop", "db", both)];
    lab.apply(&both)?;
    lab.attach(1, "shop/late", &[])?;
    lab.attach(1, "open/late", &[])?;
    let probes = |lab: &PodLab, shop: Expected| -> Result<Vec<Probe>> {
        let mut probes = Vec::new();
        for family in FAMILIES {
            let free = lab.probe("shop/web", "open/late", family, Protocol::TCP, 80)?;
            let shut = lab.probe("shop/web", "shop/late", family, Protocol::TCP, 80)?;
            let out = lab.probe("shop/late", "shop/web", family, Protocol::TCP, 80)?;
            probes.extend([free, Probe { expected: shop, ..shut }, Probe { expected: shop, ..out }]);
        }
        Ok(probes)
    };
    let shut = probes(&lab, Expected::Silence)?;
    lab.prober.hold(&shut)?;
    lab.apply(&both)?;
    let open = probes(&lab, Expected::Answer)?;
    lab.prober.hold(&open)
}
