//! Leases on disk: every change is decided, written, applied, in that order. The only file I/O of this room.
//!
//! One `write` per change and no fsync: the kernel keeps what was written however the agent dies, and a reboot, which may lose it,
//! ends all pods anyway (the header tells the boot).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use model::Time;
use model::api::{Attached, Detach, Gc, RefusalCode};

use crate::ask::Ask;
use crate::journal::{self, Corrupt, Journal};
use crate::lease::{Plumbed, Record};
use crate::leases::{Decision, IpamError, Leases};
use crate::recover::{PodLink, recover};
use crate::release::{Living, Released};
use crate::space::Space;

/// Name of the journal in the state directory.
pub const JOURNAL: &str = "leases.journal";
const LOCK: &str = "leases.lock";
const NEXT: &str = "leases.journal.new";
/// Where a journal that cannot be believed is kept for a person to look at.
const ASIDE: &str = "leases.journal.corrupt";
/// Records beyond the fewest that would do, after which the journal is written anew.
const SLACK: usize = 2048;

/// Leases, and the file that remembers them.
#[derive(Debug)]
pub struct Ledger {
    leases: Leases,
    directory: PathBuf,
    boot: String,
    file: File,
    /// Octets of whole lines in the file.
    length: u64,
    /// Records in the file.
    records: usize,
    /// A failed write may have left half a line that could not be cut off: the file must be written anew before anything else.
    suspect: bool,
    /// Held as long as the ledger lives: two agents cannot share a state directory.
    _lock: File,
}

/// What was found when the ledger was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opening {
    /// The journal of this boot.
    Continued {
        /// Leases in it.
        leases: usize,
        /// Octets of a last write that was cut short and dropped.
        torn: usize,
    },
    /// A journal of an earlier boot: no pod of it lives, all its leases ended.
    OtherBoot {
        /// Leases that ended.
        ended: usize,
    },
    /// There was no journal; running pods' addresses were taken from the kernel.
    Missing {
        /// Leases recovered.
        recovered: usize,
        /// What could not be taken over, and why.
        left_out: Vec<String>,
    },
    /// The journal cannot be believed; running pods' addresses were taken from the kernel.
    Recovered {
        /// What is wrong: file, line, byte.
        problem: String,
        /// Where the journal is kept.
        aside: PathBuf,
        /// Leases recovered.
        recovered: usize,
        /// What could not be taken over, and why.
        left_out: Vec<String>,
    },
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// No address can be given.
    #[error(transparent)]
    Ipam(#[from] IpamError),
    /// Another agent has the state directory.
    #[error("{0} is in use by another agent (its lock is held)")]
    Locked(PathBuf),
    /// The file system refused.
    #[error("{path}: {doing}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// A record that cannot be written as JSON.
    #[error("a record cannot be written: {0}")]
    Encode(#[from] serde_json::Error),
}

impl LedgerError {
    /// How the caller acts on it.
    pub fn refusal_code(&self) -> RefusalCode {
        match self {
            LedgerError::Ipam(error) => error.refusal_code(),
            LedgerError::Locked(_) | LedgerError::Io { .. } | LedgerError::Encode(_) => RefusalCode::Internal,
        }
    }
}

impl Ledger {
    /// Opens the journal of a state directory, which is made if it is not there.
    ///
    /// `boot` is `/proc/sys/kernel/random/boot_id`. `links` are the pods' host sides in the kernel: they are believed only where
    /// the journal is missing or cannot be.
    pub fn open(directory: &Path, boot: &str, links: &[PodLink]) -> Result<(Ledger, Opening), LedgerError> {
        let boot = boot.trim();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(io_error(directory, "create"))?;
        let lock = lock(directory)?;
        let path = directory.join(JOURNAL);
        let (leases, opening, whole) = match fs::read(&path) {
            Ok(bytes) => read(&bytes, boot, links, directory)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (leases, recovered, left_out) = from_kernel(links);
                (leases, Opening::Missing { recovered, left_out }, None)
            }
            Err(error) => return Err(io_error(&path, "read")(error)),
        };
        let open = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        let file = open.map_err(io_error(&path, "open"))?;
        let mut ledger = Ledger {
            leases,
            directory: directory.to_path_buf(),
            boot: boot.into(),
            file,
            length: 0,
            records: 0,
            suspect: false,
            _lock: lock,
        };
        match whole {
            Some((length, records)) => (ledger.length, ledger.records) = (length, records),
            None => ledger.rewrite()?,
        }
        Ok((ledger, opening))
    }

    /// The leases as they are on record.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// CNI ADD: the lease of an attachment, on record when this returns.
    pub fn attach(&mut self, ask: &Ask, space: &Space) -> Result<Decision, LedgerError> {
        let decision = self.leases.attach(ask, space)?;
        self.commit(&decision.records)?;
        Ok(decision)
    }

    /// The shim has plumbed. False if there is no such lease (it was released meanwhile).
    pub fn attached(&mut self, attached: &Attached) -> Result<bool, LedgerError> {
        let plumbed = Plumbed { host_ifindex: attached.host_ifindex, mac: attached.mac.clone() };
        if let Some(record) = self.leases.plumbed(&attached.attachment, &plumbed) {
            self.commit(&[record])?;
        }
        Ok(self.leases.of(&attached.attachment).is_some())
    }

    /// CNI DEL.
    pub fn detach(&mut self, detach: &Detach) -> Result<Released, LedgerError> {
        let released = self.leases.release(detach);
        self.commit(&released.records)?;
        Ok(released)
    }

    /// CNI GC.
    pub fn gc(&mut self, gc: &Gc) -> Result<Released, LedgerError> {
        let released = self.leases.release_absent(gc);
        self.commit(&released.records)?;
        Ok(released)
    }

    /// Ends the leases of pods that are gone from the kernel.
    pub fn reconcile(&mut self, living: &Living, now: Time) -> Result<Released, LedgerError> {
        let released = self.leases.reconcile(living, now);
        self.commit(&released.records)?;
        Ok(released)
    }

    fn commit(&mut self, records: &[Record]) -> Result<(), LedgerError> {
        if records.is_empty() {
            return Ok(());
        }
        if self.suspect {
            self.rewrite()?;
        }
        let path = self.directory.join(JOURNAL);
        let text = journal::encode(records)?;
        if let Err(error) = self.file.write_all(text.as_bytes()) {
            // Half a line must not stay: a whole line after it would make it corrupt.
            self.suspect = self.file.set_len(self.length).is_err();
            return Err(io_error(&path, "append")(error));
        }
        self.length += text.len() as u64;
        self.records += records.len();
        for record in records {
            self.leases.apply(record.clone());
        }
        if self.records > SLACK + 2 * self.leases.len() {
            // What was asked for is done and on record: a rewrite that fails is tried again with the next change.
            let _ = self.rewrite();
        }
        Ok(())
    }

    /// Writes the fewest records that do into a new file and puts it in the old one's place.
    fn rewrite(&mut self) -> Result<(), LedgerError> {
        let next = self.directory.join(NEXT);
        let path = self.directory.join(JOURNAL);
        let records = self.leases.records();
        let text = journal::header(&self.boot)? + &journal::encode(&records)?;
        match fs::remove_file(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io_error(&next, "remove")(error)),
            Ok(()) | Err(_) => {}
        }
        let open = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&next);
        let mut file = open.map_err(io_error(&next, "create"))?;
        file.write_all(text.as_bytes()).map_err(io_error(&next, "write"))?;
        fs::rename(&next, &path).map_err(io_error(&path, "replace"))?;
        self.file = file;
        (self.length, self.records, self.suspect) = (text.len() as u64, records.len(), false);
        Ok(())
    }
}

