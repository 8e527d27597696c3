//! The state machine, state by state and event by event (RFC 4271 §8.2.2).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use model::api::show::SessionState::{self, *};
use model::{Asn, RouterId, Time};

use super::open;
use super::{Action, Delivery, Env, Forwarding, Fsm, Jitter, Local, Reset, Restarting, Retention};
use crate::config::{Dialling, PeerConfig, PeerKey, Secret, Timers};
use crate::speaker::{CloseReason, ConnId, ConnectError};
use crate::wire::notification::{self, cease, fsm};
use crate::wire::{Capability, Message, Notification, Open, RouteRefresh, Update};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

/// One state machine with everything that it may use; the peer has the higher identifier unless a test says otherwise.
struct Bench {
    fsm: Fsm,
    now: Time,
    local: Local,
    peer: PeerConfig,
    conns: u64,
    jitter: Jitter,
    actions: Vec<Action>,
}

fn asn(n: u32) -> Asn {
    Asn::new(n).unwrap()
}

impl Bench {
    fn idle() -> Bench {
        let local = Local {
            router_id: RouterId::new(10).unwrap(),
            local_as: asn(64512),
            ipv4: None,
            ipv6: None,
            restart_time: Duration::from_secs(120),
            restarting: Restarting::No,
            forwarding: Forwarding::Kept,
            timers: Timers::default(),
        };
        let now = Time::START;
        Bench {
            fsm: Fsm::new(now),
            now,
            local,
            peer: PeerConfig::new("peer", asn(65001)),
            conns: 0,
            jitter: Jitter::new(1),
            actions: Vec::new(),
        }
    }

    /// In this state, reached in the ordinary way, by a connection that we dialled.
    fn at(state: SessionState) -> Bench {
        let mut bench = Bench::idle();
        if state == Idle {
            bench.act(|fsm, env| {
                fsm.stop(env, &Notification::new(cease::CONNECTION_REJECTED), Reset::Hard, super::Why::ShutDown, None)
            });
            bench.actions.clear();
            return bench;
        }
        bench.act(|fsm, env| fsm.start(env));
        match state {
            Active => bench.act(|fsm, env| fsm.connect_failed(env, ConnId(1), ConnectError::Refused)),
            Connect => {}
            _ => bench.connected(ConnId(1)),
        }
        if matches!(state, OpenConfirm | Established) {
            bench.receive(ConnId(1), Message::Open(bench.theirs()));
        }
        if state == Established {
            bench.receive(ConnId(1), Message::Keepalive);
        }
        bench.actions.clear();
        assert_eq!(bench.fsm.state(), state);
        bench
    }

