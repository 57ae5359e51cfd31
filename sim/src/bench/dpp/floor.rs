//! What the cryptography of one exchange costs the configurator on this machine, now.
//!
//! Only what no configurator can do without is counted, each in the library's cheapest form: a key made
//! for agreement and not for signing, a signature over as many octets as a connector has, the hashes and
//! AES-SIV over as many octets as the messages have. The scalar b + p of mutual authentication is free
//! here, although the library multiplies once more (10 µs) to take it in, and no message is read or written.

use std::time::Duration;

use anyhow::anyhow;
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey as AgreementKey, UnparsedPublicKey};
use aws_lc_rs::digest;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use vouchsafe_dpp::{schedule, wrap};

use super::enrollee::CURVE;
use crate::bench::floor::timed;
use crate::bench::measure::show;

/// As many octets as are signed of a connector.
const CONNECTOR: [u8; 350] = [7; 350];

/// The measured operations.
pub(super) struct Floor {
    generate: Duration,
    agree: Duration,
    sign: Duration,
    symmetric: Duration,
}

/// Shared secrets at the controller: with the enrollee's protocol key from its bootstrapping key and
/// from its protocol key, and with the enrollee's bootstrapping key.
const AGREEMENTS: u32 = 3;

impl Floor {
    pub(super) fn measure() -> anyhow::Result<Self> {
        let failed = |_| anyhow!("the cryptographic library failed");
        let [own, peer] = [
            AgreementKey::generate(&ECDH_P256).map_err(failed)?,
            AgreementKey::generate(&ECDH_P256).map_err(failed)?,
        ];
        let peer = peer.compute_public_key().map_err(failed)?;
        let signer = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(failed)?;
        let random = SystemRandom::new();
        let agree = timed(|| {
            let peer = UnparsedPublicKey::new(&ECDH_P256, peer.as_ref());
            agreement::agree(&own, peer, (), |_| Ok(())).is_ok()
        });
        Ok(Self {
            generate: timed(|| AgreementKey::generate(&ECDH_P256).is_ok()),
            agree,
            sign: timed(|| signer.sign(&random, &CONNECTOR).is_ok()),
            symmetric: timed(|| symmetric().is_ok()),
        })
    }

    /// CPU time of one exchange at the controller: its protocol key, three shared secrets, the
    /// connector's signature, keys and wraps.
    pub(super) fn controller(&self) -> Duration {
        self.generate + self.agree * AGREEMENTS + self.sign + self.symmetric
    }

    pub(super) fn print(&self) {
        let mut table = Table::new();
        table
            .load_style(UTF8_FULL_CONDENSED)
            .set_header(["operation", "count", "each", "for"]);
        let rows = [
            ("P-256 key pair", 1, self.generate, "the protocol key"),
            (
                "P-256 shared secret",
                AGREEMENTS,
                self.agree,
                "authentication of both sides",
            ),
            ("ECDSA P-256 signature", 1, self.sign, "the connector"),
            (
                "HKDF, SHA-256, AES-SIV",
                1,
                self.symmetric,
                "four keys, two tags, seven wraps",
            ),
        ];
        for (operation, count, each, why) in rows {
            let count = count.to_string();
            table.add_row([operation.to_owned(), count, show(each), why.to_owned()]);
        }
        let sum = show(self.controller());
        table.add_row(["floor of one exchange at the controller", "", &sum, ""]);
        println!("{table}");
    }
}

/// Octets that are wrapped, opened or sealed, and those in clear that each wrap is bound to: of the request
/// for authentication, the response and the tag inside it, the confirm, the request for a configuration,
/// the answer and its result.
const WRAPS: [(usize, usize); 7] = [
    (25, 150),
    (110, 160),
    (36, 0),
    (36, 80),
    (150, 0),
    (1000, 0),
    (25, 0),
];

/// The keys k1, k2, bk and ke (RFC 5869), both authenticating tags, and [`WRAPS`] (RFC 5297).
fn symmetric() -> Result<(), vouchsafe_dpp::Error> {
    let curve = CURVE;
    let mut secret = schedule::hmac(curve, &[0; 32], &[&[7; 32]]);
    for _ in 0..2 {
        secret = schedule::expand(curve, secret.expose(), b"intermediate key", 32);
        secret = schedule::hmac(curve, secret.expose(), &[&[7; 96]]);
    }
    let key = schedule::expand(curve, secret.expose(), b"DPP Key", 32);
    for _ in 0..2 {
        std::hint::black_box(digest::digest(&digest::SHA256, &[7; 161]));
    }
    let octets = [7; 1000];
    for (length, beside) in WRAPS {
        let clear = octets.get(..length).unwrap_or_default();
        let beside = octets.get(..beside).unwrap_or_default();
        std::hint::black_box(wrap::wrap(key.expose(), &[beside], clear)?);
    }
    Ok(())
}
