//! One TCP connection of the simulation.

use std::net::SocketAddr;

use model::{Asn, Time};

use super::{End, NodeId};
use crate::speaker::{ConnId, Input};
use crate::wire::{Context, Framer, Message, PeerKind};

/// A connection, from the dial on.
#[derive(Debug)]
pub(super) struct Link {
    /// The dialler's end.
    pub local: SocketAddr,
    /// The acceptor's end.
    pub remote: SocketAddr,
    dialler: Side,
    acceptor: Side,
}

#[derive(Debug)]
struct Side {
    node: Option<NodeId>,
    conn: Option<ConnId>,
    state: SideState,
    framer: Framer,
    context: Context,
    /// What was sent last arrives then: nothing overtakes it.
    last: Time,
    unread: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SideState {
    /// SYN is out, or has not come yet.
    Opening,
    Open,
    Closed,
}

impl Side {
    fn new(node: Option<NodeId>, conn: Option<ConnId>) -> Side {
        let context = Context::new(PeerKind::External, Asn::TRANS);
        let (framer, unread) = (Framer::new(), Vec::new());
        Side { node, conn, state: SideState::Opening, framer, context, last: Time::START, unread }
    }
}

impl Link {
    pub(super) fn new(node: NodeId, conn: ConnId, local: SocketAddr, remote: SocketAddr) -> Link {
        Link { local, remote, dialler: Side::new(Some(node), Some(conn)), acceptor: Side::new(None, None) }
    }

    fn side(&self, end: End) -> &Side {
        match end {
            End::Dialler => &self.dialler,
            End::Acceptor => &self.acceptor,
        }
    }

    fn side_mut(&mut self, end: End) -> &mut Side {
        match end {
            End::Dialler => &mut self.dialler,
            End::Acceptor => &mut self.acceptor,
        }
    }

    pub(super) fn node(&self, end: End) -> Option<NodeId> {
        self.side(end).node
    }

    /// Open, or about to be.
    pub(super) fn is_open(&self, end: End) -> bool {
        self.side(end).state != SideState::Closed
    }

    /// Who holds an end that is open.
    pub(super) fn open(&self, end: End) -> Option<(NodeId, ConnId)> {
        let side = self.side(end);
        if side.state == SideState::Open { side.node.zip(side.conn) } else { None }
    }

    /// The end that this connection of a node is, unless it is closed.
    pub(super) fn end_of(&self, node: NodeId, conn: ConnId) -> Option<End> {
        let is = |side: &Side| side.node == Some(node) && side.conn == Some(conn) && side.state != SideState::Closed;
        if is(&self.dialler) {
            Some(End::Dialler)
        } else if is(&self.acceptor) {
            Some(End::Acceptor)
        } else {
            None
        }
    }

    pub(super) fn accept(&mut self, node: NodeId, conn: ConnId) {
        self.acceptor.node = Some(node);
        self.acceptor.conn = Some(conn);
        self.acceptor.state = SideState::Open;
    }

    /// The dial has come through, unless it was given up.
    pub(super) fn establish(&mut self) -> Option<(NodeId, ConnId, SocketAddr, SocketAddr)> {
        if self.dialler.state != SideState::Opening {
            return None;
        }
        self.dialler.state = SideState::Open;
        let (node, conn) = self.dialler.node.zip(self.dialler.conn)?;
        Some((node, conn, self.local, self.remote))
    }

    /// The dial has failed, unless it was given up.
    pub(super) fn refuse(&mut self) -> Option<(NodeId, ConnId)> {
        if self.dialler.state != SideState::Opening {
            return None;
        }
        self.dialler.state = SideState::Closed;
        self.dialler.node.zip(self.dialler.conn)
    }

    pub(super) fn close(&mut self, end: End) {
        self.side_mut(end).state = SideState::Closed;
    }

    pub(super) fn set_context(&mut self, end: End, context: Context) {
        let side = self.side_mut(end);
        side.framer.follow(&context);
        side.context = context;
    }

    /// When something arrives at this end that would arrive at `at` if nothing were before it.
    pub(super) fn in_order(&mut self, to: End, at: Time) -> Time {
        let side = self.side_mut(to);
        side.last = side.last.max(at);
        side.last
    }

    pub(super) fn keep_unread(&mut self, end: End, bytes: Vec<u8>) {
        self.side_mut(end).unread.push(bytes);
    }

    pub(super) fn take_unread(&mut self, end: End) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.side_mut(end).unread)
    }

    /// Frames and decodes.
    pub(super) fn receive(&mut self, end: End, conn: ConnId, octets: &[u8]) -> Vec<Input> {
        let side = self.side_mut(end);
        side.framer.push(octets);
        let mut inputs = Vec::new();
        loop {
            let decoded = match side.framer.next_frame() {
                Ok(None) => return inputs,
                Ok(Some(frame)) => Message::decode(frame, &side.context),
                Err(notification) => Err(notification),
            };
            match decoded {
                Ok(message) => inputs.push(Input::Message { conn, message }),
                Err(notification) => {
                    inputs.push(Input::DecodeError { conn, notification });
                    return inputs;
                }
            }
        }
    }
}
