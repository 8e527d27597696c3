//! `ipam release`: addresses that no pod has, back to where they can be given again.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;
use model::api::show::IpamCheckView;
use model::api::{IpamRelease, Request};

use crate::Verdict;
use crate::client::Client;
use crate::output::{counted, print};

/// Has the agent take them back, all or none.
pub fn release(client: &mut Client, addresses: Vec<IpAddr>, report: Option<&Path>) -> anyhow::Result<Verdict> {
    let releases = match report {
        Some(path) => of_report(path).with_context(|| path.display().to_string())?,
        None => addresses.into_iter().map(|ip| IpamRelease { ip, given_at: None }).collect(),
    };
    if releases.is_empty() {
        print("The report names no address that can be taken back.\n")?;
        return Ok(Verdict::Fine);
    }
    let count = counted(releases.len(), "address");
    client.order(&Request::IpamRelease(releases))?;
    print(&format!("{count} will be taken back with the next write of the block.\n"))?;
    Ok(Verdict::Fine)
}

fn of_report(path: &Path) -> anyhow::Result<Vec<IpamRelease>> {
    let check: IpamCheckView = serde_json::from_str(&std::fs::read_to_string(path)?)?;
    let leaked = check.problems.into_iter().filter(|problem| problem.given_at.is_some());
    Ok(leaked.map(|problem| IpamRelease { ip: problem.ip, given_at: problem.given_at }).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_what_can_be_taken_back_with_the_number_it_was_given_at() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let report = r#"{"blocks": 1, "leases": 0, "attached": 0, "problems": [
            {"ip": "10.0.0.1", "pod": null, "givenAt": 7, "message": "m"}, {"ip": "10.0.0.2", "pod": null, "message": "m"}]}"#;
        std::fs::write(file.path(), report).unwrap();
        let expected = IpamRelease { ip: "10.0.0.1".parse().unwrap(), given_at: Some(7) };
        assert_eq!(of_report(file.path()).unwrap(), [expected]);
    }
}
