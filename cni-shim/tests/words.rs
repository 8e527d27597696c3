//! What the shim says to calls that make no sense, and in which words it answers those that do.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use margay_cni::{INPUT_LIMIT, invoke};
use proptest::prelude::*;
use serde_json::{Value, json};

fn ask(variables: &[(&str, &str)], input: &[u8]) -> (bool, Value) {
    let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| value.to_string());
    let outcome = invoke(&variable, Ok(input));
    let value = serde_json::from_str(&outcome.stdout).unwrap_or(Value::String(outcome.stdout));
    (outcome.failed, value)
}

/// The code and message of the error that a call must bring.
#[track_caller]
fn refused(variables: &[(&str, &str)], input: &str) -> (u64, String) {
    let (failed, object) = ask(variables, input.as_bytes());
    assert!(failed, "{object}");
    assert!(object["cniVersion"].is_string(), "{object}");
    (object["code"].as_u64().unwrap(), object["msg"].as_str().unwrap().to_string())
}

const ADD: [(&str, &str); 4] =
    [("CNI_COMMAND", "ADD"), ("CNI_CONTAINERID", "c1"), ("CNI_NETNS", "/no/such/netns"), ("CNI_IFNAME", "eth0")];
const CONFIG: &str = r#"{"cniVersion":"1.0.0","name":"pods","type":"margay-cni","socket":"/no/such/socket"}"#;

fn with<'a>(key: &'a str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    ADD.iter().copied().filter(|(k, _)| *k != key).chain([(key, value)]).collect()
}