    fn act<T>(&mut self, event: impl FnOnce(&mut Fsm, &mut Env<'_>) -> T) -> T {
        let mut env = Env {
            now: self.now,
            local: &self.local,
            key: PeerKey::new(PEER),
            peer: &self.peer,
            conns: &mut self.conns,
            jitter: &mut self.jitter,
            actions: &mut self.actions,
        };
        event(&mut self.fsm, &mut env)
    }

    fn connected(&mut self, conn: ConnId) {
        self.act(|fsm, env| fsm.connected(env, conn, SocketAddr::new([10, 0, 0, 1].into(), 40000)));
    }

    /// The peer dials.
    fn accepted(&mut self) -> ConnId {
        self.conns += 1;
        let conn = ConnId(self.conns);
        self.act(|fsm, env| fsm.accepted(env, conn, SocketAddr::new([10, 0, 0, 1].into(), 179)));
        conn
    }

    fn receive(&mut self, conn: ConnId, message: Message) -> Delivery {
        self.act(|fsm, env| fsm.message(env, conn, &message))
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now + time;
        self.act(|fsm, env| fsm.tick(env));
    }

    /// A good OPEN of the peer.
    fn theirs(&self) -> Open {
        let mut open = open::ours(&self.local, PeerKey::new(PEER), &self.peer);
        let peer_as = self.peer.remote_as.asn().unwrap();
        (open.asn, open.router_id) = (peer_as, RouterId::new(20).unwrap());
        for capability in &mut open.capabilities {
            if let Capability::FourOctetAs(asn) = capability {
                *asn = Some(peer_as);
            }
        }
        open
    }

    /// The NOTIFICATIONs sent since the last look.
    fn told(&self) -> Vec<(u8, u8)> {
        let sent = self.actions.iter().filter_map(|action| match action {
            Action::Send(_, bytes) => Some(bytes),
            _ => None,
        });
        sent.filter(|bytes| bytes[18] == 3).map(|bytes| (bytes[19], bytes[20])).collect()
    }

    fn closes(&self, conn: ConnId) -> bool {
        self.actions.contains(&Action::Close(conn))
    }
}

const STATES: [SessionState; 6] = [Idle, Connect, Active, OpenSent, OpenConfirm, Established];

#[test]
fn rfc4271_8_2_2_a_message_leads_from_each_state_to_the_state_that_the_table_says() {
    type Make = fn(&Bench) -> Message;
    let open: Make = |bench| Message::Open(bench.theirs());
    let keepalive: Make = |_| Message::Keepalive;
    let update: Make = |_| Message::Update(Update::default());
    let refresh: Make = |_| Message::RouteRefresh(RouteRefresh::request(model::Family::Ipv4));
    let notification: Make = |_| Message::Notification(Notification::new(cease::ADMINISTRATIVE_RESET));
    type Outcome = (SessionState, &'static [(u8, u8)]);
    let table: [(&str, Make, [Outcome; 3]); 5] = [
        //                in OpenSent                in OpenConfirm                      in Established
        ("OPEN", open, [(OpenConfirm, &[]), (Idle, &[fsm::IN_OPEN_CONFIRM]), (Idle, &[fsm::IN_ESTABLISHED])]),
        ("KEEPALIVE", keepalive, [(Idle, &[fsm::IN_OPEN_SENT]), (Established, &[]), (Established, &[])]),
        ("UPDATE", update, [(Idle, &[fsm::IN_OPEN_SENT]), (Idle, &[fsm::IN_OPEN_CONFIRM]), (Established, &[])]),
        ("REFRESH", refresh, [(Idle, &[fsm::IN_OPEN_SENT]), (Idle, &[fsm::IN_OPEN_CONFIRM]), (Established, &[])]),
        ("NOTIFICATION", notification, [(Idle, &[]), (Idle, &[]), (Idle, &[])]),
    ];
    for (name, make, outcomes) in table {
        for (before, (after, told)) in [OpenSent, OpenConfirm, Established].into_iter().zip(outcomes) {
            let mut bench = Bench::at(before);
            let message = make(&bench);
            bench.receive(ConnId(1), message);
            assert_eq!(bench.fsm.state(), after, "{name} in {before:?}");
            assert_eq!(bench.told(), told, "{name} in {before:?}");
            assert_eq!(bench.closes(ConnId(1)), after == Idle, "{name} in {before:?}");
        }
    }
}

#[test]
fn rfc4271_8_2_2_a_lost_connection_leads_from_each_state_to_the_state_that_the_table_says() {
    let after = [(OpenSent, Active), (OpenConfirm, Active), (Established, Connect)];
    for (before, after) in after {
        let mut bench = Bench::at(before);
        bench.act(|fsm, env| fsm.closed(env, ConnId(1), CloseReason::Reset));
        assert_eq!(bench.fsm.state(), after, "from {before:?}");
        assert!(!bench.closes(ConnId(1)), "it is gone already");
    }
    for before in [Idle, Connect, Active] {
        let mut bench = Bench::at(before);
        bench.act(|fsm, env| fsm.closed(env, ConnId(99), CloseReason::Reset));
        assert_eq!(bench.fsm.state(), before, "another's connection");
    }
}

#[test]
fn rfc4271_8_2_2_manual_stop_ends_in_idle_from_every_state_and_stays_there() {
    for before in STATES {
        let mut bench = Bench::at(before);
        let told = Notification::shutdown(cease::ADMINISTRATIVE_SHUTDOWN, "");
        bench.act(|fsm, env| fsm.stop(env, &told, Reset::Hard, super::Why::ShutDown, None));
        assert_eq!(bench.fsm.state(), Idle, "from {before:?}");
        let told = match before {
            OpenSent | OpenConfirm => vec![cease::ADMINISTRATIVE_SHUTDOWN],
            Established => vec![cease::HARD_RESET], // round it, as the N bit was agreed on (RFC 8538 §4)
            _ => vec![],
        };
        assert_eq!(bench.told(), told, "from {before:?}");
        assert_eq!(bench.fsm.deadline(), None);
        bench.actions.clear();
        bench.pass(Duration::from_secs(3600));
        assert_eq!((bench.fsm.state(), bench.actions.len()), (Idle, 0));
    }
}

#[test]
fn rfc4271_8_2_2_a_connection_from_the_peer_is_met_in_each_state_as_the_table_says() {
    for (before, after, taken) in [
        (Idle, Idle, false),
        (Connect, OpenSent, true),
        (Active, OpenSent, true),
        (OpenSent, OpenSent, true),
        (OpenConfirm, OpenConfirm, true),
        (Established, Established, true),
    ] {
        let mut bench = Bench::at(before);
        let conn = bench.accepted();
        assert_eq!(bench.fsm.state(), after, "{before:?}");
        assert_eq!(bench.closes(conn), !taken, "{before:?}");
    }
}

#[test]
fn rfc4271_8_2_2_the_connect_retry_timer_gives_a_silent_dial_up_and_dials_again() {
    let mut bench = Bench::at(Connect);
    bench.pass(Duration::from_secs(4));
    assert_eq!(bench.actions, []);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.actions, [Action::Close(ConnId(1)), Action::Dial(ConnId(2))]);
    assert!(bench.fsm.why().to_string().starts_with("no answer to SYN"));
}

#[test]
fn an_unanswered_dial_with_a_password_suggests_that_the_password_is_wrong() {
    let mut bench = Bench::at(Connect);
    bench.peer.password = Some(Secret::new("x"));
    bench.pass(Duration::from_secs(5));
    assert!(bench.fsm.why().to_string().ends_with("or the password is wrong"));
}

#[test]
fn rfc4271_6_5_the_hold_timer_ends_each_state_that_has_a_connection() {
    for (before, after) in [(OpenSent, 240), (OpenConfirm, 90), (Established, 90)] {
        let mut bench = Bench::at(before);
        bench.pass(Duration::from_secs(after - 1));
        assert_eq!(bench.fsm.state(), before);
        bench.pass(Duration::from_secs(1));
        assert_eq!((bench.fsm.state(), bench.told()), (Idle, vec![notification::HOLD_TIMER_EXPIRED]), "{before:?}");
    }
}

#[test]
fn rfc4271_4_4_keepalives_go_out_within_a_third_of_the_hold_time_and_answers_keep_the_session_up() {
    let mut bench = Bench::at(Established);
    let mut sent = 0;
    for _ in 0..600 {
        bench.pass(Duration::from_secs(1));
        sent += std::mem::take(&mut bench.actions).len();
        bench.receive(ConnId(1), Message::Keepalive);
    }
    assert_eq!(bench.fsm.state(), Established);
    assert!((20..=27).contains(&sent), "{sent} in ten minutes, every 22.5 to 30 s");
}

#[test]
fn rfc4271_4_2_a_hold_time_of_zero_means_neither_timer() {
    let mut bench = Bench::at(OpenSent);
    let open = Open { hold_seconds: 0, ..bench.theirs() };
    bench.receive(ConnId(1), Message::Open(open));
    bench.receive(ConnId(1), Message::Keepalive);
    assert_eq!((bench.fsm.state(), bench.fsm.deadline()), (Established, None));
}

#[test]
fn the_smaller_hold_time_and_the_shorter_keepalive_count() {
    let mut bench = Bench::at(OpenSent);
    bench.peer.keepalive_time = Some(Duration::from_secs(2));
    let open = Open { hold_seconds: 9, ..bench.theirs() };
    bench.receive(ConnId(1), Message::Open(open));
    bench.receive(ConnId(1), Message::Keepalive);
    let agreed = bench.fsm.established().unwrap().agreed.clone();
    assert_eq!((agreed.hold.as_secs(), agreed.keepalive.as_secs()), (9, 2));
}

#[test]
fn rfc4271_6_2_an_open_that_is_not_acceptable_is_answered_by_its_subcode() {
    type Make = fn(&mut Bench) -> Open;
    let mut table: Vec<(Make, (u8, u8))> = Vec::new();
    table.push((|b| Open { asn: asn(65099), ..b.theirs() }, notification::open::BAD_PEER_AS));
    table.push((
        |b| {
            b.peer.remote_as = b.local.local_as.into();
            Open { router_id: b.local.router_id, ..b.theirs() }
        },
        notification::open::BAD_IDENTIFIER,
    ));
    table.push((
        |b| Open { capabilities: vec![Capability::Multiprotocol(model::Family::Ipv6.into())], ..b.theirs() },
        notification::open::UNSUPPORTED_CAPABILITY,
    ));
    for (make, told) in table {
        let mut bench = Bench::at(OpenSent);
        let open = make(&mut bench);
        bench.receive(ConnId(1), Message::Open(open));
        assert_eq!((bench.fsm.state(), bench.told()), (Idle, vec![told]));
    }
}

#[test]
fn a_peer_without_any_capability_is_an_ipv4_peer() {
    let mut bench = Bench::at(OpenSent);
    let open = Open { capabilities: Vec::new(), ..bench.theirs() };
    bench.receive(ConnId(1), Message::Open(open));
    bench.receive(ConnId(1), Message::Keepalive);
    let agreed = &bench.fsm.established().unwrap().agreed;
    assert_eq!(agreed.families, crate::wire::FamilySet::of(model::Family::Ipv4));
    assert_eq!((agreed.as_width, &agreed.graceful_restart), (crate::wire::AsWidth::Two, &None));
}

#[test]
fn the_context_is_set_before_the_keepalive_that_lets_updates_come() {
    let mut bench = Bench::at(OpenSent);
    let open = bench.theirs();
    bench.receive(ConnId(1), Message::Open(open));
    assert!(matches!(bench.actions.as_slice(), [Action::SetContext(..), Action::Send(..)]), "{:?}", bench.actions);
}

/// Both sides have dialled: conn 1 is ours, the returned one the peer's; on both our OPEN is out.
fn collision(our_id: u32) -> (Bench, ConnId) {
    let mut bench = Bench::at(OpenSent);
    bench.local.router_id = RouterId::new(our_id).unwrap();
    let theirs = bench.accepted();
    bench.actions.clear();
    (bench, theirs)
}

#[test]
fn rfc4271_6_8_the_connection_of_the_higher_identifier_stays_whichever_open_comes_first() {
    for our_id in [10, 30] {
        for theirs_first in [true, false] {
            let (mut bench, theirs) = collision(our_id);
            let (stays, goes) = if our_id > 20 { (ConnId(1), theirs) } else { (theirs, ConnId(1)) };
            let first = if theirs_first { theirs } else { ConnId(1) };
            let open = bench.theirs();
            bench.receive(first, Message::Open(open.clone()));
            assert!(bench.closes(goes) && !bench.closes(stays), "our id: {our_id}, theirs first: {theirs_first}");
            assert_eq!(bench.told(), [cease::COLLISION]);
            if first == goes {
                assert_eq!(bench.fsm.state(), OpenSent);
                bench.receive(stays, Message::Open(open));
            }
            bench.receive(stays, Message::Keepalive);
            assert_eq!(bench.fsm.state(), Established);
            assert_eq!(bench.fsm.link().map(|link| link.conn), Some(stays));
        }
    }
}

#[test]
fn a_connection_on_which_nobody_speaks_does_not_win_against_one_on_which_the_peer_does() {
    let (mut bench, silent) = collision(10);
    bench.now = bench.now + Duration::from_secs(3);
    let open = bench.theirs();
    bench.receive(ConnId(1), Message::Open(open));
    assert!(bench.closes(silent) && !bench.closes(ConnId(1)), "although the peer's identifier is the higher one");
    assert_eq!(bench.fsm.state(), OpenConfirm);
}

#[test]
fn who_dials_us_and_says_nothing_for_ten_seconds_is_let_go() {
    let mut bench = Bench::at(Active);
    let silent = bench.accepted();
    bench.pass(Duration::from_secs(10));
    assert!(bench.closes(silent));
}

#[test]
fn rfc6286_2_3_with_equal_identifiers_the_connection_of_the_higher_as_stays() {
    let mut bench = Bench::at(OpenSent);
    bench.local.router_id = RouterId::new(20).unwrap();
    let theirs = bench.accepted();
    let open = bench.theirs();
    bench.receive(theirs, Message::Open(open));
    assert!(bench.closes(ConnId(1)), "the peer's AS 65001 is above ours, 64512");
}

#[test]
fn a_connection_of_the_peer_while_we_dial_does_not_end_the_dial() {
    let mut bench = Bench::at(Connect);
    bench.accepted();
    assert!(!bench.closes(ConnId(1)), "the peer may have settled on the one we dial");
    bench.connected(ConnId(1));
    assert_eq!(bench.fsm.state(), OpenSent);
}

#[test]
fn a_dial_that_comes_through_too_late_and_would_lose_hears_no_open() {
    let mut bench = Bench::at(Connect);
    let theirs = bench.accepted();
    let open = bench.theirs();
    bench.receive(theirs, Message::Open(open));
    bench.actions.clear();
    bench.connected(ConnId(1));
    assert_eq!(bench.actions, [Action::Close(ConnId(1))]);
    assert_eq!(bench.fsm.state(), OpenConfirm);
}

#[test]
fn an_established_session_survives_a_late_collision() {
    let mut bench = Bench::at(OpenSent);
    let mut open = bench.theirs();
    open.capabilities.retain(|capability| !matches!(capability, Capability::GracefulRestart(_)));
    bench.receive(ConnId(1), Message::Open(open.clone()));
    bench.receive(ConnId(1), Message::Keepalive);
    bench.now = bench.now + Duration::from_secs(1);
    let late = bench.accepted();
    bench.actions.clear();
    bench.receive(late, Message::Open(open));
    assert_eq!((bench.fsm.state(), bench.told()), (Established, vec![cease::COLLISION]));
    assert!(bench.closes(late) && !bench.closes(ConnId(1)));
    let probes = bench.actions.iter().filter(|action| matches!(action, Action::Send(ConnId(1), _))).count();
    assert_eq!(probes, 1, "a KEEPALIVE finds out whether the peer still has the first connection");
}

#[test]
fn rfc4724_5_a_peer_that_comes_again_replaces_its_session_and_keeps_its_routes() {
    let mut bench = Bench::at(Established);
    bench.now = bench.now + Duration::from_secs(60);
    let again = bench.accepted();
    let open = bench.theirs();
    bench.actions.clear();
    bench.receive(again, Message::Open(open));
    assert!(bench.closes(ConnId(1)) && bench.told().is_empty(), "closed without a word: {:?}", bench.actions);
    assert!(bench.actions.iter().any(|action| matches!(action, Action::Down(Retention::Keep(_)))));
    bench.receive(again, Message::Keepalive);
    assert_eq!(bench.fsm.link().map(|link| link.conn), Some(again));
}

#[test]
fn rfc4724_4_2_routes_are_kept_after_a_lost_connection_but_not_after_a_notification() {
    let mut bench = Bench::at(Established);
    bench.act(|fsm, env| fsm.closed(env, ConnId(1), CloseReason::Ended));
    assert!(matches!(bench.actions.first(), Some(Action::Down(Retention::Keep(_)))), "{:?}", bench.actions);
    let mut bench = Bench::at(OpenSent);
    let mut open = bench.theirs();
    for capability in &mut open.capabilities {
        if let Capability::GracefulRestart(restart) = capability {
            restart.notification = false;
        }
    }
    bench.receive(ConnId(1), Message::Open(open));
    bench.receive(ConnId(1), Message::Keepalive);
    bench.receive(ConnId(1), Message::Notification(Notification::new(cease::ADMINISTRATIVE_RESET)));
    assert!(bench.actions.contains(&Action::Down(Retention::Forget)), "without the N bit (RFC 8538)");
}

#[test]
fn a_newer_connection_of_the_peer_replaces_an_older_one_that_is_not_up() {
    let mut bench = Bench::at(Active);
    let first = bench.accepted();
    let second = bench.accepted();
    assert!(bench.closes(first) && !bench.closes(second));
    assert_eq!(bench.fsm.link().map(|link| link.conn), Some(second));
}

#[test]
fn a_passive_peer_is_never_dialled() {
    let mut bench = Bench::idle();
    bench.peer.dial = Dialling::Passive;
    bench.act(|fsm, env| fsm.start(env));
    bench.pass(Duration::from_secs(3600));
    assert_eq!((bench.fsm.state(), bench.actions.len()), (Active, 0));
    let conn = bench.accepted();
    bench.act(|fsm, env| fsm.closed(env, conn, CloseReason::Reset));
    bench.pass(Duration::from_secs(3600));
    assert!(!bench.actions.iter().any(|action| matches!(action, Action::Dial(_))));
}

#[test]
fn errors_in_a_row_are_answered_by_longer_and_longer_rests() {
    let mut bench = Bench::at(OpenSent);
    let mut rests = Vec::new();
    for _ in 0..8 {
        let conn = bench.fsm.link().map(|link| link.conn).unwrap();
        let open = Open { asn: asn(65099), ..bench.theirs() };
        bench.receive(conn, Message::Open(open));
        let until = bench.fsm.deadline().unwrap();
        rests.push(until.since(bench.now).as_secs_f64());
        bench.pass(until.since(bench.now));
        let dial = ConnId(bench.conns);
        bench.connected(dial);
    }
    assert!(rests.first().is_some_and(|first| *first <= 1.0), "{rests:?}");
    assert!(rests.last().is_some_and(|last| (22.0..=30.0).contains(last)), "{rests:?}");
}

#[test]
fn a_peer_that_was_put_right_need_not_wait_for_the_end_of_our_rest() {
    let mut bench = Bench::at(OpenSent);
    for _ in 0..6 {
        let conn = bench.fsm.link().map(|link| link.conn).unwrap();
        let open = Open { asn: asn(65099), ..bench.theirs() };
        bench.receive(conn, Message::Open(open));
        let until = bench.fsm.deadline().unwrap();
        bench.pass(until.since(bench.now));
        bench.connected(ConnId(bench.conns));
    }
    let wrong = Open { asn: asn(65099), ..bench.theirs() };
    bench.receive(ConnId(bench.conns), Message::Open(wrong));
    let soon = bench.accepted();
    assert!(bench.closes(soon), "it could hammer");
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.fsm.state(), Idle, "the rest is much longer by now");
    let right = bench.accepted();
    let open = bench.theirs();
    bench.receive(right, Message::Open(open));
    bench.receive(right, Message::Keepalive);
    assert_eq!(bench.fsm.state(), Established);
}

