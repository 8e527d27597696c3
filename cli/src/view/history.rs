//! `history`.

use model::api::show::ChangeView;

use crate::output::{Detail, column, columns};

/// The list, the oldest first.
pub fn list(changes: &[ChangeView]) -> String {
    if changes.is_empty() {
        return "Nothing is remembered.\n".to_string();
    }
    columns(
        changes,
        Detail::Normal,
        &[
            column("TIME", |c: &ChangeView| c.time.clone()),
            column("KIND", |c: &ChangeView| c.kind.word().to_string()),
            column("SUBJECT", |c: &ChangeView| c.subject.clone()),
            column("CHANGE", |c: &ChangeView| c.change.clone()),
            column("REASON", |c: &ChangeView| c.reason.clone()),
        ],
    )
}
