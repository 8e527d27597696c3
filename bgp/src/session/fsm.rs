//! The transitions of RFC 4271 §8.2.2.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use model::Time;
use model::api::show::SessionState;

use super::collision::{favoured, stays};
use super::why::Password;
use super::{
    Action, Active, Agreed, Beat, Connect, Direction, Env, Established, Idle, Link, OpenConfirm, OpenSent, Reset,
    Retention, Session, Why, backoff, open,
};
use crate::config::Dialling;
use crate::speaker::{CloseReason, ConnId, ConnectError};
use crate::wire::notification::{self, cease, fsm};
use crate::wire::{Message, MessageType, Notification, Open, message};

/// The state machine of one peer.
///
/// `second` is a second connection to the same peer, in Connect or OpenSent, while it is open which of the two stays.
#[derive(Debug, Clone)]
pub(crate) struct Fsm {
    session: Session,
    second: Option<Session>,
    why: Why,
    /// The last error, as long as it explains why the peer hangs up without a word.
    cause: Option<Why>,
    since: Time,
    /// Sessions that ended by an error, in a row.
    errors: u32,
    /// Dials that failed, in a row.
    failed_dials: u32,
}

/// Which of the two places a connection has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    First,
    Second,
}

/// An UPDATE or ROUTE-REFRESH may be looked at by the owner only if the session is Established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// For the tables.
    Routes,
    /// Done with.
    Handled,
}

/// How long a session must have lasted to count as a success.
const PROVEN: Duration = Duration::from_secs(30);

impl Fsm {
    /// A session that does nothing until [`Fsm::start`].
    pub(crate) fn new(now: Time) -> Fsm {
        let session = Session::Idle(Idle::Stopped);
        Fsm { session, second: None, why: Why::NotYet, cause: None, since: now, errors: 0, failed_dials: 0 }
    }

    pub(crate) fn state(&self) -> SessionState {
        self.session.state()
    }
    pub(crate) fn since(&self) -> Time {
        self.since
    }
    /// Why it is not Established; of no meaning if it is.
    pub(crate) fn why(&self) -> &Why {
        &self.why
    }
    pub(crate) fn established(&self) -> Option<&Established> {
        match &self.session {
            Session::Established(established) => Some(established),
            _ => None,
        }
    }
    /// Whether nobody is connected, and no timer has to run out before somebody may be again.
    pub(crate) fn is_at_rest(&self) -> bool {
        let resting = matches!(self.session, Session::Active(_) | Session::Idle(Idle::Stopped));
        resting && self.second.is_none()
    }
    /// What is agreed on, for a rehearsal to change.
    pub(crate) fn agreed_mut(&mut self) -> Option<&mut Agreed> {
        match &mut self.session {
            Session::Established(established) => Some(&mut established.agreed),
            _ => None,
        }
    }
    /// Takes it that the session is up, for a rehearsal.
    pub(crate) fn suppose_established(&mut self, link: Link, agreed: Agreed) {
        let beat = Beat { hold: None, keepalive: None };
        let state = Established { link, agreed, beat, since: link.since };
        self.enter(link.since, Session::Established(Box::new(state)), Why::NotYet);
    }
    /// The open connection of the session.
    pub(crate) fn link(&self) -> Option<&Link> {
        self.session.link()
    }
    pub(crate) fn deadline(&self) -> Option<Time> {
        [self.session.deadline(), self.second.as_ref().and_then(Session::deadline)].into_iter().flatten().min()
    }

    /// ManualStart or AutomaticStart (events 1 to 7).
    pub(crate) fn start(&mut self, env: &mut Env<'_>) {
        if matches!(self.session, Session::Idle(_)) {
            (self.errors, self.failed_dials, self.cause) = (0, 0, None);
            self.try_again(env, None);
        }
    }

    /// Who dials was changed: takes effect where nobody is connected.
    pub(crate) fn dialling_changed(&mut self, env: &mut Env<'_>) {
        if let Session::Active(_) | Session::Connect(_) = self.session {
            self.leave(env, None);
            self.try_again(env, None);
        }
    }

