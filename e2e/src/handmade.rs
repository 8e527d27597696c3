//! A BGP peer made by hand, for what no honest router does: listens, opens a session, and then does as the test says.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::netns::Netns;

const MARKER: [u8; 16] = [0xff; 16];
const OPEN: u8 = 1;
const UPDATE: u8 = 2;
const KEEPALIVE: u8 = 4;
const PATIENCE: Duration = Duration::from_secs(20);

/// Waiting for the agent to call.
#[derive(Debug)]
pub struct Listening {
    listener: TcpListener,
}

/// An established session, whose other side we are.
#[derive(Debug)]
pub struct Handmade {
    stream: TcpStream,
}

impl Listening {
    /// Listens on port 179 of `address` in `netns`.
    pub fn on(netns: &Netns, address: Ipv4Addr) -> Result<Self> {
        let listener = netns.listen(SocketAddr::new(IpAddr::V4(address), 179))?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener })
    }

    /// Takes the call and opens the session (RFC 4271 §4.2), for IPv4 with four-octet AS numbers.
    pub fn establish(self, asn: u16, identifier: Ipv4Addr) -> Result<Handmade> {
        let start = Instant::now();
        let stream = loop {
            match self.listener.accept() {
                Ok((stream, _)) => break stream,
                Err(_) if start.elapsed() < PATIENCE => std::thread::sleep(Duration::from_millis(20)),
                Err(wrong) => bail!("nobody called: {wrong}"),
            }
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut peer = Handmade { stream };
        let capabilities = [&[1, 4, 0, 1, 0, 1][..], &[65, 4, 0, 0], &asn.to_be_bytes()].concat();
        let length = u8::try_from(capabilities.len())?;
        let parameters = [&[2, length][..], &capabilities].concat();
        let head = [&[4][..], &asn.to_be_bytes(), &90u16.to_be_bytes(), &identifier.octets()].concat();
        peer.send(OPEN, &[&head[..], &[u8::try_from(parameters.len())?], &parameters].concat())?;
        ensure!(peer.receive()? == OPEN, "the first message is no OPEN");
        peer.send(KEEPALIVE, &[])?;
        ensure!(peer.receive()? == KEEPALIVE, "the second message is no KEEPALIVE");
        Ok(peer)
    }
}

impl Handmade {
    /// Announces a /24 with a MED of its own, so that no two share an UPDATE; as an internal peer does.
    pub fn announce(&mut self, prefix: [u8; 3], next_hop: Ipv4Addr, med: u32) -> Result<()> {
        let mut attributes = vec![0x40, 1, 1, 0, 0x40, 2, 0, 0x40, 3, 4];
        attributes.extend(next_hop.octets());
        attributes.extend([0x80, 4, 4]);
        attributes.extend(med.to_be_bytes());
        attributes.extend([0x40, 5, 4, 0, 0, 0, 100]);
        let length = u16::try_from(attributes.len())?.to_be_bytes();
        self.send(UPDATE, &[&[0, 0][..], &length, &attributes, &[24], &prefix].concat())
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> Result<()> {
        let length = u16::try_from(19 + body.len())?.to_be_bytes();
        self.stream.write_all(&[&MARKER[..], &length, &[kind], body].concat())?;
        Ok(())
    }

    /// The type of the next message.
    fn receive(&mut self) -> Result<u8> {
        let mut header = [0; 19];
        self.stream.read_exact(&mut header)?;
        let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
        ensure!(length >= 19, "a message of {length} octets");
        self.stream.read_exact(&mut vec![0; length - 19])?;
        Ok(header[18])
    }
}
