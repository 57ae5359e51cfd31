//! Looking into a voucher or voucher request without trusting it, for people who debug.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use vouchsafe_trust::Certificate;

use crate::audit::domain_id;
use crate::compatibility::Compatibility;
use crate::envelope::{self, MAX_MESSAGE_LEN, Unverified};
use crate::error::{Artifact, Error, Malformed, Unsupported};
use crate::leaf::Module;
use crate::voucher::{Encoding, OtherField, Voucher, VoucherRequest};

/// How deep requests inside requests are shown.
const MAX_DEPTH: usize = 3;

/// What a signed file says. Nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Inspection {
    /// `voucher`, `pledge-voucher-request` or `registrar-voucher-request`.
    pub kind: &'static str,
    /// How it is written.
    pub encoding: Encoding,
    /// The media type of that.
    pub media_type: &'static str,
    /// Bytes of the binary form.
    pub size: usize,
    /// Its fields by their YANG names; bytes as base64.
    pub fields: Map<String, Value>,
    /// Fields that the model does not know; the rules ignore them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub other_fields: Vec<OtherField>,
    /// The one who claims to have signed, if it says.
    pub signer: Option<InspectedCertificate>,
    /// What else it carries.
    pub certificates: Vec<InspectedCertificate>,
    /// What it pins, or which registrar the pledge saw.
    pub named_certificate: Option<InspectedCertificate>,
    /// The domain's name in audit logs, of the certificate that a voucher pins.
    pub domain_id: Option<String>,
    /// The request or voucher inside.
    pub prior: Option<Box<Inspection>>,
    /// What stands out.
    pub remarks: Vec<String>,
}

/// A certificate in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct InspectedCertificate {
    /// Its subject (RFC 4514).
    pub subject: String,
    /// Its issuer (RFC 4514).
    pub issuer: String,
    /// The device's serial number in the subject.
    pub serial_number: Option<String>,
    /// First second of validity.
    pub not_before: jiff::Timestamp,
    /// Last second of validity.
    pub not_after: jiff::Timestamp,
    /// Whether it is a CA's.
    pub is_ca: bool,
    /// Where its MASA is.
    pub masa_url: Option<String>,
    /// SHA-256 of its DER, hexadecimal.
    pub sha256: String,
}

/// Reads a voucher or voucher request of any encoding, also as base64 or PEM text.
///
/// # Errors
/// [`Unsupported::Encoding`] for bytes of no known kind, otherwise what is malformed.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, Error> {
    look(&binary(bytes)?, 0)
}

/// The binary form of a file that may be base64 or PEM text.
pub(crate) fn binary(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    if bytes.len() > MAX_MESSAGE_LEN * 2 {
        return Err(Malformed::TooLarge.into());
    }
    if Encoding::detect(bytes).is_some() {
        return Ok(bytes.into());
    }
    let decoded = crate::est::decode_body(bytes).map_err(|_| Unsupported::Encoding)?;
    Ok(decoded.into())
}

impl InspectedCertificate {
    fn of(certificate: &Certificate) -> Self {
        Self {
            subject: certificate.subject_text(),
            issuer: certificate.issuer_text(),
            serial_number: certificate.subject_serial_number().map(str::to_owned),
            not_before: certificate.not_before(),
            not_after: certificate.not_after(),
            is_ca: certificate.is_ca(),
            masa_url: certificate.masa_url().map(str::to_owned),
            sha256: certificate
                .fingerprint_sha256()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        }
    }
}

fn look(bytes: &[u8], depth: usize) -> Result<Inspection, Error> {
    let encoding = Encoding::detect(bytes).ok_or(Unsupported::Encoding)?;
    let envelope = envelope::open(
        bytes,
        encoding,
        Artifact::Voucher,
        &Compatibility::default(),
    )?;
    let (module, leaves) = envelope::read(envelope.content(), encoding)?;
    match module {
        Module::Voucher => {
            let voucher = Voucher::from_leaves(leaves)?;
            Ok(of_voucher(&voucher, &envelope, encoding, bytes.len()))
        }
        Module::Request => {
            let request = VoucherRequest::from_leaves(leaves)?;
            Ok(of_request(
                &request,
                &envelope,
                encoding,
                bytes.len(),
                depth,
            ))
        }
    }
}

