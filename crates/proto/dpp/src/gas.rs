//! The Generic Advertisement Service frames that carry the configuration protocol
//! (IEEE 802.11 §9.6.7.12 to §9.6.7.15; Wi-Fi Easy Connect 3.0 §8.3, over TCP §7.4).
//!
//! 1. The enrollee asks: [`GasMessage::InitialRequest`].
//! 2. The configurator answers whole ([`GasMessage::InitialResponse`] without delay), or says when
//!    to come back.
//! 3. The enrollee comes back ([`GasMessage::ComebackRequest`]), and gets the answer, a piece of
//!    it, or a further delay ([`GasMessage::ComebackResponse`]).
//!
//! Over TCP an answer is never cut ([`Responder::whole`]); on the air a frame carries some 1,400
//! octets, so [`Responder::fragmented`] cuts and [`Reassembly`] joins. All frames are without the
//! category octet, as over TCP.

use crate::error::{Error, Malformed, Refusal};

/// Largest answer that is joined from its pieces, in octets.
pub const MAX_RESPONSE_LENGTH: usize = 64 * 1024;

/// The piece of an answer that fits a frame on the air, in octets: what hostap sends on channels
/// below 60 GHz, where a frame has at most 1,400 octets and 42 of them go to headers.
pub const FRAGMENT_LENGTH: usize = 1400 - 50;

/// Most comebacks that an enrollee makes before it gives up on an answer.
pub const MAX_COMEBACKS: usize = 512;

/// One unit of a comeback delay, in microseconds (IEEE 802.11 §3.1, TU).
pub const TIME_UNIT_MICROSECONDS: u64 = 1024;

const INITIAL_REQUEST: u8 = 0x0a;
const INITIAL_RESPONSE: u8 = 0x0b;
const COMEBACK_REQUEST: u8 = 0x0c;
const COMEBACK_RESPONSE: u8 = 0x0d;

/// Advertisement Protocol element: vendor specific, WFA, DPP, version 1 (§8.3.1). Answers may have
/// another limit where the first has 7f.
const PROTOCOL_HEAD: [u8; 2] = [0x6c, 0x08];
const PROTOCOL_LIMIT: u8 = 0x7f;
const PROTOCOL_ID: [u8; 7] = [0xdd, 0x05, 0x50, 0x6f, 0x9a, 0x1a, 0x01];

/// The bit of a fragment's number that says that more follow (IEEE 802.11 §9.4.1.33).
const MORE_FRAGMENTS: u8 = 0x80;

/// One GAS frame, from the action octet on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GasMessage {
    /// `0a token protocol length query`.
    InitialRequest {
        /// Which exchange it is; 0 over TCP.
        token: u8,
        /// The attributes of a configuration request.
        query: Vec<u8>,
    },
    /// `0b token status delay protocol length response`.
    InitialResponse {
        /// That of the request.
        token: u8,
        /// IEEE 802.11 status; 0 is success.
        status: u16,
        /// In time units; 0 when the response is whole.
        comeback_delay: u16,
        /// The attributes of a configuration response; empty when there is a delay.
        response: Vec<u8>,
    },
    /// `0c token`.
    ComebackRequest {
        /// That of the request.
        token: u8,
    },
    /// `0d token status fragment delay protocol length response`.
    ComebackResponse {
        /// That of the request.
        token: u8,
        /// IEEE 802.11 status; 0 is success.
        status: u16,
        /// Number of the piece, 0 to 127.
        fragment: u8,
        /// Whether more pieces follow.
        more: bool,
        /// In time units; 0 when there is a piece of the response.
        comeback_delay: u16,
        /// The piece.
        response: Vec<u8>,
    },
}

impl GasMessage {
    /// Whether `frame` begins like one of these messages rather than like a public action frame of
    /// DPP's own.
    pub fn is_gas(frame: &[u8]) -> bool {
        matches!(
            frame.first(),
            Some(&(INITIAL_REQUEST | INITIAL_RESPONSE | COMEBACK_REQUEST | COMEBACK_RESPONSE))
        )
    }

