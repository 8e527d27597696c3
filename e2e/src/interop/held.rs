//! The paths that a daemon holds for a prefix, in the words of `margayctl bgp routes -o json`, whatever the daemon's own.

use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::router::{Daemon, Router};

/// Every path of exactly this prefix.
pub fn paths(router: &Router, prefix: &str) -> Result<Vec<Value>> {
    let family = if prefix.contains(':') { "ipv6" } else { "ipv4" };
    let mut paths = match router.daemon() {
        Daemon::Bird => match router.ask(&format!("show route {prefix} all")) {
            // Its client fails when there is nothing.
            Err(nothing) if nothing.to_string().contains("Network not") => Vec::new(),
            answer => bird(&answer?),
        },
        Daemon::Frr => frr(&router.ask(&format!("show bgp {family} unicast {prefix} json"))?)?,
        Daemon::Gobgp => gobgp(&router.ask(&format!("-j global rib -a {family}"))?, prefix)?,
        Daemon::Openbgpd => openbgpd(&router.ask("-j show rib detail")?, prefix)?,
    };
    for path in &mut paths {
        let communities = list(&path["communities"]);
        path["communities"] = communities.iter().filter_map(|one| one.as_str().map(named)).collect();
    }
    Ok(paths)
}

/// A community by its name, if it has one (the registry of RFC 1997), as `margayctl` prints it.
fn named(community: &str) -> Value {
    // `GRACEFUL_SHUTDOWN`, `gracefulShutdown`, `graceful-shutdown`.
    let word = community.to_lowercase().replace(['_', '-'], "");
    let known = ["graceful-shutdown", "llgr-stale", "no-llgr", "no-export", "no-advertise"];
    let values = ["65535:0", "65535:6", "65535:7", "65535:65281", "65535:65282"];
    let found = known.iter().zip(values).find(|(name, value)| word == *value || word == name.replace('-', ""));
    found.map_or(community, |(name, _)| name).into()
}

fn parsed(text: &str) -> Result<Value> {
    serde_json::from_str(if text.trim().is_empty() { "{}" } else { text }).with_context(|| format!("no JSON: {text}"))
}

/// A list of a JSON value; nothing is an empty one.
fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// `64512 64513` as numbers.
fn numbers(text: &str) -> Value {
    text.split_whitespace().filter_map(|word| word.parse::<u32>().ok()).collect::<Vec<u32>>().into()
}

/// Paragraphs: a line of the prefix and the protocol for each path, then its attributes, indented.
fn bird(text: &str) -> Vec<Value> {
    let mut found: Vec<Map<String, Value>> = Vec::new();
    for line in text.lines() {
        if let Some((_, rest)) = line.split_once(" [").filter(|_| !line.starts_with(['\t', '(', 'B'])) {
            let mut path = Map::new();
            path.insert("best".into(), rest.contains("] *").into());
            path.insert("from".into(), rest.split_whitespace().next().unwrap_or_default().into());
            found.push(path);
        } else if let Some(path) = found.last_mut()
            && let Some((name, value)) = line.trim().split_once(':')
        {
            attribute_of_bird(path, name, value.trim());
        }
    }
    found.into_iter().map(Value::Object).collect()
}

fn attribute_of_bird(path: &mut Map<String, Value>, name: &str, value: &str) {
    // `(64512,100) (64512, 1, 2)` and `(rt, 64512, 7)`.
    let tuples = || -> Value {
        let inside = value.split('(').skip(1).filter_map(|rest| rest.split(')').next());
        inside.map(|tuple| tuple.replace(", ", ":").replace(',', ":")).collect::<Vec<String>>().into()
    };
    let (key, value) = match name {
        "BGP.origin" => ("origin", value.to_lowercase().into()),
        "BGP.as_path" => ("asPath", numbers(value)),
        "BGP.next_hop" => ("nextHop", value.split(' ').next().unwrap_or_default().into()),
        "BGP.local_pref" => ("localPref", value.parse::<u32>().ok().into()),
        "BGP.med" => ("med", value.parse::<u32>().ok().into()),
        "BGP.community" => ("communities", tuples()),
        "BGP.large_community" => ("largeCommunities", tuples()),
        "BGP.ext_community" => ("extendedCommunities", tuples()),
        "BGP.originator_id" => ("originatorId", value.into()),
        "BGP.cluster_list" => ("clusterList", value.split_whitespace().collect::<Vec<_>>().into()),
        "BGP.otc" => ("otc", value.parse::<u32>().ok().into()),
        _ => return,
    };
    path.insert(key.into(), value);
}

