//! Who answers what: the reconcile loop, the speaker, or both together.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bgp::speaker::Why;
use model::api::show::{
    BgpRoutes, BgpTable, DrainState, DumpCursor, DumpPage, InstalledPage, NodeStatusView, PeerView, Proposal,
    ReportView, RouteWhyView, Show, mesh_advice,
};
use model::api::{Answer, BgpReset, Refusal, RefusalCode, Reply, Request};
use model::{Prefix, base64};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;

use super::metrics::Metrics;
use crate::apply::cluster::{self, Witness};
use crate::plan::policies::counted::Totals;
use crate::plan::report::{Reports, Survey};
use crate::reconcile::{Status, proposed};
use crate::run;
use crate::speaker;
use crate::watch::denials::Denials;

/// Both loops as one.
#[derive(Debug, Clone)]
pub struct Front {
    pub(super) reconciler: run::Handle,
    speaker: speaker::Handle,
    /// How what the API should say stands.
    reports: Arc<Mutex<Vec<ReportView>>>,
    pub(super) metrics: Metrics,
    /// What policies dropped.
    denials: Denials,
    /// What policies did, for metrics.
    pub(super) totals: Arc<Mutex<Totals>>,
    /// Who may have a plan made just now.
    plans: Arc<Semaphore>,
}

/// A question went unanswered: its loop has ended, or it refused.
pub(super) type Answered<T> = Result<T, Refusal>;

impl Front {
    /// In front of these two.
    pub fn new(reconciler: run::Handle, speaker: speaker::Handle) -> Front {
        Front {
            reconciler,
            speaker,
            reports: Arc::default(),
            metrics: Metrics::new(),
            denials: Denials::default(),
            totals: Arc::default(),
            plans: Arc::new(Semaphore::new(1)),
        }
    }

