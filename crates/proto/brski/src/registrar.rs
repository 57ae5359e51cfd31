//! The registrar's side of RFC 8995 §5.3, §5.5 and §5.6.
//!
//! 1. [`verify_pledge_request`]: a pledge asks; the request is its own, names it and names us (§5.3).
//! 2. [`RegistrarRequest`]: the same question to the MASA, the pledge's request inside, untouched (§5.5).
//! 3. [`read_voucher`]: a look at the MASA's answer before it is handed on, untouched (§5.6).

use jiff::{SignedDuration, Timestamp};
use vouchsafe_trust::{
    Certificate, EnvelopeError, Path, Signer, Verified, cose, envelope as trust_envelope,
};

use crate::compatibility::Compatibility;
use crate::envelope::{self, Signing};
use crate::error::{Artifact, Error, Misuse, Refusal};
use crate::idevid;
use crate::leaf::Module;
use crate::pledge::later;
use crate::voucher::{Assertion, Encoding, Nonce, Voucher, VoucherRequest};

/// A pledge's voucher request whose every rule holds.
#[derive(Debug, Clone)]
pub struct PledgeVoucherRequest {
    /// What it says.
    pub request: VoucherRequest,
    /// How it was written.
    pub encoding: Encoding,
    /// The very bytes received; what goes into the registrar's request.
    pub bytes: Vec<u8>,
    /// The device's birth certificate.
    pub idevid: Certificate,
    /// The birth certificate's proved path, the anchor last.
    pub idevid_path: Vec<Certificate>,
}

impl PledgeVoucherRequest {
    /// The device's serial number, from its certificate.
    #[must_use]
    pub fn serial_number(&self) -> &str {
        // Equal to that of the certificate: no value of this type exists otherwise.
        &self.request.serial_number
    }
}

/// What the registrar holds a pledge's request against (RFC 8995 §5.3).
#[derive(Debug, Clone, Copy)]
pub struct PledgeRequestRules<'a> {
    /// The TLS client's chain, proved by [`idevid::verify_device_chain`].
    pub device: &'a Verified<Path>,
    /// The chain that we showed in this TLS session, leaf first.
    pub presented: &'a [Certificate],
    /// The time.
    pub now: Timestamp,
    /// How far a pledge's clock may run ahead; dates in the past are never refused, since a pledge
    /// may have no clock and may resend for days (RFC 8995 §5.6).
    pub skew: SignedDuration,
    /// Tolerated variants.
    pub compatibility: &'a Compatibility,
}

/// Step 1: checks a pledge's request against the connection that it came on.
///
/// Whether the nonce was seen before is for the caller's store.
///
/// # Errors
/// [`Refusal::SignerNotTlsClient`] and the other rules of RFC 8995 §5.2 and §5.3.
pub fn verify_pledge_request(
    bytes: &[u8],
    encoding: Encoding,
    rules: &PledgeRequestRules<'_>,
) -> Result<Verified<PledgeVoucherRequest>, Error> {
    let envelope = envelope::open(
        bytes,
        encoding,
        Artifact::PledgeRequest,
        rules.compatibility,
    )?;
    let request = envelope::read_request(envelope.content(), encoding, rules.compatibility)?;
    // RFC 8995 §5.3: the signer's identity is that of the TLS client.
    let signed = envelope
        .verify_by(rules.device)
        .map_err(|source| match source {
            EnvelopeError::NotTrusted(
                trust_envelope::NotTrusted::OtherSigner | trust_envelope::NotTrusted::SignerUnknown,
            ) => Refusal::SignerNotTlsClient.into(),
            source => envelope::refused(Artifact::PledgeRequest, source),
        })?;
    signed.try_map(|signed| {
        check_pledge_content(&request, &signed.signer, encoding)?;
        check_proximity(&request, rules.presented)?;
        if let Some(created_on) = request.created_on
            && later(created_on, rules.now, rules.skew)
        {
            return Err(Refusal::RequestFromFuture.into());
        }
        Ok(PledgeVoucherRequest {
            request,
            encoding,
            bytes: bytes.to_vec(),
            idevid: signed.signer,
            idevid_path: signed.path,
        })
    })
}

