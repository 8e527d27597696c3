//! What the container runtime finds of us in its directories.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Our file among the runtime's configurations.
pub const CONFLIST: &str = "10-margay.conflist";

/// How far we are installed on the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Installed {
    /// Our network configuration, once it is written.
    pub conflist: Option<PathBuf>,
    /// What could not be written, and why.
    pub problem: Option<String>,
    /// Files beside ours that the runtime takes instead.
    pub earlier: Vec<PathBuf>,
}

impl Installed {
    /// Why the runtime does not ask us yet. Files that come before ours are the operator's decision.
    pub fn not_yet(&self) -> Option<String> {
        match (&self.problem, &self.conflist) {
            (Some(problem), _) => Some(format!("cannot be installed: {problem}")),
            (None, None) => Some("the network configuration is not written yet".into()),
            (None, Some(_)) => None,
        }
    }

    /// What a person should know, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let problem = self.problem.iter().map(|problem| format!("installing on the node: {problem}"));
        let earlier = self.earlier.iter().map(|path| {
            format!(
                "{} comes before {CONFLIST}: the runtime sets pods up with it, not with margay; move it away when its pods \
                 are to be margay's",
                path.display()
            )
        });
        problem.chain(earlier).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_configuration_is_a_problem_but_does_not_keep_the_node_from_being_ready() {
        let path = |name: &str| PathBuf::from("/etc/cni/net.d").join(name);
        let mut installed = Installed::default();
        assert!(installed.not_yet().is_some());
        installed.conflist = Some(path("10-margay.conflist"));
        installed.earlier = vec![path("10-calico.conflist")];
        assert_eq!(installed.not_yet(), None);
        let problems = installed.problems();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("/etc/cni/net.d/10-calico.conflist comes before 10-margay.conflist:"));
    }
}
