//! The images that every node imports: there is no registry to pull them from.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build::PORTER;
use crate::debian::Debian;
use crate::image::Image;
use crate::plan::Plan;

/// The first process of every pod.
pub const PAUSE: &str = "margay.test/pause:1";
/// busybox, agnhost, curl, dig and nc.
pub const TOOLS: &str = "margay.test/tools:1";
/// The cluster's DNS.
pub const COREDNS: &str = "margay.test/coredns:1";
/// A web server, as ingress proxy.
pub const NGINX: &str = "margay.test/nginx:1";
/// What the upstream specs call images of such content.
const UPSTREAM: [&str; 3] = [
    "registry.k8s.io/e2e-test-images/agnhost:2.56",
    "registry.k8s.io/e2e-test-images/agnhost:2.45",
    "registry.k8s.io/e2e-test-images/jessie-dnsutils:1.7",
];
const UPSTREAM_PAUSE: &str = "registry.k8s.io/pause:3.10.1";
/// Programs that are in the tools image themselves; of the rest busybox has an applet.
const REAL: [&str; 7] = ["sh", "bash", "curl", "dig", "nc", "ip", "getent"];

/// Packs those that are missing or older than what they are made of.
pub fn pack(plan: &Plan, debian: &Debian, say: fn(&str)) -> Result<()> {
    let (folder, programs) = (plan.images(), plan.programs());
    fs::create_dir_all(&folder)?;
    let fresh = |name: &str, from: &[&str]| {
        let made = fs::metadata(folder.join(name)).and_then(|data| data.modified()).ok();
        let newer = |program: &&str| fs::metadata(programs.join(program)).and_then(|data| data.modified()).ok() > made;
        made.is_some() && !from.iter().any(newer)
    };
    if !fresh("pause.tar", &["pause"]) {
        let mut image = Image::new(&[PAUSE, UPSTREAM_PAUSE], &["/bin/pause"]);
        image.file("bin/pause", &programs.join("pause"));
        image.pack(&folder.join("pause.tar"))?;
    }
    if !fresh("coredns.tar", &["coredns"]) {
        let mut image = Image::new(&[COREDNS], &["/bin/coredns"]);
        image.file("bin/coredns", &programs.join("coredns"));
        image.pack(&folder.join("coredns.tar"))?;
    }
    if !fresh("nginx.tar", &[]) {
        let mut image = Image::new(&[NGINX], &["/bin/nginx"]);
        image.program("bin/nginx", &debian.program("nginx")?, debian)?;
        image.text("var/log/nginx/error.log", "");
        image.text("usr/share/nginx/empty", "");
        image.pack(&folder.join("nginx.tar"))?;
    }
    if !fresh("tools.tar", &["agnhost", "sctp"]) {
        say("packing the test image");
        tools(&programs, debian)?.pack(&folder.join("tools.tar"))?;
    }
    Ok(())
}

fn tools(programs: &Path, debian: &Debian) -> Result<Image> {
    let mut image = Image::new(&[&[TOOLS], &UPSTREAM[..]].concat(), &["/agnhost"]);
    image.command = vec!["pause".into()];
    // It becomes the other one for all that has nothing to do with SCTP.
    image.file("agnhost", &programs.join("sctp"));
    image.file("bin/agnhost", &programs.join("agnhost"));
    image.link("agnhost-2", "agnhost");
    for file in PORTER {
        image.file(file, &programs.join(file));
    }
    let busybox = debian.program("busybox")?;
    image.file("bin/busybox", &busybox);
    let list = Command::new(&busybox).arg("--list").output().context("busybox --list")?;
    let applets = String::from_utf8_lossy(&list.stdout).into_owned();
    for applet in applets.lines().filter(|applet| *applet != "busybox" && !REAL.contains(applet)) {
        image.link(&format!("bin/{applet}"), "busybox");
    }
    // agnhost's specs write scripts for bash, and `nc -u`, which busybox has not.
    image.link("bin/sh", "bash");
    for name in REAL.iter().filter(|name| **name != "sh") {
        let package = if *name == "nc" { "nc.openbsd" } else { name };
        let program = fs::canonicalize(debian.program(package)?)?;
        image.program(&format!("bin/{name}"), &program, debian)?;
    }
    Ok(image)
}
