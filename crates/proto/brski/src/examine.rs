//! A voucher held against every rule of the pledge, for people who debug: all rules are looked at,
//! also behind the first that is broken.
//!
//! The rules are those of [`crate::pledge`]; a device stops at the first broken one.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use vouchsafe_trust::{Anchors, Certificate, PathRules, Usage};

use crate::compatibility::Compatibility;
use crate::envelope;
use crate::error::{Artifact, Error, Refusal, Unsupported};
use crate::voucher::{Encoding, Nonce, Voucher};
use crate::{idevid, inspect, pledge};

/// How far the clocks of MASA and reader may differ.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What the voucher is held against. What is not given is not checked.
#[derive(Debug, Clone, Copy)]
pub struct Expectations<'a> {
    /// The manufacturer's anchors for vouchers.
    pub masa: &'a Anchors,
    /// The time.
    pub at: Timestamp,
    /// The device's serial number.
    pub serial_number: Option<&'a str>,
    /// The device's birth certificate.
    pub idevid: Option<&'a Certificate>,
    /// The nonce of the request, as it stands in JSON.
    pub nonce: Option<&'a str>,
    /// The certificates that the registrar showed, leaf first.
    pub registrar_chain: Option<&'a [Certificate]>,
}

/// One rule and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The rule, one sentence.
    pub rule: &'static str,
    /// Where it stands.
    pub section: &'static str,
    /// What became of it.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// What became of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It is broken.
    Broken {
        /// The stable name of the reason, as journals have it.
        code: &'static str,
        /// The same for people.
        detail: String,
    },
    /// Nobody knows.
    NotChecked {
        /// What is missing.
        why: &'static str,
    },
}

/// Holds a voucher of any encoding, also as base64 or PEM text, against the rules of RFC 8995
/// §5.6.1 and §5.6.2. The first check that is broken is what the device would say.
#[must_use]
pub fn voucher(bytes: &[u8], expected: &Expectations<'_>) -> Vec<Check> {
    let compatibility = Compatibility::default();
    let mut checks = Vec::new();
    let mut check = |rule, section, result: Result<(), Error>| {
        let outcome = match result {
            Ok(()) => Outcome::Holds,
            Err(error) => Outcome::Broken {
                code: error.reason_code(),
                detail: error.to_string(),
            },
        };
        checks.push(Check {
            rule,
            section,
            outcome,
        });
    };

    let opened = inspect::binary(bytes).and_then(|binary| {
        let encoding = Encoding::detect(&binary).ok_or(Unsupported::Encoding)?;
        envelope::open(&binary, encoding, Artifact::Voucher, &compatibility)
            .map(|envelope| (envelope, encoding))
    });
    let rule = "it is a signed message of a known encoding";
    let (envelope, encoding) = match opened {
        Ok(opened) => {
            check(rule, "RFC 8366 §5.4", Ok(()));
            opened
        }
        Err(error) => {
            check(rule, "RFC 8366 §5.4", Err(error));
            return checks;
        }
    };
    let read = envelope::read_voucher(envelope.content(), encoding);
    let signed = envelope
        .verify(expected.masa, &PathRules::strict(expected.at, Usage::Any))
        .map_err(|source| envelope::refused(Artifact::Voucher, source));
    check(
        "it is signed by the manufacturer that the device trusts",
        "RFC 8995 §5.6.1",
        signed.and_then(|signed| Ok(pledge::check_voucher_signer(&signed)?)),
    );
    let rule = "its content is a voucher";
    let voucher = match read {
        Ok(voucher) => {
            check(rule, "RFC 8366 §5.3", Ok(()));
            voucher
        }
        Err(error) => {
            check(rule, "RFC 8366 §5.3", Err(error));
            return checks;
        }
    };
    check(
        "it has a nonce or an end, and not both",
        "RFC 8366 §5.3",
        pledge::check_lifetime_form(&voucher, &compatibility).map_err(Error::from),
    );
    check(
        "it is not from the future and has not ended",
        "RFC 8366 §5.3",
        pledge::check_dates(&voucher, expected.at, SKEW).map_err(Error::from),
    );
    check(
        "it pins a domain, and its pins agree",
        "RFC 8995 §5.6.1",
        pledge::pinned_keys(&voucher).map(drop),
    );
    checks.extend(of_the_device(&voucher, expected, &compatibility));
    checks
}

/// The rules for which something of the device or its connection must be known.
fn of_the_device(
    voucher: &Voucher,
    expected: &Expectations<'_>,
    compatibility: &Compatibility,
) -> [Check; 4] {
    let serial = match (expected.serial_number, expected.idevid) {
        (Some(serial), _) => Some(Ok(serial)),
        (None, Some(idevid)) => Some(idevid::serial_number(idevid)),
        (None, None) => None,
    };
    let serial = serial.map(|serial| match serial {
        Ok(serial) if serial == voucher.serial_number => Ok(()),
        Ok(_) => Err(Refusal::VoucherOtherSerial.into()),
        Err(error) => Err(error),
    });
    let issuer = match (expected.idevid, &voucher.idevid_issuer) {
        (Some(idevid), _) => {
            Some(pledge::check_issuer(voucher, idevid, compatibility).map_err(Error::from))
        }
        (None, None) => Some(Ok(())),
        (None, Some(_)) => None,
    };
    let nonce = match (&voucher.nonce, expected.nonce) {
        (None, _) => Some(Ok(())),
        (Some(_), None) => None,
        (Some(nonce), Some(sent)) => Some(if nonce.matches(&Nonce::Text(sent.to_owned())) {
            Ok(())
        } else {
            Err(Refusal::VoucherWrongNonce.into())
        }),
    };
    let chain = (expected.registrar_chain)
        .map(|chain| pledge::check_server_chain(voucher, chain, Some(expected.at)).map(drop));
    [
        known_or(
            "it is for this device",
            "RFC 8995 §5.6.1",
            serial,
            "no serial number was given to compare with",
        ),
        known_or(
            "it is for a device of this issuer",
            "RFC 8366 §5.3",
            issuer,
            "no birth certificate was given to compare with",
        ),
        known_or(
            "it answers this request",
            "RFC 8995 §5.6.1",
            nonce,
            "no nonce was given to compare with",
        ),
        known_or(
            "the registrar belongs to the domain that it pins",
            "RFC 8995 §5.6.2",
            chain,
            "no certificates of a registrar were given",
        ),
    ]
}

fn known_or(
    rule: &'static str,
    section: &'static str,
    result: Option<Result<(), Error>>,
    missing: &'static str,
) -> Check {
    let outcome = match result {
        None => Outcome::NotChecked { why: missing },
        Some(Ok(())) => Outcome::Holds,
        Some(Err(error)) => Outcome::Broken {
            code: error.reason_code(),
            detail: error.to_string(),
        },
    };
    Check {
        rule,
        section,
        outcome,
    }
}
