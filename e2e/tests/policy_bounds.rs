//! As much as the kernel takes of policies, by real packets: what fits is judged as it says, and beyond it nothing is allowed.

use anyhow::{Context, Result, ensure};
use e2e::plan::FAMILIES;
use e2e::pods::PodLab;
use e2e::prober::{Expected, Probe};
use model::Protocol;
use serde_json::{Value, json};

use Expected::{Answer, Silence};

/// Tiers about one endpoint that are in the table.
const TIERS: usize = 14;
/// Combinations of ranges of ports of one rule that are.
const WAYS: usize = 1_000;

fn lab() -> Result<PodLab> {
    let mut lab = PodLab::new(1)?;
    for name in ["shop/db", "shop/web"] {
        lab.attach(1, name, &[])?;
        lab.label(name, json!({"app": name.split_once('/').map(|(_, app)| app)}))?;
    }
    Ok(lab)
}

/// From `web` to `db` by TCP, in both families: (port, what ought to come of it).
fn hold(lab: &mut PodLab, table: &[(u16, Expected)], what: &str) -> Result<()> {
    let mut probes = Vec::new();
    for (port, expected) in table {
        for family in FAMILIES {
            let probe = lab.probe("shop/web", "shop/db", family, Protocol::TCP, *port)?;
            probes.push(Probe { expected: *expected, ..probe });
        }
    }
    lab.prober.hold(&probes).with_context(|| what.to_owned())
}

/// What `margayctl policy test` says of port 80.
fn told(lab: &PodLab) -> Result<String> {
    let output = lab.trial.node(1).ctl().output(&["policy", "test", "shop/web", "shop/db", "80"])?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

/// Tiers `t00`, `t01` and so on, each with a policy about `db` or about `web` with one rule, the last of which is `last`.
fn tiers(number: usize, direction: &str, last: &Value) -> Vec<Value> {
    let app = if direction == "ingress" { "db" } else { "web" };
    let tier = |place: usize| {
        let name = format!("t{place:02}");
        let rule = if place + 1 == number { last.clone() } else { json!({"action": "Pass"}) };
        let spec = json!({"tier": name, "selector": format!("app == '{app}'"), direction: [rule]});
        [
            object("Tier", &name, json!({"order": place})),
            object("GlobalNetworkPolicy", &format!("{name}.{direction}"), spec),
        ]
    };
    (0..number).flat_map(tier).collect()
}

#[test]
fn the_last_of_fourteen_tiers_decides_and_what_it_passes_to_a_fifteenth_is_denied_and_told() -> Result<()> {
    let mut lab = lab()?;
    let web = json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [80]}});
    for direction in ["ingress", "egress"] {
        lab.apply(&tiers(TIERS, direction, &web))?;
        hold(&mut lab, &[(80, Answer), (81, Silence)], direction)?;
        lab.apply(&tiers(TIERS + 1, direction, &web))?;
        hold(&mut lab, &[(80, Silence), (81, Silence)], direction)?;
        let told = told(&lab)?;
        ensure!(told.contains("denied") && told.contains("tier t14 and all after it are cut"), "{told}");
        let owner = if direction == "ingress" { "shop/db" } else { "shop/web" };
        let shown = lab.trial.node(1).ctl().text(&["policy", "show", owner])?;
        ensure!(shown.contains("Cut short: tier t14") && !shown.contains("t14.ingress"), "{shown}");
    }
    Ok(())
}

fn ports(first: u16, number: u16) -> Vec<u16> {
    (0..number).map(|index| first + 2 * index).collect()
}

#[test]
fn a_rule_with_a_hundred_not_ports_and_one_of_a_thousand_combinations_hold_and_one_of_more_denies() -> Result<()> {
    let mut lab = lab()?;
    let rule = |source: Value, destination: Value| json!({"action": "Allow", "protocol": "TCP", "source": source, "destination": destination});
    let policies = |direction: &str, rule: &Value| {
        let app = if direction == "ingress" { "db" } else { "web" };
        let spec = json!({"selector": format!("app == '{app}'"), direction: [rule]});
        [object("GlobalNetworkPolicy", direction, spec)]
    };
    // 81, and 99 more.
    let not = json!({"notPorts": ports(81, 100)});
    // 39 low ports leave 40 ranges: nobody asks from them.
    let source = json!({"notPorts": ports(1, 39)});
    let fits = [vec![80], ports(201, 24)].concat();
    let more = [vec![80], ports(201, 25)].concat();
    ensure!(40 * fits.len() == WAYS && 40 * more.len() > WAYS, "not at the bound");
    for direction in ["ingress", "egress"] {
        lab.apply(&policies(direction, &rule(json!({}), not.clone())))?;
        hold(&mut lab, &[(80, Answer), (81, Silence)], "100 notPorts")?;
        lab.apply(&policies(direction, &rule(source.clone(), json!({"ports": fits}))))?;
        hold(&mut lab, &[(80, Answer), (81, Silence)], "1,000 combinations")?;
        lab.apply(&policies(direction, &rule(source.clone(), json!({"ports": more}))))?;
        hold(&mut lab, &[(80, Silence), (81, Silence)], "more than 1,000 combinations")?;
        let told = told(&lab)?;
        ensure!(told.contains("denied") && told.contains("denies whatever the ports"), "{told}");
    }
    Ok(())
}