/// `show bgp … PREFIX json`: `paths`.
fn frr(text: &str) -> Result<Vec<Value>> {
    let answer = parsed(text)?;
    let one = |path: &Value| {
        let extended = path["extendedCommunity"]["string"].as_str().unwrap_or_default();
        let extended: Vec<String> = extended.split_whitespace().map(str::to_lowercase).collect();
        let next_hop = list(&path["nexthops"]).first().map(|hop| hop["ip"].clone()).unwrap_or_default();
        json!({
            "best": path["bestpath"]["overall"] == true,
            "from": path["peer"]["peerId"],
            "origin": path["origin"].as_str().unwrap_or_default().to_lowercase(),
            "asPath": numbers(path["aspath"]["string"].as_str().unwrap_or_default()),
            "nextHop": next_hop,
            "localPref": path["locPrf"],
            "med": path["metric"],
            "communities": path["community"]["list"],
            "largeCommunities": path["largeCommunity"]["list"],
            "extendedCommunities": extended,
            "originatorId": path["originatorId"],
            "clusterList": list(&path["clusterList"]["list"]),
            "stale": path["stale"] == true,
            "otc": path["otc"],
        })
    };
    Ok(list(&answer["paths"]).iter().map(one).collect())
}

/// `-j global rib`: paths by prefix, attributes by their type's number.
fn gobgp(text: &str, prefix: &str) -> Result<Vec<Value>> {
    let answer = parsed(text)?;
    let one = |path: &Value| {
        let attributes = list(&path["attrs"]);
        let of_type = |number: u32| attributes.iter().find(|one| one["type"] == number).cloned().unwrap_or_default();
        let standard = |one: &Value| one.as_u64().map(|value| format!("{}:{}", value >> 16, value & 0xffff));
        let large = |one: &Value| format!("{}:{}:{}", one["ASN"], one["LocalData1"], one["LocalData2"]);
        // Only two-octet route targets are spelled out; the rest is as it comes.
        let extended = |one: &Value| match (&one["subtype"], one["value"].as_str()) {
            (subtype, Some(value)) if *subtype == 2 => format!("rt:{value}"),
            _ => one.to_string(),
        };
        let segments = list(&of_type(2)["as_paths"]);
        let origin = of_type(1)["value"].as_u64().and_then(|value| usize::try_from(value).ok());
        let hops = [of_type(3)["nexthop"].clone(), of_type(14)["nexthop"].clone()];
        json!({
            "best": path["best"] == true,
            "from": path["neighbor-ip"],
            "origin": origin.and_then(|value| ["igp", "egp", "incomplete"].get(value).copied()),
            "asPath": segments.iter().flat_map(|segment| list(&segment["asns"])).collect::<Vec<Value>>(),
            "nextHop": hops.iter().find(|hop| !hop.is_null()),
            "localPref": of_type(5)["value"],
            "med": of_type(4)["metric"],
            "communities": list(&of_type(8)["communities"]).iter().filter_map(standard).collect::<Vec<String>>(),
            "largeCommunities": list(&of_type(32)["value"]).iter().map(large).collect::<Vec<String>>(),
            "extendedCommunities": list(&of_type(16)["value"]).iter().map(extended).collect::<Vec<String>>(),
            "originatorId": of_type(9)["value"],
            "clusterList": list(&of_type(10)["value"]),
            "stale": path["stale"] == true,
            "unknown": of_type(35),
        })
    };
    Ok(list(&answer[prefix]).iter().map(one).collect())
}