    /// ManualStop (event 2) and its kin: ends every connection with this NOTIFICATION and stays down until told
    /// otherwise, or until `until`.
    pub(crate) fn stop(&mut self, env: &mut Env<'_>, told: &Notification, reset: Reset, why: Why, until: Option<Time>) {
        self.drop_second(env, Some(told));
        let down = self.part(env, told, reset);
        self.enter(env.now, Session::Idle(until.map_or(Idle::Stopped, Idle::StoppedUntil)), why);
        env.actions.extend(down);
    }

    /// Ends the session by an error of the peer's or ours: NOTIFICATION, then a rest that grows.
    pub(crate) fn fail(&mut self, env: &mut Env<'_>, told: &Notification, reset: Reset, why: Why) {
        let down = self.part(env, told, reset);
        env.actions.extend(down);
        self.rest(env, why);
    }

    /// Closes the first connection with this NOTIFICATION. Returns what there is to do if it was Established.
    ///
    /// With the N bit agreed on, the NOTIFICATION alone would let the peer keep our routes, and we follow the same rules
    /// (RFC 8538 §4); what is meant for good goes out as a hard reset, which a peer without the N bit is not sent.
    fn part(&mut self, env: &mut Env<'_>, told: &Notification, reset: Reset) -> Option<Action> {
        let survives = self.established().is_some_and(|state| state.agreed.survives_notification());
        let wrapped = (survives && reset == Reset::Hard).then(|| told.clone().hard_reset());
        let retention = self.leave(env, Some(wrapped.as_ref().unwrap_or(told)))?;
        Some(Action::Down(if survives && reset == Reset::Graceful { retention } else { Retention::Forget }))
    }

    /// TcpConnectionConfirmed for a dial (event 16).
    pub(crate) fn connected(&mut self, env: &mut Env<'_>, conn: ConnId, local: SocketAddr) {
        let link = Link { conn, direction: Direction::Outgoing, local, since: env.now };
        match self.place(conn) {
            Some(Place::First) if matches!(self.session, Session::Connect(_)) => {
                self.send_open(env, link, Place::First)
            }
            Some(Place::Second) if matches!(self.second, Some(Session::Connect(_))) => match &self.session {
                // The peer's identifier is known by now: the loser need not hear our OPEN.
                Session::OpenConfirm(first) if favoured(env, &first.agreed) != Direction::Outgoing => {
                    self.second = None;
                    env.actions.push(Action::Close(conn));
                }
                Session::OpenConfirm(_) => {
                    self.second = None;
                    self.leave(env, Some(&Notification::new(cease::COLLISION)));
                    self.send_open(env, link, Place::First);
                }
                _ => self.send_open(env, link, Place::Second),
            },
            _ => env.actions.push(Action::Close(conn)),
        }
    }

    /// TcpConnectionConfirmed for a connection from the peer (event 17).
    pub(crate) fn accepted(&mut self, env: &mut Env<'_>, conn: ConnId, local: SocketAddr) {
        let link = Link { conn, direction: Direction::Incoming, local, since: env.now };
        let incoming = |session: &Session| session.link().is_some_and(|link| link.direction == Direction::Incoming);
        match &self.session {
            Session::Idle(Idle::Resting { deaf_until, .. }) if *deaf_until <= env.now => {
                self.send_open(env, link, Place::First);
            }
            Session::Idle(_) => env.actions.push(Action::Close(conn)),
            Session::Active(_) => self.send_open(env, link, Place::First),
            Session::Connect(_) => {
                let dial = std::mem::replace(&mut self.session, Session::Idle(Idle::Stopped));
                self.second = Some(dial);
                self.send_open(env, link, Place::First);
            }
            // The peer dials one at a time: a newer connection says that it has given up the older one.
            Session::OpenSent(_) | Session::OpenConfirm(_) if incoming(&self.session) => {
                self.leave(env, None);
                self.send_open(env, link, Place::First);
            }
            Session::OpenSent(_) | Session::OpenConfirm(_) | Session::Established(_) => {
                self.drop_second(env, None);
                self.send_open(env, link, Place::Second);
            }
        }
    }

