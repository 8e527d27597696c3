//! What can be explained: the way of a packet, and what policies say.

use model::api::show::{Between, Show};
use model::api::{RefusalCode, Reply};

use super::Reconciler;
use super::refuse;
use super::show::answer;
use crate::plan::trace::{Picture, trace};

impl Reconciler {
    /// Questions about connections and policies.
    pub(super) fn explain(&self, show: Show) -> Reply {
        match show {
            Show::Trace(asked) => self.trace(&asked),
            _ => refuse(
                RefusalCode::TryAgain,
                "this agent does not enforce policies yet: margayctl policy matrix asks offline",
            ),
        }
    }

    fn trace(&self, asked: &Between) -> Reply {
        let refused = |place: &dataplane::want::RouteKey| self.bench.reason(place).map(str::to_string);
        let picture = Picture { world: &self.world, desired: &self.desired, refused: &refused };
        match trace(picture, asked) {
            Ok(view) => answer(&view),
            Err(message) => refuse(RefusalCode::Invalid, message),
        }
    }
}
