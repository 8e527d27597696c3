//! `trace`.

use model::api::show::{HopView, TraceView};

use super::policy::staged;
use crate::output::{Detail, column, columns};

/// The hops in order, then what becomes of the packet.
pub fn trace(view: &TraceView, detail: Detail) -> String {
    let mut text = format!("From  {}\nTo    {}, {}\n\n", view.from, view.to, view.connection);
    let hops: Vec<(usize, &HopView)> = (1..).zip(&view.hops).collect();
    type Row<'a> = (usize, &'a HopView);
    text += &columns(
        &hops,
        detail,
        &[
            column("#", |(number, _): &Row<'_>| number.to_string()),
            column("STEP", |(_, hop): &Row<'_>| hop.step.word().to_string()),
            column("EFFECT", |(_, hop): &Row<'_>| hop.effect.word().to_string()),
            column("WHAT", |(_, hop): &Row<'_>| hop.what.clone()),
            column("WHY", |(_, hop): &Row<'_>| hop.reason.clone()),
        ],
    );
    for hop in &view.hops {
        if let Some(judged) = &hop.judged {
            text += &staged(hop.step.word(), judged);
        }
        if !hop.endpoints.is_empty() {
            let endpoints: Vec<String> = hop.endpoints.iter().map(ToString::to_string).collect();
            text += &format!("\nEndpoints: {}\n", endpoints.join(", "));
        }
    }
    text + &format!("\nVerdict: {}\n", view.verdict)
}