    /// TcpConnectionFails while dialling (event 18).
    pub(crate) fn connect_failed(&mut self, env: &mut Env<'_>, conn: ConnId, reason: ConnectError) {
        match self.place(conn) {
            Some(Place::First) => {
                self.cause = None;
                let why = Why::Dial(reason, password(env));
                self.await_retry(env, why);
            }
            Some(Place::Second) => self.second = None,
            None => {}
        }
    }

    /// TcpConnectionFails (event 18) of an open connection.
    pub(crate) fn closed(&mut self, env: &mut Env<'_>, conn: ConnId, reason: CloseReason) {
        match self.place(conn) {
            Some(Place::Second) => self.second = None,
            Some(Place::First) => {
                let state = self.session.state();
                let retention = self.forget_first(env.now);
                env.actions.extend(retention.map(Action::Down));
                let why = match (state, &self.cause) {
                    (SessionState::OpenSent, Some(cause)) => cause.clone(),
                    _ => Why::Closed(reason, state),
                };
                match state {
                    SessionState::Established => self.try_again(env, Some(why)),
                    _ => self.await_retry(env, why),
                }
            }
            None => {}
        }
    }

    /// A message that cannot be decoded (events 21, 22, 28).
    pub(crate) fn undecodable(&mut self, env: &mut Env<'_>, conn: ConnId, told: &Notification) {
        self.refuse(env, conn, told, Why::Sent(told.clone()));
    }

    /// Any message (events 19, 24 to 27).
    pub(crate) fn message(&mut self, env: &mut Env<'_>, conn: ConnId, message: &Message) -> Delivery {
        let Some(place) = self.place(conn) else { return Delivery::Handled };
        let state = match place {
            Place::First => self.session.state(),
            Place::Second => self.second.as_ref().map_or(SessionState::Idle, Session::state),
        };
        match (state, message) {
            (_, Message::Notification(told)) => self.notified(env, place, told),
            (SessionState::OpenSent, Message::Open(theirs)) => self.opened(env, place, theirs),
            (SessionState::OpenConfirm, Message::Keepalive) => self.confirmed(env),
            (SessionState::Established, Message::Keepalive) => self.heard(env.now),
            (SessionState::Established, Message::Update(_) | Message::RouteRefresh(_)) => {
                self.heard(env.now);
                return Delivery::Routes;
            }
            (state, other) => {
                let told = unexpected(state, other.kind());
                self.refuse(env, conn, &told, Why::Sent(told.clone()));
            }
        }
        Delivery::Handled
    }

    /// The owner was not able to run for some time: what the peer has sent meanwhile is still to be read.
    pub(crate) fn excuse(&mut self, time: Duration) {
        let beat = match &mut self.session {
            Session::OpenConfirm(state) => &mut state.beat,
            Session::Established(state) => &mut state.beat,
            _ => return,
        };
        beat.hold = beat.hold.map(|hold| hold + time);
    }

    /// What is due by now.
    pub(crate) fn tick(&mut self, env: &mut Env<'_>) {
        let now = env.now;
        let due = |time: Option<Time>| time.is_some_and(|time| time <= now);
        if let Some(second) = &self.second
            && due(second.deadline())
        {
            let told = Notification::new(notification::HOLD_TIMER_EXPIRED);
            let told = matches!(second, Session::OpenSent(_)).then_some(told);
            self.drop_second(env, told.as_ref());
        }
        match &self.session {
            Session::Idle(idle) if due(idle.until()) => self.try_again(env, None),
            Session::Active(active) if due(active.retry) => self.try_again(env, None),
            Session::Connect(connect) if connect.retry <= now => {
                env.actions.push(Action::Close(connect.dial));
                let why = Why::NoAnswer(password(env));
                self.failed_dials = self.failed_dials.saturating_add(1);
                self.try_again(env, Some(why));
            }
            Session::OpenSent(state) if state.hold <= now => self.silence(env),
            Session::OpenConfirm(state) if due(state.beat.hold) => self.silence(env),
            Session::Established(state) if due(state.beat.hold) => self.silence(env),
            _ => {}
        }
        let (link, agreed, beat) = match &mut self.session {
            Session::OpenConfirm(state) => (&state.link, &state.agreed, &mut state.beat),
            Session::Established(state) => (&state.link, &state.agreed, &mut state.beat),
            _ => return,
        };
        if due(beat.keepalive) {
            beat.keepalive = Some(now + env.jitter.apply(agreed.keepalive));
            env.actions.push(Action::Send(link.conn, keepalive()));
        }
    }

