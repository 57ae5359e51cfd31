//! A TLS flight in pieces, in both directions (RFC 5216 §2.1.5).

use crate::eap::TlsMessage;
use crate::error::{Error, Misuse, Refusal};

/// Most octets of one TLS flight, either way: ten certificates and the handshake around them.
pub const MAX_FLIGHT: usize = 64 * 1024;

/// How many octets of TLS go into one EAP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentSize(u16);

impl FragmentSize {
    /// 64 to 3800 octets: more does not fit a RADIUS packet beside its attributes.
    ///
    /// # Errors
    ///
    /// Outside that range.
    pub fn new(octets: u16) -> Result<Self, Misuse> {
        if (64..=3800).contains(&octets) {
            Ok(Self(octets))
        } else {
            Err(Misuse::FragmentSize)
        }
    }

    /// The same, or less where the link carries EAP packets of at most `mtu` octets (Framed-MTU,
    /// RFC 3579 §2.4).
    #[must_use]
    pub fn within_mtu(self, mtu: Option<u32>) -> Self {
        // Four octets of EAP, then type, flags and length.
        let room = mtu.map_or(u32::MAX, |mtu| mtu.saturating_sub(10)).max(64);
        Self(u16::try_from(room).unwrap_or(u16::MAX).min(self.0))
    }

    fn octets(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for FragmentSize {
    /// 1000 octets, which fits where EAP's least MTU of 1020 does (RFC 3748 §3.1).
    fn default() -> Self {
        Self(1000)
    }
}

/// A flight that is coming in.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    whole: Option<usize>,
    data: Vec<u8>,
}

/// What a fragment made of the flight.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// More is to come; acknowledge.
    Partly,
    /// This is all of it.
    Flight(Vec<u8>),
}

impl Incoming {
    /// Takes the next fragment. After an error the flight is lost.
    pub(crate) fn take(&mut self, message: &TlsMessage<'_>) -> Result<Received, Error> {
        let announced = message
            .length
            .map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        if announced.is_some_and(|length| length > MAX_FLIGHT) {
            return Err(Refusal::MessageTooLarge.into());
        }
        let begun = !self.data.is_empty();
        match (begun, self.whole, announced) {
            (false, _, length) => self.whole = length,
            (true, Some(whole), Some(length)) if whole != length => {
                return Err(Refusal::FragmentLengthChanged.into());
            }
            _ => {}
        }
        if message.more {
            if self.whole.is_none() {
                return Err(Refusal::FragmentLengthMissing.into());
            }
            if message.data.is_empty() {
                return Err(Refusal::FragmentEmpty.into());
            }
        }
        let so_far = self.data.len() + message.data.len();
        if so_far > self.whole.unwrap_or(MAX_FLIGHT) {
            return Err(Refusal::FragmentOverrun.into());
        }
        self.data.extend_from_slice(message.data);
        match (message.more, self.whole) {
            (true, Some(whole)) if so_far == whole => Err(Refusal::FragmentOverrun.into()),
            (true, _) => Ok(Received::Partly),
            (false, Some(whole)) if so_far < whole => Err(Refusal::FragmentShort.into()),
            (false, _) => {
                self.whole = None;
                Ok(Received::Flight(std::mem::take(&mut self.data)))
            }
        }
    }

    /// Whether a flight has begun and not ended.
    pub(crate) fn is_begun(&self) -> bool {
        !self.data.is_empty()
    }
}

/// A flight that is going out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    data: Vec<u8>,
    sent: usize,
    size: FragmentSize,
}

impl Outgoing {
    pub(crate) fn new(data: Vec<u8>, size: FragmentSize) -> Self {
        Self {
            data,
            sent: 0,
            size,
        }
    }

