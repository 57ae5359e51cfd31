//! The three envelopes behind one face: open, look, verify; and sign.

use std::borrow::Cow;

use jiff::Timestamp;
use vouchsafe_trust::{
    Anchors, Certificate, EnvelopeError, Path, PathRules, Signed, Signer, Verified, cms, cose, jws,
};

use crate::compatibility::Compatibility;
use crate::error::{Artifact, Error, Malformed, Misuse, Unsupported};
use crate::leaf::{Leaf, Leaves, Module, Value};
use crate::voucher::{Encoding, Voucher, VoucherRequest};
use crate::{cbor, json};

/// The largest voucher or voucher request that is read, in bytes. A registrar's request with its
/// chain and a pledge's request inside is some 8 KiB.
pub const MAX_MESSAGE_LEN: usize = vouchsafe_trust::envelope::MAX_ENVELOPE_LEN;

/// A signed message that was read but not verified.
#[derive(Debug)]
pub(crate) enum Unverified {
    Cms(cms::Unverified),
    Jws(jws::Unverified),
    Cose(cose::Unverified),
}

/// Reads the envelope of the stated encoding.
pub(crate) fn open(
    bytes: &[u8],
    encoding: Encoding,
    artifact: Artifact,
    compatibility: &Compatibility,
) -> Result<Unverified, Error> {
    if bytes.len() > MAX_MESSAGE_LEN {
        return Err(Malformed::TooLarge.into());
    }
    let bytes = binary(bytes, encoding, compatibility)?;
    if Encoding::detect(&bytes).is_some_and(|found| found != encoding) {
        return Err(Unsupported::EncodingMismatch.into());
    }
    match encoding {
        Encoding::CmsJson => cms::parse(&bytes).map(Unverified::Cms),
        Encoding::JwsJson => jws::parse(&bytes).map(Unverified::Jws),
        Encoding::CoseCbor => cose::parse(&bytes).map(Unverified::Cose),
    }
    .map_err(|source| refused(artifact, source))
    .and_then(|envelope| envelope.check_content_type().map(|()| envelope))
}

/// RFC 8995 §6: bodies are binary. One implementation in use sends base64.
fn binary<'a>(
    bytes: &'a [u8],
    encoding: Encoding,
    compatibility: &Compatibility,
) -> Result<Cow<'a, [u8]>, Error> {
    if compatibility.accept_base64_body
        && encoding == Encoding::CmsJson
        && bytes.first().is_some_and(|first| *first != 0x30)
    {
        return Ok(crate::base64::decode(bytes)
            .ok_or(Malformed::Base64)?
            .into());
    }
    Ok(bytes.into())
}

impl Unverified {
    pub(crate) fn content(&self) -> &[u8] {
        match self {
            Self::Cms(envelope) => envelope.content(),
            Self::Jws(envelope) => envelope.content(),
            Self::Cose(envelope) => envelope.content(),
        }
    }

    /// What it carries; proves nothing.
    pub(crate) fn certificates(&self) -> &[Certificate] {
        match self {
            Self::Cms(envelope) => envelope.certificates(),
            Self::Jws(envelope) => envelope.certificates(),
            Self::Cose(envelope) => envelope.certificates(),
        }
    }

    pub(crate) fn claimed_signer(&self) -> Option<&Certificate> {
        match self {
            Self::Cms(envelope) => envelope.claimed_signer(),
            Self::Jws(envelope) => envelope.claimed_signer(),
            Self::Cose(envelope) => envelope.claimed_signer(),
        }
    }

    pub(crate) fn verify(
        self,
        anchors: &Anchors,
        rules: &PathRules,
    ) -> Result<Verified<Signed>, EnvelopeError> {
        match self {
            Self::Cms(envelope) => envelope.verify(anchors, rules),
            Self::Jws(envelope) => envelope.verify(anchors, rules),
            Self::Cose(envelope) => envelope.verify(anchors, rules),
        }
    }

    pub(crate) fn verify_by(
        self,
        signer: &Verified<Path>,
    ) -> Result<Verified<Signed>, EnvelopeError> {
        match self {
            Self::Cms(envelope) => envelope.verify_by(signer),
            Self::Jws(envelope) => envelope.verify_by(signer),
            Self::Cose(envelope) => envelope.verify_by(signer),
        }
    }