/// What holds for a pledge's request wherever it is read (RFC 8995 §5.2): serial number, nonce,
/// assertion, and that nothing is nested in it.
pub(crate) fn check_pledge_content(
    request: &VoucherRequest,
    signer: &Certificate,
    encoding: Encoding,
) -> Result<(), Error> {
    // RFC 8995 §5.3, §5.5: the serial number is the certificate's.
    if request.serial_number != idevid::serial_number(signer)? {
        return Err(Refusal::SerialMismatch.into());
    }
    // RFC 8995 §5.2: "The pledge MUST include" a nonce.
    let nonce = request.nonce.as_ref().ok_or(Refusal::NonceMissing)?;
    nonce.check_length()?;
    // RFC 8366 §5.3: the two exclude each other.
    if request.expires_on.is_some() {
        return Err(Refusal::NonceWithExpiry.into());
    }
    // RFC 8995 §5.2: only a registrar's request holds another one.
    if request.prior_signed_voucher_request.is_some() {
        return Err(Refusal::PriorRequestForbidden.into());
    }
    // RFC 8995 §5.2: the assertion is proximity; JWS examples leave it out.
    match (request.assertion, encoding) {
        (Some(Assertion::Proximity), _) | (None, Encoding::JwsJson) => Ok(()),
        (Some(_) | None, _) => Err(Refusal::AssertionNotProximity.into()),
    }
}

/// RFC 8995 §5.2: the proximity certificate is the first that we sent in this TLS session.
fn check_proximity(request: &VoucherRequest, presented: &[Certificate]) -> Result<(), Refusal> {
    let ours = presented.first().ok_or(Refusal::ProximityNotOurs)?;
    let mut named = false;
    if let Some(certificate) = &request.proximity_registrar_cert {
        named = true;
        if certificate != ours.der() {
            return Err(Refusal::ProximityNotOurs);
        }
    }
    if let Some(key) = &request.proximity_registrar_pubk {
        named = true;
        if key != ours.public_key().spki_der() {
            return Err(Refusal::ProximityNotOurs);
        }
    }
    if let Some(digest) = &request.proximity_registrar_pubk_sha256 {
        named = true;
        if digest.as_slice() != ours.public_key().sha256() {
            return Err(Refusal::ProximityNotOurs);
        }
    }
    if named {
        Ok(())
    } else {
        Err(Refusal::ProximityMissing)
    }
}

/// A registrar's voucher request to be (RFC 8995 §5.5).
#[derive(Debug, Clone)]
pub struct RegistrarRequest {
    request: VoucherRequest,
    encoding: Encoding,
    /// The device's chain, which COSE carries along (cBRSKI §9.2.1).
    device_chain: Vec<Certificate>,
}

impl RegistrarRequest {
    /// Asks on behalf of a pledge. The serial number is that of the TLS client's certificate, the
    /// nonce is copied, the pledge's request goes in byte by byte, and no proximity certificate of
    /// our own is named (RFC 8995 §5.5).
    #[must_use]
    pub fn for_pledge(pledge: &Verified<PledgeVoucherRequest>, created_on: Timestamp) -> Self {
        Self {
            request: VoucherRequest {
                created_on: Some(created_on),
                assertion: pledge.request.assertion,
                serial_number: pledge.serial_number().to_owned(),
                idevid_issuer: Some(idevid::issuer(&pledge.idevid)),
                nonce: pledge.request.nonce.clone(),
                prior_signed_voucher_request: Some(pledge.bytes.clone()),
                ..VoucherRequest::default()
            },
            encoding: pledge.encoding,
            device_chain: pledge.idevid_path.clone(),
        }
    }

