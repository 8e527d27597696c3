//! etcd, the API server, the controllers and the scheduler, in a namespace of their own.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::process::Process;
use e2e::wait;

use crate::kubectl::Kubectl;
use crate::plan::{CONTROL_PLANE, PODS, Plan, SERVICES};

const SOON: Duration = Duration::from_secs(120);

/// A program of the control plane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The store; nothing is flushed to a disk.
    Etcd,
    /// kube-apiserver.
    ApiServer,
    /// kube-controller-manager, with the admin's token: a service account for each controller costs 0.4 s apiece at the start.
    Controllers,
    /// kube-scheduler.
    Scheduler,
}

/// In the order of their start.
const PARTS: [Part; 4] = [Part::Etcd, Part::ApiServer, Part::Controllers, Part::Scheduler];

impl Part {
    /// Of its log and its process.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "apiserver",
            Self::Controllers => "controllers",
            Self::Scheduler => "scheduler",
        }
    }

    fn command(self, plan: &Plan) -> Command {
        let pki = |name: &str| plan.pki().join(name).display().to_string();
        let program = |name: &str| Command::new(plan.programs().join(name));
        let config = |user: &str| format!("--kubeconfig={}", plan.kubeconfig(user).display());
        match self {
            Self::Etcd => {
                let mut etcd = program("etcd");
                etcd.arg("--data-dir").arg(plan.etcd()).arg("--unsafe-no-fsync");
                etcd.args(["--listen-client-urls", "http://127.0.0.1:2379"]);
                etcd.args(["--advertise-client-urls", "http://127.0.0.1:2379"]);
                etcd.args(["--listen-peer-urls", "http://127.0.0.1:2380"]);
                etcd
            }
            Self::ApiServer => {
                let mut server = program("kube-apiserver");
                server.args([
                    "--etcd-servers=http://127.0.0.1:2379".to_owned(),
                    format!("--tls-cert-file={}", pki("apiserver.crt")),
                    format!("--tls-private-key-file={}", pki("apiserver.key")),
                    format!("--client-ca-file={}", pki("ca.crt")),
                    format!("--token-auth-file={}", pki("tokens.csv")),
                    "--authorization-mode=Node,RBAC".to_owned(),
                    "--allow-privileged=true".to_owned(),
                    format!("--service-account-key-file={}", pki("sa.pub")),
                    format!("--service-account-signing-key-file={}", pki("sa.key")),
                    "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
                    format!("--service-cluster-ip-range={SERVICES}"),
                    format!("--advertise-address={CONTROL_PLANE}"),
                    format!("--kubelet-client-certificate={}", pki("kubelet-client.crt")),
                    format!("--kubelet-client-key={}", pki("kubelet-client.key")),
                    "--kubelet-preferred-address-types=InternalIP".to_owned(),
                ]);
                server
            }
            Self::Controllers => {
                let mut controllers = program("kube-controller-manager");
                controllers.args([
                    config("admin"),
                    format!("--service-account-private-key-file={}", pki("sa.key")),
                    format!("--root-ca-file={}", pki("ca.crt")),
                    "--allocate-node-cidrs".to_owned(),
                    format!("--cluster-cidr={PODS}"),
                    format!("--service-cluster-ip-range={SERVICES}"),
                    "--node-cidr-mask-size=24".to_owned(),
                    "--leader-elect=false".to_owned(),
                    "--bind-address=127.0.0.1".to_owned(),
                    format!("--cluster-signing-cert-file={}", pki("ca.crt")),
                    format!("--cluster-signing-key-file={}", pki("ca.key")),
                ]);
                controllers
            }
            Self::Scheduler => {
                let mut scheduler = program("kube-scheduler");
                scheduler.args([&config("scheduler"), "--leader-elect=false", "--bind-address=127.0.0.1"]);
                scheduler
            }
        }
    }
}

/// Starts all four; returns when the API answers and service accounts are made.
pub fn start(plan: &Plan) -> Result<()> {
    fs::remove_dir_all(plan.etcd()).ok();
    fs::create_dir_all(plan.etcd()).context("etcd's folder in /dev/shm")?;
    for part in PARTS {
        start_part(plan, part)?;
        if part == Part::ApiServer {
            ready(plan)?;
        }
    }
    let kubectl = Kubectl::new(plan);
    wait::until(SOON, "the default service account, made by the controllers", || {
        kubectl.text(&["-n", "default", "get", "serviceaccount", "default"])
    })?;
    Ok(())
}

/// Starts one of them.
pub fn start_part(plan: &Plan, part: Part) -> Result<()> {
    let log = plan.logs().join(format!("{}.log", part.name()));
    Process::start(&plan.processes(), part.name(), &plan.control_plane(), &log, &mut part.command(plan))?;
    Ok(())
}

/// `kill -9` to one of them.
pub fn kill_part(plan: &Plan, part: Part) -> Result<()> {
    let all = Process::all(&plan.processes())?;
    let process = all.iter().find(|process| process.name == part.name());
    process.with_context(|| format!("{} was never started", part.name()))?.kill()
}

/// Whether one of them runs.
pub fn runs(plan: &Plan, part: Part) -> Result<bool> {
    Ok(Process::all(&plan.processes())?.iter().any(|one| one.name == part.name() && one.runs()))
}

/// Waits until the API server says that it is ready.
pub fn ready(plan: &Plan) -> Result<()> {
    let kubectl = Kubectl::new(plan);
    wait::until(SOON, "an API server that is ready", || {
        ensure!(runs(plan, Part::ApiServer)?, "it ended: see {}", plan.logs().join("apiserver.log").display());
        kubectl.text(&["get", "--raw", "/readyz"])
    })?;
    Ok(())
}
