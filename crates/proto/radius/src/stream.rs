//! RADIUS over a stream (RFC 6613 §2.6.4, RFC 6614 §2.1): where one packet ends and the next one begins.
//!
//! Octets go in as they come; whole packets come out. What is kept is never more than one packet. After
//! an error the stream has lost its place: the connection must be closed.

use crate::error::{Error, Malformed};
use crate::packet::{HEADER, MAX_PACKET};

/// The shared secret on a connection whose TLS proves both ends (RFC 6614 §2.3).
pub const RADSEC_SECRET: &[u8] = b"radsec";

/// Octets of a packet that is not whole yet.
#[derive(Debug, Default)]
pub struct Framer {
    begun: Vec<u8>,
}

impl Framer {
    /// Takes octets off the front of `octets`, and gives the packet that they complete. `None` when all
    /// were taken and more is needed.
    ///
    /// # Errors
    ///
    /// A Length below 20 or beyond [`MAX_PACKET`], as soon as it can be seen.
    pub fn take(&mut self, octets: &mut &[u8]) -> Result<Option<Vec<u8>>, Error> {
        loop {
            let wanted = self.wanted()?;
            let missing = wanted.saturating_sub(self.begun.len());
            let (taken, rest) = octets.split_at(missing.min(octets.len()));
            self.begun.extend_from_slice(taken);
            *octets = rest;
            if self.begun.len() < wanted {
                return Ok(None);
            }
            if wanted > LENGTH_END {
                return Ok(Some(std::mem::take(&mut self.begun)));
            }
        }
    }

    /// Whether a packet has begun and not ended: the other side must not fall silent now.
    pub fn is_begun(&self) -> bool {
        !self.begun.is_empty()
    }

    /// How many octets must be there before the next look: up to Length, then the whole packet.
    fn wanted(&self) -> Result<usize, Error> {
        let [_, _, high, low, ..] = *self.begun.as_slice() else {
            return Ok(LENGTH_END);
        };
        match usize::from(u16::from_be_bytes([high, low])) {
            ..HEADER => Err(Malformed::PacketTooShort.into()),
            length @ HEADER..=MAX_PACKET => Ok(length),
            _ => Err(Malformed::PacketTooLong.into()),
        }
    }
}

/// Code, Identifier, Length.
const LENGTH_END: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(length: u16) -> Vec<u8> {
        let mut packet = vec![7; usize::from(length)];
        packet[2..4].copy_from_slice(&length.to_be_bytes());
        packet
    }

    /// RFC 6614 §2.1: packets follow each other without anything between.
    #[test]
    fn packets_come_out_as_they_went_in_whatever_the_pieces() {
        let packets = [packet(20), packet(4096), packet(21), packet(300)];
        let wire = packets.concat();
        for size in [1, 3, 19, 20, 1000, 10_000] {
            let mut framer = Framer::default();
            let mut out = Vec::new();
            for mut piece in wire.chunks(size) {
                while let Some(packet) = framer.take(&mut piece).unwrap() {
                    out.push(packet);
                }
                assert!(piece.is_empty());
                assert!(framer.begun.len() <= MAX_PACKET);
            }
            assert_eq!(out, packets, "pieces of {size}");
            assert!(!framer.is_begun());
        }
    }

    /// RFC 6613 §2.6.4: a Length that cannot be ends the connection, and before any of it is kept.
    #[test]
    fn a_lying_length_is_refused_at_once() {
        let refused = |length: u16| {
            let mut framer = Framer::default();
            let [high, low] = length.to_be_bytes();
            framer.take(&mut [1, 1, high, low].as_slice()).unwrap_err()
        };
        for length in [0, 1, 19] {
            assert_eq!(refused(length), Malformed::PacketTooShort.into());
        }
        for length in [4097, 32_768, u16::MAX] {
            assert_eq!(refused(length), Malformed::PacketTooLong.into());
        }
    }

    /// A packet that ends too early is no packet.
    #[test]
    fn a_truncated_packet_stays_begun() {
        let whole = packet(100);
        for length in 1..100 {
            let mut framer = Framer::default();
            let mut octets = &whole[..length];
            assert_eq!(framer.take(&mut octets), Ok(None));
            assert!(framer.is_begun() && octets.is_empty());
        }
    }
}
