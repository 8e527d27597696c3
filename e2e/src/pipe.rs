//! A connection that is open, to see whether it stays so.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::netns::Netns;

/// How long either end waits for the other.
const SOON: Duration = Duration::from_secs(20);

/// Both ends of a TCP connection.
#[derive(Debug)]
pub struct Pipe {
    ends: [TcpStream; 2],
}

impl Pipe {
    /// Opens one from a namespace to an address of another.
    pub fn open(from: &Netns, to: &Netns, address: SocketAddr) -> Result<Pipe> {
        let listener = to.listen(address)?;
        let client = from.run(|| Ok(TcpStream::connect_timeout(&address, SOON)?))?;
        let (server, _) = listener.accept()?;
        for end in [&client, &server] {
            end.set_read_timeout(Some(SOON))?;
        }
        Ok(Pipe { ends: [client, server] })
    }

    /// What either end sends comes out of the other.
    pub fn carries(&self) -> Result<()> {
        let [client, server] = &self.ends;
        for (mut from, mut to) in [(client, server), (server, client)] {
            let mut heard = [0; 5];
            from.write_all(b"still")?;
            to.read_exact(&mut heard)?;
            ensure!(&heard == b"still", "{heard:?}");
        }
        Ok(())
    }
}
