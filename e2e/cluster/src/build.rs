//! Kubernetes' programs, built from its Go modules once for each state of their sources.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sha1::{Digest, Sha1};

use crate::plan::repository;

/// The oldest Go that can build what the newest go.mod asks for, CoreDNS'.
const GO: (u32, u32) = (1, 26);
/// The release of Kubernetes in go.mod. Without the stamp kubectl complains of the server's version.
const KUBERNETES: &str = "v1.34.4";
/// How often a long build says how far it is.
const REPORT: Duration = Duration::from_secs(20);
/// Names under which the one binary is known.
const ALIASES: &[&str] =
    &["kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy", "kubelet", "kubectl"];
/// agnhost's porter serves with these two, from the root of its image.
pub const PORTER: [&str; 2] = ["localhost.crt", "localhost.key"];
/// The definition of ClusterNetworkPolicy, with its experimental fields: clusters get it from upstream, not from margay.
pub const POLICY_CRD: &str = "policy.networking.k8s.io_clusternetworkpolicies.yaml";
const AGNHOST: &str = "k8s.io/kubernetes/test/images/agnhost";
const POLICY_API: &str = "sigs.k8s.io/network-policy-api";

/// One program, and how it comes to be.
struct Target {
    name: &'static str,
    /// Below `e2e/cluster/go`.
    module: &'static str,
    how: How,
    /// Packages to compile when nothing is cached, about.
    packages: usize,
}

