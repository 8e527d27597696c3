//! What Wireshark thinks of our messages: captures of live sessions, and files of messages that never travelled.

use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::netns::Netns;
use crate::wait;

/// What carries BGP and BFD.
const FILTER: &str = "tcp port 179 or udp port 3784 or udp port 4784";
/// Protocols whose complaints are ours to answer; a connection that a SIGKILL ends is TCP's.
const PROTOCOLS: [&str; 3] = ["BGP", "BFD", "_ws.malformed"];
/// LINKTYPE_RAW of a capture file: packets begin with their IP header.
const RAW: u32 = 101;

/// A capture that runs.
#[derive(Debug)]
pub struct Capture {
    child: Child,
}

impl Capture {
    /// Starts to write what passes a device into `file`, and returns when nothing is missed any more.
    pub fn start(netns: &Netns, device: &str, file: &Path) -> Result<Self> {
        let child = netns.run(|| {
            let mut dumpcap = Command::new("dumpcap");
            dumpcap.args(["-q", "-i", device, "-f", FILTER, "-w"]).arg(file);
            dumpcap.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            dumpcap.spawn().context("cannot run dumpcap (package tshark)")
        })?;
        let capture = Self { child };
        wait::until(Duration::from_secs(20), "dumpcap", || {
            ensure!(fs::metadata(file).is_ok_and(|there| there.len() > 0), "it has written nothing");
            Ok(())
        })?;
        Ok(capture)
    }
}

impl Drop for Capture {
    /// What it has caught is written before it ends.
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(pid, Signal::INT).ok();
        }
        self.child.wait().ok();
    }
}

/// What was read of a capture.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reading {
    /// BGP messages by type (RFC 4271 §4.1, RFC 2918): OPEN is 1, ROUTE-REFRESH is 5.
    pub messages: [usize; 6],
    /// What tshark calls malformed, or remarks on.
    pub complaints: Vec<String>,
}

/// Reads captures as one; of the packets, those that a display filter lets through.
pub fn read(files: &[PathBuf], filter: &str) -> Result<Reading> {
    ensure!(!files.is_empty(), "nothing was captured");
    let folder = tempfile::tempdir()?;
    let all = folder.path().join("all.pcap");
    run(Command::new("mergecap").arg("-w").arg(&all).args(files))?;
    let tshark =
        |more: &[&str]| run(Command::new("tshark").arg("-r").arg(&all).args(["-d", "tcp.port==179,bgp"]).args(more));
    let mut reading = Reading::default();
    for line in tshark(&["-Y", &format!("bgp && ({filter})"), "-T", "fields", "-e", "bgp.type"])?.lines() {
        for kind in line.split(',').filter_map(|kind| kind.parse::<usize>().ok()) {
            *reading.messages.get_mut(kind).with_context(|| format!("a message of type {kind}"))? += 1;
        }
    }
    let experts = tshark(&["-q", "-z", &format!("expert,note,({filter})")])?;
    let ours = |line: &&str| {
        // Frequency, group, protocol, summary.
        let protocol = line.split_whitespace().nth(2);
        let concerns = protocol.is_some_and(|protocol| PROTOCOLS.contains(&protocol)) || line.contains("Malformed");
        concerns && !is_extended_message(line)
    };
    reading.complaints = experts.lines().filter(ours).map(|line| line.trim().to_owned()).collect();
    Ok(reading)
}

/// Whether all that it says is that a message has more than 4096 octets: Debian's tshark is older than RFC 8654.
fn is_extended_message(complaint: &str) -> bool {
    let length = complaint.split_once("Length is invalid ").and_then(|(_, length)| length.trim().parse::<u32>().ok());
    length.is_some_and(|length| (4097..=65535).contains(&length))
}

fn run(command: &mut Command) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {program} (package tshark)"))?;
    if !output.status.success() {
        bail!("{program} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A capture file of sessions that never were: each a list of what one side sends.
#[derive(Debug, Default)]
pub struct Written {
    packets: Vec<Vec<u8>>,
    sessions: u16,
}

impl Written {
    /// A session over IPv4 with messages each way: (from the one that dialled, octets).
    pub fn session(&mut self, messages: &[(bool, Vec<u8>)]) {
        self.sessions += 1;
        let port = 40_000 + self.sessions;
        let ends = [(Ipv4Addr::new(10, 0, 0, 1), port), (Ipv4Addr::new(10, 0, 0, 2), 179)];
        let mut sent = [1_u32, 1];
        for (dialler, octets) in messages {
            let (from, to) = if *dialler { (0, 1) } else { (1, 0) };
            // What does not fit one packet goes in several, as TCP would.
            for chunk in octets.chunks(1400) {
                let [a, b] = [sent[from], sent[to]];
                self.packets.push(packet(ends[from], ends[to], [a, b], chunk));
                sent[from] = a.wrapping_add(u32::try_from(chunk.len()).unwrap_or(0));
            }
        }
    }

    /// Writes it.
    pub fn save(&self, file: &Path) -> Result<()> {
        let mut out = Vec::new();
        out.extend(0xa1b2_c3d4_u32.to_le_bytes());
        out.extend([2, 0, 4, 0]);
        out.extend([0; 8]);
        out.extend(65535_u32.to_le_bytes());
        out.extend(RAW.to_le_bytes());
        for (number, packet) in self.packets.iter().enumerate() {
            let length = u32::try_from(packet.len())?.to_le_bytes();
            out.extend(0_u32.to_le_bytes());
            out.extend(u32::try_from(number % 1_000_000)?.to_le_bytes());
            out.extend(length);
            out.extend(length);
            out.extend(packet);
        }
        Ok(fs::File::create(file)?.write_all(&out)?)
    }
}

/// An IPv4 and TCP header before the octets; nobody checks the checksums.
fn packet(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), [seq, ack]: [u32; 2], octets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(40 + octets.len()).unwrap_or(u16::MAX);
    let mut out = vec![0x45, 0];
    out.extend(length.to_be_bytes());
    out.extend([0, 0, 0x40, 0, 1, 6, 0, 0]);
    out.extend(from.0.octets());
    out.extend(to.0.octets());
    out.extend(from.1.to_be_bytes());
    out.extend(to.1.to_be_bytes());
    out.extend(seq.to_be_bytes());
    out.extend(ack.to_be_bytes());
    out.extend([0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0]);
    out.extend(octets);
    out
}
