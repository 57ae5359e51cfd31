//! The pledge's side of RFC 8995 §5.2 and §5.6.
//!
//! 1. [`PledgeRequest::sign`]: a request for a voucher, with a fresh nonce and the certificate that
//!    the server showed (§5.2).
//! 2. [`verify_voucher`]: the answer is the manufacturer's, for this device, to this request (§5.6.1).
//! 3. [`reverify_server_chain`]: the connection that was provisional ends in the domain that the
//!    voucher pins (§5.6.2). Only then may anything from the server be believed.

use jiff::{SignedDuration, Timestamp};
use vouchsafe_trust::{
    Anchors, Certificate, Path, PathRules, PublicKey, Signed, Signer, Usage, Verified, oid,
    verify_path,
};

use crate::compatibility::Compatibility;
use crate::envelope::{self, Signing};
use crate::error::{Artifact, Error, Malformed, Refusal};
use crate::idevid;
use crate::leaf::Module;
use crate::voucher::{Assertion, Encoding, Nonce, Voucher, VoucherRequest};

/// What goes into a pledge's voucher request (RFC 8995 §5.2).
#[derive(Debug, Clone, Copy)]
pub struct PledgeRequest<'a> {
    /// The device's birth certificate first, then its intermediates.
    pub idevid_chain: &'a [Certificate],
    /// Drawn for this request; 8 to 32 bytes.
    pub nonce: &'a Nonce,
    /// The device's time, if it has a clock.
    pub created_on: Option<Timestamp>,
    /// The first certificate that the server showed in this TLS session.
    pub registrar: &'a Certificate,
}

impl PledgeRequest<'_> {
    /// Step 1. JSON names the server by certificate, CBOR by public key (cBRSKI §6.4), and COSE
    /// leaves the chain out: the registrar has it from the handshake.
    ///
    /// # Errors
    /// A nonce of a wrong length, an IDevID without serial number, a signer of another key.
    pub fn sign(
        &self,
        encoding: Encoding,
        signer: &dyn Signer,
        compatibility: &Compatibility,
    ) -> Result<Vec<u8>, Error> {
        let idevid = self
            .idevid_chain
            .first()
            .ok_or(crate::error::Misuse::EmptyChain)?;
        self.nonce
            .check_length()
            .map_err(|_| crate::error::Misuse::NonceLength)?;
        let mut request = VoucherRequest {
            created_on: self.created_on,
            assertion: Some(Assertion::Proximity),
            serial_number: idevid::serial_number(idevid)?.to_owned(),
            nonce: Some(self.nonce.clone()),
            ..VoucherRequest::default()
        };
        match encoding {
            Encoding::CmsJson | Encoding::JwsJson => {
                request.proximity_registrar_cert = Some(self.registrar.der().to_vec());
            }
            Encoding::CoseCbor => {
                request.proximity_registrar_pubk =
                    Some(self.registrar.public_key().spki_der().to_vec());
            }
        }
        envelope::sign(
            Module::Request,
            &request.leaves(),
            &Signing {
                encoding,
                certificates: self.idevid_chain,
                signing_time: self.created_on,
                cose_certificates: false,
            },
            signer,
            compatibility,
        )
    }
}

/// What a pledge does with a voucher that answers no nonce.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoncelessVouchers {
    /// Accept it if there is a clock to hold its expiry against (RFC 8366 §5.3, RFC 8995 §7.2).
    #[default]
    WithClock,
    /// Accept it, clock or not (RFC 8995 §7.2 (1)).
    Always,
    /// Only a voucher that answers the request will do.
    Refuse,
}

/// What the pledge holds a voucher against (RFC 8995 §5.6.1).
#[derive(Debug, Clone, Copy)]
pub struct VoucherRules<'a> {
    /// The manufacturer's anchors for vouchers, built into the device. Where COSE is in use the
    /// voucher signer's own certificate is one of them, since such vouchers carry none.
    pub masa: &'a Anchors,
    /// The device's birth certificate.
    pub idevid: &'a Certificate,
    /// The nonce of the request on this connection.
    pub nonce: Option<&'a Nonce>,
    /// The time; `None` without a trusted clock, then the voucher's own creation time stands in
    /// (RFC 8995 §2.6.1).
    pub now: Option<Timestamp>,
    /// How far the two clocks may differ.
    pub skew: SignedDuration,
    /// What to do about vouchers without nonce.
    pub nonceless: NoncelessVouchers,
    /// Tolerated variants.
    pub compatibility: &'a Compatibility,
}

