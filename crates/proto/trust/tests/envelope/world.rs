//! Two makers with their certificates: an authority and a signer under it, each.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, SignatureAlgorithm,
};
use vouchsafe_trust::{
    Anchors, Certificate, Path, PathRules, SoftwareSigner, Usage, Verified, verify_path,
};

pub(crate) const P256: &SignatureAlgorithm = &PKCS_ECDSA_P256_SHA256;
pub(crate) const P384: &SignatureAlgorithm = &PKCS_ECDSA_P384_SHA384;
pub(crate) const ED25519: &SignatureAlgorithm = &PKCS_ED25519;

/// The instant at which the tests take place.
pub(crate) const NOW: &str = "2026-06-01T00:00:00Z";

pub(crate) struct Party {
    pub(crate) root: Certificate,
    pub(crate) certificate: Certificate,
    pub(crate) signer: SoftwareSigner,
    pub(crate) key_pem: String,
}

impl Party {
    pub(crate) fn new(name: &str) -> Self {
        Self::with(name, P256, 2027)
    }

    /// A signer whose key is of `kind` and whose certificate expires with `year`.
    pub(crate) fn with(name: &str, kind: &'static SignatureAlgorithm, year: i32) -> Self {
        let root_key = KeyPair::generate().unwrap();
        let mut root = params(&format!("{name} CA"), 2040);
        root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root_certificate = root.self_signed(&root_key).unwrap();

        let key = KeyPair::generate_for(kind).unwrap();
        let mut leaf = params(name, year);
        leaf.is_ca = IsCa::ExplicitNoCa;
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.use_authority_key_identifier_extension = true;
        let certificate = leaf
            .signed_by(&key, &Issuer::from_params(&root, &root_key))
            .unwrap();
        Self {
            root: Certificate::from_der(root_certificate.der()).unwrap(),
            certificate: Certificate::from_der(certificate.der()).unwrap(),
            signer: SoftwareSigner::from_pkcs8_der(key.serialized_der()).unwrap(),
            key_pem: key.serialize_pem(),
        }
    }

    pub(crate) fn chain(&self) -> Vec<Certificate> {
        vec![self.certificate.clone(), self.root.clone()]
    }

    pub(crate) fn anchors(&self) -> Anchors {
        Anchors::one(self.root.clone())
    }

    /// The signer as a TLS handshake would have proved it.
    pub(crate) fn proved(&self) -> Verified<Path> {
        verify_path(&self.certificate, &[], &self.anchors(), &rules()).unwrap()
    }
}

pub(crate) fn rules() -> PathRules {
    rules_at(NOW)
}

pub(crate) fn rules_at(at: &str) -> PathRules {
    PathRules::strict(at.parse::<Timestamp>().unwrap(), Usage::Any)
}

fn params(name: &str, year: i32) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = rcgen::date_time_ymd(2026, 1, 1);
    params.not_after = rcgen::date_time_ymd(year, 1, 1);
    params
}