    /// Begins to hear what policies drop.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn hear_denials(&self) -> std::io::Result<()> {
        self.denials.watch(self.reconciler.clone())
    }

    /// Answers a request.
    pub async fn answer(self, request: Request) -> Reply {
        let name = name(&request);
        let begun = Instant::now();
        let reply = match request {
            Request::Show(show) => self.show(show).await.map_or_else(Reply::Error, Reply::Ok),
            Request::BgpReset(reset) => self.reset(reset).await,
            request => self.ask(request).await,
        };
        self.metrics.request(name, begun.elapsed(), &reply);
        reply
    }

    /// What the API should say.
    pub fn reports(&self) -> watch::Receiver<Reports> {
        self.reconciler.reports()
    }

    /// Readiness and counts of the reconcile loop.
    pub(super) fn status(&self) -> Status {
        self.reconciler.status()
    }

    pub(super) async fn peers(&self) -> Answered<Vec<PeerView>> {
        self.speaker.peers().await.map_err(ended)
    }

    pub(super) fn refused(&self) -> u64 {
        self.speaker.refused()
    }

    async fn reset(&self, reset: BgpReset) -> Reply {
        match self.speaker.reset(reset).await {
            Ok(Ok(_)) => Reply::Ok(Answer::Done),
            Ok(Err(error)) => Reply::Error(Refusal { code: RefusalCode::Invalid, message: error.to_string() }),
            Err(error) => Reply::Error(ended(error)),
        }
    }

    async fn ask(&self, request: Request) -> Reply {
        self.reconciler.ask(request).await.unwrap_or_else(|e| Reply::Error(ended(e)))
    }

    /// Asks the reconcile loop for a view.
    pub(super) async fn view<T: DeserializeOwned>(&self, show: Show) -> Answered<T> {
        match self.ask(Request::Show(show)).await {
            Reply::Ok(Answer::Show(value)) => serde_json::from_value(value).map_err(internal),
            Reply::Ok(other) => Err(internal(format!("an answer to another question: {other:?}"))),
            Reply::Error(refusal) => Err(refusal),
        }
    }

    async fn show(&self, show: Show) -> Answered<Answer> {
        match show {
            Show::BgpPeers => answer(&self.peers().await?),
            Show::BgpDump { after } => self.dump(after).await,
            Show::BgpStations => answer(&self.speaker.stations().await.map_err(ended)?),
            Show::BgpRoutes(question) => self.routes(question).await,
            Show::FilterTest(question) => answer(&self.speaker.filter_test(question).await.map_err(ended)?),
            Show::NodeStatus => answer(&self.node_status().await?),
            Show::Plan(proposal) => self.plan(proposal).await,
            Show::RouteWhy { prefix } => self.why(prefix).await,
            Show::Policy { endpoint } => self.policy(endpoint).await,
            Show::PolicyCounters => answer(&self.counters().await?),
            Show::PolicyLog => answer(&self.denials.view()),
            other => match self.ask(Request::Show(other)).await {
                Reply::Ok(answer) => Ok(answer),
                Reply::Error(refusal) => Err(refusal),
            },
        }
    }

    async fn routes(&self, question: BgpRoutes) -> Answered<Answer> {
        answer(&self.speaker.routes(question).await.map_err(ended)?)
    }

    async fn dump(&self, after: Option<DumpCursor>) -> Answered<Answer> {
        let piece = self.speaker.dump(after).await.map_err(ended)?;
        let piece = piece.map_err(|e| Refusal { code: RefusalCode::TryAgain, message: e.to_string() })?;
        answer(&DumpPage { records: base64::encode(&piece.octets), next: piece.next })
    }

    async fn node_status(&self) -> Answered<NodeStatusView> {
        let mut status: NodeStatusView = self.view(Show::NodeStatus).await?;
        status.peers = self.peers().await?;
        status.advice.extend(mesh_advice(&status.peers));
        if let Some(drain) = &mut status.drain
            && self.speaker.is_drained().await.map_err(ended)?
        {
            drain.state = DrainState::Drained;
        }
        status.problems.extend(self.speaker.problems().await.map_err(ended)?);
        status.reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status.problems.extend(cluster::problems(&status.reports));
        Ok(status)
    }

    async fn surveyed(&self) -> Answered<Survey> {
        let node = self.node_status().await?;
        let (mut paths, mut kernel) = (Vec::new(), Vec::new());
        // The routes of IPv6 come after all of IPv4.
        let last = Prefix::host(IpAddr::V4(Ipv4Addr::BROADCAST));
        for after in [None, Some(last)] {
            let question = BgpRoutes { table: BgpTable::Accepted, peer: None, within: None, after };
            paths.extend(self.speaker.routes(question).await.map_err(ended)?.routes);
            kernel.extend(self.view::<InstalledPage>(Show::Routes { after }).await?.routes);
        }
        Ok(Survey { node, paths, kernel })
    }

    /// What would follow of other objects: read by one loop, rehearsed by a copy of the other, put together by the first.
    async fn plan(&self, proposal: Proposal) -> Answered<Answer> {
        // Each takes a copy of the tables and of the objects: one at a time. The semaphore is never closed.
        let _turn = self.plans.acquire().await.map_err(ended)?;
        let reading = self.reconciler.consult(|core| core.reading()).await.map_err(ended)??;
        let facts = spawn_blocking(move || proposed(reading, proposal)).await.map_err(internal)?;
        let supposed = self.reconciler.consult(move |core| core.suppose(facts)).await.map_err(ended)?;
        let config = supposed.bgp.config.clone();
        let rehearsed = self.speaker.rehearse(config).await.map_err(ended)?;
        let view = self.reconciler.consult(move |core| core.foresee(supposed, rehearsed)).await.map_err(ended)?;
        answer(&view)
    }

    async fn why(&self, prefix: Prefix) -> Answered<Answer> {
        let kernel: RouteWhyView = self.view(Show::RouteWhy { prefix }).await?;
        let speaker = self.speaker.why(prefix).await.map_err(ended)?;
        answer(&together(kernel, speaker))
    }
}

