//! `filter test`.

use model::api::show::{FilterTestView, Judged};
use model::filter::Direction;

use crate::output::{Detail, column, columns, wide};

/// One row for each session and direction.
pub fn tests(views: &[FilterTestView], detail: Detail) -> String {
    columns(
        views,
        detail,
        &[
            column("PEER", |v: &FilterTestView| v.peer.map_or_else(|| v.name.clone(), |peer| peer.to_string())),
            wide("NAME", |v: &FilterTestView| v.name.clone()),
            column("DIRECTION", |v: &FilterTestView| match v.direction {
                Direction::Import => "import".to_string(),
                Direction::Export => "export".to_string(),
            }),
            column("PREFIX", |v: &FilterTestView| v.prefix.to_string()),
            column("PASSES", |v: &FilterTestView| match v.passes {
                Some(true) => "yes".to_string(),
                Some(false) => "no".to_string(),
                None => "by default policy".to_string(),
            }),
            column("REASON", |v: &FilterTestView| v.reason.clone()),
            wide("JUDGED", |v: &FilterTestView| match v.judged {
                Judged::Route => "route".to_string(),
                Judged::PrefixAlone => "prefix alone".to_string(),
            }),
        ],
    )
}
