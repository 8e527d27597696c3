//! `plan`, as `terraform plan` and `diff` print: what comes (+), goes (-), is other (~), and why.

use std::fmt::Write;

use model::api::show::{CutPrefixes, FieldView, LineView, PlanView, SessionPlan, SessionState, SessionStep, Step};

use crate::check::line as error_line;
use crate::output::counted;

/// The most prefixes of one kind that are printed; `-o json` has more.
const SHOWN: usize = 20;

/// All of it, and one line that sums it up.
pub fn text(plan: &PlanView) -> String {
    let mut text = String::new();
    section(&mut text, "Objects", plan.objects.iter().map(one_line));
    section(&mut text, "Errors in the objects", plan.object_errors.iter().map(|e| format!("! {}", error_line("", e))));
    section(&mut text, "Settings", plan.settings.iter().map(|field| format!("~ {}", setting(field))));
    section(&mut text, "Sessions", plan.sessions.iter().map(session));
    let routes = plan.kernel_routes.first.iter().map(|line| route(line) + "\n");
    let more = plan.kernel_routes.count() - plan.kernel_routes.first.len() as u64;
    section(&mut text, "Kernel routes", routes.chain((more > 0).then(|| format!("  and {more} more\n"))));
    section(&mut text, "Packets", plan.rules.iter().map(one_line));
    section(&mut text, "Addresses", plan.addresses.iter().map(one_line));
    let solved = plan.solved_problems.iter().map(|problem| format!("- {problem}\n"));
    section(&mut text, "Problems", plan.new_problems.iter().map(|problem| format!("+ {problem}\n")).chain(solved));
    section(&mut text, "Not known", plan.notes.iter().map(|note| format!("{note}\n")));
    text + &summary(plan)
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        let _ = writeln!(text, "{title}:");
        lines.for_each(|line| text.extend(line.lines().map(|line| format!("  {line}\n"))));
        text.push('\n');
    }
}

fn one_line(line: &LineView) -> String {
    let values = match (line.now.as_str(), line.then.as_str()) {
        ("", "") => String::new(),
        ("", value) | (value, "") => format!(": {value}"),
        (now, then) => format!(": {now} -> {then}"),
    };
    format!("{} {}{values}\n", line.step.sign(), line.what)
}

/// As `ip route` prints it; its prefix is in the text.
fn route(line: &LineView) -> String {
    match line.step {
        Step::Add => format!("+ {}", line.then),
        Step::Remove => format!("- {}", line.now),
        Step::Change => format!("~ {} -> {}", line.now, line.then),
    }
}

fn setting(field: &FieldView) -> String {
    format!("{} ({})\n", field.reason, field.class)
}

fn session(session: &SessionPlan) -> String {
    let (sign, effect) = match session.does {
        SessionStep::Add => ("+", "new"),
        SessionStep::Remove => ("-", "ends"),
        SessionStep::Reset => ("-/+", "is reset"),
        SessionStep::Hot => ("~", "stays up, no route is looked at again"),
        SessionStep::SoftIn => ("~", "stays up, what it said is judged anew"),
        SessionStep::SoftOut => ("~", "stays up, what it is told is judged anew"),
        SessionStep::SoftBoth => ("~", "stays up, what it said and is told is judged anew"),
        SessionStep::Keep => ("~", "stays up"),
    };
    let down = session.state.is_some_and(|state| state != SessionState::Established);
    let effect = match session.does {
        SessionStep::Add | SessionStep::Remove => effect,
        _ if down => "is not up",
        _ => effect,
    };
    let port = if session.peer_port == 179 { String::new() } else { format!(" port {}", session.peer_port) };
    let mut text = format!("{sign} {}{port} {}: {effect}\n", session.peer_address, session.name);
    for field in &session.fields {
        let _ = write!(text, "      {}", setting(field));
    }
    if matches!(session.does, SessionStep::Reset | SessionStep::Remove) && !down {
        let until = if session.does == SessionStep::Reset { ", until it is back" } else { "" };
        let _ = writeln!(
            text,
            "      without it: {} it has said, {} it is told{until}",
            counted(session.received as usize, "route"),
            session.advertised.now
        );
    }
    if session.accepted.now != session.accepted.then && session.does != SessionStep::Remove {
        let _ = writeln!(text, "      accepted: {} -> {}", session.accepted.now, session.accepted.then);
    }
    let told = session.advertised;
    if told.now != told.then && session.does != SessionStep::Remove {
        let _ = writeln!(text, "      told: {} -> {}", told.now, told.then);
    }
    if session.does != SessionStep::Remove {
        prefixes(&mut text, "+", "announced", &session.announced);
        prefixes(&mut text, "~", "announced with other attributes", &session.altered);
        prefixes(&mut text, "-", "withdrawn", &session.withdrawn);
    }
    text
}