/// Step 2: the voucher is the manufacturer's, for this device, and answers this request.
///
/// # Errors
/// [`Error::Signature`] for a wrong MASA; [`Refusal`] for serial, issuer, nonce, dates and pin.
pub fn verify_voucher(
    bytes: &[u8],
    encoding: Encoding,
    rules: &VoucherRules<'_>,
) -> Result<Verified<Voucher>, Error> {
    let envelope = envelope::open(bytes, encoding, Artifact::Voucher, rules.compatibility)?;
    let voucher = envelope::read_voucher(envelope.content(), encoding)?;
    let at = rules.now.unwrap_or(voucher.created_on);
    let signed = envelope
        .verify(rules.masa, &PathRules::strict(at, Usage::Any))
        .map_err(|source| envelope::refused(Artifact::Voucher, source))?;
    // The voucher was read from the very bytes whose signature now holds.
    signed.try_map(|signed| {
        check_voucher_signer(&signed)?;
        check_voucher(voucher, rules)
    })
}

/// RFC 8995 §5.6.1: the signer is the manufacturer's voucher service. Many makers issue its
/// certificate and their devices' under one root, and a device that could speak for the MASA would
/// give away all others. A signer that is itself an anchor was named on purpose.
pub(crate) fn check_voucher_signer(signed: &Signed) -> Result<(), Refusal> {
    let is_anchor = signed.path.len() == 1;
    let is_device =
        signed.signer.subject_serial_number().is_some() || signed.signer.masa_url().is_some();
    if is_device && !is_anchor {
        return Err(Refusal::VoucherByDevice);
    }
    // RFC 5280 §4.2.1.12: a key that only TLS was meant for, such as that of the MASA's own listener, which
    // often hangs below the same root.
    if signed.signer.is_for_tls_alone() && !is_anchor {
        return Err(Refusal::VoucherByTlsPeer);
    }
    Ok(())
}

fn check_voucher(voucher: Voucher, rules: &VoucherRules<'_>) -> Result<Voucher, Error> {
    // RFC 8995 §5.6.1: "verify the serial-number field of the signed voucher matches its own".
    if voucher.serial_number != idevid::serial_number(rules.idevid)? {
        return Err(Refusal::VoucherOtherSerial.into());
    }
    check_issuer(&voucher, rules.idevid, rules.compatibility)?;
    check_nonce(&voucher, rules)?;
    check_lifetime_form(&voucher, rules.compatibility)?;
    if let Some(now) = rules.now {
        check_dates(&voucher, now, rules.skew)?;
    }
    // RFC 8995 §5.6.1: a voucher without a pin leaves nothing to trust.
    pinned_keys(&voucher)?;
    Ok(voucher)
}

/// RFC 8366 §5.3: serial numbers are unique per issuer only.
pub(crate) fn check_issuer(
    voucher: &Voucher,
    idevid: &Certificate,
    compatibility: &Compatibility,
) -> Result<(), Refusal> {
    match &voucher.idevid_issuer {
        Some(issuer) if !idevid::issuer_matches(issuer, idevid, compatibility) => {
            Err(Refusal::VoucherOtherIssuer)
        }
        _ => Ok(()),
    }
}

/// RFC 8995 §5.6.1: the nonce is the one sent, or the voucher has none (§7.2).
fn check_nonce(voucher: &Voucher, rules: &VoucherRules<'_>) -> Result<(), Refusal> {
    match (&voucher.nonce, rules.nonce) {
        (Some(got), Some(sent)) if got.matches(sent) => Ok(()),
        (Some(_), _) => Err(Refusal::VoucherWrongNonce),
        (None, _) => match rules.nonceless {
            NoncelessVouchers::Refuse => Err(Refusal::VoucherNonceless),
            NoncelessVouchers::WithClock if rules.now.is_none() => Err(Refusal::VoucherNonceless),
            NoncelessVouchers::WithClock | NoncelessVouchers::Always => Ok(()),
        },
    }
}

/// RFC 8366 §5.3: expires-on and nonce exclude each other, and one of them is there.
pub(crate) fn check_lifetime_form(
    voucher: &Voucher,
    compatibility: &Compatibility,
) -> Result<(), Refusal> {
    match (&voucher.nonce, &voucher.expires_on) {
        (Some(_), Some(_)) if !compatibility.accept_nonce_with_expires_on => {
            Err(Refusal::NonceWithExpiry)
        }
        (None, None) => Err(Refusal::VoucherNoExpiry),
        _ => Ok(()),
    }
}

/// RFC 8366 §5.3: created-on and expires-on.
pub(crate) fn check_dates(
    voucher: &Voucher,
    now: Timestamp,
    skew: SignedDuration,
) -> Result<(), Refusal> {
    if later(voucher.created_on, now, skew) {
        return Err(Refusal::VoucherFromFuture);
    }
    match voucher.expires_on {
        Some(end) if end <= now => Err(Refusal::VoucherExpired),
        _ => Ok(()),
    }
}

