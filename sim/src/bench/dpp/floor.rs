//! What the cryptography of one exchange costs the configurator on this machine, now.
//!
//! Only what no configurator can do without is counted, each in the library's cheapest form: a key made
//! for agreement and not for signing, a signature over as many octets as a connector has. The scalar
//! b + p of mutual authentication is free here, although the library multiplies twice (15 µs) to take it
//! in; hashing, HKDF and AES-SIV (20 µs in all) are not counted either, nor is any message read or
//! written.

use std::time::Duration;

use anyhow::anyhow;
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey as AgreementKey, UnparsedPublicKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use comfy_table::Table;
use comfy_table::presets::UTF8_FULL_CONDENSED;

use crate::bench::floor::timed;
use crate::bench::measure::show;

/// As many octets as are signed of a connector.
const CONNECTOR: [u8; 350] = [7; 350];

/// The measured operations.
pub(super) struct Floor {
    generate: Duration,
    agree: Duration,
    sign: Duration,
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
        })
    }

    /// CPU time of one exchange at the controller: its protocol key, three shared secrets, the
    /// connector's signature.
    pub(super) fn controller(&self) -> Duration {
        self.generate + self.agree * AGREEMENTS + self.sign
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