fn prefixes(text: &mut String, sign: &str, words: &str, prefixes: &CutPrefixes) {
    for prefix in prefixes.first.iter().take(SHOWN) {
        let _ = writeln!(text, "      {sign} {prefix} {words}");
    }
    let more = prefixes.count - prefixes.first.len().min(SHOWN) as u64;
    if more > 0 {
        let _ = writeln!(text, "        and {more} more {words}");
    }
}

fn summary(plan: &PlanView) -> String {
    if !plan.changes {
        return format!("No changes on node {}.\n", plan.node);
    }
    let count = |does: &[SessionStep]| plan.sessions.iter().filter(|session| does.contains(&session.does)).count();
    let soft = [SessionStep::SoftIn, SessionStep::SoftOut, SessionStep::SoftBoth];
    let (sum, lines) = (|f: fn(&SessionPlan) -> u64| plan.sessions.iter().map(f).sum::<u64>(), &plan.kernel_routes);
    format!(
        "Plan for node {}: sessions: {} new, {} ended, {} reset, {} judged anew; announcements: {} new, {} other, {} \
         withdrawn; kernel routes: {} new, {} other, {} gone. Nothing was changed.\n",
        plan.node,
        count(&[SessionStep::Add]),
        count(&[SessionStep::Remove]),
        count(&[SessionStep::Reset]),
        count(&soft),
        sum(|s| s.announced.count),
        sum(|s| s.altered.count),
        sum(|s| s.withdrawn.count),
        lines.added,
        lines.changed,
        lines.removed
    )
}

#[cfg(test)]
mod tests {
    use model::api::show::{CutLines, NowThen};

    use super::*;

    fn nothing() -> PlanView {
        PlanView {
            node: "n1".into(),
            changes: false,
            objects: vec![],
            object_errors: vec![],
            settings: vec![],
            sessions: vec![],
            kernel_routes: CutLines::default(),
            rules: vec![],
            addresses: vec![],
            new_problems: vec![],
            solved_problems: vec![],
            notes: vec![],
        }
    }

    #[test]
    fn a_plan_of_nothing_is_one_line() {
        assert_eq!(text(&nothing()), "No changes on node n1.\n");
    }

    #[test]
    fn a_reset_says_why_and_what_is_away_meanwhile() {
        let mut plan = nothing();
        let field = |field: &str, class: &str, reason: &str| FieldView {
            field: field.into(),
            class: class.into(),
            reason: reason.into(),
        };
        let first: Vec<_> = (0..25).filter_map(|n| format!("10.{n}.0.0/16").parse().ok()).collect();
        plan.changes = true;
        plan.sessions.push(SessionPlan {
            peer_address: "192.0.2.1".parse().expect("an address"),
            peer_port: 179,
            name: "tor".into(),
            does: SessionStep::Reset,
            fields: vec![field("password", "reset", "the password"), field("export", "soft-out", "the export policy")],
            state: Some(SessionState::Established),
            received: 3,
            accepted: NowThen { now: 3, then: 2 },
            advertised: NowThen { now: 1, then: 31 },
            announced: CutPrefixes { count: 30, first },
            withdrawn: CutPrefixes::default(),
            altered: CutPrefixes::default(),
        });
        let text = text(&plan);
        let expected = "Sessions:\n  -/+ 192.0.2.1 tor: is reset\n        the password (reset)\n        the export policy \
                        (soft-out)\n        without it: 3 routes it has said, 1 it is told, until it is back\n        \
                        accepted: 3 -> 2\n        told: 1 -> 31\n        + 10.0.0.0/16 announced\n";
        assert!(text.starts_with(expected), "{text}");
        assert!(text.contains("          and 10 more announced\n"), "{text}");
        assert!(text.ends_with("kernel routes: 0 new, 0 other, 0 gone. Nothing was changed.\n"), "{text}");
    }
}