enum How {
    Go(&'static str),
    GoTest(&'static str),
    C(&'static str),
}

const TARGETS: &[Target] = &[
    Target { name: "kube", module: "", how: How::Go("./cmd/kube"), packages: 2600 },
    Target { name: "etcd", module: "", how: How::Go("./cmd/etcd"), packages: 60 },
    Target { name: "agnhost", module: "", how: How::Go(AGNHOST), packages: 50 },
    Target { name: "e2e.test", module: "", how: How::GoTest("./e2e"), packages: 250 },
    Target { name: "coredns", module: "dns", how: How::Go("."), packages: 700 },
    Target { name: "policy.test", module: "policy", how: How::GoTest("."), packages: 450 },
    Target { name: "sctp", module: "sctp", how: How::Go("."), packages: 1 },
    Target { name: "pause", module: "pause", how: How::C("pause.c"), packages: 1 },
];

/// Builds what is not there, or there from other sources, into `folder`.
pub fn programs(folder: &Path, say: fn(&str)) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let sources = repository().join("e2e/cluster/go");
    let mut go = None;
    for target in TARGETS {
        let (program, stamp) = (folder.join(target.name), folder.join(format!("{}.sources", target.name)));
        let digest = digest(&sources.join(target.module))?;
        if program.is_file() && fs::read_to_string(&stamp).is_ok_and(|text| text == digest) {
            continue;
        }
        let go = match &go {
            Some(go) => go,
            None => go.insert(find_go()?),
        };
        build(target, go, &sources.join(target.module), &program, say)?;
        fs::write(&stamp, digest)?;
    }
    for alias in ALIASES {
        let link = folder.join(alias);
        if !link.is_symlink() {
            std::os::unix::fs::symlink("kube", &link)?;
        }
    }
    Ok(())
}

/// One digest of all that lies in a module's folder; a change of the Go compiler alone rebuilds nothing.
fn digest(folder: &Path) -> Result<String> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let mut sum = Sha1::new();
    for file in files {
        sum.update(file.strip_prefix(folder)?.to_string_lossy().as_bytes());
        sum.update(fs::read(&file)?);
    }
    Ok(sum.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_file() {
            files.push(path);
        } else if !path.join("go.mod").exists() && !path.ends_with("pause") {
            collect(&path, files)?;
        }
    }
    Ok(())
}

fn find_go() -> Result<PathBuf> {
    let needed = format!(
        "Go {}.{} or newer builds Kubernetes for the cluster tests: install it from https://go.dev/dl (what Debian bookworm has is too old) and have `go` on the PATH",
        GO.0, GO.1
    );
    for go in ["go", "/usr/local/go/bin/go"] {
        let Ok(output) = Command::new(go).arg("version").env("GOTOOLCHAIN", "local").output() else { continue };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().find_map(|word| word.strip_prefix("go1."));
        let minor = version.and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        ensure!(minor.is_some_and(|minor| (1, minor) >= GO), "this is {}. {needed}", text.trim());
        return Ok(go.into());
    }
    bail!("Go is missing. {needed}")
}

fn build(target: &Target, go: &Path, module: &Path, program: &Path, say: fn(&str)) -> Result<()> {
    let stamp = format!(
        "-s -w -X k8s.io/component-base/version.gitVersion={KUBERNETES} -X k8s.io/component-base/version.gitMajor=1 \
         -X k8s.io/component-base/version.gitMinor=34 -X k8s.io/component-base/version.gitTreeState=clean \
         -X k8s.io/client-go/pkg/version.gitVersion={KUBERNETES}"
    );
    let flags = ["-v", "-trimpath", "-ldflags", &stamp, "-o"];
    let mut command = match target.how {
        How::Go(package) => {
            let mut command = Command::new(go);
            command.arg("build").args(flags).arg(program).arg(package);
            command
        }
        How::GoTest(package) => {
            let mut command = Command::new(go);
            command.args(["test", "-c"]).args(flags).arg(program).arg(package);
            command
        }
        How::C(file) => {
            let mut command = Command::new("cc");
            command.args(["-O2", "-static", "-s", "-o"]).arg(program).arg(file);
            command
        }
    };
    command.current_dir(module).env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local").env("GOFLAGS", "-buildvcs=false");
    say(&format!("building {} from its modules", target.name));
    run(target, &mut command, say)?;
    // Files of a module that are wanted beside its program.
    let (list, files): (&[&str], &[&str]) = match target.name {
        "agnhost" => (&["-f", "{{.Dir}}/porter", AGNHOST], &PORTER),
        "policy.test" => (&["-m", "-f", "{{.Dir}}/config/crd/experimental", POLICY_API], &[POLICY_CRD]),
        _ => return Ok(()),
    };
    let output = Command::new(go).arg("list").args(list).current_dir(module).output()?;
    let folder = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    for file in files {
        let bytes = fs::read(folder.join(file)).with_context(|| format!("{}'s {file}", target.name))?;
        fs::write(program.with_file_name(file), bytes)?;
    }
    Ok(())
}

/// Runs a build to its end; `go -v` names each package that it compiles, and downloads, on stderr.
fn run(target: &Target, command: &mut Command, say: fn(&str)) -> Result<()> {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot build {}", target.name))?;
    let Some(errors) = child.stderr.take() else { bail!("the build of {} has no stderr", target.name) };
    let compiled = AtomicUsize::new(0);
    let mut tail = Vec::new();
    let status = std::thread::scope(|scope| {
        let (done, finished) = std::sync::mpsc::channel::<()>();
        scope.spawn({
            let compiled = &compiled;
            move || {
                while finished.recv_timeout(REPORT) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                    let count = compiled.load(Ordering::Relaxed);
                    let all = target.packages.max(count);
                    say(&format!(
                        "  {}: {count} of about {all} packages, {} s",
                        target.name,
                        start.elapsed().as_secs()
                    ));
                }
            }
        });
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            if line.starts_with("go: downloading") {
                continue;
            }
            compiled.fetch_add(1, Ordering::Relaxed);
            tail.push(line);
            if tail.len() > 40 {
                tail.remove(0);
            }
        }
        drop(done);
        child.wait()
    })?;
    ensure!(status.success(), "building {} failed:\n{}", target.name, tail.join("\n"));
    say(&format!("  {}: built in {} s", target.name, start.elapsed().as_secs()));
    Ok(())
}