/// Leases, what was found, and (where the file may be continued) its length and number of records.
type Read = (Leases, Opening, Option<(u64, usize)>);

fn read(bytes: &[u8], boot: &str, links: &[PodLink], directory: &Path) -> Result<Read, LedgerError> {
    let path = directory.join(JOURNAL);
    let replayed = journal::decode(bytes).and_then(|journal| Ok((replay(&journal)?, journal)));
    let (leases, journal) = match replayed {
        Ok(read) => read,
        Err(corrupt) => {
            let aside = directory.join(ASIDE);
            fs::rename(&path, &aside).map_err(io_error(&path, "keep aside"))?;
            let (leases, recovered, left_out) = from_kernel(links);
            let problem = format!("{}: {corrupt}", path.display());
            return Ok((leases, Opening::Recovered { problem, aside, recovered, left_out }, None));
        }
    };
    if journal.boot != boot {
        return Ok((Leases::default(), Opening::OtherBoot { ended: leases.len() }, None));
    }
    let opening = Opening::Continued { leases: leases.len(), torn: journal.torn };
    let whole = (journal.torn == 0).then_some((journal.whole as u64, journal.records.len()));
    Ok((leases, opening, whole))
}

fn replay(journal: &Journal) -> Result<Leases, Corrupt> {
    let mut leases = Leases::default();
    for (place, record) in &journal.records {
        if let Record::Lease(lease) = record {
            for &address in &lease.addresses {
                let other = leases.holder(address).filter(|holder| {
                    holder.attachment != lease.attachment
                        && !(holder.is_unclaimed() && holder.host_interface == lease.host_interface)
                });
                if let Some(other) = other {
                    let problem = format!("{address} is held by {} already", other.attachment.container_id);
                    return Err(Corrupt { place: *place, problem });
                }
            }
        }
        leases.apply(record.clone());
    }
    Ok(leases)
}

fn from_kernel(links: &[PodLink]) -> (Leases, usize, Vec<String>) {
    let recovery = recover(links);
    let mut leases = Leases::default();
    for record in recovery.records {
        leases.apply(record);
    }
    let recovered = leases.len();
    (leases, recovered, recovery.left_out)
}

fn lock(directory: &Path) -> Result<File, LedgerError> {
    let path = directory.join(LOCK);
    let open = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = open.map_err(io_error(&path, "open"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(LedgerError::Locked(directory.to_path_buf())),
        Err(fs::TryLockError::Error(error)) => Err(io_error(&path, "lock")(error)),
    }
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> LedgerError {
    let path = path.to_path_buf();
    move |source| LedgerError::Io { path, doing, source }
}
