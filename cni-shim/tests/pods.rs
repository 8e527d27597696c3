//! The whole shim, as a runtime runs it: real links in fresh namespaces, an agent on the other end of the socket.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::thread;
use std::time::{Duration, Instant};

use common::{Agent, Pod, begin, call, error, links, on_a_node, raw, run};
use model::api::{RefusalCode, Request};
use serde_json::{Value, json};

const ARGS: &str = "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=nginx;K8S_POD_UID=7";

#[test]
fn an_added_pod_reaches_the_node_and_another_pod_in_both_families() {
    on_a_node(|| {
        let agent = Agent::new();
        let (a, b) = (Pod::new("a"), Pod::new("b"));
        let result = agent.add(&a, ARGS);
        agent.add(&b, "");
        assert_eq!(links().len(), 2);
        assert!(links().contains(&"calic440f455693".to_string()), "named as Calico names it");
        for address in ["192.0.2.1", "2001:db8::1", "10.9.0.2", "fd00:9::2"] {
            assert!(a.ping(address), "{address}");
        }
        let pod_mac = result["interfaces"][1]["mac"].as_str().unwrap().to_string();
        let shown = a.netns.run(|| run("ip", &["-o", "link", "show", "eth0"])).unwrap();
        assert!(shown.contains(&pod_mac) && shown.contains("mtu 1450"), "{shown}");
        let expected = json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                { "name": "calic440f455693", "mac": "ee:ee:ee:ee:ee:ee", "mtu": 1450 },
                { "name": "eth0", "mac": pod_mac, "mtu": 1450, "sandbox": a.path() },
            ],
            "ips": [{ "address": "10.9.0.1/32", "interface": 1 }, { "address": "fd00:9::1/128", "interface": 1 }],
            "routes": [
                { "dst": "0.0.0.0/0", "gw": "169.254.1.1" },
                { "dst": "::/0", "gw": "fe80::ecee:eeff:feee:eeee" },
            ],
            "dns": {},
        });
        assert_eq!(result, expected);
    });
}

#[test]
fn the_result_has_the_shape_of_the_callers_version() {
    on_a_node(|| {
        let agent = Agent::new();
        for (n, version) in ["0.3.1", "0.4.0", "1.0.0", "1.1.0"].into_iter().enumerate() {
            let pod = Pod::new(&format!("c{n}"));
            let output = call("ADD", &pod, "", &agent.config(version));
            let result: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(result["cniVersion"], version);
            let before_1_0 = version < "1.0.0";
            assert_eq!(result["ips"][0]["version"], if before_1_0 { json!("4") } else { Value::Null }, "{version}");
            assert_eq!(result["ips"][1]["version"], if before_1_0 { json!("6") } else { Value::Null }, "{version}");
            let mtu = if version == "1.1.0" { json!(1450) } else { Value::Null };
            assert_eq!(result["interfaces"][1]["mtu"], mtu, "{version}");
        }
    });
}

#[test]
fn a_repeated_add_gives_the_same_result_and_one_link() {
    on_a_node(|| {
        let agent = Agent::new();
        let pod = Pod::new("a");
        let first = agent.add(&pod, ARGS);
        assert_eq!(agent.add(&pod, ARGS), first);
        assert_eq!(links().len(), 1);
        assert!(pod.ping("192.0.2.1"));
    });
}

#[test]
fn a_shim_killed_at_any_moment_and_run_again_leaves_one_address_and_one_link() {
    on_a_node(|| {
        let agent = Agent::new();
        let mut pods = Vec::new();
        // A whole call takes about 2 ms: kills spread over it, some before it begins and some after it ends.
        for step in 0..24u64 {
            let pod = Pod::new(&format!("c{step}"));
            let mut child = begin("ADD", &pod, "", &agent.config("1.0.0"));
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_micros(step * 150) {
                std::hint::spin_loop();
            }
            child.kill().unwrap();
            child.wait().unwrap();
            let result = agent.add(&pod, "");
            let known = agent.known.lock().unwrap();
            assert_eq!(known.plans.len() as u64, step + 1, "one lease per pod");
            assert_eq!(links().len() as u64, step + 1, "one link per pod");
            let address = result["ips"][0]["address"].as_str().unwrap();
            let shown = pod.netns.run(|| run("ip", &["-4", "-o", "addr", "show", "eth0"])).unwrap();
            assert!(shown.contains(address) && shown.lines().count() == 1, "{shown}");
            drop(known);
            assert!(pod.ping("192.0.2.1"), "killed after {} µs", step * 150);
            pods.push(pod);
        }
    });
}

