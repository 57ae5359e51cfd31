//! The floor: what the cryptographic operations of one onboarding cost on this machine, now.
//!
//! The operations are those that the protocols need, with both ends of every connection, since
//! all of them run on the same cores here. Parsing, HTTP, SQL and the kernel are what the ratio is
//! about, so nothing of them is in the floor.

use std::time::{Duration, Instant};

use super::measure::cpu;
use aws_lc_rs::agreement::{self, EphemeralPrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _,
};

/// How long each operation is measured.
const WINDOW: Duration = Duration::from_millis(1000);

/// Bytes that are signed: about a voucher request.
const MESSAGE: [u8; 1024] = [7; 1024];

/// How often one onboarding needs each operation, and what for.
const ONBOARDING: [(Operation, u32, &str); 4] = [
    (
        Operation::Sign,
        9,
        "two TLS handshakes with both sides (4), pledge request, registrar request, voucher, \
         certificate request, certificate",
    ),
    (
        Operation::Verify,
        16,
        "TLS (4), IDevID path (1), pledge request at registrar and MASA (2), IDevID path at the MASA \
         (1), registrar request and path (2), voucher and MASA path (2), server chain by the pin (1), \
         certificate request (1), LDevID (1), server path again (1)",
    ),
    (
        Operation::Agree,
        4,
        "X25519 on both sides of two handshakes, key included",
    ),
    (Operation::Generate, 1, "the device's own key"),
];

/// One kind of operation, all on P-256 unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    /// ECDSA signature.
    Sign,
    /// ECDSA verification.
    Verify,
    /// X25519: an ephemeral key and a shared secret.
    Agree,
    /// A key pair.
    Generate,
}

impl Operation {
    /// What it is called in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sign => "ECDSA P-256 signature",
            Self::Verify => "ECDSA P-256 verification",
            Self::Agree => "X25519 key and agreement",
            Self::Generate => "P-256 key pair",
        }
    }
}

/// A line of the floor's table.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) operation: Operation,
    pub(crate) count: u32,
    pub(crate) each: Duration,
    pub(crate) why: &'static str,
}

/// What one onboarding costs in cryptography alone.
#[derive(Debug, Clone)]
pub(crate) struct Floor {
    pub(crate) lines: Vec<Line>,
}

impl Floor {
    /// Measures on one core.
    pub(crate) fn measure() -> anyhow::Result<Self> {
        let lines = ONBOARDING
            .iter()
            .map(|(operation, count, why)| {
                Ok(Line {
                    operation: *operation,
                    count: *count,
                    each: cost(*operation)?,
                    why,
                })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { lines })
    }

    /// CPU time of one onboarding.
    pub(crate) fn cpu(&self) -> Duration {
        self.lines.iter().map(|line| line.each * line.count).sum()
    }

    /// Onboardings per second if `cores` did nothing else.
    pub(crate) fn per_second(&self, cores: usize) -> f64 {
        cores as f64 / self.cpu().as_secs_f64()
    }
}

/// The cost of one operation, measured now on one core.
pub(crate) fn cost(operation: Operation) -> anyhow::Result<Duration> {
    let random = SystemRandom::new();
    let failed = |_| anyhow::anyhow!("the cryptographic library failed");
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?;
    Ok(match operation {
        Operation::Sign => timed(|| key.sign(&random, &MESSAGE).is_ok()),
        Operation::Verify => {
            let signed = key.sign(&random, &MESSAGE).map_err(failed)?;
            let public = signature::UnparsedPublicKey::new(
                &ECDSA_P256_SHA256_ASN1,
                key.public_key().as_ref().to_vec(),
            );
            timed(|| public.verify(&MESSAGE, signed.as_ref()).is_ok())
        }
        Operation::Agree => {
            let peer = EphemeralPrivateKey::generate(&X25519, &random).map_err(failed)?;
            let peer = peer.compute_public_key().map_err(failed)?;
            timed(|| {
                let Ok(own) = EphemeralPrivateKey::generate(&X25519, &random) else {
                    return false;
                };
                let public = own.compute_public_key();
                let peer = UnparsedPublicKey::new(&X25519, peer.as_ref());
                public.is_ok() && agreement::agree_ephemeral(own, peer, (), |_| Ok(())).is_ok()
            })
        }
        Operation::Generate => {
            timed(|| EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).is_ok())
        }
    })
}

/// The mean CPU time of `work` over [`WINDOW`]. CPU and not wall-clock time, so that what else the
/// machine does counts neither for nor against us.
pub(crate) fn timed(mut work: impl FnMut() -> bool) -> Duration {
    let before = cpu(std::process::id());
    let start = Instant::now();
    let mut times = 0u32;
    while start.elapsed() < WINDOW {
        for _ in 0..16 {
            std::hint::black_box(work());
        }
        times += 16;
    }
    cpu(std::process::id()).saturating_sub(before) / times.max(1)
}