#[test]
fn versions_before_0_3_1_and_unknown_ones_are_incompatible() {
    for version in ["0.1.0", "0.2.0", "0.3.0", "1.2.0", "2.0.0", "", "x"] {
        let config = json!({ "cniVersion": version, "name": "pods" }).to_string();
        let (code, message) = refused(&ADD, &config);
        assert_eq!(code, 1, "{version}");
        assert!(message.contains("these are: 0.3.1, 0.4.0, 1.0.0, 1.1.0"), "{message}");
    }
    assert_eq!(refused(&ADD, r#"{"name":"pods"}"#).0, 1);
}

#[test]
fn a_verb_younger_than_the_version_is_incompatible_with_it() {
    for (verb, version, allowed) in [
        ("CHECK", "0.3.1", false),
        ("CHECK", "0.4.0", true),
        ("GC", "0.4.0", false),
        ("GC", "1.0.0", false),
        ("GC", "1.1.0", true),
        ("STATUS", "1.0.0", false),
        ("STATUS", "1.1.0", true),
    ] {
        let config = json!({ "cniVersion": version, "name": "pods", "socket": "/no/such/socket" }).to_string();
        let (code, message) = refused(&with("CNI_COMMAND", verb), &config);
        assert_eq!(code == 1, !allowed, "{verb} {version}: {code} {message}");
    }
}

#[test]
fn version_names_all_versions_and_answers_in_the_callers() {
    for (input, version) in [
        (r#"{"cniVersion":"0.4.0"}"#, "0.4.0"),
        (r#"{"cniVersion":"9.9.9"}"#, "1.1.0"),
        ("", "1.1.0"),
        ("garbage", "1.1.0"),
    ] {
        let (failed, object) = ask(&[("CNI_COMMAND", "VERSION")], input.as_bytes());
        assert!(!failed);
        let expected = json!({ "cniVersion": version, "supportedVersions": ["0.3.1", "0.4.0", "1.0.0", "1.1.0"] });
        assert_eq!(object, expected, "{input:?}");
    }
}

#[test]
fn an_environment_that_makes_no_sense_has_code_4_and_names_the_variable() {
    for (key, value, word) in [
        ("CNI_COMMAND", "", "CNI_COMMAND is missing"),
        ("CNI_COMMAND", "add", "CNI_COMMAND \"add\""),
        ("CNI_CONTAINERID", "", "missing: CNI_CONTAINERID"),
        ("CNI_CONTAINERID", "a/b", "CNI_CONTAINERID \"a/b\""),
        ("CNI_CONTAINERID", "-a", "CNI_CONTAINERID \"-a\""),
        ("CNI_IFNAME", "", "missing: CNI_IFNAME"),
        ("CNI_IFNAME", "..", "CNI_IFNAME \"..\""),
        ("CNI_IFNAME", "a b", "CNI_IFNAME \"a b\""),
        ("CNI_IFNAME", "sixteen-octets-x", "1 to 15 octets"),
        ("CNI_NETNS", "", "missing: CNI_NETNS"),
        ("CNI_NETNS", "/no/such/netns", "/no/such/netns"),
        ("CNI_NETNS", "/proc/thread-self/ns/net", "the node's own namespace"),
        ("CNI_ARGS", "K8S_POD_NAME", "\"K8S_POD_NAME\" is not KEY=VALUE"),
        ("CNI_ARGS", "IP=ten", "IP \"ten\" is not an address"),
    ] {
        let (code, message) = refused(&with(key, value), CONFIG);
        assert_eq!(code, 4, "{key}={value}: {message}");
        assert!(message.contains(word), "{key}={value}: {message}");
    }
    assert_eq!(refused(&[("CNI_COMMAND", "ADD")], CONFIG).1, "missing: CNI_CONTAINERID, CNI_NETNS, CNI_IFNAME");
}

#[test]
fn stdin_that_is_no_object_has_code_6() {
    for input in ["", "{", "[]", "null", "\u{1}", "{\"a\":1}{\"b\":2}"] {
        assert_eq!(refused(&ADD, input).0, 6, "{input:?}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(refused(&ADD, &deep).0, 6);
    let long = format!("{{\"name\":\"{}\"}}", "x".repeat(INPUT_LIMIT));
    assert_eq!(refused(&ADD, &long).0, 6);
}

#[test]
fn a_key_that_makes_no_sense_has_code_7_and_is_named() {
    for (key, value, word) in [
        ("name", json!(""), "name \"\""),
        ("name", json!("a b"), "name \"a b\""),
        ("name", json!(7), "name is not a text"),
        ("cniVersion", json!(1), "cniVersion is not a text"),
        ("socket", json!([]), "socket is not a text"),
        ("mtu", json!("1500"), "mtu is not"),
        ("mtu", json!(67), "mtu is not"),
        ("mtu", json!(-1), "mtu is not"),
        ("mtu", json!(70000), "mtu is not"),
        ("log_level", json!("loud"), "log_level \"loud\""),
        ("prevResult", json!("x"), "prevResult is no object"),
        ("ipam", json!("host-local"), "ipam is no object"),
        ("args", json!({ "cni": { "ips": "10.0.0.1" } }), "ips is no list"),
        ("runtimeConfig", json!({ "ips": ["ten"] }), "ips is no list of addresses"),
        ("runtimeConfig", json!({ "mac": "01:00:00:00:00:00" }), "mac is not"),
        ("cni.dev/valid-attachments", json!([{ "containerID": "a" }]), "no containerID or no ifname"),
    ] {
        let mut config: Value = serde_json::from_str(CONFIG).unwrap();
        config[key] = value.clone();
        let (code, message) = refused(&ADD, &config.to_string());
        assert_eq!(code, 7, "{key} {value}: {message}");
        assert!(message.contains(word), "{key} {value}: {message}");
    }
}

#[test]
fn keys_that_nobody_here_knows_are_tolerated() {
    let config = json!({
        "cniVersion": "1.0.0", "name": "pods", "type": "margay-cni", "socket": "/no/such/socket", "mtu": 0, "x": { "y": [1] },
        "capabilities": { "portMappings": true }, "runtimeConfig": { "portMappings": [] }, "dns": {}, "ipam": {}, "args": null,
    });
    // The namespace is what is wrong, and nothing before it.
    assert!(refused(&ADD, &config.to_string()).1.contains("/no/such/netns"));
}

#[test]
fn gc_without_its_list_releases_nothing() {
    let config = CONFIG.replace("1.0.0", "1.1.0");
    let (code, message) = refused(&[("CNI_COMMAND", "GC")], &config);
    assert_eq!((code, message.as_str()), (7, "cni.dev/valid-attachments is missing"));
}

#[test]
fn del_without_an_agent_and_without_a_namespace_succeeds() {
    for variables in [&ADD[..], &[("CNI_CONTAINERID", "c1"), ("CNI_IFNAME", "eth0")]] {
        let variables: Vec<_> =
            variables.iter().copied().filter(|(k, _)| *k != "CNI_COMMAND").chain([("CNI_COMMAND", "DEL")]).collect();
        assert_eq!(ask(&variables, CONFIG.as_bytes()), (false, Value::String(String::new())));
    }
}

#[test]
fn an_agent_that_is_away_is_50_to_status_and_11_to_gc() {
    let config =
        json!({ "cniVersion": "1.1.0", "name": "pods", "socket": "/no/such/socket", "cni.dev/valid-attachments": [] });
    let (code, message) = refused(&[("CNI_COMMAND", "STATUS")], &config.to_string());
    assert_eq!(code, 50);
    assert!(message.starts_with("the agent does not answer at /no/such/socket"), "{message}");
    assert_eq!(refused(&[("CNI_COMMAND", "GC")], &config.to_string()).0, 11);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn whatever_comes_the_answer_is_an_error_object_and_never_a_panic(
        command in prop::sample::select(vec!["ADD", "DEL", "CHECK", "GC", "STATUS", "VERSION", "", "EVIL"]),
        container in "\\PC{0,20}",
        ifname in "\\PC{0,20}",
        args in "[A-Z0-9_=;. \\PC]{0,60}",
        input in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..200),
            "\\PC{0,200}".prop_map(String::into_bytes),
            ("[a-z]{1,8}", "\\PC{0,20}").prop_map(|(key, value)| {
                let mut object: Value = serde_json::from_str(CONFIG).unwrap();
                object[key] = json!(value);
                object.to_string().into_bytes()
            }),
            prop::sample::select(vec!["mtu", "prevResult", "ipam", "args", "runtimeConfig", "name", "socket", "log_level"])
                .prop_flat_map(|key| (Just(key), prop_oneof![
                    Just(json!(null)), Just(json!(1)), Just(json!([])), Just(json!({})), Just(json!({"cni": {"ips": [null]}})),
                ]))
                .prop_map(|(key, value)| {
                    let mut object: Value = serde_json::from_str(CONFIG).unwrap();
                    object[key] = value;
                    object.to_string().into_bytes()
                }),
        ],
    ) {
        let variables = [
            ("CNI_COMMAND", command), ("CNI_CONTAINERID", container.as_str()), ("CNI_IFNAME", ifname.as_str()),
            ("CNI_ARGS", args.as_str()), ("CNI_NETNS", "/no/such/netns"),
        ];
        let (failed, object) = ask(&variables, &input);
        if failed {
            prop_assert!(object["code"].is_u64() && object["msg"].is_string() && object["cniVersion"].is_string(), "{}", object);
        }
    }
}
