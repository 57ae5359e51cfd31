//! `openssl cms` as the other side: it verifies what we sign, and we verify what it signs.

use std::path::Path;
use std::process::Command;

use vouchsafe_trust::cms::{
    ID_CT_ANIMA_JSON_VOUCHER, ID_DATA, SignOptions, certs_only, parse, parse_certs_only, sign,
};
use vouchsafe_trust::envelope::{Forbidden, Malformed, Unsupported};

use crate::world::{P256, P384, Party, rules};

const CONTENT: &[u8] = br#"{"ietf-voucher:voucher":{}}"#;

#[test]
fn openssl_verifies_what_we_sign() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    for kind in [P256, P384] {
        let party = Party::with("MASA", kind, 2099);
        for content_type in [ID_DATA, ID_CT_ANIMA_JSON_VOUCHER] {
            let options = SignOptions {
                content_type,
                certificates: &party.chain(),
                signing_time: Some("2026-06-01T00:00:00Z".parse().unwrap()),
            };
            openssl.write("message", &sign(CONTENT, &options, &party.signer).unwrap());
            openssl.write("anchor.pem", party.root.pem().as_bytes());
            openssl.run(&[
                "cms",
                "-verify",
                "-binary",
                "-inform",
                "DER",
                "-in",
                "message",
                "-CAfile",
                "anchor.pem",
                "-purpose",
                "any",
                "-attime",
                "1780272000",
                "-out",
                "content",
            ]);
            assert_eq!(openssl.read("content"), CONTENT);
        }
    }
}

#[test]
fn we_verify_what_openssl_signs() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    let party = Party::new("MASA");
    openssl.write("content", CONTENT);
    openssl.write("key.pem", party.key_pem.as_bytes());
    openssl.write("signer.pem", party.certificate.pem().as_bytes());
    let sign = |more: &[&str]| {
        let arguments = [
            "cms",
            "-sign",
            "-binary",
            "-nodetach",
            "-in",
            "content",
            "-outform",
            "DER",
            "-out",
            "message",
            "-signer",
            "signer.pem",
            "-inkey",
            "key.pem",
        ];
        openssl.run(&[&arguments[..], more].concat());
        openssl.read("message")
    };
    let digests = ["sha256", "sha384", "sha512"];
    for more in digests
        .map(|digest| vec!["-md", digest])
        .into_iter()
        .chain([
            vec!["-keyid"],
            vec!["-econtent_type", "1.2.840.113549.1.9.16.1.40"],
            // Indefinite lengths, and content in chunks.
            vec!["-stream"],
            vec![
                "-stream",
                "-indef",
                "-econtent_type",
                "1.2.840.113549.1.9.16.1.40",
            ],
        ])
    {
        let message = sign(&more);
        let signed = parse(&message)
            .unwrap()
            .verify(&party.anchors(), &rules())
            .unwrap();
        assert_eq!(signed.content, CONTENT, "{more:?}");
        assert_eq!(signed.signer, party.certificate, "{more:?}");
        assert!(
            parse(&message).unwrap().verify_by(&party.proved()).is_ok(),
            "{more:?}"
        );
    }

    let streamed = sign(&["-stream"]);
    assert_eq!(streamed[1], 0x80, "indefinite length");
    for end in 0..streamed.len() {
        assert!(parse(&streamed[..end]).is_err(), "truncated at {end}");
    }

    let refused = |more: &[&str]| parse(&sign(more)).unwrap_err();
    assert_eq!(
        refused(&["-noattr"]),
        Forbidden::SignedAttributesMissing.into()
    );
    assert_eq!(refused(&["-md", "sha1"]), Unsupported::Digest.into());
    let other = Party::new("Registrar");
    openssl.write("other.pem", other.certificate.pem().as_bytes());
    openssl.write("other-key.pem", other.key_pem.as_bytes());
    let two = refused(&["-signer", "other.pem", "-inkey", "other-key.pem"]);
    assert_eq!(two, Forbidden::SeveralSigners.into());
}

#[test]
fn large_streamed_content_comes_back_whole() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    let party = Party::new("MASA");
    let content: Vec<u8> = (0..40_000_u32).map(|n| n.to_be_bytes()[3]).collect();
    openssl.write("content", &content);
    openssl.write("key.pem", party.key_pem.as_bytes());
    openssl.write("signer.pem", party.certificate.pem().as_bytes());
    openssl.run(&[
        "cms",
        "-sign",
        "-binary",
        "-nodetach",
        "-stream",
        "-in",
        "content",
        "-outform",
        "DER",
        "-out",
        "message",
        "-signer",
        "signer.pem",
        "-inkey",
        "key.pem",
    ]);
    let message = parse(&openssl.read("message")).unwrap();
    assert_eq!(
        message.verify(&party.anchors(), &rules()).unwrap().content,
        content
    );
}

/// RFC 5652 §5.1.
#[test]
fn certificates_alone_are_understood_both_ways_rfc7030_4_1_3() {
    let Some(openssl) = Openssl::find() else {
        return;
    };
    let party = Party::new("Domain");
    openssl.write("ours", &certs_only(&party.chain()));
    openssl.run(&[
        "pkcs7",
        "-inform",
        "DER",
        "-in",
        "ours",
        "-print_certs",
        "-out",
        "both.pem",
    ]);
    let text = String::from_utf8(openssl.read("both.pem")).unwrap();
    assert_eq!(
        vouchsafe_trust::Certificate::many_from_pem(&text).unwrap(),
        party.chain()
    );
    openssl.run(&[
        "crl2pkcs7",
        "-nocrl",
        "-certfile",
        "both.pem",
        "-outform",
        "DER",
        "-out",
        "theirs",
    ]);
    assert_eq!(
        parse_certs_only(&openssl.read("theirs")).unwrap(),
        party.chain()
    );
    assert!(!matches!(
        parse(&openssl.read("theirs")).unwrap_err(),
        vouchsafe_trust::EnvelopeError::Malformed(Malformed::Asn1(_))
    ));
}

/// The tool, with a folder of its own to work in.
struct Openssl(tempfile::TempDir);

impl Openssl {
    fn find() -> Option<Self> {
        if Command::new("openssl").arg("version").output().is_ok() {
            return Some(Self(tempfile::tempdir().unwrap()));
        }
        assert!(std::env::var_os("CI").is_none(), "openssl is absent");
        println!("skipped: no openssl");
        None
    }

    fn path(&self, name: &str) -> impl AsRef<Path> {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn run(&self, arguments: &[&str]) {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "openssl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}
