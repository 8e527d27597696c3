//! What a packet costs: how long one round trip takes, and how much of the processor every packet needs.
//!
//! The processor's time is that of the sending thread. On one machine it carries the packet through the node to the
//! receiver's socket, rules included, before `send` returns.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::time::{ClockId, clock_gettime};

use super::ground::{Ground, PODS};

const ROUND_TRIPS: usize = 10_000;
const CONNECTIONS: usize = 500;
const DATAGRAMS: u32 = 100_000;
const OCTETS: usize = 64;
/// How long a machine may be too busy.
const PATIENCE: Duration = Duration::from_secs(20);

/// What one round measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Median of round trips of one octet on an open TCP connection, in microseconds.
    pub round_trip: f64,
    /// Median of TCP handshakes, in microseconds: their first packets meet the policies.
    pub handshake: f64,
    /// CPU of a datagram of a flow that was answered, in nanoseconds.
    pub answered: f64,
    /// CPU of a datagram of a flow that nobody answers, in nanoseconds: each one meets the policies.
    pub unanswered: f64,
}

/// Measures once.
pub fn measure(ground: &Ground, port: u16) -> Result<Cost> {
    let target = SocketAddr::new(PODS[1].1.into(), port);
    let listener = ground.pods[1].run(|| Ok(TcpListener::bind(target)?))?;
    socket2::SockRef::from(&listener).set_read_timeout(Some(PATIENCE))?; // of accept
    let (round_trip, handshake) = std::thread::scope(|scope| {
        let server = scope.spawn(|| serve(&listener));
        let asked = ground.pods[0].run(|| Ok((round_trips(target)?, handshakes(target)?)));
        let served = server.join().map_err(|_| anyhow!("the server panicked"))?;
        asked.and_then(|asked| served.map(|()| asked))
    })?;
    let receiver = ground.pods[1].run(|| Ok(UdpSocket::bind(target)?))?;
    let sender = |source| ground.pods[0].run(move || Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, source))?));
    let (one, other) = (sender(port)?, sender(port + 1)?);
    for sender in [&one, &other] {
        sender.connect(target)?;
    }
    answer_once(&one, &receiver)?;
    Ok(Cost { round_trip, handshake, answered: per_datagram(&one)?, unanswered: per_datagram(&other)? })
}

/// The first connection is answered octet by octet; the others are taken and closed.
fn serve(listener: &TcpListener) -> Result<()> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut octet = [0];
    while stream.read(&mut octet)? == 1 {
        stream.write_all(&octet)?;
    }
    for _ in 0..CONNECTIONS {
        listener.accept()?;
    }
    Ok(())
}

fn round_trips(target: SocketAddr) -> Result<f64> {
    let mut stream = TcpStream::connect_timeout(&target, PATIENCE).context("connecting")?;
    stream.set_nodelay(true)?;
    let (mut octet, mut all) = ([1], Vec::with_capacity(ROUND_TRIPS));
    for _ in 0..ROUND_TRIPS {
        let begun = Instant::now();
        stream.write_all(&octet)?;
        stream.read_exact(&mut octet)?;
        all.push(begun.elapsed());
    }
    median(all)
}

fn handshakes(target: SocketAddr) -> Result<f64> {
    let mut all = Vec::with_capacity(CONNECTIONS);
    for _ in 0..CONNECTIONS {
        let begun = Instant::now();
        let stream = TcpStream::connect_timeout(&target, PATIENCE)?;
        all.push(begun.elapsed());
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?; // no TIME_WAIT
    }
    median(all)
}

fn median(mut all: Vec<Duration>) -> Result<f64> {
    all.sort();
    all.get(all.len() / 2).map(|middle| middle.as_secs_f64() * 1e6).context("nothing was measured")
}

/// After this, connection tracking calls the flow established.
fn answer_once(sender: &UdpSocket, receiver: &UdpSocket) -> Result<()> {
    sender.set_read_timeout(Some(PATIENCE))?;
    receiver.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; OCTETS];
    sender.send(&buffer)?;
    let (_, source) = receiver.recv_from(&mut buffer).context("the first datagram")?;
    receiver.send_to(&buffer, source)?;
    sender.recv(&mut buffer).context("its answer")?;
    Ok(())
}

/// Nanoseconds of CPU. The receiver's buffer overflows, which costs the same whatever the rules are.
fn per_datagram(sender: &UdpSocket) -> Result<f64> {
    let buffer = [0; OCTETS];
    let begun = processor();
    for _ in 0..DATAGRAMS {
        let sent = sender.send(&buffer)?;
        ensure!(sent == OCTETS, "{sent} octets were sent");
    }
    Ok((processor() - begun).as_secs_f64() * 1e9 / f64::from(DATAGRAMS))
}

/// What this thread has used of the processor.
fn processor() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
