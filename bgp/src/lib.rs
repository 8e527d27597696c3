//! A BGP-4 speaker without a network: no sockets, no clock, no threads; bytes, time and randomness are arguments.
//!
//! `wire` is the codec, `session` the state machine of one peer, `rib` the tables, `filter` what is believed and told,
//! `change` what a new configuration does to what is up, `speaker` all of it together, `bfd` watches the paths to peers, `bmp` tells stations of it all, `sim` a network of speakers under a virtual clock.
//!
//! | type | how many |
//! |---|---|
//! | [`Speaker`] | one per node |
//! | peer, state machine | one per configured peer |
//! | connection | none, one, or for a moment two per peer |
//! | tables | one per address family |
//! | update group | one per family and per way of telling: nearly always one or two |
//!
//! ```
//! use bgp::{Output, PeerConfig, PeerKey, Speaker, SpeakerConfig};
//! use model::{Asn, RouterId, Time};
//!
//! let (id, own, other) = (RouterId::new(1).unwrap(), Asn::CALICO_DEFAULT, Asn::new(65000).unwrap());
//! let mut config = SpeakerConfig::new(id, own);
//! config.peers.insert(PeerKey::new([10, 0, 0, 254].into()), PeerConfig::new("tor", other));
//! let now = Time::START;
//! let mut speaker = Speaker::new(config, now, 42);
//! // It wants to dial; the owner answers with Input::Connected or Input::ConnectFailed, and sleeps until the deadline.
//! assert!(matches!(speaker.poll(now), Some(Output::Connect(dial)) if dial.peer.port == 179));
//! while speaker.poll(now).is_some() {}
//! assert!(speaker.deadline().is_some());
//! ```

pub mod bfd;
pub mod bmp;
pub mod change;
pub mod config;
mod filter;
mod mrt;
mod neighbours;
pub mod rib;
pub mod role;
mod session;
pub mod sim;
pub mod speaker;
pub mod wire;

pub use config::{PeerConfig, PeerKey, SpeakerConfig};
pub use speaker::{Input, Output, Speaker};