    /// The next EAP-TLS message; `None` when all was sent. Only the first of several carries the
    /// whole length.
    pub(crate) fn next(&mut self) -> Option<Vec<u8>> {
        let rest = self.data.get(self.sent..)?;
        if rest.is_empty() {
            return None;
        }
        let piece = rest.get(..self.size.octets()).unwrap_or(rest);
        let more = piece.len() < rest.len();
        let length = (self.sent == 0 && more).then(|| u32::try_from(self.data.len()).ok());
        let message = TlsMessage {
            start: false,
            more,
            length: length.flatten(),
            data: piece,
        };
        let encoded = message.encode();
        self.sent += piece.len();
        Some(encoded)
    }

    /// Whether something is still to be sent.
    pub(crate) fn is_unfinished(&self) -> bool {
        self.sent < self.data.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(length: Option<u32>, more: bool, data: &[u8]) -> TlsMessage<'_> {
        TlsMessage {
            start: false,
            more,
            length,
            data,
        }
    }

    fn refused(pieces: &[TlsMessage<'_>]) -> Error {
        let mut incoming = Incoming::default();
        let (last, before) = pieces.split_last().unwrap();
        for piece in before {
            assert_eq!(incoming.take(piece), Ok(Received::Partly));
        }
        incoming.take(last).unwrap_err()
    }

    /// RFC 5216 §2.1.5: pieces of every size come together again.
    #[test]
    fn a_flight_in_pieces_comes_together() {
        let data: Vec<u8> = (0..5000_u32).map(|each| each.to_le_bytes()[0]).collect();
        for size in [64, 100, 1000, 3800] {
            let mut outgoing = Outgoing::new(data.clone(), FragmentSize::new(size).unwrap());
            let mut incoming = Incoming::default();
            loop {
                let message = outgoing.next().unwrap();
                match incoming
                    .take(&TlsMessage::parse(&message).unwrap())
                    .unwrap()
                {
                    Received::Partly => assert!(outgoing.is_unfinished() && incoming.is_begun()),
                    Received::Flight(whole) => {
                        assert_eq!(whole, data);
                        break;
                    }
                }
            }
            assert!(outgoing.next().is_none());
        }
    }

    /// RFC 5216 §2.1.5
    #[test]
    fn fragments_that_do_not_fit_together_are_refused() {
        let overrun = refused(&[piece(Some(6), true, b"abcd"), piece(None, false, b"efg")]);
        assert_eq!(overrun, Refusal::FragmentOverrun.into());
        let overlapping = refused(&[piece(Some(6), true, b"abcd"), piece(None, true, b"cdef")]);
        assert_eq!(overlapping, Refusal::FragmentOverrun.into());
        let endless = refused(&[piece(Some(6), true, b"abcd"), piece(None, true, b"")]);
        assert_eq!(endless, Refusal::FragmentEmpty.into());
        let more_than_all = refused(&[piece(Some(4), true, b"abcd")]);
        assert_eq!(more_than_all, Refusal::FragmentOverrun.into());
        let short = refused(&[piece(Some(9), true, b"abcd"), piece(None, false, b"efg")]);
        assert_eq!(short, Refusal::FragmentShort.into());
        let out_of_order = refused(&[piece(None, true, b"efgh")]);
        assert_eq!(out_of_order, Refusal::FragmentLengthMissing.into());
        let changed = refused(&[piece(Some(9), true, b"abcd"), piece(Some(8), true, b"ef")]);
        assert_eq!(changed, Refusal::FragmentLengthChanged.into());
        let oversized = refused(&[piece(Some(65_537), true, b"abcd")]);
        assert_eq!(oversized, Refusal::MessageTooLarge.into());
        let huge = refused(&[piece(Some(u32::MAX), true, b"abcd")]);
        assert_eq!(huge, Refusal::MessageTooLarge.into());
    }

    #[test]
    fn the_link_bounds_a_fragment() {
        let size = FragmentSize::default();
        assert_eq!(size.within_mtu(None).octets(), 1000);
        assert_eq!(size.within_mtu(Some(1400)).octets(), 1000);
        assert_eq!(size.within_mtu(Some(500)).octets(), 490);
        assert_eq!(size.within_mtu(Some(0)).octets(), 64);
        assert!(FragmentSize::new(63).is_err() && FragmentSize::new(3801).is_err());
    }
}
