//! Entering a network namespace, on a thread of its own.
//!
//! Which namespace a thread is in is a property of the thread; a socket stays where it was opened. So nobody else's
//! thread is ever moved: work in another namespace runs on a thread that ends with the work.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};

/// Why a network namespace could not be entered.
#[derive(Debug, thiserror::Error)]
pub enum NetnsError {
    /// There is no such file, or it can't be opened.
    #[error("network namespace {path}: {error}")]
    Open {
        /// As given.
        path: PathBuf,
        /// Of open(2).
        error: io::Error,
    },
    /// The file is no network namespace, or the process may not enter it.
    #[error("cannot enter the network namespace: {0}")]
    Enter(io::Error),
    /// No thread could be had.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The work itself panicked.
    #[error("the work in the network namespace panicked")]
    Panicked,
}

/// A network namespace held open.
#[derive(Debug)]
pub struct Netns(File);

impl Netns {
    /// By path, such as `/run/netns/NAME` or `/proc/PID/ns/net`.
    pub fn open(path: &Path) -> Result<Netns, NetnsError> {
        File::open(path).map(Netns).map_err(|error| NetnsError::Open { path: path.to_path_buf(), error })
    }

    /// That of the calling thread.
    pub fn current() -> Result<Netns, NetnsError> {
        Netns::open(Path::new("/proc/thread-self/ns/net"))
    }

    /// Moves the calling thread, for good: for a program of one thread, or a thread that is about to end.
    pub fn enter(&self) -> Result<(), NetnsError> {
        // SAFETY: setns(2) takes plain numbers, and the descriptor is open as long as `self`.
        #[allow(unsafe_code)]
        let result = unsafe { libc::setns(self.0.as_raw_fd(), libc::CLONE_NEWNET) };
        if result < 0 { Err(NetnsError::Enter(io::Error::last_os_error())) } else { Ok(()) }
    }

    /// Runs `work` inside, on a thread that ends with it.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetnsError> {
        std::thread::scope(|scope| {
            let inside = || self.enter().map(|()| work());
            let thread = std::thread::Builder::new()
                .name("netns".into())
                .spawn_scoped(scope, inside)
                .map_err(NetnsError::Thread)?;
            thread.join().map_err(|_| NetnsError::Panicked)?
        })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Moves the calling thread into a network namespace made for it, which goes when its last thread and descriptor do.
pub fn unshare() -> Result<Netns, NetnsError> {
    // SAFETY: unshare(2) takes a plain number; CLONE_NEWNET concerns the calling thread only.
    #[allow(unsafe_code)]
    let result = unsafe { libc::unshare(libc::CLONE_NEWNET) };
    if result < 0 { Err(NetnsError::Enter(io::Error::last_os_error())) } else { Netns::current() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces() -> usize {
        std::fs::read_to_string("/proc/thread-self/net/dev").unwrap().lines().skip(2).count()
    }

    #[test]
    fn work_in_another_namespace_leaves_the_caller_where_it_was() {
        std::thread::spawn(|| {
            let fresh = unshare().unwrap();
            Netns::open(Path::new("/proc/self/ns/net")).unwrap().enter().unwrap();
            let outside = interfaces();
            assert_eq!(fresh.run(interfaces).unwrap(), 1, "a fresh namespace has lo only");
            assert_eq!(interfaces(), outside);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn a_file_that_is_no_namespace_is_an_error_that_names_it() {
        let error = Netns::open(Path::new("/nonexistent/ns")).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/ns"), "{error}");
        let file = Netns::open(Path::new("/proc/self/status")).unwrap();
        assert!(matches!(file.run(|| ()), Err(NetnsError::Enter(_))));
    }
}
