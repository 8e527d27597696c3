//! The unix socket under polite and impolite clients.

#![allow(clippy::expect_used, reason = "a test ends where something unexpected happens")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use agent::serve::socket;
use model::api::{Answer, LINE_LIMIT, RefusalCode, Reply, Request};
use tempfile::TempDir;

/// A socket on which STATUS is answered, and nothing else is.
struct Served {
    directory: TempDir,
    _runtime: tokio::runtime::Runtime,
}

impl Served {
    fn new() -> Served {
        let directory = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let path = directory.path().join("run/agent.sock");
        let listener = runtime.block_on(async { socket::listen(&path) }).expect("a socket");
        runtime.spawn(socket::serve(listener, |request| async move {
            match request {
                Request::Status => Reply::Ok(Answer::Done),
                other => panic!("asked for {other:?}"),
            }
        }));
        Served { directory, _runtime: runtime }
    }
    fn path(&self) -> PathBuf {
        self.directory.path().join("run/agent.sock")
    }
    fn connect(&self) -> Client {
        let stream = UnixStream::connect(self.path()).expect("a connection");
        Client { reader: BufReader::new(stream.try_clone().expect("a clone")), stream }
    }
}

struct Client {
    stream: UnixStream,
    reader: BufReader<UnixStream>,
}

impl Client {
    fn send(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).expect("written");
    }
    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.reader.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).expect("a reply")
    }
    fn refused(&mut self) -> (RefusalCode, String) {
        match self.reply() {
            Reply::Error(refusal) => (refusal.code, refusal.message),
            other => panic!("{other:?}"),
        }
    }
}

const STATUS: &[u8] = b"\"status\"\n";

#[test]
fn one_connection_carries_many_requests() {
    let served = Served::new();
    let mut client = served.connect();
    client.send(STATUS);
    assert_eq!(client.reply(), Reply::Ok(Answer::Done));
    client.send(&[STATUS, STATUS].concat());
    assert_eq!(client.reply(), Reply::Ok(Answer::Done));
    assert_eq!(client.reply(), Reply::Ok(Answer::Done));
}

#[test]
fn a_line_that_is_no_request_is_refused_and_the_next_one_served() {
    let served = Served::new();
    let mut client = served.connect();
    for bad in [&b"hello\n"[..], b"{\"fly\":{}}\n", b"\n", b"\xff\xfe\n", b"{\"attach\":{}}\n"] {
        client.send(bad);
        let (code, message) = client.refused();
        assert_eq!(code, RefusalCode::Invalid);
        assert!(message.starts_with("not a request: "), "{message}");
    }
    client.send(STATUS);
    assert_eq!(client.reply(), Reply::Ok(Answer::Done));
}

#[test]
fn a_line_without_end_is_cut_off_at_the_limit() {
    let served = Served::new();
    let mut client = served.connect();
    client.send(&vec![b' '; LINE_LIMIT + 1]);
    let (code, message) = client.refused();
    let bound = format!("a request has at most {LINE_LIMIT} octets");
    assert_eq!((code, message), (RefusalCode::Invalid, bound));
    // Closed: in order, or with what was not read.
    assert!(matches!(client.reader.read(&mut [0]), Ok(0) | Err(_)));
}

#[test]
fn a_client_that_says_half_a_line_holds_up_nobody() {
    let served = Served::new();
    let mut silent: Vec<Client> = (0..200).map(|_| served.connect()).collect();
    for client in &mut silent {
        client.send(b"\"sta");
    }
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let mut client = served.connect();
            thread::spawn(move || {
                client.send(STATUS);
                client.reply()
            })
        })
        .collect();
    for client in clients {
        assert_eq!(client.join().expect("an answer"), Reply::Ok(Answer::Done));
    }
}

#[tokio::test]
async fn only_root_may_open_the_socket_and_its_directory_is_made() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a/b/agent.sock");
    let _listener = socket::listen(&path).expect("a socket");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn a_socket_left_by_a_killed_agent_is_replaced_and_a_living_agents_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("agent.sock");
    drop(StdListener::bind(&path).expect("a socket"));
    let listener = socket::listen(&path).expect("the dead one is replaced");
    let error = socket::listen(&path).expect_err("somebody answers there");
    assert_eq!(error.to_string(), "another agent answers there");
    drop(listener);
    let file = directory.path().join("file");
    fs::write(&file, "precious").expect("written");
    assert_eq!(socket::listen(&file).expect_err("is a file").to_string(), "is there and is not a socket");
    assert_eq!(fs::read(&file).expect("still there"), b"precious");
}
