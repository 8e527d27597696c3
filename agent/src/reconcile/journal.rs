//! Recording facts: one line of JSON each, from which [`crate::replay`] makes the same plans again.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use model::Time;

use crate::fact::{Fact, Recorded};

/// The longest recording in octets; then it ends with a word in the log.
const LIMIT: u64 = 4 << 30;

/// A file that facts are written to.
pub struct Recorder {
    file: BufWriter<File>,
    written: u64,
}

impl Recorder {
    /// Begins a recording; what the file held is gone.
    pub fn create(path: &Path) -> io::Result<Recorder> {
        Ok(Recorder { file: BufWriter::new(File::create(path)?), written: 0 })
    }

    /// Writes a fact down. A recording that fails stops, the agent does not.
    pub fn write(&mut self, at: Time, fact: &Fact) {
        if self.written > LIMIT {
            return;
        }
        let line = serde_json::to_vec(&Recorded { at, fact: fact.clone() }).map_err(io::Error::from);
        let outcome = line.and_then(|mut line| {
            line.push(b'\n');
            self.file.write_all(&line)?;
            // A kill -9 must not cost the last lines: they are the ones that matter.
            self.file.flush()?;
            Ok(line.len() as u64)
        });
        match outcome {
            Ok(octets) => self.written += octets,
            Err(error) => {
                tracing::error!(%error, "the recording ends here");
                self.written = u64::MAX;
            }
        }
    }
}
