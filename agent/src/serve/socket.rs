//! The unix socket: one JSON object a line, a request, then its reply ([`model::api`]).
//!
//! Only the agent's own user (root) may ask. A line that is too long ends its connection; a line that is not a request
//! is refused and the next one read.

use std::fs;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::api::{LINE_LIMIT, Refusal, RefusalCode, Reply, Request};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::{debug, warn};

/// Connections served at a time; more wait in the kernel's backlog.
const CONNECTIONS: usize = 256;
/// How long a connection may say nothing, and how long it may refuse to read its reply.
const IDLE: Duration = Duration::from_secs(60);
/// Octets of a request that a connection keeps room for.
const USUAL: usize = 64 << 10;
/// Rest after `accept` failed.
const ACCEPT_REST: Duration = Duration::from_millis(200);

/// Opens the socket at `path`, mode 0600, making its directory if need be. A socket that nobody listens on any more is
/// replaced.
///
/// # Errors
/// `AddrInUse` if another agent answers there, `AlreadyExists` if `path` is something other than a socket.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent().filter(|d| !d.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)?;
    }
    match fs::symlink_metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e),
        Ok(there) if !there.file_type().is_socket() => {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "is there and is not a socket"));
        }
        Ok(_) if StdUnixStream::connect(path).is_ok() => {
            return Err(io::Error::new(ErrorKind::AddrInUse, "another agent answers there"));
        }
        Ok(_) => fs::remove_file(path)?,
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Answers all who connect, for ever. The future of a request is dropped if its asker goes away.
pub async fn serve<A, F>(listener: UnixListener, answer: A)
where
    A: Fn(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Reply> + Send,
{
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                warn!(%error, "cannot accept a connection on the socket");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        if !is_own_user(&stream) {
            warn!("a process of another user was refused on the socket");
            continue;
        }
        let answer = answer.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, answer).await {
                debug!(%error, "connection on the socket ended");
            }
            drop(place);
        });
    }
}

fn is_own_user(stream: &UnixStream) -> bool {
    let own = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

async fn converse<A, F>(stream: UnixStream, answer: A) -> io::Result<()>
where
    A: Fn(Request) -> F,
    F: Future<Output = Reply>,
{
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    // One octet more than a line may have, to see that it has.
    let longest = LINE_LIMIT as u64 + 1;
    loop {
        line.clear();
        let read = timeout(IDLE, (&mut reader).take(longest).read_until(b'\n', &mut line)).await;
        if read?? == 0 {
            return Ok(());
        }
        let too_long = line.len() > LINE_LIMIT;
        let reply = match serde_json::from_slice(&line) {
            _ if too_long => invalid(format!("a request has at most {LINE_LIMIT} octets")),
            Ok(request) => answer(request).await,
            Err(error) => invalid(format!("not a request: {error}")),
        };
        let mut reply = serde_json::to_vec(&reply).map_err(io::Error::other)?;
        reply.push(b'\n');
        timeout(IDLE, writer.write_all(&reply)).await??;
        if too_long {
            return Ok(());
        }
        if line.capacity() > USUAL {
            // A connection that asked once for a plan does not keep the room for another.
            line = Vec::new();
        }
    }
}

fn invalid(message: String) -> Reply {
    Reply::Error(Refusal { code: RefusalCode::Invalid, message })
}