    /// Asks for a voucher without nonce, for a device that is not there (RFC 8995 §5.5, §7.2).
    /// `expires_on` is the wished end; the MASA may shorten it.
    #[must_use]
    pub fn nonceless(
        serial_number: &str,
        idevid_issuer: Option<Vec<u8>>,
        created_on: Timestamp,
        expires_on: Option<Timestamp>,
        encoding: Encoding,
    ) -> Self {
        Self {
            request: VoucherRequest {
                created_on: Some(created_on),
                expires_on,
                serial_number: serial_number.to_owned(),
                idevid_issuer,
                ..VoucherRequest::default()
            },
            encoding,
            device_chain: Vec::new(),
        }
    }

    /// Asks to renew a voucher without nonce: a new request with the old voucher inside
    /// (RFC 8366bis §10.1).
    #[must_use]
    pub fn renewal(
        old: &Voucher,
        old_bytes: &[u8],
        created_on: Timestamp,
        encoding: Encoding,
    ) -> Self {
        Self {
            request: VoucherRequest {
                created_on: Some(created_on),
                serial_number: old.serial_number.clone(),
                idevid_issuer: old.idevid_issuer.clone(),
                prior_signed_voucher_request: Some(old_bytes.to_vec()),
                ..VoucherRequest::default()
            },
            encoding,
            device_chain: Vec::new(),
        }
    }

    /// What will be asked.
    #[must_use]
    pub fn content(&self) -> &VoucherRequest {
        &self.request
    }

    /// Step 2: signs for the MASA. `chain`, the registrar's certificate first, decides what the
    /// MASA may pin (RFC 8995 §5.5.2): give it up to the CA that devices shall trust.
    ///
    /// # Errors
    /// A signer of another key than the chain's first certificate, or one that fails.
    pub fn sign(
        &self,
        chain: &[Certificate],
        signer: &dyn Signer,
        compatibility: &Compatibility,
    ) -> Result<Vec<u8>, Error> {
        let mut certificates = chain.to_vec();
        if self.encoding == Encoding::CoseCbor {
            certificates.extend(self.device_chain.iter().cloned());
        }
        envelope::sign(
            Module::Request,
            &self.request.leaves(),
            &Signing {
                encoding: self.encoding,
                certificates: &certificates,
                signing_time: self.request.created_on,
                cose_certificates: true,
            },
            signer,
            compatibility,
        )
    }
}

/// The MASA's answer as the registrar sees it: read, not verified, since only the device holds
/// the anchor for certain (RFC 8995 §5.6).
#[derive(Debug, Clone)]
pub struct ReceivedVoucher {
    /// What it says.
    pub voucher: Voucher,
    /// What goes to the pledge: the bytes received, for COSE without the unprotected certificates
    /// (cBRSKI §6.8).
    pub bytes: Vec<u8>,
}

/// Step 3: reads the MASA's answer and compares it with what was asked, so that a confused MASA is
/// noticed here and not at the device. `nonce` is that of the request.
///
/// # Errors
/// A body that is no voucher, one for another device, or one that answers another request.
pub fn read_voucher(
    bytes: &[u8],
    encoding: Encoding,
    serial_number: &str,
    nonce: Option<&Nonce>,
    compatibility: &Compatibility,
) -> Result<ReceivedVoucher, Error> {
    let envelope = envelope::open(bytes, encoding, Artifact::Voucher, compatibility)?;
    let voucher = envelope::read_voucher(envelope.content(), encoding)?;
    if voucher.serial_number != serial_number {
        return Err(Refusal::VoucherOtherSerial.into());
    }
    match (&voucher.nonce, nonce) {
        (None, _) => {}
        (Some(got), Some(asked)) if got.matches(asked) => {}
        (Some(_), _) => return Err(Refusal::VoucherWrongNonce.into()),
    }
    let bytes = match encoding {
        Encoding::CmsJson | Encoding::JwsJson => bytes.to_vec(),
        Encoding::CoseCbor => {
            cose::strip_unprotected_certificates(bytes).map_err(|_| Misuse::Content)?
        }
    };
    Ok(ReceivedVoucher { voucher, bytes })
}
