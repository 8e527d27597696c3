//! The parts of a plan put together for a person: objects, sessions, routes, rules.

use bgp::PeerKey;
use bgp::change::{Change, Class};
use bgp::speaker::{Named, Rehearsal, Rehearsed};
use model::api::show::{
    CutPrefixes, FieldView, LineView, NowThen, ObjectErrorView, PlanView, SessionPlan, SessionStep,
};

use super::bgp::BgpPlan;
use super::forecast::{Forecast, Supposed, differs};

/// All of it. `now` is the speaker's plan in force; without a rehearsal the tables are not known, for the reason given.
pub fn view(
    node: &str,
    now: Option<&BgpPlan>,
    supposed: &Supposed,
    rehearsal: Option<&Rehearsal>,
    forecast: Forecast,
) -> PlanView {
    let then = &supposed.bgp;
    let listen = |plan: &BgpPlan| {
        let addresses: Vec<String> = plan.listen_on.iter().map(ToString::to_string).collect();
        let on = if addresses.is_empty() { "all addresses".to_string() } else { addresses.join(", ") };
        format!("port {} on {on}", plan.listen_port)
    };
    let mut rules: Vec<LineView> = differs("listen".into(), now.map(listen), Some(listen(then))).into_iter().collect();
    rules.extend(forecast.rules);
    let before = now.map(|plan| plan.problems.as_slice()).unwrap_or_default();
    let missing = |all: &[String], from: &[String]| -> Vec<String> {
        all.iter().filter(|problem| !from.contains(problem)).cloned().collect()
    };
    let sessions = rehearsal.map(sessions).unwrap_or_default();
    let settings: Vec<FieldView> = rehearsal.map(|r| r.changes.of_speaker().map(field).collect()).unwrap_or_default();
    let mut view = PlanView {
        node: node.to_string(),
        changes: false,
        objects: supposed.steps.clone(),
        object_errors: supposed.errors().iter().map(error).collect(),
        settings,
        sessions,
        kernel_routes: forecast.routes,
        rules,
        addresses: forecast.addresses,
        new_problems: missing(&then.problems, before),
        solved_problems: missing(before, &then.problems),
        notes: forecast.notes,
    };
    view.changes = !(view.objects.is_empty()
        && view.settings.is_empty()
        && view.sessions.is_empty()
        && view.kernel_routes.count() == 0
        && view.rules.is_empty()
        && view.addresses.is_empty());
    view
}

fn sessions(rehearsal: &Rehearsal) -> Vec<SessionPlan> {
    let changed = |key: PeerKey, peer: &Rehearsed| {
        let fields: Vec<&Change> = rehearsal.changes.of_peer(key).collect();
        let does = match () {
            () if rehearsal.changes.added.contains(&key) => SessionStep::Add,
            () if rehearsal.changes.removed.contains(&key) => SessionStep::Remove,
            () if fields.is_empty() => SessionStep::Keep,
            () => step(fields.iter().map(|change| change.class).collect()),
        };
        let told = [&peer.announced, &peer.withdrawn, &peer.altered].iter().any(|named| named.count > 0);
        let routes = told || peer.accepted.0 != peer.accepted.1;
        (does != SessionStep::Keep || routes).then(|| SessionPlan {
            peer_address: key.address,
            peer_port: key.port,
            name: peer.name.clone(),
            does,
            fields: fields.into_iter().map(field).collect(),
            state: peer.state,
            received: peer.received,
            accepted: NowThen { now: peer.accepted.0, then: peer.accepted.1 },
            advertised: NowThen { now: peer.advertised.0, then: peer.advertised.1 },
            announced: cut(&peer.announced),
            withdrawn: cut(&peer.withdrawn),
            altered: cut(&peer.altered),
        })
    };
    rehearsal.peers.iter().filter_map(|(key, peer)| changed(*key, peer)).collect()
}

fn step(class: Class) -> SessionStep {
    match class {
        Class::Hot => SessionStep::Hot,
        Class::SoftIn => SessionStep::SoftIn,
        Class::SoftOut => SessionStep::SoftOut,
        Class::SoftBoth => SessionStep::SoftBoth,
        Class::Reset => SessionStep::Reset,
    }
}

fn field(change: &Change) -> FieldView {
    FieldView { field: change.field.into(), class: change.class.to_string(), reason: change.reason.into() }
}

fn cut(named: &Named) -> CutPrefixes {
    CutPrefixes { count: named.count, first: named.first.iter().copied().collect() }
}

fn error(error: &model::object::ObjectError) -> ObjectErrorView {
    ObjectErrorView {
        file: error.file.clone(),
        object: error.object.clone(),
        field: error.field.clone(),
        message: error.message.clone(),
    }
}