    /// Reads a frame; nothing may follow it.
    ///
    /// # Errors
    /// [`Malformed::Gas`]; [`Malformed::GasProtocol`] for another advertisement protocol.
    pub fn read(frame: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader(frame);
        let action = reader.octet()?;
        let token = reader.octet()?;
        let message = match action {
            INITIAL_REQUEST => {
                reader.protocol()?;
                Self::InitialRequest {
                    token,
                    query: reader.sized()?,
                }
            }
            INITIAL_RESPONSE => {
                let status = reader.number()?;
                let comeback_delay = reader.number()?;
                reader.protocol()?;
                Self::InitialResponse {
                    token,
                    status,
                    comeback_delay,
                    response: reader.sized()?,
                }
            }
            COMEBACK_REQUEST => Self::ComebackRequest { token },
            COMEBACK_RESPONSE => {
                let status = reader.number()?;
                let fragment = reader.octet()?;
                let comeback_delay = reader.number()?;
                reader.protocol()?;
                Self::ComebackResponse {
                    token,
                    status,
                    fragment: fragment & !MORE_FRAGMENTS,
                    more: fragment & MORE_FRAGMENTS != 0,
                    comeback_delay,
                    response: reader.sized()?,
                }
            }
            _ => return Err(Malformed::Gas.into()),
        };
        if reader.0.is_empty() {
            Ok(message)
        } else {
            Err(Malformed::Gas.into())
        }
    }

    /// The frame.
    ///
    /// # Errors
    /// [`crate::Misuse::Oversize`] for contents of 64 KiB and more.
    pub fn write(&self) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        match self {
            Self::InitialRequest { token, query } => {
                out.extend([INITIAL_REQUEST, *token]);
                write_sized(&mut out, query)?;
            }
            Self::InitialResponse {
                token,
                status,
                comeback_delay,
                response,
            } => {
                out.extend([INITIAL_RESPONSE, *token]);
                out.extend(status.to_le_bytes());
                out.extend(comeback_delay.to_le_bytes());
                write_sized(&mut out, response)?;
            }
            Self::ComebackRequest { token } => out.extend([COMEBACK_REQUEST, *token]),
            Self::ComebackResponse {
                token,
                status,
                fragment,
                more,
                comeback_delay,
                response,
            } => {
                out.extend([COMEBACK_RESPONSE, *token]);
                out.extend(status.to_le_bytes());
                out.push(fragment & !MORE_FRAGMENTS | if *more { MORE_FRAGMENTS } else { 0 });
                out.extend(comeback_delay.to_le_bytes());
                write_sized(&mut out, response)?;
            }
        }
        Ok(out)
    }
}

/// The configurator's half of one exchange: it keeps the answer until all of it was fetched.
#[derive(Debug)]
pub struct Responder {
    token: u8,
    fragment_length: usize,
    answer: Option<Vec<u8>>,
    sent: usize,
    next: u8,
}

impl Responder {
    /// For TCP, where answers are never cut (§7.4).
    pub fn whole(token: u8) -> Self {
        Self::new(token, usize::from(u16::MAX))
    }

    /// For the air.
    pub fn fragmented(token: u8) -> Self {
        Self::new(token, FRAGMENT_LENGTH)
    }

    fn new(token: u8, fragment_length: usize) -> Self {
        Self {
            token,
            fragment_length,
            answer: None,
            sent: 0,
            next: 0,
        }
    }

    /// The first frame, with the answer if it fits; otherwise the enrollee is told to come back at
    /// once.
    pub fn answer(&mut self, answer: Vec<u8>) -> GasMessage {
        if answer.len() <= self.fragment_length {
            // Nothing is left to come back for.
            self.answer = Some(Vec::new());
            return GasMessage::InitialResponse {
                token: self.token,
                status: 0,
                comeback_delay: 0,
                response: answer,
            };
        }
        self.answer = Some(answer);
        GasMessage::InitialResponse {
            token: self.token,
            status: 0,
            comeback_delay: 1,
            response: Vec::new(),
        }
    }

