//! OPEN: who speaks, and what it can do (RFC 4271 §4.2, RFC 5492, RFC 9072).

use bytes::Bytes;
use model::{Asn, RouterId};

use super::capability::{Capabilities, Capability};
use super::framer::{MessageType, begin_message, end_message, patch_u16};
use super::notification::{self, Notification};
use super::reader::{Reader, Short};

/// The one version there is.
const VERSION: u8 = 4;
/// The optional parameter that holds capabilities (RFC 5492 §4).
const CAPABILITIES: u8 = 2;
/// Non-extended length and type that announce extended optional parameters (RFC 9072 §2).
const EXTENDED: u8 = 255;

/// An OPEN message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The sender's AS: from the 4-octet AS capability where announced, else from the 2-octet field.
    pub asn: Asn,
    /// Proposed hold time in seconds: 0 (never expires), or at least 3.
    pub hold_seconds: u16,
    /// The sender's BGP identifier.
    pub router_id: RouterId,
    /// In order.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// The body of the message; every error is the NOTIFICATION of RFC 4271 §6.2.
    pub fn decode(body: &Bytes) -> Result<Open, Notification> {
        let malformed = |Short| Notification::new(notification::open::UNSPECIFIC);
        let mut r = Reader::new(body);
        if r.u8().map_err(malformed)? != VERSION {
            return Err(Notification::with_data(notification::open::UNSUPPORTED_VERSION, &[0, VERSION]));
        }
        let two_octet_as = r.u16().map_err(malformed)?;
        let hold_seconds = r.u16().map_err(malformed)?;
        let identifier = r.u32().map_err(malformed)?;
        let capabilities = decode_parameters(&mut r)?;

        // AS_TRANS or a number of its own: the capability is the one that counts (RFC 6793 §4.1). AS 0 is nobody's (RFC 7607 §2).
        let announced = capabilities.iter().find_map(|c| match c {
            Capability::FourOctetAs(asn) => Some(*asn),
            _ => None,
        });
        let asn = announced.unwrap_or_else(|| Asn::new(two_octet_as.into()));
        let asn = match asn {
            Some(asn) if two_octet_as != 0 => asn,
            _ => return Err(Notification::with_data(notification::open::BAD_PEER_AS, &two_octet_as.to_be_bytes())),
        };
        if hold_seconds == 1 || hold_seconds == 2 {
            return Err(Notification::with_data(notification::open::BAD_HOLD_TIME, &hold_seconds.to_be_bytes()));
        }
        let router_id = RouterId::new(identifier)
            .ok_or_else(|| Notification::with_data(notification::open::BAD_IDENTIFIER, &identifier.to_be_bytes()))?;
        Ok(Open { asn, hold_seconds, router_id, capabilities })
    }

    /// Appends the whole message to `out`. The AS goes into the 2-octet field as itself or as AS_TRANS; announcing it as
    /// a capability is the caller's choice. More than 255 octets of parameters go out in the extended form (RFC 9072).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut capabilities = Vec::new();
        for capability in &self.capabilities {
            capability.encode(&mut capabilities);
        }
        let start = begin_message(MessageType::Open, out);
        out.push(VERSION);
        out.extend_from_slice(&self.asn.two_octet().to_be_bytes());
        out.extend_from_slice(&self.hold_seconds.to_be_bytes());
        out.extend_from_slice(&self.router_id.bits().to_be_bytes());
        match (u8::try_from(capabilities.len()), u8::try_from(capabilities.len() + 2)) {
            (Ok(0), _) => out.push(0),
            (Ok(value), Ok(whole)) if whole != EXTENDED => {
                out.extend_from_slice(&[whole, CAPABILITIES, value]);
                out.extend_from_slice(&capabilities);
            }
            _ => {
                out.extend_from_slice(&[EXTENDED, EXTENDED, 0, 0, CAPABILITIES, 0, 0]);
                let end = out.len();
                out.extend_from_slice(&capabilities);
                patch_u16(end - 2, u16::try_from(capabilities.len()).unwrap_or(u16::MAX), out);
                patch_u16(end - 5, u16::try_from(capabilities.len() + 3).unwrap_or(u16::MAX), out);
            }
        }
        end_message(start, out);
    }

    /// Whether the sender uses 4-octet AS numbers (RFC 6793).
    pub fn has_four_octet_as(&self) -> bool {
        self.capabilities.four_octet_as().is_some()
    }
}

/// How wide the lengths of parameters are.
#[derive(Clone, Copy)]
enum LengthWidth {
    One,
    Two,
}

impl LengthWidth {
    fn read(self, r: &mut Reader<'_>) -> Result<usize, Short> {
        match self {
            LengthWidth::One => r.u8().map(usize::from),
            LengthWidth::Two => r.u16().map(usize::from),
        }
    }
}

/// All optional parameters. They end where the message ends, neither before nor after.
fn decode_parameters(r: &mut Reader<'_>) -> Result<Vec<Capability>, Notification> {
    let malformed = |Short| Notification::new(notification::open::UNSPECIFIC);
    let mut length = usize::from(r.u8().map_err(malformed)?);
    let mut width = LengthWidth::One;
    // The marker is the type after the length, whatever a non-zero length says (RFC 9072 §2).
    if length != 0 && r.rest().first() == Some(&EXTENDED) {
        r.u8().map_err(malformed)?;
        length = usize::from(r.u16().map_err(malformed)?);
        width = LengthWidth::Two;
    }
    if length != r.len() {
        return Err(malformed(Short));
    }
    let mut capabilities = Vec::new();
    while !r.is_empty() {
        let kind = r.u8().map_err(malformed)?;
        let length = width.read(r).map_err(malformed)?;
        let mut parameter = r.sub(length).map_err(malformed)?;
        if kind != CAPABILITIES {
            return Err(Notification::new(notification::open::UNSUPPORTED_PARAMETER));
        }
        while !parameter.is_empty() {
            let code = parameter.u8().map_err(malformed)?;
            let length = usize::from(parameter.u8().map_err(malformed)?);
            let value = parameter.take(length).map_err(malformed)?;
            capabilities.push(Capability::decode(code, value).map_err(|_| malformed(Short))?);
        }
    }
    Ok(capabilities)
}
