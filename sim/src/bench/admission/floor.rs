//! What the cryptography of one authentication costs the server on this machine, now.
//!
//! Each primitive as often as the handshake needs it. Parsing, RADIUS with its MD5, the kernel and
//! the decision are what the share is about, so nothing of them is in the floor.

use std::time::Duration;

use anyhow::anyhow;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{digest, hmac};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use vouchsafe_radius::Version;

use crate::bench::floor::{Operation, cost, timed};
use crate::bench::measure::show;

/// Octets of the handshake's messages, which are hashed and, in part, encrypted.
const TRANSCRIPT: usize = 2048;

/// HMACs of the key schedule with the two Finished messages and the exporter: TLS 1.3 extracts three
/// times and expands 22 (RFC 8446 §7.1, RFC 9190 §2.3); TLS 1.2's PRF needs two for each block of
/// master secret, key block, Finished, and 128 octets of key material (RFC 5246 §5, RFC 5216 §2.3).
const HMACS_13: u32 = 32;
const HMACS_12: u32 = 24;

/// Records that the server opens or seals.
const RECORDS: u32 = 6;

/// One line of the table.
struct Line {
    what: &'static str,
    count: u32,
    each: Duration,
    why: &'static str,
}

/// The measured operations.
pub(super) struct Floor(Vec<Line>);

impl Floor {
    pub(super) fn measure(version: Version) -> anyhow::Result<Self> {
        let failed = |_| anyhow!("the cryptographic library failed");
        let message = [7; TRANSCRIPT];
        let hash = timed(|| {
            !digest::digest(&digest::SHA384, &message)
                .as_ref()
                .is_empty()
        });
        let mac = timed(|| {
            let key = hmac::Key::new(hmac::HMAC_SHA384, &message[..48]);
            !hmac::sign(&key, &message[..80]).as_ref().is_empty()
        });
        let key = UnboundKey::new(&AES_256_GCM, &message[..32]).map_err(failed)?;
        let key = LessSafeKey::new(key);
        let mut record = message[..TRANSCRIPT / 4].to_vec();
        let seal = timed(|| {
            let nonce = Nonce::assume_unique_for_key([1; 12]);
            key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut record)
                .is_ok()
        });
        let line = |what, count, each, why| Line {
            what,
            count,
            each,
            why,
        };
        Ok(Self(vec![
            line(
                Operation::Agree.name(),
                1,
                cost(Operation::Agree)?,
                "the server's share and the secret",
            ),
            line(
                Operation::Sign.name(),
                1,
                cost(Operation::Sign)?,
                "the server's proof",
            ),
            line(
                Operation::Verify.name(),
                2,
                cost(Operation::Verify)?,
                "the device's certificate and its proof",
            ),
            line(
                "HMAC-SHA384",
                match version {
                    Version::Tls12 => HMACS_12,
                    Version::Tls13 => HMACS_13,
                },
                mac,
                "key schedule, Finished, exporter",
            ),
            line("SHA-384 of 2 kB", 1, hash, "the transcript"),
            line("AES-256-GCM of 512 octets", RECORDS, seal, "records"),
        ]))
    }

    /// CPU time of one authentication.
    pub(super) fn cpu(&self) -> Duration {
        self.0.iter().map(|line| line.each * line.count).sum()
    }

    pub(super) fn print(&self, version: Version) {
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_header(["operation", "count", "each", "for"]);
        for line in &self.0 {
            table.add_row([
                line.what.to_owned(),
                line.count.to_string(),
                show(line.each),
                line.why.to_owned(),
            ]);
        }
        println!(
            "The cryptography of one authentication with TLS {}, at the server: {}\n{table}",
            super::label(version),
            show(self.cpu())
        );
    }
}