    fn silence(&mut self, env: &mut Env<'_>) {
        let why = Why::HoldTimer(self.session.state());
        // RFC 8538 §4: not the end of the routes, where the N bit was agreed on.
        self.fail(env, &Notification::new(notification::HOLD_TIMER_EXPIRED), Reset::Graceful, why);
    }

    /// The peer ends this connection with a NOTIFICATION.
    fn notified(&mut self, env: &mut Env<'_>, place: Place, told: &Notification) {
        if place == Place::Second {
            return self.drop_second(env, None);
        }
        // RFC 8538 §4: a NOTIFICATION is survived where the N bit was agreed on, unless it is a hard reset (§3.1).
        let survives = self.established().is_some_and(|state| state.agreed.survives_notification());
        let keeps = survives && !told.is_hard_reset();
        let retention = self.leave(env, None);
        env.actions.extend(retention.map(|kept| Action::Down(if keeps { kept } else { Retention::Forget })));
        let why = Why::Received(told.clone());
        if told.is(cease::COLLISION) {
            // The other connection is the session, or soon will be; or both sides gave way and shall not meet again.
            self.await_retry(env, why);
        } else {
            self.rest(env, why);
        }
    }

    /// An OPEN in OpenSent.
    fn opened(&mut self, env: &mut Env<'_>, place: Place, theirs: &Open) {
        let Some(link) = self.link_at(place) else { return };
        let agreed = match open::judge(env.local, env.key, env.peer, theirs) {
            Ok(agreed) => agreed,
            Err((told, why)) => return self.refuse(env, link.conn, &told, why),
        };
        let collision = Notification::new(cease::COLLISION);
        match place {
            Place::First => {
                let rival = self.second.as_ref().filter(|second| second.link().is_some());
                if rival.is_some_and(|rival| !stays(env, &agreed, &link, rival)) {
                    self.leave(env, Some(&collision));
                    return self.await_retry(env, Why::Sent(collision));
                }
                if rival.is_some() {
                    self.drop_second(env, Some(&collision));
                }
            }
            Place::Second => {
                let wins = match &self.session {
                    Session::Established(first) if link.since >= first.since => {
                        // RFC 4724 §5: a peer that comes again has lost the session that we think we have. Without
                        // graceful restart the old one stays (RFC 4271 §6.8), and is asked if it is alive.
                        env.actions.push(Action::Send(first.link.conn, keepalive()));
                        first.agreed.graceful_restart.is_some()
                    }
                    first => stays(env, &agreed, &link, first),
                };
                if !wins {
                    return self.drop_second(env, Some(&collision));
                }
                self.second = None;
                let told = self.established().is_none().then_some(&collision);
                let restarted = self.leave(env, told);
                env.actions.extend(restarted.map(Action::Down));
            }
        }
        self.confirm(env, link, agreed);
    }

    fn confirm(&mut self, env: &mut Env<'_>, link: Link, agreed: Agreed) {
        let context = open::context(env.local, &agreed, link.local);
        env.actions.push(Action::SetContext(link.conn, context));
        env.actions.push(Action::Send(link.conn, keepalive()));
        let beat = beat(env, &agreed);
        let session = Session::OpenConfirm(OpenConfirm { link, agreed, beat });
        self.enter(env.now, session, Why::Negotiates(SessionState::OpenConfirm));
    }

