//! Stations: who is told of sessions and tables by BMP (RFC 7854), and at what pace.
//!
//! A station that connects is told of the sessions that are up and then of the tables, some hundred destinations at a
//! time while nothing more urgent is to be done; what changes meanwhile is told at once. One that does not take what it
//! is sent is given up and begins anew when it is back, so it costs the sessions nothing and us a bounded memory.

mod sessions;
mod tables;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use model::{Family, Time};

use self::sessions::{Traces, Up};
use super::{Output, Speaker};
use crate::bmp::{Flags, Information, Message, Monitoring, Statistic, Table, information, termination};
use crate::rib::Source;
use crate::wire::capability::AfiSafi;

/// Octets that may wait for a station before the tables go on.
const AHEAD: usize = 256 << 10;
/// Octets that may wait for a station before it is given up.
const MOST: usize = 8 << 20;

/// What happened to the connection with a station.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StationInput {
    /// It is there.
    Connected {
        /// The time of day, since 1970, for the time stamps of messages.
        today: Duration,
    },
    /// It is gone, not by our doing.
    Closed,
    /// So many octets of what was sent have been handed to the kernel.
    Drained(usize),
}

/// What a station is to get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StationOutput {
    /// Whole messages.
    Send(Bytes),
    /// Nothing more: what was sent before is still written as long as the station takes it without delay. The owner
    /// dials again, if it is still configured.
    Close(StationEnd),
}

/// Why a station is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StationEnd {
    /// It is no longer configured, or is to be told something else.
    Reconfigured,
    /// It does not take what it is sent.
    TooSlow,
}

/// How far a station is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StationState {
    /// Not connected.
    Away,
    /// Being told of the tables.
    Dumping,
    /// Told of everything as it happens.
    Live,
}

/// A station, for listings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StationStatus {
    /// Where it is.
    pub address: SocketAddr,
    /// How far it is.
    pub state: StationState,
    /// What it is told.
    pub tables: BTreeSet<Table>,
    /// Octets sent in the connection that there is.
    pub sent: u64,
    /// Octets that wait to be written.
    pub outstanding: usize,
}

/// All that there is to know about stations.
#[derive(Debug, Clone, Default)]
pub(super) struct Monitor {
    stations: BTreeMap<SocketAddr, Line>,
    /// Of each session that is up, what its messages say.
    up: BTreeMap<Source, Up>,
    pub(super) traces: Traces,
    /// What time of day it was at [`Time::START`].
    epoch: Duration,
    /// When the next counters go out; none while nobody is there.
    statistics_at: Option<Time>,
}

/// A configured station.
#[derive(Debug, Clone)]
struct Line {
    tables: BTreeSet<Table>,
    stage: Stage,
    outstanding: usize,
    sent: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Away,
    /// The next destination of this family is this one.
    Dumping(Family, u32),
    Live,
}

impl Monitor {
    /// Whether anybody is there who wants to know of this table.
    fn hears(&self, table: Table) -> bool {
        self.stations.values().any(|line| line.stage != Stage::Away && line.tables.contains(&table))
    }

    fn anybody(&self) -> bool {
        self.stations.values().any(|line| line.stage != Stage::Away)
    }

    fn time(&self, now: Time) -> Duration {
        self.epoch + now.since(Time::START)
    }

    /// AS number and BGP identifier of a peer whose session is up.
    pub(super) fn identity(&self, source: Source) -> Option<(u32, u32)> {
        self.up.get(&source).map(Up::identity)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.statistics_at
    }
}

impl Speaker {
    /// The stations in order of address.
    pub fn stations(&self) -> Vec<StationStatus> {
        let status = |(address, line): (&SocketAddr, &Line)| StationStatus {
            address: *address,
            state: match line.stage {
                Stage::Away => StationState::Away,
                Stage::Dumping(..) => StationState::Dumping,
                Stage::Live => StationState::Live,
            },
            tables: line.tables.clone(),
            sent: line.sent,
            outstanding: line.outstanding,
        };
        self.monitor.stations.iter().map(status).collect()
    }

    /// Takes other stations on. One that is told something else than before begins anew.
    pub(super) fn monitor_by(&mut self, new: &Monitoring) {
        let old = std::mem::take(&mut self.monitor.stations);
        for (address, line) in old {
            match new.stations.get(&address) {
                Some(station) if station.tables == line.tables => {
                    self.monitor.stations.insert(address, line);
                }
                _ if line.stage == Stage::Away => {}
                _ => {
                    let reason = termination::ADMINISTRATIVELY_CLOSED.to_be_bytes();
                    let reason = Information { kind: termination::REASON, value: Bytes::copy_from_slice(&reason) };
                    let mut octets = Vec::new();
                    Message::Termination(vec![reason]).encode(&mut octets);
                    self.order_station(address, StationOutput::Send(octets.into()));
                    self.order_station(address, StationOutput::Close(StationEnd::Reconfigured));
                }
            }
        }
        for (address, station) in &new.stations {
            let tables = station.tables.clone();
            let line = Line { tables, stage: Stage::Away, outstanding: 0, sent: 0 };
            self.monitor.stations.entry(*address).or_insert(line);
        }
        self.watch_for_stations();
    }

