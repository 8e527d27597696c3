//! Sessions with routers that are not ours: what makes them, what keeps them from coming up, and what we say about it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::ctl::text;
use e2e::handmade::Listening;
use e2e::objects::{bgp_peer, secret, tor_peer_spec};
use e2e::plan::{CLUSTER_AS, FAMILIES, Family, NOROUTE, OUTSIDE, RouterKind, Shape};
use e2e::router::Config;
use e2e::trial::Trial;
use e2e::wait;
use serde_json::Value;

const SOON: Duration = Duration::from_secs(20);

/// The name of the object of n1's IPv4 session with the router, and of its file.
const PEER: &str = "n1-tor-ipv4";

fn write_peer(trial: &Trial, more: &str) -> Result<()> {
    let spec = tor_peer_spec(&trial.plan, Some(1), 1, Family::V4) + more;
    trial.node(1).objects()?.write(&format!("peer-{PEER}"), &bgp_peer(PEER, &spec))
}

/// Waits until the session is down and the reason names every word.
fn down_because(trial: &Trial, words: &[&str]) -> Result<Value> {
    let address = trial.plan.uplink(1, 1).router.0.to_string();
    wait::until(SOON, &format!("a session that is down for {words:?}"), || {
        let row = trial.node(1).ctl().peer(&address)?;
        ensure!(row["state"] != "Established", "it is up");
        let reason = text(&row["reason"]).to_lowercase();
        ensure!(words.iter().all(|word| reason.contains(&word.to_lowercase())), "the reason is {reason:?}");
        Ok(row)
    })
}

fn up(trial: &Trial) -> Result<()> {
    let address = trial.plan.uplink(1, 1).router.0.to_string();
    trial.node(1).ctl().wait_peer(&address, "Established", SOON).map(|_| ())
}

fn without_pods(kind: RouterKind) -> Result<Trial> {
    let trial = Trial::planned(Shape::Tor, |plan| {
        plan.router = kind;
        plan.nodes = 1;
        plan.pods.clear();
    })?;
    trial.up()?;
    Ok(trial)
}

fn passwords_and_gtsm(kind: RouterKind) -> Result<()> {
    let trial = without_pods(kind)?;
    let mut config = Config::of_tor(&trial.plan, 1);
    config.neighbour("n1_v4")?.password = Some("correct-horse".into());
    config.neighbour("n1_v4")?.ttl_security = true;
    trial.router(1).stop()?;
    trial.router(1).start(&config)?;
    trial.node(1).objects()?.write("secret-bgp", &secret("bgp", "tor", "correct-horse"))?;
    write_peer(&trial, "  ttlSecurity: 1\n  password:\n    secretKeyRef:\n      name: bgp\n      key: tor\n")?;
    up(&trial)?;
    wait::until(SOON, "the router sees it too", || {
        let established = trial.router(1).established()?;
        ensure!(established.contains(&trial.plan.node_ip(1, Family::V4)), "{established:?}");
        Ok(())
    })
}

#[test]
fn a_password_and_gtsm_are_spoken_with_bird() -> Result<()> {
    passwords_and_gtsm(RouterKind::Bird)
}

#[test]
fn a_password_and_gtsm_are_spoken_with_frr() -> Result<()> {
    passwords_and_gtsm(RouterKind::Frr)
}

#[test]
fn a_wrong_password_is_named_and_the_right_one_heals_it() -> Result<()> {
    let trial = without_pods(RouterKind::Bird)?;
    let mut config = Config::of_tor(&trial.plan, 1);
    config.neighbour("n1_v4")?.password = Some("correct-horse".into());
    trial.router(1).stop()?;
    trial.router(1).start(&config)?;
    trial.node(1).objects()?.write("secret-bgp", &secret("bgp", "tor", "wrong-horse"))?;
    write_peer(&trial, "  password:\n    secretKeyRef:\n      name: bgp\n      key: tor\n")?;
    down_because(&trial, &["password"])?;
    trial.node(1).objects()?.write("secret-bgp", &secret("bgp", "tor", "correct-horse"))?;
    up(&trial)
}

#[test]
fn a_wrong_as_is_named_and_the_right_one_heals_it() -> Result<()> {
    let trial = without_pods(RouterKind::Bird)?;
    let good = trial.node(1).objects()?.read(&format!("peer-{PEER}"))?;
    trial.node(1).objects()?.write(&format!("peer-{PEER}"), &good.replace("64601", "64999"))?;
    down_because(&trial, &["64601", "64999"])?;
    trial.node(1).objects()?.write(&format!("peer-{PEER}"), &good)?;
    up(&trial)
}

#[test]
fn a_router_that_is_not_there_is_named_as_refusing() -> Result<()> {
    let trial = without_pods(RouterKind::Bird)?;
    trial.router(1).stop()?;
    down_because(&trial, &["refused"])?;
    trial.router(1).start_again()?;
    up(&trial)
}

#[test]
fn an_internal_peer_with_our_router_id_is_named() -> Result<()> {
    let trial = without_pods(RouterKind::Bird)?;
    let mut config = Config::of_tor(&trial.plan, 1);
    config.asn = CLUSTER_AS;
    config.id = trial.plan.node_ip(1, Family::V4).to_string();
    for family in FAMILIES {
        config.neighbour(if family == Family::V4 { "n1_v4" } else { "n1_v6" })?.asn = CLUSTER_AS;
    }
    let objects = trial.node(1).objects()?;
    let node = objects.read("node-n1")?;
    objects.write("node-n1", &node.replace("\"65001\"", &format!("\"{CLUSTER_AS}\"")))?;
    let peer = objects.read(&format!("peer-{PEER}"))?;
    objects.write(&format!("peer-{PEER}"), &peer.replace("64601", &CLUSTER_AS.to_string()))?;
    trial.router(1).stop()?;
    trial.router(1).start(&config)?;
    down_because(&trial, &["duplicate router id"])?;
    Ok(())
}

