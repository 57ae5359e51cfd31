//! Keys, authorities and forgeries for the tests.

use std::path::{Path as FilePath, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use jiff::Timestamp;
use vouchsafe_trust::{
    Authority, Certificate, Name, Profile, SignatureAlgorithm, Signer, SoftwareSigner, Validity,
    oid,
};

pub(crate) const P256: SignatureAlgorithm = SignatureAlgorithm::EcdsaP256Sha256;
pub(crate) const P384: SignatureAlgorithm = SignatureAlgorithm::EcdsaP384Sha384;
pub(crate) const ED25519: SignatureAlgorithm = SignatureAlgorithm::Ed25519;

/// "Now" of every test that does not ask openssl.
pub(crate) fn now() -> Timestamp {
    time("2026-06-01T12:00:00Z")
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// 2026 and 2027.
pub(crate) fn validity() -> Validity {
    Validity::new(time("2026-01-01T00:00:00Z"), time("2027-12-31T23:59:59Z"))
}

pub(crate) fn pkcs8(algorithm: SignatureAlgorithm) -> Vec<u8> {
    let random = SystemRandom::new();
    let document = match algorithm {
        P384 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, &random),
        ED25519 => Ed25519KeyPair::generate_pkcs8(&random),
        _ => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random),
    };
    document.unwrap().as_ref().to_vec()
}

pub(crate) fn signer(algorithm: SignatureAlgorithm) -> Arc<dyn Signer> {
    Arc::new(SoftwareSigner::from_pkcs8_der(&pkcs8(algorithm)).unwrap())
}

/// A serial number that no other certificate of the test run has.
pub(crate) fn serial() -> [u8; 16] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut serial = [0x91; 16];
    serial[8..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    serial
}

pub(crate) fn name(common_name: &str) -> Name {
    Name::common(common_name).unwrap()
}

pub(crate) fn root_with(profile: &Profile) -> Authority {
    Authority::self_signed(profile, &serial(), validity(), signer(P256)).unwrap()
}

pub(crate) fn root() -> Authority {
    root_with(&Profile::certificate_authority(name("Root"), None))
}

pub(crate) fn below(authority: &Authority, common_name: &str) -> Authority {
    let profile = Profile::certificate_authority(name(common_name), None);
    authority
        .subordinate(&profile, &serial(), validity(), signer(P256))
        .unwrap()
}

pub(crate) fn issue(authority: &Authority, profile: &Profile) -> Certificate {
    issue_during(authority, profile, validity())
}

pub(crate) fn issue_during(
    authority: &Authority,
    profile: &Profile,
    validity: Validity,
) -> Certificate {
    authority
        .issue(profile, signer(P256).public_key(), &serial(), validity)
        .unwrap()
}

pub(crate) fn idevid_name(serial_number: &str) -> Name {
    Name::new(&[
        (oid::ORGANIZATION, "Maker"),
        (oid::SERIAL_NUMBER, serial_number),
    ])
    .unwrap()
}

/// One element.
pub(crate) fn tlv(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match body.len() {
        short @ 0..0x80 => out.push(u8::try_from(short).unwrap()),
        long => {
            out.push(0x82);
            out.extend(u16::try_from(long).unwrap().to_be_bytes());
            if long < 0x100 {
                out.splice(1.., [0x81, u8::try_from(long).unwrap()]);
            }
        }
    }
    out.extend_from_slice(body);
    out
}

/// The contents of an element.
pub(crate) fn body(der: &[u8]) -> &[u8] {
    match der[1] {
        0x81 => &der[3..],
        0x82 => &der[4..],
        _ => &der[2..],
    }
}

/// The elements of a SEQUENCE's contents, each whole.
pub(crate) fn elements(mut contents: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    while !contents.is_empty() {
        let (header, length) = match contents[1] {
            0x81 => (3, usize::from(contents[2])),
            0x82 => (
                4,
                usize::from(u16::from_be_bytes([contents[2], contents[3]])),
            ),
            short => (2, usize::from(short)),
        };
        let (element, rest) = contents.split_at(header + length);
        out.push(element.to_vec());
        contents = rest;
    }
    out
}

/// Positions of the fields of a version 3 TBSCertificate.
pub(crate) const VERSION: usize = 0;
pub(crate) const ALGORITHM: usize = 2;
pub(crate) const SPKI: usize = 6;
pub(crate) const EXTENSIONS: usize = 7;

/// The certificate with its fields altered and signed again: what a careless or hostile issuer
/// would make, and [`Authority`] does not.
pub(crate) fn forge(
    certificate: &Certificate,
    signer: &dyn Signer,
    alter: impl FnOnce(&mut Vec<Vec<u8>>),
) -> Certificate {
    Certificate::from_der(&forge_der(certificate, signer, alter)).unwrap()
}

pub(crate) fn forge_der(
    certificate: &Certificate,
    signer: &dyn Signer,
    alter: impl FnOnce(&mut Vec<Vec<u8>>),
) -> Vec<u8> {
    let mut fields = elements(body(certificate.tbs_der()));
    alter(&mut fields);
    let algorithm = fields
        .iter()
        .find(|field| field[0] == 0x30)
        .unwrap()
        .clone();
    let tbs = tlv(0x30, &fields.concat());
    let mut signature = vec![0];
    signature.extend(signer.sign(&tbs).unwrap());
    tlv(0x30, &[tbs, algorithm, tlv(0x03, &signature)].concat())
}

/// A folder of its own for a test that runs a program; removed when dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("vouchsafe-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn write(&self, file: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.0.join(file), contents).unwrap();
    }

    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.0.join(file)).unwrap()
    }

    pub(crate) fn text(&self, file: &str) -> String {
        String::from_utf8(self.read(file)).unwrap()
    }

    pub(crate) fn path(&self) -> &FilePath {
        &self.0
    }

    /// Runs openssl in the folder; its output, or a panic with everything it said.
    pub(crate) fn openssl(&self, arguments: &str) -> String {
        let (succeeded, said) = self.try_openssl(arguments);
        assert!(succeeded, "openssl {arguments}\n{said}");
        said
    }

    pub(crate) fn try_openssl(&self, arguments: &str) -> (bool, String) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.path())
            .output()
            .unwrap();
        let said = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        (output.status.success(), said)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether openssl can be asked; with `CI` set its absence is a failure.
pub(crate) fn has_openssl() -> bool {
    let found = Command::new("openssl").arg("version").output().is_ok();
    if !found {
        assert!(
            std::env::var_os("CI").is_none(),
            "no openssl, and CI is set"
        );
        println!("skipped: no openssl");
    }
    found
}