#[test]
fn fifty_adds_at_once_all_succeed() {
    on_a_node(|| {
        let agent = Agent::new();
        let pods: Vec<Pod> = (0..50).map(|n| Pod::new(&format!("c{n}"))).collect();
        let children: Vec<_> = pods.iter().map(|pod| begin("ADD", pod, "", &agent.config("1.1.0"))).collect();
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        assert_eq!(links().len(), 50);
        for pod in pods.iter().step_by(7) {
            assert!(pod.ping("192.0.2.1"));
        }
    });
}

#[test]
fn an_add_waits_for_an_agent_that_comes_back() {
    on_a_node(|| {
        let agent = Agent::away();
        let pod = Pod::new("a");
        let child = begin("ADD", &pod, "", &agent.config("1.0.0"));
        // Not to make it pass, but to let the shim find nobody first; it passes without, too.
        thread::sleep(Duration::from_millis(300));
        agent.come();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    });
}

#[test]
fn an_add_waits_for_an_agent_that_is_still_reading_and_status_does_not() {
    on_a_node(|| {
        let agent = Agent::new();
        let pod = Pod::new("a");
        agent.refuse(RefusalCode::NotReady, "still reading the kernel");
        assert_eq!(error(&call("STATUS", &pod, "", &agent.config("1.1.0"))), (50, "still reading the kernel".into()));
        let child = begin("ADD", &pod, "", &agent.config("1.0.0"));
        while agent.requests().len() < 4 {
            thread::yield_now();
        }
        agent.known.lock().unwrap().refuse = None;
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    });
}