    /// The first frame when the answer is not known yet: come back after `delay` time units.
    pub fn later(&self, delay: u16) -> GasMessage {
        GasMessage::InitialResponse {
            token: self.token,
            status: 0,
            comeback_delay: delay.max(1),
            response: Vec::new(),
        }
    }

    /// The answer has become known; the next comeback fetches it.
    pub fn provide(&mut self, answer: Vec<u8>) {
        self.answer = Some(answer);
    }

    /// The frame that answers a comeback request: the next piece, or a further `delay` in time
    /// units while there is nothing.
    ///
    /// # Errors
    /// [`Refusal::GasToken`] for a request of another exchange, [`Refusal::GasFinished`] when all
    /// was fetched.
    pub fn come_back(&mut self, token: u8, delay: u16) -> Result<GasMessage, Error> {
        if token != self.token {
            return Err(Refusal::GasToken.into());
        }
        let Some(answer) = &self.answer else {
            return Ok(GasMessage::ComebackResponse {
                token,
                status: 0,
                fragment: 0,
                more: false,
                comeback_delay: delay.max(1),
                response: Vec::new(),
            });
        };
        let rest = answer.get(self.sent..).unwrap_or_default();
        if rest.is_empty() {
            return Err(Refusal::GasFinished.into());
        }
        let (piece, rest) = rest
            .split_at_checked(self.fragment_length)
            .unwrap_or((rest, &[]));
        let fragment = self.next;
        self.sent += piece.len();
        self.next = (fragment + 1) & !MORE_FRAGMENTS;
        Ok(GasMessage::ComebackResponse {
            token,
            status: 0,
            fragment,
            more: !rest.is_empty(),
            comeback_delay: 0,
            response: piece.to_vec(),
        })
    }

    /// Whether the whole answer was handed out.
    pub fn is_finished(&self) -> bool {
        self.answer
            .as_ref()
            .is_some_and(|answer| self.sent == answer.len())
    }
}

/// The enrollee's half of one exchange.
#[derive(Debug)]
pub struct Reassembly {
    token: u8,
    collected: Vec<u8>,
    next: u8,
    comebacks: usize,
}

/// What an answer means for the enrollee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The answer is whole: the attributes of a configuration response.
    Complete(Vec<u8>),
    /// Send a comeback request after this many time units.
    ComeBack {
        /// 0 means at once.
        delay: u16,
    },
}

impl Reassembly {
    /// For the exchange of this token.
    pub fn new(token: u8) -> Self {
        Self {
            token,
            collected: Vec::new(),
            next: 0,
            comebacks: 0,
        }
    }

