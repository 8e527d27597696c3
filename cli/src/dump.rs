//! `bgp dump`: the speaker's table as an MRT file, written as it comes.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use model::api::Show;
use model::api::show::DumpPage;
use model::base64;

use crate::client::Client;
use crate::output::print;

/// A file is there when it is whole: it is written beside and then takes its name.
pub fn dump(client: &mut Client, file: &Path) -> anyhow::Result<()> {
    if file.as_os_str() == OsStr::new("-") {
        return write(client, &mut io::stdout().lock()).map(drop);
    }
    if std::fs::symlink_metadata(file).is_ok_and(|there| !there.is_file()) {
        // A device, a pipe or a link stays what it is.
        let mut out = File::options().write(true).open(file).with_context(|| file.display().to_string())?;
        return write(client, &mut out).map(drop);
    }
    let mut beside = file.as_os_str().to_owned();
    beside.push(".part");
    let beside = Path::new(&beside);
    let mut out = BufWriter::new(File::create(beside).with_context(|| beside.display().to_string())?);
    let written = write(client, &mut out).and_then(|octets| {
        std::fs::rename(beside, file).with_context(|| file.display().to_string())?;
        Ok(octets)
    });
    if written.is_err() {
        // What is not whole is of no use; the error that matters is the one before.
        drop(std::fs::remove_file(beside));
    }
    print(&format!("{}: {} octets\n", file.display(), written?))
}

fn write(client: &mut Client, out: &mut impl Write) -> anyhow::Result<u64> {
    let (mut after, mut octets) = (None, 0);
    loop {
        let page: DumpPage = client.show(Show::BgpDump { after })?;
        let records =
            base64::decode(&page.records).context("the agent's answer is of another version than margayctl")?;
        out.write_all(&records)?;
        octets += records.len() as u64;
        after = page.next;
        if after.is_none() {
            out.flush()?;
            return Ok(octets);
        }
    }
}
