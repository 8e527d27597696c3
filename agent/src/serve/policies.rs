//! What is shown of policies with what the kernel has counted: asked of the kernel when somebody looks, beside the loops.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use dataplane::linux::netlink::{Netlink, NetlinkError};
use dataplane::linux::nft;
use model::api::show::{CounterView, PolicyCounterView, PolicyView};
use model::api::{Answer, Refusal, RefusalCode};
use tokio::task::spawn_blocking;

use super::Front;
use super::answer::{Answered, answer, ended, internal};
use crate::plan::firewall::Way;
use crate::plan::policies::counted::{Counts, by_policy, names};

impl Front {
    /// The policies of one endpoint.
    pub(super) async fn policy(&self, endpoint: String) -> Answered<Answer> {
        let asked = endpoint.clone();
        let used = self.reconciler.consult(move |core| core.chains_of(&asked)).await.map_err(ended)?;
        let used = used.map_err(|message| Refusal { code: RefusalCode::Unknown, message })?;
        let chains: BTreeSet<String> = used.iter().flat_map(names).collect();
        let counted = spawn_blocking(move || read(&chains)).await.map_err(internal)?;
        let (counts, problem) = match counted {
            Ok(counts) => (counts, String::new()),
            Err(error) => (Counts::new(), error.to_string()),
        };
        let view = self.reconciler.consult(move |core| core.policy_view(&endpoint, &counts)).await.map_err(ended)?;
        let view: PolicyView = view.map_err(|message| Refusal { code: RefusalCode::Unknown, message })?;
        answer(&PolicyView { counters: problem, ..view })
    }

    /// What each policy did.
    pub(super) async fn counters(&self) -> Answered<Vec<PolicyCounterView>> {
        let used = self.reconciler.consult(|core| core.chains_used()).await.map_err(ended)?;
        if used.is_empty() {
            return Ok(Vec::new());
        }
        let counted = spawn_blocking(move || read_all().map(|counts| by_policy(&used, &counts))).await;
        let problem = |error: NetlinkError| internal(format!("the kernel's counters can't be read: {error}"));
        counted.map_err(internal)?.map_err(problem)
    }
}

impl Front {
    /// For Prometheus: what never falls. Empty if the kernel does not tell.
    pub(super) async fn policy_totals(&self) -> Answered<PolicyTotals> {
        let used = self.reconciler.consult(|core| core.chains_used()).await.map_err(ended)?;
        let totals = self.totals.clone();
        let counted = spawn_blocking(move || {
            let Ok(counts) = read_all() else { return PolicyTotals::default() };
            let last = |chain: &str| counts.get(chain).and_then(|rules| rules.last().copied().flatten());
            let denied = [Way::Egress, Way::Ingress].map(|way| last(way.denied()).unwrap_or_default());
            let policies = totals.lock().unwrap_or_else(PoisonError::into_inner).add(&used, counts);
            PolicyTotals { policies, denied }
        });
        counted.await.map_err(internal)
    }
}

/// What policies did.
#[derive(Debug, Default)]
pub(super) struct PolicyTotals {
    /// By policy and action.
    pub(super) policies: Vec<PolicyCounterView>,
    /// What was dropped: egress, ingress.
    pub(super) denied: [CounterView; 2],
}

fn read(chains: &BTreeSet<String>) -> Result<Counts, NetlinkError> {
    let mut netlink = Netlink::netfilter()?;
    let mut counts = Counts::new();
    for chain in chains {
        match nft::counters_of(&mut netlink, chain) {
            Ok(counters) => _ = counts.insert(chain.clone(), plain(&counters)),
            // It is about to be made, or has just gone.
            Err(error) if error.errno() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(counts)
}

fn read_all() -> Result<Counts, NetlinkError> {
    let counts = nft::counters(&mut Netlink::netfilter()?)?;
    Ok(counts.into_iter().map(|(chain, counters)| (chain, plain(&counters))).collect())
}

fn plain(counters: &[Option<nft::Count>]) -> Vec<Option<CounterView>> {
    let view = |count: &nft::Count| CounterView { packets: count.packets, bytes: count.octets };
    counters.iter().map(|count| count.as_ref().map(view)).collect()
}
