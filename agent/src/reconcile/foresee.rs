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
    /// Reads proposed objects as the watcher of their directory would. Refused as long as the agent does not know what
    /// there is to compare with.
    pub fn suppose(&mut self, proposal: Proposal) -> Result<Supposed, Refusal> {
        if let Some(message) = self.still_reading() {
            return Err(Refusal { code: RefusalCode::NotReady, message });
        }
        let files: BTreeMap<String, FileText> =
            proposal.files.into_iter().map(|(name, text)| (name, Ok(text))).collect();
        let mut facts = Reading::of(self.world.objects.iter()).update(&files);
        // Errors of what is proposed only: what is wrong with what is in force is no news.
        let none = !facts.iter().any(|fact| matches!(fact, Fact::ObjectErrors(_)));
        facts.extend(none.then(|| Fact::ObjectErrors(Vec::new())));
        if proposal.extent == Extent::Beside {
            facts.retain(|fact| !matches!(fact, Fact::ObjectGone(_)));
        }
        Ok(Supposed::after(&mut self.world, facts, self.start))
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