    /// The frame with which to come back.
    pub fn comeback_request(&self) -> GasMessage {
        GasMessage::ComebackRequest { token: self.token }
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// [`Refusal::GasToken`], [`Refusal::GasStatus`], [`Refusal::GasOrder`] for a piece out of order or a
    /// frame that is no answer, [`Refusal::GasTooLong`] beyond [`MAX_RESPONSE_LENGTH`] or
    /// [`MAX_COMEBACKS`].
    pub fn handle(&mut self, message: GasMessage) -> Result<Answer, Error> {
        match message {
            GasMessage::InitialResponse {
                token,
                status,
                comeback_delay,
                response,
            } => {
                self.check(token, status)?;
                if self.comebacks > 0 {
                    return Err(Refusal::GasOrder.into());
                }
                if comeback_delay == 0 {
                    return Ok(Answer::Complete(response));
                }
                self.wait(comeback_delay)
            }
            GasMessage::ComebackResponse {
                token,
                status,
                fragment,
                more,
                comeback_delay,
                response,
            } => {
                self.check(token, status)?;
                if self.comebacks == 0 {
                    return Err(Refusal::GasOrder.into());
                }
                if comeback_delay > 0 {
                    return self.wait(comeback_delay);
                }
                if fragment != self.next {
                    return Err(Refusal::GasOrder.into());
                }
                if self.collected.len() + response.len() > MAX_RESPONSE_LENGTH {
                    return Err(Refusal::GasTooLong.into());
                }
                self.collected.extend_from_slice(&response);
                self.next = (fragment + 1) & !MORE_FRAGMENTS;
                if more {
                    self.wait(0)
                } else {
                    Ok(Answer::Complete(std::mem::take(&mut self.collected)))
                }
            }
            GasMessage::InitialRequest { .. } | GasMessage::ComebackRequest { .. } => {
                Err(Refusal::GasOrder.into())
            }
        }
    }

    fn check(&self, token: u8, status: u16) -> Result<(), Error> {
        if token != self.token {
            return Err(Refusal::GasToken.into());
        }
        if status != 0 {
            return Err(Refusal::GasStatus.into());
        }
        Ok(())
    }

    fn wait(&mut self, delay: u16) -> Result<Answer, Error> {
        if self.comebacks == MAX_COMEBACKS {
            return Err(Refusal::GasTooLong.into());
        }
        self.comebacks += 1;
        Ok(Answer::ComeBack { delay })
    }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Gas)?;
        self.0 = rest;
        Ok(taken)
    }

    fn octet(&mut self) -> Result<u8, Malformed> {
        self.take(1)?.first().copied().ok_or(Malformed::Gas)
    }

    fn number(&mut self) -> Result<u16, Malformed> {
        let octets = self.take(2)?.try_into().map_err(|_| Malformed::Gas)?;
        Ok(u16::from_le_bytes(octets))
    }

    fn protocol(&mut self) -> Result<(), Malformed> {
        let head = self.take(PROTOCOL_HEAD.len())?;
        self.octet()?;
        let id = self.take(PROTOCOL_ID.len())?;
        if head == PROTOCOL_HEAD && id == PROTOCOL_ID {
            Ok(())
        } else {
            Err(Malformed::GasProtocol)
        }
    }

    fn sized(&mut self) -> Result<Vec<u8>, Malformed> {
        let length = self.number()?;
        Ok(self.take(length.into())?.to_vec())
    }
}

