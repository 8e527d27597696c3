//! Any message.

use std::fmt;

use super::context::Context;
use super::framer::{Frame, MessageType, begin_message, end_message};
use super::notification::Notification;
use super::open::Open;
use super::route_refresh::RouteRefresh;
use super::update::Update;

/// A decoded message. It can be handed to another thread.
#[derive(Debug, Clone)]
pub enum Message {
    /// Type 1.
    Open(Open),
    /// Type 2.
    Update(Update),
    /// Type 3.
    Notification(Notification),
    /// Type 4.
    Keepalive,
    /// Type 5.
    RouteRefresh(RouteRefresh),
}

impl Message {
    /// Decodes the body; an error is the NOTIFICATION with which the session ends.
    ///
    /// Only UPDATE looks at the context, which before Established is any.
    pub fn decode(frame: Frame, context: &Context) -> Result<Message, Notification> {
        let Frame { kind, body } = frame;
        Ok(match kind {
            MessageType::Open => Message::Open(Open::decode(&body)?),
            MessageType::Update => Message::Update(Update::decode(&body, context)?),
            MessageType::Notification => Message::Notification(Notification::decode(&body)),
            MessageType::Keepalive => Message::Keepalive,
            MessageType::RouteRefresh => Message::RouteRefresh(RouteRefresh::decode(&body)?),
        })
    }

    /// The header's type.
    pub fn kind(&self) -> MessageType {
        match self {
            Message::Open(_) => MessageType::Open,
            Message::Update(_) => MessageType::Update,
            Message::Notification(_) => MessageType::Notification,
            Message::Keepalive => MessageType::Keepalive,
            Message::RouteRefresh(_) => MessageType::RouteRefresh,
        }
    }
}

/// Appends a KEEPALIVE to `out`.
pub fn encode_keepalive(out: &mut Vec<u8>) {
    let start = begin_message(MessageType::Keepalive, out);
    end_message(start, out);
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Open(open) => {
                write!(f, "OPEN from AS {}, id {}, hold time {} s", open.asn, open.router_id, open.hold_seconds)
            }
            Message::Update(update) => write!(f, "UPDATE: {update}"),
            Message::Notification(notification) => write!(f, "NOTIFICATION: {notification}"),
            Message::Keepalive => f.write_str("KEEPALIVE"),
            Message::RouteRefresh(refresh) => write!(f, "ROUTE-REFRESH: {refresh}"),
        }
    }
}