    /// The peer's KEEPALIVE in OpenConfirm.
    fn confirmed(&mut self, env: &mut Env<'_>) {
        let Session::OpenConfirm(OpenConfirm { link, agreed, beat }) = &self.session else { return };
        let mut established = Established { link: *link, agreed: agreed.clone(), beat: *beat, since: env.now };
        established.beat.hold = later(env.now, agreed.hold);
        self.enter(env.now, Session::Established(Box::new(established)), Why::NotYet);
        self.failed_dials = 0;
        self.cause = None;
        if matches!(self.second, Some(Session::Connect(_))) {
            self.drop_second(env, None);
        }
        env.actions.push(Action::Up);
    }

    /// Restarts the HoldTimer.
    fn heard(&mut self, now: Time) {
        if let Session::Established(state) = &mut self.session {
            state.beat.hold = later(now, state.agreed.hold);
        }
    }

    /// Ends one connection with a NOTIFICATION.
    fn refuse(&mut self, env: &mut Env<'_>, conn: ConnId, told: &Notification, why: Why) {
        match self.place(conn) {
            Some(Place::First) => self.fail(env, told, Reset::Graceful, why),
            Some(Place::Second) => self.drop_second(env, Some(told)),
            None => {}
        }
    }

    fn place(&self, conn: ConnId) -> Option<Place> {
        if self.session.conn() == Some(conn) {
            Some(Place::First)
        } else if self.second.as_ref().and_then(Session::conn) == Some(conn) {
            Some(Place::Second)
        } else {
            None
        }
    }

    fn link_at(&self, place: Place) -> Option<Link> {
        match place {
            Place::First => self.session.link().copied(),
            Place::Second => self.second.as_ref().and_then(Session::link).copied(),
        }
    }

    fn send_open(&mut self, env: &mut Env<'_>, link: Link, place: Place) {
        let mut octets = Vec::new();
        open::ours(env.local, env.key, env.peer).encode(&mut octets);
        env.actions.push(Action::Send(link.conn, octets.into()));
        let hold = match link.direction {
            Direction::Outgoing => env.local.timers.open_hold,
            Direction::Incoming => env.local.timers.accepted_hold,
        };
        let state = Session::OpenSent(OpenSent { link, hold: env.now + hold });
        match place {
            Place::First => self.enter(env.now, state, Why::Negotiates(SessionState::OpenSent)),
            Place::Second => self.second = Some(state),
        }
    }

    /// Takes a state on. A reason that is known stays until there is a better one.
    fn enter(&mut self, now: Time, session: Session, why: Why) {
        if self.session.state() != session.state() {
            self.since = now;
        }
        self.session = session;
        self.why = why;
    }

    /// Closes the first connection, with a NOTIFICATION if there is something to say, and rests without a timer.
    /// Returns what becomes of the routes if it was Established.
    fn leave(&mut self, env: &mut Env<'_>, told: Option<&Notification>) -> Option<Retention> {
        match &self.session {
            Session::Connect(connect) => env.actions.push(Action::Close(connect.dial)),
            session => {
                if let Some(link) = session.link() {
                    env.actions.extend(told.map(|told| Action::Send(link.conn, encode(told))));
                    env.actions.push(Action::Close(link.conn));
                }
            }
        }
        self.forget_first(env.now)
    }

    /// The first connection is gone.
    fn forget_first(&mut self, now: Time) -> Option<Retention> {
        let ended = std::mem::replace(&mut self.session, Session::Idle(Idle::Stopped));
        let Session::Established(state) = ended else { return None };
        if now.since(state.since) >= PROVEN {
            self.errors = 0;
        }
        Some(match state.agreed.graceful_restart {
            Some(restart) if restart.keeps_any() => Retention::Keep(restart),
            _ => Retention::Forget,
        })
    }

