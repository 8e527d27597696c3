//! The journal's text: a header, then one record a line, each with its checksum. Pure; the file itself is the ledger's.
//!
//! ```text
//! 6b1f0c2ad3e84711 {"margayLeases":1,"boot":"5b0cc1a8-…"}
//! 0f3d92ab55c1e7d2 {"lease":{"containerId":"…","ifname":"eth0",…}}
//! ```
//! A line is whole or it is not there: a write cut short by a kill leaves a last line without its newline, and that line was
//! never answered for. Anything else that does not read is corruption, and is told by line and octet.

use serde::{Deserialize, Serialize};

use crate::lease::Record;

/// The version of this format.
const VERSION: u32 = 1;
/// Hexadecimal digits of a checksum.
const SUM_DIGITS: usize = 16;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    margay_leases: u32,
    boot: String,
}

/// A journal, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Journal {
    /// Boot id under which it was begun: after another boot no pod of it lives.
    pub boot: String,
    /// Its records, in order, each with its place.
    pub records: Vec<(Place, Record)>,
    /// Octets up to the end of the last whole line.
    pub whole: usize,
    /// Octets after it: a write that was cut short, never answered for.
    pub torn: usize,
}

/// Where in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// Octets before the line.
    pub byte: usize,
}

/// A journal that cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}, byte {}: {problem}", place.line, place.byte)]
pub struct Corrupt {
    /// Where.
    pub place: Place,
    /// What is wrong there.
    pub problem: String,
}

/// The first line of a journal.
pub fn header(boot: &str) -> Result<String, serde_json::Error> {
    serde_json::to_string(&Header { margay_leases: VERSION, boot: boot.into() }).map(|json| line(&json))
}

/// Records as lines, to be written in one piece.
pub fn encode(records: &[Record]) -> Result<String, serde_json::Error> {
    records.iter().map(|record| serde_json::to_string(record).map(|json| line(&json))).collect()
}

/// Reads a journal.
pub fn decode(bytes: &[u8]) -> Result<Journal, Corrupt> {
    let mut place = Place { line: 1, byte: 0 };
    let whole = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let (lines, torn) = bytes.split_at_checked(whole).unwrap_or((bytes, &[]));
    let mut boot = None;
    let mut records = Vec::new();
    for text in lines.split_inclusive(|&b| b == b'\n') {
        let corrupt = |problem: String| Corrupt { place, problem };
        let json = checked(text).map_err(corrupt)?;
        if boot.is_none() {
            let header: Header =
                serde_json::from_slice(json).map_err(|e| corrupt(format!("not a journal of leases: {e}")))?;
            if header.margay_leases != VERSION {
                return Err(corrupt(format!("version {}, but this program reads {VERSION}", header.margay_leases)));
            }
            boot = Some(header.boot);
        } else {
            records.push((place, serde_json::from_slice(json).map_err(|e| corrupt(format!("not a record: {e}")))?));
        }
        place = Place { line: place.line + 1, byte: place.byte + text.len() };
    }
    let boot = boot.ok_or_else(|| Corrupt { place, problem: "the header is missing".into() })?;
    Ok(Journal { boot, records, whole, torn: torn.len() })
}

fn checked(line: &[u8]) -> Result<&[u8], String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let (sum, rest) = line.split_at_checked(SUM_DIGITS).ok_or("shorter than a checksum")?;
    let json = rest.strip_prefix(b" ").ok_or("no space after the checksum")?;
    let told = std::str::from_utf8(sum)
        .ok()
        .and_then(|s| u64::from_str_radix(s, 16).ok())
        .ok_or("the checksum is not hexadecimal")?;
    let found = sum64(json);
    if told == found {
        Ok(json)
    } else {
        Err(format!("the checksum is {told:016x}, but the record sums to {found:016x}"))
    }
}

fn line(json: &str) -> String {
    format!("{:016x} {json}\n", sum64(json.as_bytes()))
}

/// FNV-1a, 64 bits: finds damage, not malice; only root can write the file.
fn sum64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::api::Attachment;

    fn release(container: &str) -> Record {
        Record::Release { attachment: Attachment { container_id: container.into(), ifname: "eth0".into() } }
    }

    fn text(records: &[Record]) -> String {
        header("boot-1").unwrap() + &encode(records).unwrap()
    }

    #[test]
    fn a_journal_reads_back() {
        let journal = decode(text(&[release("a"), release("b")]).as_bytes()).unwrap();
        assert_eq!(journal.boot, "boot-1");
        assert_eq!(journal.torn, 0);
        let records: Vec<Record> = journal.records.into_iter().map(|(_, r)| r).collect();
        assert_eq!(records, [release("a"), release("b")]);
    }

    #[test]
    fn a_write_cut_at_any_octet_loses_only_itself() {
        let before = text(&[release("a")]);
        let after = text(&[release("a"), release("b")]);
        for cut in before.len()..after.len() {
            let journal = decode(&after.as_bytes()[..cut]).unwrap();
            assert_eq!(journal.records.len(), 1, "cut at {cut}");
            assert_eq!((journal.whole, journal.torn), (before.len(), cut - before.len()));
        }
    }

    #[test]
    fn any_flipped_octet_in_a_whole_line_is_found_with_its_place() {
        let text = text(&[release("a"), release("b")]);
        let second = text.find('\n').unwrap() + 1;
        for at in second..text.len() - 1 {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 0x01;
            let error = decode(&bytes).unwrap_err();
            assert!(error.place.line >= 2 && error.place.byte >= second, "{error}");
        }
        let mut bytes = text.into_bytes();
        bytes[second] = b'z';
        let error = decode(&bytes).unwrap_err().to_string();
        assert_eq!(error, format!("line 2, byte {second}: the checksum is not hexadecimal"));
    }

    #[test]
    fn garbage_and_a_version_from_the_future_are_refused() {
        assert!(decode(b"").is_err());
        assert!(decode(b"\n\n\n").is_err());
        assert!(decode(&[0; 4096]).is_err());
        assert!(decode(&[0xff; 100]).is_err());
        let future = line("{\"margayLeases\":2,\"boot\":\"b\"}");
        assert_eq!(decode(future.as_bytes()).unwrap_err().problem, "version 2, but this program reads 1");
    }
}