#[test]
fn an_add_gives_up_on_an_agent_that_stays_away_with_try_again_later() {
    on_a_node(|| {
        let agent = Agent::away();
        let begun = Instant::now();
        let (code, message) = error(&call("ADD", &Pod::new("a"), "", &agent.config("1.0.0")));
        assert_eq!(code, 11, "{message}");
        assert!((9..15).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    });
}

#[test]
fn a_refusal_has_the_code_that_the_runtime_acts_on() {
    on_a_node(|| {
        let agent = Agent::new();
        for (code, expected) in [
            (RefusalCode::Invalid, 7),
            (RefusalCode::TryAgain, 11),
            (RefusalCode::Unknown, 3),
            (RefusalCode::Internal, 999),
        ] {
            agent.refuse(code, "no address is free");
            assert_eq!(
                error(&call("ADD", &Pod::new("a"), "", &agent.config("1.0.0"))),
                (expected, "no address is free".into())
            );
        }
        assert_eq!(error(&call("STATUS", &Pod::new("a"), "", &agent.config("1.1.0"))).0, 50);
    });
}

#[test]
fn a_deleted_pod_is_told_to_the_agent_which_removes_the_link() {
    on_a_node(|| {
        let agent = Agent::new();
        let pod = Pod::new("a");
        agent.add(&pod, ARGS);
        for _ in 0..2 {
            let output = call("DEL", &pod, ARGS, &agent.config("1.0.0"));
            assert!(output.status.success() && output.stdout.is_empty());
        }
        let told = agent
            .requests()
            .into_iter()
            .filter(|r| matches!(r, Request::Detach(d) if d.attachment.container_id == "a"));
        assert_eq!(told.count(), 2);
    });
}

#[test]
fn a_pod_deleted_while_the_agent_is_away_loses_its_link_at_once() {
    on_a_node(|| {
        let agent = Agent::new();
        let (a, b) = (Pod::new("a"), Pod::new("b"));
        agent.add(&a, ARGS);
        agent.add(&b, "");
        agent.go();
        assert!(call("DEL", &a, ARGS, &agent.config("1.0.0")).status.success());
        assert_eq!(links().len(), 1, "the other pod's link stays");
        assert!(b.ping("192.0.2.1"));
    });
}

#[test]
fn a_late_del_of_an_old_sandbox_leaves_the_new_ones_link_alone() {
    on_a_node(|| {
        let agent = Agent::new();
        let (old, new) = (Pod::new("old"), Pod::new("new"));
        agent.add(&old, ARGS);
        agent.add(&new, ARGS);
        agent.go();
        assert!(call("DEL", &old, ARGS, &agent.config("1.0.0")).status.success());
        assert_eq!(links(), ["calic440f455693"]);
        assert!(new.ping("192.0.2.1"));
    });
}

#[test]
fn check_is_content_with_what_add_left_and_names_what_changed() {
    on_a_node(|| {
        let agent = Agent::new();
        let pod = Pod::new("a");
        let mut config = agent.config("1.0.0");
        let previous: Value = serde_json::from_slice(&call("ADD", &pod, ARGS, &config).stdout).unwrap();
        assert_eq!(error(&call("CHECK", &pod, ARGS, &config)).0, 7, "prevResult is missing");
        config["prevResult"] = previous.clone();
        let output = call("CHECK", &pod, ARGS, &config);
        assert!(output.status.success() && output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));

        let mut other = config.clone();
        other["prevResult"]["ips"][0]["address"] = json!("10.9.0.77/32");
        assert_eq!(
            error(&call("CHECK", &pod, ARGS, &other)),
            (102, "prevResult does not have the address 10.9.0.1/32".into())
        );
        let mut other = config.clone();
        other["prevResult"]["interfaces"][1]["mac"] = json!("02:00:00:00:00:01");
        assert!(error(&call("CHECK", &pod, ARGS, &other)).1.contains("prevResult told 02:00:00:00:00:01"));

        pod.netns.run(|| run("ip", &["route", "del", "default"])).unwrap();
        let (code, message) = error(&call("CHECK", &pod, ARGS, &config));
        assert_eq!((code, message.as_str()), (102, "the pod has no route to 0.0.0.0/0 by 169.254.1.1"));
        assert_eq!(error(&call("CHECK", &Pod::new("stranger"), "", &config)).0, 3);
    });
}

#[test]
fn gc_passes_on_what_is_valid_and_status_says_when_all_is_well() {
    on_a_node(|| {
        let agent = Agent::new();
        let mut config = agent.config("1.1.0");
        assert!(raw(&[("CNI_COMMAND", "STATUS".into())], config.to_string().as_bytes()).status.success());
        config["cni.dev/valid-attachments"] = json!([{ "containerID": "a", "ifname": "eth0" }]);
        assert!(raw(&[("CNI_COMMAND", "GC".into())], config.to_string().as_bytes()).status.success());
        let Some(Request::Gc(gc)) = agent.requests().pop() else { panic!("no GC") };
        assert_eq!((gc.network.as_str(), gc.valid.len()), ("pods", 1));
    });
}

#[test]
fn the_runtimes_wishes_reach_the_agent() {
    on_a_node(|| {
        let agent = Agent::new();
        let pod = Pod::new("a");
        let mut config = agent.config("1.0.0");
        config["mtu"] = json!(1300);
        config["runtimeConfig"] = json!({ "ips": ["10.9.0.9/24"], "mac": "0a:00:00:00:00:09" });
        let result: Value = serde_json::from_slice(&call("ADD", &pod, ARGS, &config).stdout).unwrap();
        assert_eq!(result["interfaces"][1]["mac"], "0a:00:00:00:00:09");
        let Some(Request::Attach(attach)) = agent.requests().into_iter().next() else { panic!("no attach") };
        assert_eq!(attach.pod.unwrap().to_string(), "default/nginx");
        assert_eq!((attach.mtu, attach.uid.as_deref(), attach.network.as_str()), (Some(1300), Some("7"), "pods"));
        assert_eq!(attach.addresses, ["10.9.0.9".parse::<std::net::IpAddr>().unwrap()]);
    });
}