/// `-j show rib detail`: `rib`.
fn openbgpd(text: &str, prefix: &str) -> Result<Vec<Value>> {
    let answer = parsed(text)?;
    let one = |path: &Value| {
        let attributes = list(&path["attributes"]);
        let named = |key: &str| attributes.iter().map(|one| one[key].clone()).find(|value| !value.is_null());
        let words =
            |key: &str| list(&path[key]).iter().filter_map(|one| Some(one.as_str()?.replace(' ', ":"))).collect();
        let (communities, large, extended): (Vec<String>, Vec<String>, Vec<String>) =
            (words("communities"), words("large_communities"), words("extended_communities"));
        json!({
            "best": path["best"] == true,
            "from": path["neighbor"]["remote_addr"].as_str().and_then(|text| text.parse::<IpAddr>().ok()),
            "origin": path["origin"].as_str().unwrap_or_default().to_lowercase(),
            "asPath": numbers(path["aspath"].as_str().unwrap_or_default()),
            "nextHop": path["exit_nexthop"],
            "localPref": path["localpref"],
            "med": path["metric"],
            "communities": communities,
            "largeCommunities": large,
            "extendedCommunities": extended,
            "originatorId": named("originator"),
            "clusterList": named("cluster_list").unwrap_or(json!([])),
            "stale": path["stale"] == true,
            "attributes": attributes,
        })
    };
    let all = list(&answer["rib"]);
    Ok(all.iter().filter(|path| path["prefix"] == prefix).map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bird_prints_a_paragraph_for_each_path() {
        let text = "BIRD 2.0.12 ready.\nTable master4:\n10.244.1.0/24        unicast [n1_v4 06:05:07.147] * (100) [AS64512i]\n\
            \tvia 10.10.0.11 on rack\n\tType: BGP univ\n\tBGP.as_path: 64512 64513\n\tBGP.next_hop: fd00::1 fe80::1\n\
            \tBGP.community: (64512,100) (1,2)\n\tBGP.large_community: (64512, 1, 2)\n\tBGP.ext_community: (rt, 1, 2)\n\
            \x20                    unicast [n1_v6 06:05:07.147] (100) [AS64512i]\n\tvia fe80::1 on rack\n";
        let found = bird(text);
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[0],
            json!({"best": true, "from": "n1_v4", "asPath": [64512, 64513], "nextHop": "fd00::1", "communities": ["64512:100", "1:2"],
                   "largeCommunities": ["64512:1:2"], "extendedCommunities": ["rt:1:2"]})
        );
        assert_eq!(found[1]["best"], false);
    }

    #[test]
    fn gobgp_numbers_its_attributes() {
        let text = r#"{"10.244.1.0/24":[{"best":true,"attrs":[{"type":1,"value":0},{"type":2,"as_paths":[{"segment_type":2,"num":1,"asns":[64512]}]},
            {"type":3,"nexthop":"10.10.0.11"},{"type":8,"communities":[4227858532]},
            {"type":32,"value":[{"ASN":64512,"LocalData1":1,"LocalData2":2}]}],"stale":false,"neighbor-ip":"10.10.0.11"}]}"#;
        let found = gobgp(text, "10.244.1.0/24").unwrap();
        assert_eq!(found[0]["communities"], json!(["64512:100"]));
        assert_eq!(found[0]["largeCommunities"], json!(["64512:1:2"]));
        assert_eq!((&found[0]["asPath"], &found[0]["origin"]), (&json!([64512]), &json!("igp")));
        assert!(gobgp("{}", "10.244.1.0/24").unwrap().is_empty());
    }

    #[test]
    fn openbgpd_lists_all_of_its_table() {
        let text = r#"{"rib":[{"prefix":"10.244.1.0/24","aspath":"64512","exit_nexthop":"10.10.0.11","origin":"IGP","best":true,
            "extended_communities":["rt 64601:7"]},{"prefix":"10.0.0.0/8"}]}"#;
        let found = openbgpd(text, "10.244.1.0/24").unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["extendedCommunities"], json!(["rt:64601:7"]));
    }
}
