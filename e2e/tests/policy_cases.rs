//! Truth tables that others made, held by real packets: nine pods on three nodes, wired by the shim, ruled by the agents.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use e2e::plan::FAMILIES;
use e2e::pods::PodLab;
use e2e::prober::{Expected, Probe};
use model::Protocol;
use serde_json::{Value, json};

fn cases() -> Result<Vec<Value>> {
    let packed: &[u8] = include_bytes!("../../policy/tests/cases/cases.json.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// The cases' pods are spread over 10.244.0.0/24, 10.244.1.0/24 and 10.244.2.0/24; any other address is as good as any.
fn place(pod: &Value) -> (usize, Vec<String>) {
    let mut parts = text(pod, "ip").split('.').filter_map(|part| part.parse::<usize>().ok());
    match [(); 4].map(|()| parts.next()) {
        [Some(10), Some(244), Some(third @ 0..3), Some(last)] => {
            (third + 1, vec![text(pod, "ip").to_owned(), format!("fd00:244:0:{third}::{last:x}")])
        }
        _ => (1, Vec::new()),
    }
}

/// Gives the lab the pods and namespaces of a step.
fn arrange(lab: &mut PodLab, step: &Value) -> Result<()> {
    let name = |pod: &Value| format!("{}/{}", text(pod, "ns"), text(pod, "name"));
    let wanted: BTreeSet<String> = list(step, "pods").iter().map(name).collect();
    let leaving: Vec<String> = lab.pods().map(|(name, _)| name.clone()).filter(|name| !wanted.contains(name)).collect();
    leaving.iter().try_for_each(|name| lab.detach(name))?;
    lab.forget_namespaces();
    for (name, labels) in step["namespaces"].as_object().context("a step without namespaces")? {
        lab.label_namespace(name, labels.clone());
    }
    for pod in list(step, "pods") {
        let name = name(pod);
        if lab.pod(&name).is_err() {
            let (node, addresses) = place(pod);
            lab.attach(node, &name, &addresses)?;
        }
        lab.label(&name, pod["labels"].clone())?;
        let port =
            |port: &Value| json!({"name": port["name"], "containerPort": port["port"], "protocol": port["protocol"]});
        lab.name_ports(&name, list(pod, "ports").iter().map(port).collect())?;
    }
    Ok(())
}

/// A cell of the table for people, and its probe.
type Cell = (String, Probe);

/// What the truth table says, as probes. An `ipBlock` of IPv4 says nothing of IPv6: there the table is that of IPv4 alone.
fn cells(lab: &PodLab, step: &Value) -> Result<Vec<Cell>> {
    let families = if step["policies"].to_string().contains("ipBlock") { &FAMILIES[..1] } else { &FAMILIES[..] };
    let mut cells = Vec::new();
    for expected in list(step, "expect") {
        let (from, to, protocol) = (text(expected, "from"), text(expected, "to"), text(expected, "protocol"));
        if from == to {
            continue; // what a pod sends to itself never leaves it
        }
        let port = u16::try_from(expected["port"].as_u64().context("no port")?)?;
        for family in families {
            let mut probe = lab.probe(from, to, *family, protocol.parse::<Protocol>()?, port)?;
            if text(expected, "combined") == "blocked" {
                probe.expected = Expected::Silence;
            }
            cells.push((format!("{from} → {to} {protocol} {port} {family}"), probe));
        }
    }
    Ok(cells)
}

/// What is wrong in a step: the cells by what was seen.
fn wrong(lab: &mut PodLab, step: &Value) -> Result<Vec<String>> {
    arrange(lab, step)?;
    let policies: Vec<Value> = list(step, "policies")
        .iter()
        .cloned()
        .map(|mut policy| {
            // Some come without the words that say what they are.
            policy["apiVersion"] = json!("networking.k8s.io/v1");
            policy["kind"] = json!("NetworkPolicy");
            policy
        })
        .collect();
    lab.apply(&policies)?;
    let mut cells = cells(lab, step)?;
    for probe in lab.probes_of_hosts()? {
        cells.push((format!("{} → {} {} ", lab.prober.name(probe.from), probe.to, probe.protocol), probe));
    }
    let probes: Vec<Probe> = cells.iter().map(|(_, probe)| *probe).collect();
    let seen = lab.prober.round(&probes)?;
    let mut by_sight: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for ((name, probe), seen) in cells.iter().zip(&seen).filter(|((_, probe), seen)| !probe.expected.is(seen)) {
        by_sight.entry(format!("expected {:?}, {seen}", probe.expected)).or_default().push(name);
    }
    Ok(by_sight.into_iter().map(|(what, cells)| format!("{what}: {}", cells.join(", "))).collect())
}

#[test]
fn every_step_of_every_case_is_as_its_truth_table_has_it() -> Result<()> {
    let mut lab = PodLab::with_pod_cidrs(3, |_, node| {
        (format!("10.244.{}.0/24", node - 1), format!("fd00:244:0:{:x}::/64", node - 1))
    })?;
    let (start, mut steps, mut probes, mut failures) = (Instant::now(), 0, 0, Vec::new());
    for case in cases()? {
        for (number, step) in list(&case, "steps").iter().enumerate() {
            let title = format!("{}, step {}", text(&case, "description"), number + 1);
            let wrongs = wrong(&mut lab, step).with_context(|| title.clone())?;
            failures.extend(wrongs.into_iter().map(|wrong| format!("{title}: {wrong}")));
            steps += 1;
            probes += cells(&lab, step)?.len();
        }
    }
    println!("{steps} steps, {probes} cells, {:.1} s", start.elapsed().as_secs_f64());
    ensure!(steps >= 129 && probes > 50_000, "only {steps} steps with {probes} cells");
    ensure!(failures.is_empty(), "{} tables differ:\n{}", failures.len(), failures.join("\n"));
    Ok(())
}
