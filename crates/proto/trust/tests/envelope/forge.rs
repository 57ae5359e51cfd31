//! A second, careless writer of `SignedData`, for messages that ours refuses to make.

use vouchsafe_trust::{Certificate, DigestAlgorithm, Oid, Signer};

pub(crate) const SHA1: Oid = Oid::new_unwrap("1.3.14.3.2.26");
pub(crate) const SHA256: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.1");
pub(crate) const SHA512: Oid = Oid::new_unwrap("2.16.840.1.101.3.4.2.3");
pub(crate) const ECDSA_SHA1: Oid = Oid::new_unwrap("1.2.840.10045.4.1");
pub(crate) const ECDSA_SHA256: Oid = Oid::new_unwrap("1.2.840.10045.4.3.2");
pub(crate) const CONTENT_TYPE: Oid = Oid::new_unwrap("1.2.840.113549.1.9.3");
pub(crate) const MESSAGE_DIGEST: Oid = Oid::new_unwrap("1.2.840.113549.1.9.4");
const SIGNED_DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.2");
pub(crate) const DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.1");

pub(crate) struct Forge<'a> {
    pub(crate) version: u8,
    pub(crate) content: &'a [u8],
    pub(crate) detached: bool,
    pub(crate) certificates: Vec<Certificate>,
    pub(crate) signers: Vec<ForgedSigner>,
}

pub(crate) struct ForgedSigner {
    pub(crate) version: u8,
    /// The encoded signer identifier.
    pub(crate) id: Vec<u8>,
    pub(crate) digest: Oid,
    pub(crate) algorithm: Oid,
    /// Encoded attributes; `None` leaves them out and signs the content.
    pub(crate) attributes: Option<Vec<Vec<u8>>>,
}

impl ForgedSigner {
    /// As it should be, for `certificate` and `content`.
    pub(crate) fn good(certificate: &Certificate, content: &[u8]) -> Self {
        Self {
            version: 1,
            id: issuer_and_serial(certificate),
            digest: SHA256,
            algorithm: ECDSA_SHA256,
            attributes: Some(vec![
                attribute(CONTENT_TYPE, &[oid(DATA)]),
                attribute(MESSAGE_DIGEST, &[digest(content)]),
            ]),
        }
    }
}

impl Forge<'_> {
    pub(crate) fn message(&self, signer: &dyn Signer) -> Vec<u8> {
        let infos = self.signers.iter().map(|info| {
            let (tagged, to_sign) = match &info.attributes {
                Some(list) => (der(0xa0, list), der(0x31, list)),
                None => (Vec::new(), self.content.to_vec()),
            };
            der(
                0x30,
                &[
                    der(2, &[vec![info.version]]),
                    info.id.clone(),
                    der(0x30, &[oid(info.digest)]),
                    tagged,
                    der(0x30, &[oid(info.algorithm)]),
                    der(4, &[signer.sign(&to_sign).unwrap()]),
                ],
            )
        });
        let infos: Vec<Vec<u8>> = infos.collect();
        let content = if self.detached {
            Vec::new()
        } else {
            der(0xa0, &[der(4, &[self.content.to_vec()])])
        };
        let certificates: Vec<Vec<u8>> = self
            .certificates
            .iter()
            .map(|one| one.der().to_vec())
            .collect();
        let signed_data = der(
            0x30,
            &[
                der(2, &[vec![self.version]]),
                der(0x31, &[der(0x30, &[oid(SHA256)])]),
                der(0x30, &[oid(DATA), content]),
                der(0xa0, &certificates),
                der(0x31, &infos),
            ],
        );
        der(0x30, &[oid(SIGNED_DATA), der(0xa0, &[signed_data])])
    }
}

pub(crate) fn issuer_and_serial(certificate: &Certificate) -> Vec<u8> {
    let serial = der(2, &[certificate.serial().to_vec()]);
    der(0x30, &[certificate.issuer().der().to_vec(), serial])
}

pub(crate) fn attribute(kind: Oid, values: &[Vec<u8>]) -> Vec<u8> {
    der(0x30, &[oid(kind), der(0x31, values)])
}

pub(crate) fn digest(content: &[u8]) -> Vec<u8> {
    der(4, &[DigestAlgorithm::Sha256.digest(content)])
}

pub(crate) fn oid(oid: Oid) -> Vec<u8> {
    der(6, &[oid.as_bytes().to_vec()])
}

pub(crate) fn der(tag: u8, parts: &[Vec<u8>]) -> Vec<u8> {
    let body = parts.concat();
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let mut out = vec![tag];
    match body.len() {
        0..=0x7f => out.push(length[3]),
        0x80..=0xff => out.extend([0x81, length[3]]),
        0x100..=0xffff => out.extend([0x82, length[2], length[3]]),
        _ => out.extend([0x83, length[1], length[2], length[3]]),
    }
    out.extend(body);
    out
}
