//! `margayctl plan`: the world as it would be with other objects, looked at and put back.

use std::collections::BTreeMap;

use model::api::show::{Extent, PlanView, Proposal};
use model::api::{Refusal, RefusalCode};

use super::Reconciler;
use crate::fact::Fact;
use crate::plan::forecast::Supposed;
use crate::plan::foresee;
use crate::speaker::Rehearsed;
use crate::watch::objects::{FileText, Reading};

impl Reconciler {
    /// The objects in force, as the watcher of their directory would have read them: what a proposal is compared with.
    /// Refused as long as the agent does not know all of it.
    pub fn reading(&self) -> Result<Reading, Refusal> {
        match self.still_reading() {
            Some(message) => Err(Refusal { code: RefusalCode::NotReady, message }),
            None => Ok(Reading::of(self.world.objects.iter())),
        }
    }

    /// The world after these facts of [`proposed`].
    pub fn suppose(&mut self, facts: Vec<Fact>) -> Supposed {
        Supposed::after(&mut self.world, facts, self.start)
    }

    /// All that would follow of it, once the speaker has said its part.
    pub fn foresee(&mut self, mut supposed: Supposed, speaker: Rehearsed) -> PlanView {
        let best = speaker.rehearsal.as_ref().map(|rehearsal| &rehearsal.best);
        let mut forecast = supposed.forecast(&mut self.world, &self.desired, best.unwrap_or(&BTreeMap::new()));
        forecast.notes.extend(speaker.notes);
        let node = self.world.node.to_string();
        foresee::view(&node, self.desired.bgp.as_ref(), &supposed, speaker.rehearsal.as_ref(), forecast)
    }
}

/// What a proposal says, against what there is. Reads as much text as a proposal may have: not for a loop's thread.
pub fn proposed(mut reading: Reading, proposal: Proposal) -> Vec<Fact> {
    let files: BTreeMap<String, FileText> = proposal.files.into_iter().map(|(name, text)| (name, Ok(text))).collect();
    let mut facts = reading.update(&files);
    // Errors of what is proposed only: what is wrong with what is in force is no news.
    let none = !facts.iter().any(|fact| matches!(fact, Fact::ObjectErrors(_)));
    facts.extend(none.then(|| Fact::ObjectErrors(Vec::new())));
    if proposal.extent == Extent::Beside {
        facts.retain(|fact| !matches!(fact, Fact::ObjectGone(_)));
    }
    facts
}