    /// CMS: `id-ct-animaJSONVoucher` (RFC 8366 §8.4), or `id-data` as published examples have it.
    /// JWS: `typ` is optional and has one value (JWS voucher draft §3).
    fn check_content_type(&self) -> Result<(), Error> {
        let known = match self {
            Self::Cms(envelope) => {
                let content_type = envelope.content_type();
                content_type == cms::ID_CT_ANIMA_JSON_VOUCHER || content_type == cms::ID_DATA
            }
            Self::Jws(envelope) => envelope.typ().is_none_or(|typ| {
                let typ = typ.strip_prefix("application/").unwrap_or(typ);
                typ.eq_ignore_ascii_case("voucher-jws+json")
            }),
            Self::Cose(_) => true,
        };
        if known {
            Ok(())
        } else {
            Err(Unsupported::ContentType.into())
        }
    }
}

/// What an envelope's error means for the one who sent it.
pub(crate) fn refused(artifact: Artifact, source: EnvelopeError) -> Error {
    match source {
        EnvelopeError::TooLarge { .. } => Malformed::TooLarge.into(),
        EnvelopeError::Unsupported(vouchsafe_trust::envelope::Unsupported::CriticalHeader) => {
            Unsupported::CriticalContent.into()
        }
        source => Error::Signature { artifact, source },
    }
}

/// Reads the content as a voucher request.
pub(crate) fn read_request(
    content: &[u8],
    encoding: Encoding,
    compatibility: &Compatibility,
) -> Result<VoucherRequest, Error> {
    match read(content, encoding)? {
        (Module::Request, leaves) => VoucherRequest::from_leaves(leaves),
        (Module::Voucher, leaves) if compatibility.accept_voucher_name_in_request => {
            VoucherRequest::from_leaves(leaves)
        }
        (Module::Voucher, _) => Err(Malformed::WrongArtifact.into()),
    }
}

/// Reads the content as a voucher.
pub(crate) fn read_voucher(content: &[u8], encoding: Encoding) -> Result<Voucher, Error> {
    match read(content, encoding)? {
        (Module::Voucher, leaves) => Voucher::from_leaves(leaves),
        (Module::Request, _) => Err(Malformed::WrongArtifact.into()),
    }
}

pub(crate) fn read(content: &[u8], encoding: Encoding) -> Result<(Module, Leaves), Malformed> {
    match encoding {
        Encoding::CmsJson | Encoding::JwsJson => json::read(content),
        Encoding::CoseCbor => cbor::read(content),
    }
}

/// How a message is signed.
pub(crate) struct Signing<'a> {
    pub(crate) encoding: Encoding,
    /// The signer's certificate first.
    pub(crate) certificates: &'a [Certificate],
    /// For CMS, whose signing-time attribute the published examples carry.
    pub(crate) signing_time: Option<Timestamp>,
    /// Whether COSE carries the certificates; the signer is known otherwise where it does not.
    pub(crate) cose_certificates: bool,
}

/// Writes and signs one document.
pub(crate) fn sign(
    module: Module,
    leaves: &[(Leaf, Value<'_>)],
    signing: &Signing<'_>,
    signer: &dyn Signer,
    compatibility: &Compatibility,
) -> Result<Vec<u8>, Error> {
    let leaf = signing.certificates.first().ok_or(Misuse::EmptyChain)?;
    if leaf.public_key() != signer.public_key() {
        return Err(Misuse::SignerNotLeaf.into());
    }
    let signed = match signing.encoding {
        Encoding::CmsJson => cms::sign(
            &json::write(module, leaves),
            &cms::SignOptions {
                content_type: if compatibility.write_id_data {
                    cms::ID_DATA
                } else {
                    cms::ID_CT_ANIMA_JSON_VOUCHER
                },
                certificates: signing.certificates,
                signing_time: signing.signing_time,
            },
            signer,
        ),
        Encoding::JwsJson => jws::sign(
            &json::write(module, leaves),
            &jws::SignOptions {
                typ: Some("voucher-jws+json"),
                certificates: signing.certificates,
                form: jws::Form::General,
            },
            signer,
        ),
        Encoding::CoseCbor => cose::sign(
            &cbor::write(module, leaves).ok_or(Misuse::Content)?,
            &cose::SignOptions {
                certificates: if signing.cose_certificates {
                    signing.certificates
                } else {
                    &[]
                },
                header: cose::CertificateHeader::Bag,
                placement: cose::Placement::Unprotected,
            },
            signer,
        ),
    };
    signed.map_err(|source| match source {
        EnvelopeError::Sign(source) => source.into(),
        _ => Misuse::Content.into(),
    })
}