impl Witness for Front {
    async fn survey(&self) -> Option<Survey> {
        self.surveyed().await.ok()
    }

    fn stand(&self, reports: Vec<ReportView>) {
        *self.reports.lock().unwrap_or_else(PoisonError::into_inner) = reports;
    }
}

/// The speaker's paths and the kernel's route, of the longer prefix where they answer for different ones.
fn together(mut kernel: RouteWhyView, speaker: Option<(Prefix, Why)>) -> RouteWhyView {
    let Some((prefix, why)) = speaker else { return kernel };
    match kernel.prefix {
        Some(of_kernel) if of_kernel == prefix => {
            // Of a route that is as it should be the speaker has said why already.
            let installed = kernel.route.as_ref().is_some_and(|route| route.installed);
            let there = if installed { "in the kernel".to_string() } else { kernel.verdict };
            kernel.verdict = format!("{}; {there}", why.verdict);
            RouteWhyView { paths: why.paths, ..kernel }
        }
        Some(of_kernel) if of_kernel.length() > prefix.length() => kernel,
        other => {
            let instead = match other {
                Some(shorter) => format!("no route to {prefix} in the kernel, packets follow {shorter}"),
                None => format!("no route of ours to {prefix} in the kernel"),
            };
            let verdict = format!("{}; {instead}", why.verdict);
            RouteWhyView { asked: kernel.asked, prefix: Some(prefix), paths: why.paths, route: None, verdict }
        }
    }
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::Attach(_) => "attach",
        Request::Attached(_) => "attached",
        Request::Detach(_) => "detach",
        Request::Check(_) => "check",
        Request::Gc(_) => "gc",
        Request::Status => "status",
        Request::Drain { .. } => "drain",
        Request::Undrain => "undrain",
        Request::BgpReset(_) => "bgpReset",
        Request::IpamRelease(_) => "ipamRelease",
        Request::Show(_) => "show",
    }
}

pub(super) fn answer<T: Serialize>(view: &T) -> Answered<Answer> {
    serde_json::to_value(view).map(Answer::Show).map_err(internal)
}

pub(super) fn internal(error: impl ToString) -> Refusal {
    Refusal { code: RefusalCode::Internal, message: error.to_string() }
}

/// The agent is about to end, and to be started again.
pub(super) fn ended(error: impl ToString) -> Refusal {
    Refusal { code: RefusalCode::TryAgain, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn p(s: &str) -> Prefix {
        s.parse().expect("a prefix")
    }
    fn kernel(prefix: Option<&str>) -> RouteWhyView {
        let prefix = prefix.map(p);
        RouteWhyView { asked: p("10.1.2.3/32"), prefix, paths: vec![], route: None, verdict: "in the kernel".into() }
    }
    fn speaker(prefix: &str) -> Option<(Prefix, Why)> {
        Some((p(prefix), Why { paths: vec![], advertised_to: vec![], verdict: "one path".into() }))
    }

    #[test]
    fn both_loops_answer_for_the_longer_prefix() {
        let verdict = |kernel, speaker| {
            let why = together(kernel, speaker);
            (why.prefix.map(|p| p.to_string()).unwrap_or_default(), why.verdict)
        };
        let said = |prefix: &str, verdict: &str| (prefix.to_string(), verdict.to_string());
        assert_eq!(
            verdict(kernel(Some("10.1.2.0/26")), speaker("10.1.2.0/26")),
            said("10.1.2.0/26", "one path; in the kernel")
        );
        assert_eq!(verdict(kernel(Some("10.1.2.3/32")), speaker("10.1.2.0/26")), said("10.1.2.3/32", "in the kernel"));
        assert_eq!(
            verdict(kernel(Some("10.1.0.0/16")), speaker("10.1.2.0/26")),
            said("10.1.2.0/26", "one path; no route to 10.1.2.0/26 in the kernel, packets follow 10.1.0.0/16")
        );
        assert_eq!(verdict(kernel(None), None), said("", "in the kernel"));
    }
}