fn write_sized(out: &mut Vec<u8>, contents: &[u8]) -> Result<(), Error> {
    let length = u16::try_from(contents.len()).map_err(|_| crate::Misuse::Oversize)?;
    out.extend(PROTOCOL_HEAD);
    out.push(PROTOCOL_LIMIT);
    out.extend(PROTOCOL_ID);
    out.extend(length.to_le_bytes());
    out.extend_from_slice(contents);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The head of a configuration request as hostap sends it over TCP.
    const REQUEST: &str = "0a006c087fdd05506f9a1a010300aabbcc";
    const RESPONSE: &str = "0b00000000006c087fdd05506f9a1a010100ff";

    #[test]
    fn the_forms_on_the_wire_are_those_of_hostap() {
        let request = GasMessage::InitialRequest {
            token: 0,
            query: vec![0xaa, 0xbb, 0xcc],
        };
        assert_eq!(hex::encode(request.write().unwrap()), REQUEST);
        let response = Responder::whole(0).answer(vec![0xff]);
        assert_eq!(hex::encode(response.write().unwrap()), RESPONSE);
        for text in [
            REQUEST,
            RESPONSE,
            "0c07",
            "0d07000083f4016c087fdd05506f9a1a010000",
        ] {
            let frame = hex::decode(text).unwrap();
            assert!(GasMessage::is_gas(&frame));
            let message = GasMessage::read(&frame).unwrap();
            assert_eq!(hex::encode(message.write().unwrap()), text);
            for length in 0..frame.len() {
                let cut = GasMessage::read(&frame[..length]);
                assert!(cut.is_err(), "{text} cut at {length}");
            }
            let mut longer = frame.clone();
            longer.push(0);
            assert_eq!(
                GasMessage::read(&longer),
                Err(Malformed::Gas.into()),
                "trailing data, IEEE 802.11 §9.6.7.12"
            );
        }
        let mut other = hex::decode(REQUEST).unwrap();
        other[9] ^= 1;
        assert_eq!(
            GasMessage::read(&other),
            Err(Malformed::GasProtocol.into()),
            "another vendor's protocol, Wi-Fi Easy Connect 3.0 §8.3.1"
        );
        assert!(!GasMessage::is_gas(&[9]));
    }

    fn fetch(responder: &mut Responder, reassembly: &mut Reassembly, first: GasMessage) -> Vec<u8> {
        let mut answer = reassembly.handle(first).unwrap();
        loop {
            match answer {
                Answer::Complete(response) => return response,
                Answer::ComeBack { .. } => {
                    let GasMessage::ComebackRequest { token } = reassembly.comeback_request()
                    else {
                        unreachable!()
                    };
                    let next = responder.come_back(token, 500).unwrap();
                    let frame = next.write().unwrap();
                    assert!(frame.len() < 1400);
                    answer = reassembly
                        .handle(GasMessage::read(&frame).unwrap())
                        .unwrap();
                }
            }
        }
    }

    #[test]
    fn a_long_answer_arrives_in_pieces_and_whole() {
        for length in [FRAGMENT_LENGTH, FRAGMENT_LENGTH + 1, 60_000] {
            let long: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let mut responder = Responder::fragmented(7);
            let mut reassembly = Reassembly::new(7);
            let first = responder.answer(long.clone());
            assert_eq!(fetch(&mut responder, &mut reassembly, first), long);
        }
    }

    #[test]
    fn a_late_answer_is_fetched_after_the_delay() {
        let mut responder = Responder::fragmented(7);
        let mut reassembly = Reassembly::new(7);
        let wait = reassembly.handle(responder.later(500)).unwrap();
        assert_eq!(wait, Answer::ComeBack { delay: 500 });
        let still = responder.come_back(7, 600).unwrap();
        let wait = reassembly.handle(still).unwrap();
        assert_eq!(wait, Answer::ComeBack { delay: 600 });
        responder.provide(vec![1; 3000]);
        let first = responder.come_back(7, 600).unwrap();
        assert_eq!(fetch(&mut responder, &mut reassembly, first), vec![1; 3000]);
        assert!(responder.is_finished());
        assert_eq!(
            responder.come_back(7, 0).err(),
            Some(Refusal::GasFinished.into())
        );
        assert_eq!(
            responder.come_back(8, 0).err(),
            Some(Refusal::GasToken.into())
        );
    }

    #[test]
    fn pieces_out_of_order_or_without_end_are_refused() {
        let piece = |fragment, more| GasMessage::ComebackResponse {
            token: 7,
            status: 0,
            fragment,
            more,
            comeback_delay: 0,
            response: vec![0; 60],
        };
        let delayed = |delay| GasMessage::InitialResponse {
            token: 7,
            status: 0,
            comeback_delay: delay,
            response: Vec::new(),
        };
        let started = || {
            let mut reassembly = Reassembly::new(7);
            reassembly.handle(delayed(1)).unwrap();
            reassembly
        };
        let refused = |mut reassembly: Reassembly, message, reason: Refusal| {
            assert_eq!(reassembly.handle(message), Err(reason.into()));
        };
        refused(Reassembly::new(7), piece(0, false), Refusal::GasOrder);
        refused(started(), piece(1, false), Refusal::GasOrder);
        refused(started(), delayed(0), Refusal::GasOrder);
        refused(
            started(),
            GasMessage::ComebackRequest { token: 7 },
            Refusal::GasOrder,
        );
        refused(Reassembly::new(8), delayed(0), Refusal::GasToken);
        refused(
            Reassembly::new(7),
            GasMessage::InitialResponse {
                token: 7,
                status: 37,
                comeback_delay: 0,
                response: Vec::new(),
            },
            Refusal::GasStatus,
        );
        let mut endless = started();
        let mut frames = 0;
        let end = loop {
            match endless.handle(piece((frames % 128) as u8, true)) {
                Ok(_) => frames += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(end, Refusal::GasTooLong.into());
        let mut never = started();
        let end = loop {
            let later = GasMessage::ComebackResponse {
                token: 7,
                status: 0,
                fragment: 0,
                more: false,
                comeback_delay: 1,
                response: Vec::new(),
            };
            if let Err(error) = never.handle(later) {
                break error;
            }
        };
        assert_eq!(end, Refusal::GasTooLong.into());
    }
}
