//! Asking the agent: one line out, one line in, within a bounded time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use model::api::{Answer, LINE_LIMIT, Refusal, RefusalCode, Reply, Request};

/// Between two attempts while the agent is away.
const PAUSE: Duration = Duration::from_millis(50);

/// Why there is no answer.
#[derive(Debug)]
pub enum AskError {
    /// Nobody answers, or not in time.
    Away(String),
    /// The agent answered no.
    Refused(Refusal),
}

impl AskError {
    fn is_not_ready(&self) -> bool {
        matches!(self, AskError::Refused(refusal) if refusal.code == RefusalCode::NotReady)
    }
}

/// A conversation with the agent, which may go away and come back meanwhile.
#[derive(Debug)]
pub struct Agent {
    socket: PathBuf,
    until: Instant,
    stream: Option<BufReader<UnixStream>>,
    /// A request was sent whose answer nobody has read.
    begun: bool,
}

impl Agent {
    /// Answers are waited for until `within` from now, over all questions together.
    pub fn new(socket: &Path, within: Duration) -> Agent {
        Agent { socket: socket.to_path_buf(), until: Instant::now() + within, stream: None, begun: false }
    }

    /// Asks once: neither an agent that is away is waited for, nor one that is not ready.
    pub fn once(&mut self, request: &Request) -> Result<Answer, AskError> {
        match self.attempt(request) {
            Ok(Reply::Ok(answer)) => Ok(answer),
            Ok(Reply::Error(refusal)) => Err(AskError::Refused(refusal)),
            Err(error) => {
                self.stream = None;
                Err(AskError::Away(format!("the agent does not answer at {}: {error}", self.socket.display())))
            }
        }
    }

    /// Asks an agent that is there, until it is ready or the time is up.
    pub fn ask(&mut self, request: &Request) -> Result<Answer, AskError> {
        self.until(request, |error| error.is_not_ready())
    }

    /// Asks until there is an answer or the time is up. Every request may be repeated: the agent answers alike.
    pub fn persist(&mut self, request: &Request) -> Result<Answer, AskError> {
        self.until(request, |error| error.is_not_ready() || matches!(error, AskError::Away(_)))
    }

    fn until(&mut self, request: &Request, again: impl Fn(&AskError) -> bool) -> Result<Answer, AskError> {
        loop {
            match self.once(request) {
                Err(error) if again(&error) && Instant::now() + PAUSE < self.until => std::thread::sleep(PAUSE),
                answer => return answer,
            }
        }
    }

    /// Sends a request whose answer [`Agent::finish`] fetches, so that both sides work meanwhile.
    pub fn begin(&mut self, request: &Request) {
        // Where that fails, `finish` begins anew.
        self.begun = self.send(request).is_ok();
    }

    /// The answer to the request that [`Agent::begin`] sent; asks again where none comes, as [`Agent::persist`] does.
    pub fn finish(&mut self, request: &Request) -> Result<Answer, AskError> {
        if std::mem::take(&mut self.begun) {
            match self.receive() {
                Ok(Reply::Ok(answer)) => return Ok(answer),
                Ok(Reply::Error(refusal)) if refusal.code != RefusalCode::NotReady => {
                    return Err(AskError::Refused(refusal));
                }
                Ok(Reply::Error(_)) => {}
                Err(_) => self.stream = None,
            }
        }
        self.persist(request)
    }

    fn attempt(&mut self, request: &Request) -> io::Result<Reply> {
        self.send(request)?;
        self.receive()
    }

    fn send(&mut self, request: &Request) -> io::Result<()> {
        let left = self.until.saturating_duration_since(Instant::now()).max(PAUSE);
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => none.insert(BufReader::new(UnixStream::connect(&self.socket)?)),
        };
        stream.get_ref().set_read_timeout(Some(left))?;
        stream.get_ref().set_write_timeout(Some(left))?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        stream.get_mut().write_all(&line)
    }

    fn receive(&mut self) -> io::Result<Reply> {
        let hung_up = || io::Error::new(io::ErrorKind::UnexpectedEof, "it hung up");
        let stream = self.stream.as_mut().ok_or_else(hung_up)?;
        let mut reply = Vec::new();
        stream.take(LINE_LIMIT as u64).read_until(b'\n', &mut reply)?;
        if reply.last() != Some(&b'\n') {
            return Err(hung_up());
        }
        serde_json::from_slice(&reply).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}
