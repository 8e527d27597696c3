//! `plan`: what objects would do that are not in force.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, bail};
use model::api::show::{Extent, PlanView, Proposal, Show};

use crate::Verdict;
use crate::check::files;
use crate::client::Client;
use crate::output::Format;
use crate::{show, view};

/// The most octets of objects that fit into one question, as JSON may need more for them than they have.
const MOST: usize = model::api::LINE_LIMIT / 2;

/// Asks the agent. A directory stands for all objects, a file for what it adds or replaces.
pub fn plan(client: &mut Client, path: &Path, format: Format) -> anyhow::Result<Verdict> {
    let plan: PlanView = client.show(Show::Plan(proposal(path)?))?;
    show(&plan, format, |_| view::plan::text(&plan))?;
    Ok(if plan.changes { Verdict::Changes } else { Verdict::Fine })
}

fn proposal(path: &Path) -> anyhow::Result<Proposal> {
    let extent = if path.is_dir() { Extent::Whole } else { Extent::Beside };
    let mut texts = BTreeMap::new();
    let mut octets = 0;
    for file in files(path)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        octets += text.len();
        if octets > MOST {
            bail!("{}: more than {} MiB of objects", path.display(), MOST >> 20);
        }
        texts.insert(name, text);
    }
    Ok(Proposal { files: texts, extent })
}
