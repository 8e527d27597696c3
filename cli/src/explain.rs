//! `trace` and `policy`: where packets go, what policies say of them, what they dropped.

use model::Protocol;
use model::api::Show;
use model::api::show::{
    Between, Connection, DenialsView, PolicyCounterView, PolicyPodView, PolicyTestView, PolicyVerdict, PolicyView,
    TraceOutcome, TraceView,
};

use crate::args::{PolicyCommand, PolicyTestArguments, TraceArguments};
use crate::client::Client;
use crate::{Verdict, policy, show, view};

/// The way of a packet.
pub fn trace(client: &mut Client, arguments: TraceArguments) -> anyhow::Result<Verdict> {
    let TraceArguments { from, to, port, protocol, output } = arguments;
    let connection = connection(protocol, port);
    let trace: TraceView = client.show(Show::Trace(Between { from, to, connection }))?;
    show(&trace, output.format, |detail| view::trace::trace(&trace, detail))?;
    Ok(if trace.outcome == TraceOutcome::Dropped { Verdict::Problems } else { Verdict::Fine })
}

/// `policy` and what follows it.
pub fn policy(client: &mut Client, command: PolicyCommand) -> anyhow::Result<Verdict> {
    match command {
        PolicyCommand::Matrix(arguments) => policy::matrix(&arguments)?,
        PolicyCommand::Show { pod: None, output } => {
            let pods: Vec<PolicyPodView> = client.show(Show::PolicyPods)?;
            show(&pods, output.format, |detail| view::policy::pods(&pods, detail))?;
        }
        PolicyCommand::Show { pod: Some(endpoint), output } => {
            let policies: PolicyView = client.show(Show::Policy { endpoint })?;
            show(&policies, output.format, |detail| view::policy::show(&policies, detail))?;
        }
        PolicyCommand::Test(PolicyTestArguments { from, to, port, protocol, output }) => {
            let connection = connection(protocol, port);
            let test: PolicyTestView = client.show(Show::PolicyTest(Between { from, to, connection }))?;
            show(&test, output.format, |_| view::policy::test(&test))?;
            return Ok(if test.verdict == PolicyVerdict::Denied { Verdict::Problems } else { Verdict::Fine });
        }
        PolicyCommand::Counters { output } => {
            let counters: Vec<PolicyCounterView> = client.show(Show::PolicyCounters)?;
            show(&counters, output.format, |detail| view::policy::counters(&counters, detail))?;
        }
        PolicyCommand::Log { output } => {
            let log: DenialsView = client.show(Show::PolicyLog)?;
            show(&log, output.format, |detail| view::policy::log(&log, detail))?;
        }
    }
    Ok(Verdict::Fine)
}

/// A protocol without ports has none to name.
fn connection(protocol: Protocol, port: u16) -> Connection {
    let has_ports = [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol(33), Protocol(136)].contains(&protocol);
    Connection { protocol, port: if has_ports { port } else { 0 } }
}
