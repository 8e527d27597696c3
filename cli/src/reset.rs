//! `bgp reset`.

use model::api::{BgpReset, Request, ResetKind};

use crate::args::Soft;
use crate::client::Client;
use crate::output::print;

/// Has sessions begin anew, or routes told again.
pub fn reset(client: &mut Client, peer: String, soft: Option<Soft>, hard: bool) -> anyhow::Result<()> {
    let how = match (soft, hard) {
        (Some(Soft::In), _) => ResetKind::SoftIn,
        (Some(Soft::Out), _) => ResetKind::SoftOut,
        (None, true) => ResetKind::Hard,
        (None, false) => ResetKind::Session,
    };
    let done = match how {
        ResetKind::Session | ResetKind::Hard => "was reset",
        ResetKind::SoftIn => "was asked for its routes again",
        ResetKind::SoftOut => "is told all routes again",
    };
    client.order(&Request::BgpReset(BgpReset { peer: peer.clone(), how }))?;
    print(&format!("{peer} {done}.\n"))
}