/// Bytes that are no BGP, or too little of it, or too much.
fn garbage() -> Vec<Vec<u8>> {
    let marker = [0xff; 16];
    let message = |length: u16, kind: u8, body: &[u8]| [&marker[..], &length.to_be_bytes(), &[kind], body].concat();
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    let random: Vec<u8> = std::iter::repeat_with(|| {
        noise ^= noise << 13;
        noise ^= noise >> 7;
        noise ^= noise << 17;
        noise.to_le_bytes()[3]
    })
    .take(8192)
    .collect();
    vec![
        Vec::new(),
        vec![0xff; 15],
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        message(19, 4, &[]),
        message(18, 1, &[]),
        message(0, 1, &[]),
        message(65535, 2, &[0; 300]),
        message(29, 1, &[4, 0xfd, 0xe9, 0, 90]),
        message(29, 1, &[3, 0xfd, 0xe9, 0, 90, 10, 255, 0, 1, 0]),
        message(31, 1, &[4, 0xfd, 0xe9, 0, 90, 10, 255, 0, 1, 255, 2, 255]),
        message(23, 2, &[0xff, 0xff, 0xff, 0xff]),
        message(20, 9, &[0]),
        random,
    ]
}

#[test]
fn garbage_on_port_179_disturbs_nobody() -> Result<()> {
    let trial = without_pods(RouterKind::Bird)?;
    let ctl = trial.node(1).ctl();
    let before = ctl.list(&["bgp", "peers"])?;
    let target = SocketAddr::new(trial.plan.node_ip(1, Family::V4), 179);
    // From the address of a peer that already has a session, and from a stranger's.
    for netns in [trial.plan.tor_netns(1), trial.plan.outside_netns()] {
        for bytes in garbage() {
            netns.run(|| {
                let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(5))?;
                stream.set_read_timeout(Some(Duration::from_millis(100)))?;
                stream.write_all(&bytes).ok();
                let _answer = stream.read(&mut [0; 4096]);
                Ok(())
            })?;
        }
    }
    let after = ctl.list(&["bgp", "peers"])?;
    for (before, after) in before.iter().zip(&after) {
        ensure!(after["state"] == "Established" && after["since"] == before["since"], "{before} became {after}");
    }
    ensure!(trial.node(1).agent()?.runs(), "the agent died");
    Ok(())
}

#[test]
fn connections_that_say_nothing_do_not_keep_the_router_out() -> Result<()> {
    let trial = without_pods(RouterKind::Bird)?;
    let target = SocketAddr::new(trial.plan.node_ip(1, Family::V4), 179);
    let silent: Vec<TcpStream> = trial.plan.outside_netns().run(|| {
        Ok((0..300).filter_map(|_| TcpStream::connect_timeout(&target, Duration::from_secs(1)).ok()).collect())
    })?;
    trial.router(1).stop()?;
    trial.router(1).start_again()?;
    trial.node(1).ctl().wait_established(2, SOON)?;
    drop(silent);
    Ok(())
}

#[test]
fn a_peer_that_never_reads_holds_nobody_up() -> Result<()> {
    const ROUTES: u16 = 5000;
    let trial = Trial::planned(Shape::RouteReflector, |plan| {
        plan.nodes = 2;
        plan.pods.clear();
    })?;
    trial.up()?;
    let reflector = trial.node(2);
    // Little room in the kernel for what is not read: the rest has to wait in the agent.
    reflector.netns.sysctl(&[("ipv4/tcp_wmem", "4096 16384 65536")])?;
    let (feeder, sleeper) = (OUTSIDE.0, NOROUTE.0);
    let feeding = Listening::on(&trial.plan.outside_netns(), feeder)?;
    let sleeping = Listening::on(&trial.plan.noroute_netns(), sleeper)?;
    for (name, address) in [("feeder", feeder), ("sleeper", sleeper)] {
        let spec = format!("  node: n2\n  peerIP: {address}\n  asNumber: {CLUSTER_AS}\n");
        reflector.objects()?.write(name, &bgp_peer(name, &spec))?;
    }
    let asn = u16::try_from(CLUSTER_AS)?;
    let sleeper_session = sleeping.establish(asn, sleeper)?;
    let mut feed = feeding.establish(asn, feeder)?;
    let next_hop = trial.plan.uplink(1, 1).router.0;
    for number in 0..ROUTES {
        let [high, low] = number.to_be_bytes();
        feed.announce([20, high, low], next_hop, u32::from(number))?;
    }
    let client = trial.node(1).ctl();
    let through = trial.plan.node_ip(2, Family::V4).to_string();
    wait::until(SOON, "the other client has every route", || {
        let received = client.peer(&through)?["received"].as_u64().unwrap_or(0);
        ensure!(received >= u64::from(ROUTES), "{received} of {ROUTES}");
        Ok(())
    })?;
    for address in [trial.plan.uplink(2, 1).router.0, feeder, sleeper] {
        let row = reflector.ctl().peer(&address.to_string())?;
        ensure!(row["state"] == "Established", "{row}");
    }
    drop(sleeper_session);
    Ok(())
}