/// Whether `date` lies more than `skew` after `now`.
pub(crate) fn later(date: Timestamp, now: Timestamp, skew: SignedDuration) -> bool {
    date.duration_since(now) > skew
}

/// What a voucher pins: certificate or key, all of them naming the same key (RFC 8366bis §8).
pub(crate) struct Pins {
    certificate: Option<Certificate>,
    key: Option<PublicKey>,
    key_sha256: Option<Vec<u8>>,
}

impl Pins {
    fn match_key(&self, key: &PublicKey) -> bool {
        self.certificate
            .as_ref()
            .map(Certificate::public_key)
            .or(self.key.as_ref())
            .is_some_and(|pinned| pinned == key)
            || self
                .key_sha256
                .as_ref()
                .is_some_and(|pinned| pinned.as_slice() == key.sha256())
    }
}

pub(crate) fn pinned_keys(voucher: &Voucher) -> Result<Pins, Error> {
    let certificate = voucher
        .pinned_domain_cert
        .as_deref()
        .map(Certificate::from_der)
        .transpose()
        .map_err(|_| Malformed::Certificate)?;
    let key = voucher
        .pinned_domain_pubk
        .as_deref()
        .map(PublicKey::from_spki_der)
        .transpose()
        .map_err(|_| Malformed::Certificate)?;
    let key_sha256 = voucher.pinned_domain_pubk_sha256.clone();
    let first = certificate
        .as_ref()
        .map(Certificate::public_key)
        .or(key.as_ref());
    if let (Some(certificate), Some(key)) = (&certificate, &key)
        && certificate.public_key() != key
    {
        return Err(Refusal::VoucherPinsDisagree.into());
    }
    match (first, &key_sha256) {
        (None, None) => return Err(Refusal::VoucherNoPin.into()),
        (Some(key), Some(digest)) if digest.as_slice() != key.sha256() => {
            return Err(Refusal::VoucherPinsDisagree.into());
        }
        _ => {}
    }
    Ok(Pins {
        certificate,
        key,
        key_sha256,
    })
}

/// Step 3: the chain that the server showed at the start of this connection, leaf first, leads to
/// the pin and to nothing else (RFC 8995 §5.6.2). The pin may be the server's own certificate, a
/// CA above it, or a bare key of either.
///
/// `now` is the device's time; without a clock the voucher's creation time stands in.
///
/// # Errors
/// [`Refusal::VoucherPinMismatch`] where the chain is of another domain, [`Error::Chain`] where it is of
/// this one but not valid.
pub fn reverify_server_chain(
    voucher: &Verified<Voucher>,
    chain: &[Certificate],
    now: Option<Timestamp>,
) -> Result<Verified<Path>, Error> {
    check_server_chain(voucher, chain, now)
}

/// As [`reverify_server_chain`], also for a voucher that is only looked at.
pub(crate) fn check_server_chain(
    voucher: &Voucher,
    chain: &[Certificate],
    now: Option<Timestamp>,
) -> Result<Verified<Path>, Error> {
    let pins = pinned_keys(voucher)?;
    let (leaf, intermediates) = chain.split_first().ok_or(Refusal::VoucherPinMismatch)?;
    // A bare key becomes an anchor through the certificate in the chain that holds it.
    let anchor = match &pins.certificate {
        Some(certificate) => certificate.clone(),
        None => chain
            .iter()
            .find(|certificate| pins.match_key(certificate.public_key()))
            .cloned()
            .ok_or(Refusal::VoucherPinMismatch)?,
    };
    let chain_error = |source| Error::Chain {
        artifact: Artifact::ServerChain,
        source,
    };
    // A pinned end entity that was renewed with the same key is still the pinned one, and the voucher
    // has said what it is. Under a pinned CA stand gates and other servers of the domain as well: who
    // hands out anchors and certificates there shows that it may (RFC 7030 §3.6.1).
    let is_pinned = anchor.public_key() == leaf.public_key();
    let plain = is_pinned && !leaf.has_extended_key_usage(&oid::CMC_RA);
    let usage = if plain {
        Usage::TlsServer
    } else {
        Usage::Registrar
    };
    let anchor = if is_pinned { leaf.clone() } else { anchor };
    let anchors = Anchors::new(vec![anchor]).map_err(chain_error)?;
    let rules = PathRules::strict(now.unwrap_or(voucher.created_on), usage);
    verify_path(leaf, intermediates, &anchors, &rules).map_err(|source| match source {
        vouchsafe_trust::PathError::UnknownIssuer { .. } => Refusal::VoucherPinMismatch.into(),
        source => chain_error(source),
    })
}
