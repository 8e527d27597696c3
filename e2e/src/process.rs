//! Processes that outlive the program that started them, found again by file and ended without mistaking another for them.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::netns::Netns;
use crate::wait;

/// A process of a lab. A pid is used again by others, the time of its start is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// What the lab calls it: `n1-agent`.
    pub name: String,
    /// Its pid.
    pub pid: i32,
    /// Field 22 of `/proc/PID/stat`: clock ticks after boot.
    started: u64,
    file: PathBuf,
}

impl Process {
    /// Starts `command` in `netns` in a process group of its own, with its output going to `log`, and writes `folder/name`.
    pub fn start(folder: &Path, name: &str, netns: &Netns, log: &Path, command: &mut Command) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let open = || File::options().create(true).append(true).open(log);
        let (out, err) = (open(), open());
        let context = || format!("cannot write {}", log.display());
        command.stdin(Stdio::null()).process_group(0);
        command.stdout(out.with_context(context)?).stderr(err.with_context(context)?);
        let program = command.get_program().to_string_lossy().into_owned();
        let child = netns.run(|| command.spawn().with_context(|| format!("cannot run {program}")))?;
        let pid = i32::try_from(child.id())?;
        let started = started(pid).ok_or_else(|| anyhow!("{program} ended at once; see {}", log.display()))?;
        let process = Self { name: name.into(), pid, started, file: folder.join(name) };
        fs::write(&process.file, format!("{pid} {started}\n"))?;
        Ok(process)
    }

    /// Reads back all that [`Process::start`] wrote into `folder`.
    pub fn all(folder: &Path) -> Result<Vec<Self>> {
        let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for entry in entries {
            let file = entry?.path();
            let text = fs::read_to_string(&file)?;
            let mut words = text.split_whitespace();
            let (Some(pid), Some(started)) = (words.next(), words.next()) else { continue };
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            found.push(Self { name, pid: pid.parse()?, started: started.parse()?, file });
        }
        Ok(found)
    }

    /// Whether this very process still runs.
    pub fn runs(&self) -> bool {
        started(self.pid) == Some(self.started)
    }

    /// Sends a signal, if it still runs.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid)
            && self.runs()
        {
            kill_process(pid, signal).ok();
        }
    }

    /// SIGTERM, and SIGKILL for one that does not listen.
    pub fn stop(self) -> Result<()> {
        self.signal(Signal::TERM);
        if self.wait(Duration::from_secs(3)).is_err() {
            self.kill()?;
        }
        self.forget()
    }

    /// SIGKILL, and waits until it is gone.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL);
        self.wait(Duration::from_secs(5))
    }

    /// SIGKILL to it and to the processes it has started, and waits until it is gone.
    pub fn kill_group(&self) -> Result<()> {
        if let Some(group) = Pid::from_raw(self.pid)
            && self.runs()
        {
            kill_process_group(group, Signal::KILL).ok();
        }
        self.wait(Duration::from_secs(5))
    }

    /// Waits until it is gone.
    pub fn wait(&self, within: Duration) -> Result<()> {
        wait::until(within, &format!("end of {} (pid {})", self.name, self.pid), || {
            if self.runs() { Err(anyhow!("it still runs")) } else { Ok(()) }
        })
    }

    fn forget(&self) -> Result<()> {
        fs::remove_file(&self.file).with_context(|| format!("cannot remove {}", self.file.display()))
    }
}

/// When the process started; none if there is none, or only its remains. A zombie with threads has not yet closed its files.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = after_name.split(' ').collect();
    let (state, threads, started) = (fields.first()?, fields.get(17)?, fields.get(19)?);
    if *state == "X" || (*state == "Z" && matches!(*threads, "0" | "1")) {
        return None;
    }
    started.parse().ok()
}