fn of_voucher(
    voucher: &Voucher,
    envelope: &Unverified,
    encoding: Encoding,
    size: usize,
) -> Inspection {
    let mut remarks = Vec::new();
    let pinned = certificate(voucher.pinned_domain_cert.as_deref(), &mut remarks);
    if voucher.nonce.is_some() && voucher.expires_on.is_some() {
        remarks.push("nonce and expires-on stand together (RFC 8366 §5.3)".to_owned());
    }
    if voucher.nonce.is_none() && voucher.expires_on.is_none() {
        remarks.push("without nonce and expires-on it never ends (RFC 8366 §5.3)".to_owned());
    }
    if pinned.is_none()
        && voucher.pinned_domain_pubk.is_none()
        && voucher.pinned_domain_pubk_sha256.is_none()
    {
        remarks.push("it pins nothing (RFC 8995 §5.6.1)".to_owned());
    }
    Inspection {
        domain_id: pinned.as_ref().map(domain_id),
        named_certificate: pinned.as_ref().map(InspectedCertificate::of),
        fields: fields(&voucher.leaves()),
        other_fields: voucher.other.clone(),
        ..frame("voucher", envelope, encoding, size, remarks)
    }
}

fn of_request(
    request: &VoucherRequest,
    envelope: &Unverified,
    encoding: Encoding,
    size: usize,
    depth: usize,
) -> Inspection {
    let mut remarks = Vec::new();
    let seen = certificate(request.proximity_registrar_cert.as_deref(), &mut remarks);
    let from_registrar = request.prior_signed_voucher_request.is_some()
        || seen.is_none()
            && request.proximity_registrar_pubk.is_none()
            && request.proximity_registrar_pubk_sha256.is_none();
    match &request.nonce {
        None => remarks.push("it has no nonce (RFC 8995 §5.2)".to_owned()),
        Some(nonce) => {
            if let Err(reason) = nonce.check_length() {
                remarks.push(format!("{reason} ({})", reason.section()));
            }
        }
    }
    if from_registrar && request.idevid_issuer.is_none() {
        remarks.push("idevid-issuer is missing (RFC 8366bis §6.1)".to_owned());
    }
    let prior = request
        .prior_signed_voucher_request
        .as_ref()
        .and_then(|prior| {
            if depth >= MAX_DEPTH {
                remarks.push("what is nested deeper is not shown".to_owned());
                return None;
            }
            match look(prior, depth + 1) {
                Ok(inside) => Some(Box::new(inside)),
                Err(error) => {
                    remarks.push(format!("what is inside does not parse: {error}"));
                    None
                }
            }
        });
    let kind = if from_registrar {
        "registrar-voucher-request"
    } else {
        "pledge-voucher-request"
    };
    Inspection {
        named_certificate: seen.as_ref().map(InspectedCertificate::of),
        fields: fields(&request.leaves()),
        other_fields: request.other.clone(),
        prior,
        ..frame(kind, envelope, encoding, size, remarks)
    }
}

fn frame(
    kind: &'static str,
    envelope: &Unverified,
    encoding: Encoding,
    size: usize,
    remarks: Vec<String>,
) -> Inspection {
    let signer = envelope.claimed_signer();
    Inspection {
        kind,
        encoding,
        media_type: encoding.media_type(),
        size,
        fields: Map::new(),
        other_fields: Vec::new(),
        signer: signer.map(InspectedCertificate::of),
        certificates: envelope
            .certificates()
            .iter()
            .filter(|certificate| Some(*certificate) != signer)
            .map(InspectedCertificate::of)
            .collect(),
        named_certificate: None,
        domain_id: None,
        prior: None,
        remarks,
    }
}

fn fields(leaves: &[(crate::leaf::Leaf, crate::leaf::Value<'_>)]) -> Map<String, Value> {
    leaves
        .iter()
        .map(|(leaf, value)| (leaf.name().to_owned(), crate::json::value_to_json(value)))
        .collect()
}

fn certificate(der: Option<&[u8]>, remarks: &mut Vec<String>) -> Option<Certificate> {
    let certificate = Certificate::from_der(der?);
    if certificate.is_err() {
        remarks.push("the certificate that it names does not parse".to_owned());
    }
    certificate.ok()
}