#[test]
fn after_a_session_that_has_lasted_rests_and_waits_begin_small_again() {
    let mut bench = Bench::at(Connect);
    for _ in 0..5 {
        let dial = ConnId(bench.conns);
        bench.act(|fsm, env| fsm.connect_failed(env, dial, ConnectError::Refused));
        let retry = bench.fsm.deadline().unwrap();
        bench.pass(retry.since(bench.now));
    }
    for (lasts, longest) in [(1, 1.0), (1, 2.0), (1, 4.0), (31, 1.0)] {
        let conn = ConnId(bench.conns);
        bench.connected(conn);
        let open = bench.theirs();
        bench.receive(conn, Message::Open(open));
        bench.receive(conn, Message::Keepalive);
        assert_eq!(bench.fsm.state(), Established);
        bench.now = bench.now + Duration::from_secs(lasts);
        bench.receive(conn, Message::Notification(Notification::new(cease::ADMINISTRATIVE_RESET)));
        let until = bench.fsm.deadline().unwrap();
        let rest = until.since(bench.now).as_secs_f64();
        assert!((0.7 * longest..=longest).contains(&rest), "{rest} s after a session of {lasts} s");
        bench.pass(until.since(bench.now));
    }
    let dial = ConnId(bench.conns);
    bench.act(|fsm, env| fsm.connect_failed(env, dial, ConnectError::Refused));
    let wait = bench.fsm.deadline().unwrap().since(bench.now).as_secs_f64();
    assert!(wait <= 1.0, "the first failed dial since the session: {wait} s");
}

#[test]
fn a_dial_that_is_still_on_its_way_is_given_up_when_the_session_is_up() {
    let mut bench = Bench::at(Connect);
    let theirs = bench.accepted();
    let open = bench.theirs();
    bench.receive(theirs, Message::Open(open));
    assert!(!bench.closes(ConnId(1)));
    bench.receive(theirs, Message::Keepalive);
    assert!(bench.closes(ConnId(1)));
}

#[test]
fn what_cannot_be_decoded_ends_the_session_with_the_decoders_notification() {
    for before in [OpenSent, OpenConfirm, Established] {
        let mut bench = Bench::at(before);
        let told = Notification::new(notification::header::NOT_SYNCHRONIZED);
        bench.act(|fsm, env| fsm.undecodable(env, ConnId(1), &told));
        assert_eq!((bench.fsm.state(), bench.told()), (Idle, vec![(1, 1)]), "{before:?}");
        assert!(bench.closes(ConnId(1)));
    }
}
