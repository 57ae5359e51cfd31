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
use aws_lc_rs::{aead, digest, hmac};

/// How long each operation is measured.
const WINDOW: Duration = Duration::from_millis(1000);

/// Bytes that are signed: about a voucher request.
const MESSAGE: [u8; 1024] = [7; 1024];

/// How often one onboarding needs each operation, and what for.
const ONBOARDING: [(Operation, u32, &str); 5] = [
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
    (
        Operation::Records,
        4,
        "both ends of two TLS 1.3 connections: secrets and keys, the hash over the handshake, the \
         records",
    ),
];

/// HMACs of one end of a TLS 1.3 handshake in which both sides show certificates (RFC 8446 §7.1): two
/// extractions; two handshake, three application and one derived secret; keys and IVs for both
/// directions twice (8); two Finished keys and values (4); the exporter of the channel binding (2).
/// What is the same for every connection is not among them.
const HMACS: usize = 22;

/// Bytes of one handshake's messages with both certificates.
const TRANSCRIPT: usize = 3000;

/// Records of one connection and the bytes in each: an onboarding takes some 11 kB on two.
const RECORDS: usize = 10;
const RECORD: usize = 550;

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
    /// What TLS 1.3 computes beside signatures and key agreement, at one end of one connection.
    Records,
}

impl Operation {
    /// What it is called in the table.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sign => "ECDSA P-256 signature",
            Self::Verify => "ECDSA P-256 verification",
            Self::Agree => "X25519 key and agreement",
            Self::Generate => "P-256 key pair",
            Self::Records => "TLS 1.3 keys and records",
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
    /// How many cores were busy.
    pub(crate) cores: usize,
}

impl Floor {
    /// Measures on so many cores at once: two that are busy share more than memory, so that each does less
    /// than one alone.
    pub(crate) fn measure(cores: usize) -> anyhow::Result<Self> {
        let lines = ONBOARDING
            .iter()
            .map(|(operation, count, why)| {
                Ok(Line {
                    operation: *operation,
                    count: *count,
                    each: cost_on(cores, *operation)?,
                    why,
                })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { lines, cores })
    }

    /// CPU time of one onboarding.
    pub(crate) fn cpu(&self) -> Duration {
        self.lines.iter().map(|line| line.each * line.count).sum()
    }

    /// Onboardings per second if these cores did nothing else.
    pub(crate) fn per_second(&self) -> f64 {
        self.cores as f64 / self.cpu().as_secs_f64()
    }
}

/// The cost of one operation, measured now on one core.
pub(crate) fn cost(operation: Operation) -> anyhow::Result<Duration> {
    cost_on(1, operation)
}

/// The same while as many cores do it.
fn cost_on(cores: usize, operation: Operation) -> anyhow::Result<Duration> {
    let random = SystemRandom::new();
    let failed = |_| anyhow::anyhow!("the cryptographic library failed");
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map_err(failed)?;
    Ok(match operation {
        Operation::Sign => timed_on(cores, || key.sign(&random, &MESSAGE).is_ok()),
        Operation::Verify => {
            let signed = key.sign(&random, &MESSAGE).map_err(failed)?;
            let public = signature::UnparsedPublicKey::new(
                &ECDSA_P256_SHA256_ASN1,
                key.public_key().as_ref().to_vec(),
            );
            timed_on(cores, || public.verify(&MESSAGE, signed.as_ref()).is_ok())
        }
        Operation::Agree => {
            let peer = EphemeralPrivateKey::generate(&X25519, &random).map_err(failed)?;
            let peer = peer.compute_public_key().map_err(failed)?;
            timed_on(cores, || {
                let Ok(own) = EphemeralPrivateKey::generate(&X25519, &random) else {
                    return false;
                };
                let public = own.compute_public_key();
                let peer = UnparsedPublicKey::new(&X25519, peer.as_ref());
                public.is_ok() && agreement::agree_ephemeral(own, peer, (), |_| Ok(())).is_ok()
            })
        }
        Operation::Generate => timed_on(cores, || {
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).is_ok()
        }),
        Operation::Records => timed_on(cores, || records().is_ok()),
    })
}

/// The hashing and encrypting of one end of a connection. Opening a record costs what sealing it does.
fn records() -> Result<(), aws_lc_rs::error::Unspecified> {
    let mut secret = [7; 32];
    for _ in 0..HMACS {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &[7; 48]);
        secret.copy_from_slice(tag.as_ref());
    }
    let hash = digest::digest(&digest::SHA256, &[7; TRANSCRIPT]);
    let mut record = Vec::with_capacity(RECORD + aead::MAX_TAG_LEN);
    for key in [&secret, hash.as_ref()] {
        // One key for the handshake, one for what follows it.
        let key = key.get(..16).unwrap_or_default();
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_128_GCM, key)?);
        for number in 0..RECORDS / 2 {
            record.clear();
            record.resize(RECORD, 7);
            let nonce = aead::Nonce::assume_unique_for_key([u8::try_from(number).unwrap_or(0); 12]);
            key.seal_in_place_append_tag(nonce, aead::Aad::from([0; 5]), &mut record)?;
        }
    }
    std::hint::black_box(&record);
    Ok(())
}

/// The mean CPU time of `work` over [`WINDOW`]. CPU and not wall-clock time, so that what else the
/// machine does counts neither for nor against us.
pub(crate) fn timed(mut work: impl FnMut() -> bool) -> Duration {
    let before = cpu(std::process::id());
    let times = repeated(&mut work);
    cpu(std::process::id()).saturating_sub(before) / times.max(1)
}

/// The same on so many threads at once.
fn timed_on(threads: usize, work: impl Fn() -> bool + Sync) -> Duration {
    let before = cpu(std::process::id());
    let times: u32 = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| repeated(&mut || work())))
            .collect();
        let done = running.into_iter().map(|thread| thread.join());
        done.map(Result::unwrap_or_default).sum()
    });
    cpu(std::process::id()).saturating_sub(before) / times.max(1)
}

/// Does it over and over for a [`WINDOW`], and counts.
fn repeated(work: &mut impl FnMut() -> bool) -> u32 {
    let start = Instant::now();
    let mut times = 0;
    while start.elapsed() < WINDOW {
        for _ in 0..16 {
            std::hint::black_box(work());
        }
        times += 16;
    }
    times
}
