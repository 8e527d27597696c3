//! `policy show`, `policy test`, `policy counters` and `policy log`.

use model::api::show::{
    CounterView, DenialView, DenialsView, JudgedView, PolicyChainView, PolicyCounterView, PolicyPodView,
    PolicyTestView, PolicyTierView, PolicyView,
};

use super::when;
use crate::output::{Detail, column, columns, counted, joined, wide};

/// All endpoints of the node.
pub fn pods(pods: &[PolicyPodView], detail: Detail) -> String {
    if pods.is_empty() {
        return "No pods on this node.\n".to_string();
    }
    let count = |count: &model::api::show::PolicyCount| match (count.policies, count.staged) {
        (0, 0) => "open".to_string(),
        (policies, 0) => policies.to_string(),
        (0, staged) => format!("open, {staged} staged"),
        (policies, staged) => format!("{policies}, {staged} staged"),
    };
    columns(
        pods,
        detail,
        &[
            column("ENDPOINT", |pod: &PolicyPodView| pod.endpoint.clone()),
            column("ADDRESSES", |pod: &PolicyPodView| joined(&pod.addresses)),
            column("INGRESS POLICIES", move |pod: &PolicyPodView| count(&pod.ingress)),
            column("EGRESS POLICIES", move |pod: &PolicyPodView| count(&pod.egress)),
        ],
    )
}

/// The policies of one endpoint, both directions.
pub fn show(view: &PolicyView, detail: Detail) -> String {
    let mut text = match view.addresses.as_slice() {
        [] => format!("{}\n", view.endpoint),
        addresses => format!("{} ({})\n", view.endpoint, joined(addresses)),
    };
    for (title, chain) in [("Ingress", &view.ingress), ("Egress", &view.egress)] {
        text += &direction(title, chain, detail);
    }
    if !view.counters.is_empty() {
        text += &format!("\nNo counters: {}\n", view.counters);
    }
    text
}

/// One line of a direction's table.
struct Line {
    tier: String,
    policy: String,
    rule: String,
    action: String,
    matches: String,
    counter: Option<CounterView>,
}

fn direction(title: &str, chain: &PolicyChainView, detail: Detail) -> String {
    if chain.open {
        return format!("\n{title}: open, no policy is about it\n");
    }
    let name = chain.chain.as_ref().map(|chain| format!(", chain {chain}")).unwrap_or_default();
    let lines: Vec<Line> = chain.tiers.iter().flat_map(tier).collect();
    let table = columns(
        &lines,
        detail,
        &[
            column("TIER", |line: &Line| line.tier.clone()),
            column("POLICY", |line: &Line| line.policy.clone()),
            column("RULE", |line: &Line| line.rule.clone()),
            column("ACTION", |line: &Line| line.action.clone()),
            column("PACKETS", |line: &Line| line.counter.map(|c| c.packets.to_string()).unwrap_or_default()),
            wide("BYTES", |line: &Line| line.counter.map(|c| c.bytes.to_string()).unwrap_or_default()),
            column("WHAT", |line: &Line| line.matches.clone()),
        ],
    );
    let cut_short: String = chain.cut_short.iter().map(|what| format!("Cut short: {what}\n")).collect();
    format!("\n{title}{name}\n{table}{cut_short}")
}

/// The rules of a tier's policies, then its end.
fn tier(tier: &PolicyTierView) -> Vec<Line> {
    let line = |policy: &str, rule: String, action: String, matches: String, counter| Line {
        tier: tier.tier.clone(),
        policy: policy.to_string(),
        rule,
        action,
        matches,
        counter,
    };
    let mut lines = Vec::new();
    for policy in &tier.policies {
        let name = if policy.staged { format!("{} (staged)", policy.object) } else { policy.object.clone() };
        if policy.rules.is_empty() {
            lines.push(line(&name, String::new(), String::new(), "no rules: isolates, allows nothing".into(), None));
        }
        for rule in &policy.rules {
            let matches = if rule.matches.is_empty() { "everything".to_string() } else { rule.matches.join("; or ") };
            lines.push(line(&name, rule.rule.to_string(), rule.action.clone(), matches, rule.counter));
        }
    }
    let rest = "what none of these decided".to_string();
    lines.push(line("", "end".into(), tier.end.clone(), rest, tier.counter));
    lines
}

/// What both sides say.
pub fn test(view: &PolicyTestView) -> String {
    let side =
        |title: &str, judged: &JudgedView| format!("  {title:<9} {}: {}\n", judged.verdict.word(), judged.reason);
    let mut text = format!("{} to {}, {}: {}\n", view.from, view.to, view.connection, view.verdict.word());
    text += &side("egress", &view.egress);
    text += &side("ingress", &view.ingress);
    text + &staged("egress", &view.egress) + &staged("ingress", &view.ingress)
}

/// What staged policies would have done; nothing where there are none.
pub fn staged(side: &str, judged: &JudgedView) -> String {
    let line = |staged: &model::api::show::StagedView| match staged.rule {
        Some(rule) => format!("  {side} by {} rule {rule}: {}\n", staged.object, staged.action),
        None => format!("  {side} by {}: {}\n", staged.object, staged.action),
    };
    if judged.staged.is_empty() {
        return String::new();
    }
    let lines: String = judged.staged.iter().map(line).collect();
    format!("\nStaged policies would have decided\n{lines}")
}

/// What each policy did.
pub fn counters(counters: &[PolicyCounterView], detail: Detail) -> String {
    if counters.is_empty() {
        return "No policy is about a pod of this node.\n".to_string();
    }
    columns(
        counters,
        detail,
        &[
            column("POLICY", |c: &PolicyCounterView| c.object.clone()),
            column(
                "ACTION",
                |c: &PolicyCounterView| {
                    if c.staged { format!("{} (staged)", c.action) } else { c.action.clone() }
                },
            ),
            column("PACKETS", |c: &PolicyCounterView| c.counter.packets.to_string()),
            column("BYTES", |c: &PolicyCounterView| c.counter.bytes.to_string()),
        ],
    )
}

/// What was dropped, the oldest first.
pub fn log(view: &DenialsView, detail: Detail) -> String {
    let mut text = String::new();
    if !view.problem.is_empty() {
        text += &format!("Denials are not logged: {}\n", view.problem);
    }
    if view.denials.is_empty() {
        return text + "No packet was dropped by a policy, as far as is remembered.\n";
    }
    text += &columns(
        &view.denials,
        detail,
        &[
            column("TIME", |d: &DenialView| when(&d.at)),
            column("EVENT", |d: &DenialView| d.event.word().to_string()),
            column("DIRECTION", |d: &DenialView| d.direction.clone()),
            column("FROM", |d: &DenialView| d.from.to_string()),
            column("TO", |d: &DenialView| d.to.to_string()),
            column("CONNECTION", |d: &DenialView| d.connection.to_string()),
            wide(
                "SOURCE-PORT",
                |d: &DenialView| if d.source_port == 0 { String::new() } else { d.source_port.to_string() },
            ),
            column("WHY", |d: &DenialView| d.judged.reason.clone()),
        ],
    );
    if view.forgotten > 0 {
        text += &format!("{} before these are forgotten.\n", counted(view.forgotten as usize, "denial"));
    }
    if view.missed > 0 {
        text += &format!("{} came too fast to be taken in.\n", counted(view.missed as usize, "packet"));
    }
    text
}
