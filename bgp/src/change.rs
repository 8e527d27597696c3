//! What a change of the configuration does to what is up: every field has its class, and a change does the least.
//!
//! The two tables below are the only place that says so: a field that is in neither does not compile. The speaker acts
//! by [`changes`], and `margayctl plan` shows it before anything is done.

use std::collections::BTreeSet;
use std::fmt;

use model::filter::Direction;
use model::{Family, Prefix};
use serde::{Deserialize, Serialize};

use crate::config::{PeerConfig, PeerKey, SpeakerConfig, Start};
use crate::session::offered;
use crate::speaker::local;

/// What a changed field asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// In force at once, or with the next session; no route is looked at again.
    Hot,
    /// What peers have said is judged anew, from what is stored: nobody is asked to say it again.
    SoftIn,
    /// What peers are told is judged anew: they hear of the difference.
    SoftOut,
    /// Both of it.
    SoftBoth,
    /// The session must begin again: identity, capabilities, authentication, and where the connection runs.
    Reset,
}

impl Class {
    /// What does both of the two.
    #[must_use]
    pub fn and(self, other: Class) -> Class {
        match (self, other) {
            (Class::Reset, _) | (_, Class::Reset) => Class::Reset,
            (Class::Hot, class) | (class, Class::Hot) => class,
            (a, b) if a == b => a,
            _ => Class::SoftBoth,
        }
    }

    /// Whether what peers have said is judged anew.
    pub const fn is_in(self) -> bool {
        matches!(self, Class::SoftIn | Class::SoftBoth)
    }

    /// Whether what peers are told is judged anew.
    pub const fn is_out(self) -> bool {
        matches!(self, Class::SoftOut | Class::SoftBoth)
    }
}

impl FromIterator<Class> for Class {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> Class {
        classes.into_iter().fold(Class::Hot, Class::and)
    }
}

/// As it is written in `docs/plan.md`.
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Class::Hot => "hot",
            Class::SoftIn => "soft-in",
            Class::SoftOut => "soft-out",
            Class::SoftBoth => "soft-both",
            Class::Reset => "reset",
        })
    }
}

/// A field of the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// As in [`PeerConfig`] or [`SpeakerConfig`].
    pub name: &'static str,
    /// The most that a change of it does.
    pub class: Class,
    /// For a person: "the password".
    pub words: &'static str,
}

macro_rules! fields {
    ($(#[$doc:meta])* $table:ident, $changed:ident: $config:ident { $($field:ident: $class:expr, $words:literal;)+ }) => {
        $(#[$doc])*
        pub const $table: &[Field] =
            &[$(Field { name: stringify!($field), class: $class, words: $words }),+];

        /// The fields in which the two differ.
        fn $changed(old: &$config, new: &$config) -> Vec<Field> {
            let $config { $($field),+ } = new;
            let differs = [$(*$field != old.$field),+];
            $table.iter().zip(differs).filter(|(_, differs)| *differs).map(|(field, _)| *field).collect()
        }
    };
}

fields! {
    /// The fields of a peer.
    PEER_FIELDS, changed_of_peer: PeerConfig {
        name: Class::Hot, "its name";
        kind: Class::Hot, "the object it comes from";
        remote_as: Class::Reset, "the peer's AS";
        local_as: Class::Reset, "the AS of this node towards the peer";
        allowed_own_as: Class::SoftIn, "how often its paths may have our AS";
        local_address: Class::Reset, "the source address";
        hold_time: Class::Hot, "the hold time, for the next session";
        keepalive_time: Class::Hot, "the keepalive time, for the next session";
        dial: Class::Hot, "who dials";
        next_hop: Class::SoftOut, "the next hop mode";
        password: Class::Reset, "the password";
        ttl_security: Class::Reset, "TTL security";
        max_restart_time: Class::Hot, "the restart time, for the next session";
        long_lived_restart_time: Class::Hot, "the long-lived restart time, for the next session";
        max_prefixes: Class::Hot, "the limit of prefixes";
        families: Class::Reset, "the set of address families";
        extended_next_hop: Class::Reset, "whether IPv4 routes may have IPv6 next hops";
        interface: Class::Hot, "the interface's name";
        reflection: Class::SoftBoth, "whether it is a client of this reflector";
        import: Class::SoftIn, "the import policy";
        export: Class::SoftOut, "the export policy";
        bfd: Class::Hot, "BFD";
        role: Class::Reset, "the role";
        role_check: Class::Hot, "whether a role is required, for the next session";
        filters: Class::SoftBoth, "the filters";
        add_path: Class::Reset, "the directions of ADD-PATH";
        add_path_limit: Class::SoftOut, "how many paths of a prefix it is told";
    }
}

fields! {
    /// The fields of the speaker. Of `peers` each has its own fields, and so has each peer from one of the `ranges`; `originate` tells or withdraws what it names.
    SPEAKER_FIELDS, changed_of_speaker: SpeakerConfig {
        router_id: Class::Reset, "the router id of this node";
        local_as: Class::Reset, "the AS of this node";
        cluster_id: Class::SoftBoth, "the cluster id of this node";
        local_ipv4: Class::SoftOut, "this node's IPv4 address";
        local_ipv6: Class::SoftOut, "this node's IPv6 address";
        link_locals: Class::SoftOut, "this node's link-local addresses";
        graceful_restart: Class::Hot, "graceful restart, for the next session";
        peers: Class::Hot, "the peers";
        ranges: Class::Hot, "the listen ranges";
        originate: Class::SoftOut, "what this node originates";
        aggregates: Class::SoftOut, "the aggregates that this node announces";
        own: Class::SoftIn, "this node's pod CIDRs";
        pools: Class::SoftBoth, "the pools of the cluster";
        interfaces: Class::SoftBoth, "the links of this node";
        drain: Class::SoftOut, "whether this node is taken out of service";
        multipath: Class::SoftIn, "how many paths a route may use";
        monitoring: Class::Hot, "the BMP stations";
        timers: Class::Hot, "timers, for the next session";
    }
}

/// A field that has changed, and what that does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Of which peer; of the speaker itself if absent.
    pub peer: Option<PeerKey>,
    /// As in [`PEER_FIELDS`] or [`SPEAKER_FIELDS`].
    pub field: &'static str,
    /// What this change does: at most what the field's class says.
    pub class: Class,
    /// What has changed, for a person: "the password".
    pub reason: &'static str,
}

/// All that differs between two configurations.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes {
    /// Sessions to be.
    pub added: Vec<PeerKey>,
    /// Sessions that end for good.
    pub removed: Vec<PeerKey>,
    /// Fields of the speaker and of peers that are in both.
    pub fields: Vec<Change>,
}