    pub(super) fn station(&mut self, now: Time, address: SocketAddr, input: StationInput) {
        // What was seen before is older than what a newcomer will be told.
        self.tell_sight(now);
        match input {
            StationInput::Connected { today } => self.station_connected(now, address, today),
            StationInput::Closed => {
                self.set_stage(address, Stage::Away);
                self.watch_for_stations();
            }
            StationInput::Drained(octets) => {
                if let Some(line) = self.monitor.stations.get_mut(&address) {
                    line.outstanding = line.outstanding.saturating_sub(octets);
                }
            }
        }
    }

    fn station_connected(&mut self, now: Time, address: SocketAddr, today: Duration) {
        self.monitor.epoch = today.saturating_sub(now.since(Time::START));
        self.monitor.statistics_at.get_or_insert(now + self.config.monitoring.statistics);
        self.set_stage(address, Stage::Dumping(Family::Ipv4, 0));
        let about = [
            Information::text(information::SYS_DESCR, concat!("margay ", env!("CARGO_PKG_VERSION"))),
            Information::text(information::SYS_NAME, &self.config.monitoring.name),
        ];
        let mut octets = Vec::new();
        Message::Initiation(about.into()).encode(&mut octets);
        self.put_peers_up(now, address, &mut octets);
        self.push(address, octets.into());
        self.watch_for_stations();
    }

    fn set_stage(&mut self, address: SocketAddr, stage: Stage) {
        if let Some(line) = self.monitor.stations.get_mut(&address) {
            if matches!(line.stage, Stage::Away) != matches!(stage, Stage::Away) {
                (line.outstanding, line.sent) = (0, 0);
            }
            line.stage = stage;
        }
        if !self.monitor.anybody() {
            self.monitor.statistics_at = None;
        }
    }

    /// Lets the tables note what somebody who is there wants to know.
    fn watch_for_stations(&mut self) {
        let wanted = [Table::AdjInPre, Table::AdjInPost, Table::Loc].into_iter();
        self.shared.watch.watch(wanted.filter(|table| self.monitor.hears(*table)).collect());
    }

    /// To everybody who is there and is told of the table; of none means of sessions.
    fn push_all(&mut self, table: Option<Table>, octets: &Bytes) {
        let told = |line: &Line| line.stage != Stage::Away && table.is_none_or(|table| line.tables.contains(&table));
        let all = self.monitor.stations.iter().filter(|(_, line)| told(line));
        let all: Vec<SocketAddr> = all.map(|(address, _)| *address).collect();
        for address in all {
            self.push(address, octets.clone());
        }
    }

    fn push(&mut self, address: SocketAddr, octets: Bytes) {
        let Some(line) = self.monitor.stations.get_mut(&address) else { return };
        if octets.is_empty() || line.stage == Stage::Away {
            return;
        }
        line.outstanding += octets.len();
        line.sent += octets.len() as u64;
        if line.outstanding > MOST {
            self.give_up(address);
        } else {
            self.order_station(address, StationOutput::Send(octets));
        }
    }

    fn give_up(&mut self, address: SocketAddr) {
        self.set_stage(address, Stage::Away);
        self.watch_for_stations();
        self.order_station(address, StationOutput::Close(StationEnd::TooSlow));
    }

    fn order_station(&mut self, station: SocketAddr, output: StationOutput) {
        self.outputs.push_back(Output::Station { station, output });
    }

    /// Counters of every peer, when they are due (RFC 7854 §4.8).
    pub(super) fn report_statistics_if_due(&mut self, now: Time) {
        if self.monitor.statistics_at.is_none_or(|due| due > now) {
            return;
        }
        self.monitor.statistics_at = Some(now + self.config.monitoring.statistics);
        let mut octets = Vec::new();
        for (source, up) in &self.monitor.up {
            let Some(info) = self.shared.source(*source) else { continue };
            let withdrawn = self.peer(*source).map_or(0, |peer| peer.counters.withdrawn_in);
            let families = info.counts.iter().zip(Family::ALL).filter(|(counts, _)| counts.received > 0);
            let mut statistics = vec![Statistic::AdjIn(info.counts.iter().map(|counts| counts.received).sum())];
            statistics.extend(families.map(|(counts, family)| {
                let AfiSafi { afi, safi } = AfiSafi::from(family);
                Statistic::AdjInOf(afi, safi, counts.received)
            }));
            statistics.push(Statistic::TreatedAsWithdrawn(u32::try_from(withdrawn).unwrap_or(u32::MAX)));
            statistics.push(Statistic::AdjOutPost(self.advertised(*source)));
            let peer = up.header(self.monitor.time(now), Flags::default());
            Message::Statistics { peer, statistics }.encode(&mut octets);
        }
        self.push_all(None, &octets.into());
    }
}
