//! The program as a user runs it: exit status, errors with a next step, and an agent at the other end of a socket.

#![allow(clippy::expect_used, reason = "a test ends where something unexpected happens")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};

use model::api::show::{BgpRoutes, InstalledPage, InstalledRouteView, RouteKind, RouteSource};
use model::api::{Answer, Refusal, RefusalCode, Reply, Request, Show};
use serde_json::{Value, json};

fn margayctl(socket: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_margayctl"));
    let Output { status, stdout, stderr } =
        command.arg("--socket").arg(socket).args(arguments).output().expect("the program runs");
    let text = |octets| String::from_utf8(octets).expect("text");
    (status.code().expect("not killed"), text(stdout), text(stderr))
}

/// An agent that answers one connection.
fn agent(directory: &Path, answer: impl Fn(Show) -> Reply + Send + 'static) -> std::path::PathBuf {
    let path = directory.join("agent.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let lines = BufReader::new(stream.try_clone().expect("a clone")).lines();
        for line in lines.map_while(Result::ok) {
            let Ok(Request::Show(show)) = serde_json::from_str(&line) else { panic!("{line}") };
            let reply = serde_json::to_string(&answer(show)).expect("JSON");
            // The client may have seen enough.
            drop(writeln!(stream, "{reply}"));
        }
    });
    path
}

#[test]
fn without_an_agent_the_error_says_what_to_do() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("agent.sock");
    let (status, stdout, stderr) = margayctl(&socket, &["node", "status"]);
    assert_eq!((status, stdout.as_str()), (1, ""));
    assert!(stderr.contains("is margay-agent running on this node?"), "{stderr}");
    drop(UnixListener::bind(&socket).expect("a socket"));
    let (_, _, stderr) = margayctl(&socket, &["node", "status"]);
    assert!(stderr.contains("margay-agent has ended"), "{stderr}");
}

#[test]
fn an_agents_refusal_is_printed_and_fails() {
    let directory = tempfile::tempdir().expect("a directory");
    let refusal = Refusal { code: RefusalCode::Internal, message: "out of words".into() };
    let socket = agent(directory.path(), move |_| Reply::Error(refusal.clone()));
    assert_eq!(margayctl(&socket, &["pod", "list"]), (1, String::new(), "margayctl: out of words\n".into()));
}

#[test]
fn a_long_table_is_asked_for_page_by_page_and_printed_as_one_list() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = agent(directory.path(), |show| {
        let Show::Routes { after } = show else { panic!("{show:?}") };
        let route = |prefix: &str| InstalledRouteView {
            prefix: prefix.parse().expect("a prefix"),
            next_hops: vec![],
            interfaces: vec![],
            kind: RouteKind::Blackhole,
            protocol: RouteSource::Block,
            tunnel: None,
            tunnel_reason: String::new(),
            installed: true,
            reason: String::new(),
        };
        let page = match after.map(|p| p.to_string()).as_deref() {
            None => InstalledPage { routes: vec![route("10.0.0.0/24")], next: "10.0.0.0/24".parse().ok() },
            Some("10.0.0.0/24") => InstalledPage { routes: vec![route("10.0.1.0/24")], next: None },
            other => panic!("{other:?}"),
        };
        Reply::Ok(Answer::Show(json!(page)))
    });
    let (status, stdout, stderr) = margayctl(&socket, &["route", "list", "-o", "json"]);
    assert_eq!((status, stderr.as_str()), (0, ""));
    let list: Value = serde_json::from_str(&stdout).expect("JSON");
    let prefixes: Vec<&Value> = list.as_array().expect("a list").iter().map(|r| &r["prefix"]).collect();
    assert_eq!(prefixes, ["10.0.0.0/24", "10.0.1.0/24"]);
}

#[test]
fn what_was_asked_arrives_at_the_agent() {
    let directory = tempfile::tempdir().expect("a directory");
    let socket = agent(directory.path(), |show| {
        let Show::BgpRoutes(BgpRoutes { table, peer, within, .. }) = show else { panic!("{show:?}") };
        let said = format!("{table:?} {peer:?} {within:?}");
        Reply::Error(Refusal { code: RefusalCode::Invalid, message: said })
    });
    let asked = ["bgp", "routes", "advertised", "--peer", "10.0.0.1", "--prefix", "10.1.0.0/16"];
    assert_eq!(margayctl(&socket, &asked).2, "margayctl: Advertised Some(10.0.0.1) Some(10.1.0.0/16)\n");
}

#[test]
fn check_needs_no_agent_and_its_exit_status_tells() {
    let directory = tempfile::tempdir().expect("a directory");
    let nowhere = directory.path().join("agent.sock");
    let file = directory.path().join("pool.yaml");
    let objects = directory.path().to_str().expect("text");
    let pool = "apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: {name: p}\nspec: {cidr: 10.0.0.0/16}\n";
    fs::write(&file, pool).expect("written");
    assert_eq!(margayctl(&nowhere, &["check", objects]).0, 0);
    fs::write(&file, pool.replace("cidr", "cdir")).expect("written");
    let (status, stdout, _) = margayctl(&nowhere, &["check", objects]);
    assert_eq!(status, 1);
    assert!(stdout.contains("pool.yaml: IPPool/p: spec.cdir: "), "{stdout}");
    let (status, stdout, _) = margayctl(&nowhere, &["check", objects, "-o", "json"]);
    let findings: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!((status, &findings["errors"][0]["field"]), (1, &json!("spec.cdir")));
    assert_eq!(margayctl(&nowhere, &["check", "/nonexistent"]).0, 1);
}

#[test]
fn a_wrong_command_line_is_status_2() {
    let nowhere = Path::new("/nonexistent");
    assert_eq!(margayctl(nowhere, &["bgp", "routes", "refused"]).0, 2);
    assert_eq!(margayctl(nowhere, &["route", "why", "10.0.0.1/24"]).0, 2);
}

#[test]
fn completion_and_man_pages_come_from_the_command_line() {
    let directory = tempfile::tempdir().expect("a directory");
    let nowhere = Path::new("/nonexistent");
    for shell in ["bash", "zsh", "fish"] {
        let (status, stdout, _) = margayctl(nowhere, &["completion", shell]);
        assert!(status == 0 && stdout.contains("margayctl"), "{shell}");
    }
    let man = directory.path().join("man");
    assert_eq!(margayctl(nowhere, &["man", man.to_str().expect("text")]).0, 0);
    let page = fs::read_to_string(man.join("margayctl-route-why.1")).expect("a page for each command");
    assert!(page.contains(".TH"), "{page}");
}