impl Changes {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.fields.is_empty()
    }

    /// What changes at this peer by itself, and what resets it along with all others.
    pub fn of_peer(&self, key: PeerKey) -> impl Iterator<Item = &Change> {
        let concerns = move |change: &&Change| match change.peer {
            Some(peer) => peer == key,
            None => change.class == Class::Reset,
        };
        self.fields.iter().filter(concerns)
    }

    /// What changes for all peers alike.
    pub fn of_speaker(&self) -> impl Iterator<Item = &Change> {
        self.fields.iter().filter(|change| change.peer.is_none())
    }
}

/// What differs between two configurations, and what each difference does to sessions and routes.
pub fn changes(old: &SpeakerConfig, new: &SpeakerConfig) -> Changes {
    let mut found = Changes::default();
    found.added.extend(new.peers.keys().filter(|key| !old.peers.contains_key(key)));
    found.removed.extend(old.peers.keys().filter(|key| !new.peers.contains_key(key)));
    let speaker = changed_of_speaker(old, new).into_iter().filter(|field| field.name != "peers");
    found.fields.extend(speaker.map(|field| Change {
        peer: None,
        field: field.name,
        class: speaker_class(field, old, new),
        reason: field.words,
    }));
    for (key, peer) in &new.peers {
        if let Some(before) = old.peers.get(key) {
            found.fields.extend(peer_changes((old, before), (new, peer), *key));
        }
    }
    found
}

/// What differs between two configurations of one peer, each as a part of a speaker's.
pub(crate) fn peer_changes(
    (old, before): (&SpeakerConfig, &PeerConfig),
    (new, peer): (&SpeakerConfig, &PeerConfig),
    key: PeerKey,
) -> Vec<Change> {
    let (old_local, new_local) = (local(old, Start::Fresh), local(new, Start::Fresh));
    let offers = offered(&new_local, key, peer) == offered(&old_local, key, before);
    let mut fields = changed_of_peer(before, peer);
    if !offers && before.families == peer.families {
        fields.extend(PEER_FIELDS.iter().filter(|field| field.name == "families"));
    }
    let change = |field: Field| {
        let class = match field.name {
            "families" if offers => Class::Hot, // what more it asks for cannot be carried there
            "filters" => filters_class(before, peer),
            _ => field.class,
        };
        Change { peer: Some(key), field: field.name, class, reason: field.words }
    };
    fields.into_iter().map(change).collect()
}

fn speaker_class(field: Field, old: &SpeakerConfig, new: &SpeakerConfig) -> Class {
    match field.name {
        // External peers may not announce what is ours: that is judged anew only where it is other than before.
        "own" if guarded(old) == guarded(new) => Class::Hot,
        "originate" if guarded(old) != guarded(new) => Class::SoftBoth,
        "drain" if old.drain.is_some() == new.drain.is_some() => Class::Hot,
        "interfaces" if !asks_for_interfaces(old) && !asks_for_interfaces(new) => Class::Hot,
        _ => field.class,
    }
}

/// What external peers may not announce.
pub(crate) fn guarded(config: &SpeakerConfig) -> BTreeSet<Prefix> {
    config.originate.keys().chain(&config.own).copied().collect()
}

fn asks_for_interfaces(config: &SpeakerConfig) -> bool {
    let ranged = config.ranges.values().map(|range| &**range.peer());
    config.peers.values().chain(ranged).any(|peer| peer.filters.ask_for_interfaces())
}

fn filters_class(old: &PeerConfig, new: &PeerConfig) -> Class {
    let differs = |direction| {
        let chain = |peer: &PeerConfig, family| peer.filters.chain(direction, family).clone();
        Family::ALL.iter().any(|family| !chain(old, *family).judges_like(&chain(new, *family)))
    };
    let class = |direction, class| if differs(direction) { class } else { Class::Hot };
    class(Direction::Import, Class::SoftIn).and(class(Direction::Export, Class::SoftOut))
}
