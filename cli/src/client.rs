//! Asking the agent: one line out, one line in.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use model::api::show::{BgpRoutes, InstalledPage, InstalledRouteView, RoutePage, RouteView};
use model::api::{Answer, Reply, Request, Show};
use serde::de::DeserializeOwned;

/// An agent answers within milliseconds, or it hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A way to one agent. Connects when it first asks.
pub struct Client {
    socket: PathBuf,
    connection: Option<BufReader<UnixStream>>,
}

impl Client {
    pub fn new(socket: &Path) -> Client {
        Client { socket: socket.to_path_buf(), connection: None }
    }

    /// Asks for a view.
    pub fn show<T: DeserializeOwned>(&mut self, show: Show) -> anyhow::Result<T> {
        match self.ask(&Request::Show(show))? {
            Reply::Ok(Answer::Show(value)) => {
                serde_json::from_value(value).context("the agent's answer is of another version than margayctl")
            }
            Reply::Ok(_) => bail!("the agent answered another question: is it of another version than margayctl?"),
            Reply::Error(refusal) => Err(anyhow!(refusal.message)),
        }
    }

    /// Wants something done.
    pub fn order(&mut self, request: &Request) -> anyhow::Result<()> {
        match self.ask(request)? {
            Reply::Ok(_) => Ok(()),
            Reply::Error(refusal) => Err(anyhow!(refusal.message)),
        }
    }

    /// All pages of a table of the speaker's.
    pub fn routes(&mut self, mut question: BgpRoutes) -> anyhow::Result<Vec<RouteView>> {
        let mut routes = Vec::new();
        loop {
            let page: RoutePage = self.show(Show::BgpRoutes(question.clone()))?;
            routes.extend(page.routes);
            match page.next {
                Some(next) => question.after = Some(next),
                None => return Ok(routes),
            }
        }
    }

    /// All pages of the routes for the kernel.
    pub fn installed(&mut self) -> anyhow::Result<Vec<InstalledRouteView>> {
        let mut routes = Vec::new();
        let mut after = None;
        loop {
            let page: InstalledPage = self.show(Show::Routes { after })?;
            routes.extend(page.routes);
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(routes),
            }
        }
    }

    fn ask(&mut self, request: &Request) -> anyhow::Result<Reply> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => {
                let stream = connect(&self.socket).map_err(|e| unreachable(&self.socket, &e))?;
                none.insert(BufReader::new(stream))
            }
        };
        let lost = || format!("the agent at {} did not answer", self.socket.display());
        connection.get_mut().write_all(&line).with_context(lost)?;
        let mut reply = Vec::new();
        connection.read_until(b'\n', &mut reply).with_context(lost)?;
        if reply.is_empty() {
            bail!("{}: it closed the connection", lost());
        }
        serde_json::from_slice(&reply).context("the agent's answer is of another version than margayctl")
    }
}

fn connect(socket: &Path) -> io::Result<UnixStream> {
    let stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// What went wrong, and what to do about it.
fn unreachable(socket: &Path, error: &io::Error) -> anyhow::Error {
    let hint = match error.kind() {
        ErrorKind::NotFound => "is margay-agent running on this node? --socket says where else to ask",
        ErrorKind::ConnectionRefused => "margay-agent has ended: its log says why",
        ErrorKind::PermissionDenied => "only root may ask: try sudo",
        _ => "--socket says where else to ask",
    };
    anyhow!("cannot reach the agent at {}: {error}: {hint}", socket.display())
}