    fn drop_second(&mut self, env: &mut Env<'_>, told: Option<&Notification>) {
        let Some(second) = self.second.take() else { return };
        if let Some(link) = second.link() {
            env.actions.extend(told.map(|told| Action::Send(link.conn, encode(told))));
        }
        env.actions.extend(second.conn().map(Action::Close));
    }

    /// The second connection, if there is one, takes the place of the first, which is gone for this reason.
    fn promote(&mut self, now: Time, why: &Why) -> bool {
        let Some(session) = self.second.take() else { return false };
        let why = match &session {
            Session::Connect(_) => why.clone(),
            other => Why::Negotiates(other.state()),
        };
        self.enter(now, session, why);
        true
    }

    /// After an error: a rest that grows from one to the next, unless there is a second connection.
    fn rest(&mut self, env: &mut Env<'_>, why: Why) {
        self.errors = self.errors.saturating_add(1);
        self.cause = Some(why.clone());
        if self.promote(env.now, &why) {
            return;
        }
        let timers = &env.local.timers;
        let rest = backoff::rest(timers.idle_hold, timers.idle_hold_max, self.errors);
        let until = env.now + env.jitter.apply(rest);
        let deaf_until = env.now + timers.idle_hold;
        self.enter(env.now, Session::Idle(Idle::Resting { until, deaf_until }), why);
    }

    /// After a connection that came to nothing: Active until the next try, unless there is a second connection.
    fn await_retry(&mut self, env: &mut Env<'_>, why: Why) {
        if self.promote(env.now, &why) {
            return;
        }
        self.failed_dials = self.failed_dials.saturating_add(1);
        let timers = &env.local.timers;
        let wait = backoff::rest(timers.idle_hold, timers.connect_retry, self.failed_dials);
        let retry = (env.peer.dial == Dialling::Active).then(|| env.now + env.jitter.apply(wait));
        self.enter(env.now, Session::Active(Active { retry }), why);
    }

    /// Dials, or lets the peer dial.
    fn try_again(&mut self, env: &mut Env<'_>, why: Option<Why>) {
        let why = match (why, env.peer.dial) {
            (Some(why), _) => why,
            (None, Dialling::Passive) if self.why == Why::NotYet => Why::AwaitsPeer,
            (None, _) => self.why.clone(),
        };
        if self.promote(env.now, &why) {
            return;
        }
        match env.peer.dial {
            Dialling::Passive => self.enter(env.now, Session::Active(Active { retry: None }), why),
            Dialling::Active => {
                *env.conns += 1;
                let dial = ConnId(*env.conns);
                let retry = env.now + env.local.timers.connect_retry;
                env.actions.push(Action::Dial(dial));
                self.enter(env.now, Session::Connect(Connect { dial, retry }), why);
            }
        }
    }
}

fn password(env: &Env<'_>) -> Password {
    if env.peer.password.is_some() { Password::Set } else { Password::None }
}

fn later(now: Time, time: Duration) -> Option<Time> {
    (!time.is_zero()).then(|| now + time)
}

fn beat(env: &mut Env<'_>, agreed: &Agreed) -> Beat {
    Beat {
        hold: later(env.now, agreed.hold),
        keepalive: later(env.now, agreed.keepalive).map(|_| env.now + env.jitter.apply(agreed.keepalive)),
    }
}

/// RFC 4271 §6.6 with the subcodes of RFC 6608.
fn unexpected(state: SessionState, got: MessageType) -> Notification {
    let code = match state {
        SessionState::OpenSent => fsm::IN_OPEN_SENT,
        SessionState::OpenConfirm => fsm::IN_OPEN_CONFIRM,
        SessionState::Established => fsm::IN_ESTABLISHED,
        _ => fsm::UNSPECIFIC,
    };
    Notification::with_data(code, &[got.value()])
}

fn keepalive() -> Bytes {
    let mut octets = Vec::with_capacity(19);
    message::encode_keepalive(&mut octets);
    octets.into()
}

fn encode(told: &Notification) -> Bytes {
    let mut octets = Vec::new();
    told.encode(&mut octets);
    octets.into()
}
