//! Published messages, read where `VOUCHSAFE_VECTORS` points, each accepted under its own anchor at
//! its own time and refused under every other.

use std::path::PathBuf;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use vouchsafe_trust::envelope::{EnvelopeError, NotTrusted};
use vouchsafe_trust::{
    Anchors, Certificate, IdevidRules, PathError, PathRules, Usage, cms, cose, jws, verify_path,
};

/// RFC 5280 §6.1.3.
#[test]
fn rfc8995_appendix_c_signatures_verify_under_their_anchors_only() {
    let Some(vectors) = Vectors::open("rfc8995") else {
        return;
    };
    let (vendor, owner) = (
        vectors.one("vendor.crt"),
        vectors.one("ownerca_secp384r1.crt"),
    );
    let at = "2021-04-13T21:45:00Z".parse().unwrap();
    let idevid = PathRules::idevid(at, IdevidRules::default());
    let any = PathRules::strict(at, Usage::Any);
    let registrar = PathRules::strict(at, Usage::Registrar);
    let cases = [
        ("vr", &vendor, &owner, &idevid, 1652),
        ("parboiled_vr", &owner, &vendor, &registrar, 3943),
        ("voucher", &vendor, &owner, &any, 1574),
    ];
    for (name, anchor, other, rules, size) in cases {
        let message = vectors.base64(&format!("{name}_00-D0-E5-F2-00-02.b64"));
        assert_eq!(message.len(), size, "{name}");
        let wrong = cms::parse(&message)
            .unwrap()
            .verify(&Anchors::one(other.clone()), rules);
        let wrong = wrong.unwrap_err();
        assert!(
            matches!(wrong, EnvelopeError::Path(PathError::UnknownIssuer { .. })),
            "{name}"
        );

        let signed = cms::parse(&message).unwrap();
        let signed = signed.verify(&Anchors::one(anchor.clone()), rules).unwrap();
        assert_eq!(
            signed.content_type,
            Some(cms::ID_DATA.to_string()),
            "{name}"
        );
        // Folded at 60 columns, in the middle of strings.
        let json = vectors
            .text(&format!("{name}_00-D0-E5-F2-00-02.json"))
            .replace('\n', "");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        let content: serde_json::Value = serde_json::from_slice(&signed.content).unwrap();
        assert_eq!(content, json, "{name}");
        assert_eq!(signed.path.last(), Some(anchor), "{name}");

        let late = "2040-01-01T00:00:00Z".parse().unwrap();
        let late = cms::parse(&message).unwrap().verify(
            &Anchors::one(anchor.clone()),
            &PathRules::strict(late, Usage::Any),
        );
        assert!(matches!(
            late.unwrap_err(),
            EnvelopeError::Path(PathError::Expired { .. })
        ));
    }
}

#[test]
fn the_rfc8995_pledge_is_the_signer_of_the_request_inside_the_registrars() {
    let Some(vectors) = Vectors::open("rfc8995") else {
        return;
    };
    let at = "2021-04-28T00:00:00Z".parse().unwrap();
    let vendor = Anchors::one(vectors.one("vendor.crt"));
    // The certificate in the file was issued again, two weeks after the one in the request.
    let reissued = vectors.one("idevid_00-D0-E5-F2-00-02.crt");
    let rules = PathRules::idevid(at, IdevidRules::default());
    let proved = verify_path(&reissued, &[], &vendor, &rules).unwrap();
    let message = vectors.base64("vr_00-D0-E5-F2-00-02.b64");
    let unverified = cms::parse(&message).unwrap();
    assert_ne!(unverified.claimed_signer(), Some(&reissued));
    assert_eq!(unverified.verify_by(&proved).unwrap().signer, reissued);
}

/// RFC 5280 §6.1.3.
#[test]
fn jws_vouchers_verify_under_their_anchors_only() {
    let Some(vectors) = Vectors::open("jws-voucher") else {
        return;
    };
    let at = "2024-11-29T09:40:00Z".parse().unwrap();
    let rules = PathRules::idevid(at, IdevidRules::default());
    let chain = |name: &str| Certificate::many_from_pem(&vectors.text(name)).unwrap();
    let manufacturer = chain("masa-chain.pem").pop().unwrap();
    let site = chain("registrar-chain.pem").pop().unwrap();
    let cases = [
        ("pvr", &manufacturer, &site, "pledge-chain.pem"),
        ("rvr", &site, &manufacturer, "registrar-chain.pem"),
        ("voucher", &manufacturer, &site, "masa-chain.pem"),
    ];
    for (name, anchor, other, signer) in cases {
        let message = vectors.text(&format!("{name}.jws.json"));
        let wrong = jws::parse(message.as_bytes()).unwrap();
        let wrong = wrong
            .verify(&Anchors::one(other.clone()), &rules)
            .unwrap_err();
        assert_eq!(
            wrong,
            PathError::UnknownIssuer { depth: 0 }.into(),
            "{name}"
        );
        let signed = jws::parse(message.as_bytes()).unwrap();
        let signed = signed
            .verify(&Anchors::one(anchor.clone()), &rules)
            .unwrap();
        assert_eq!(
            signed.content_type.as_deref(),
            Some("voucher-jws+json"),
            "{name}"
        );
        assert_eq!(Some(&signed.signer), chain(signer).first(), "{name}");

        if name == "rvr" {
            let content: serde_json::Value = serde_json::from_slice(&signed.content).unwrap();
            let prior = &content["ietf-voucher-request:voucher"]["prior-signed-voucher-request"];
            let prior = BASE64_STANDARD.decode(prior.as_str().unwrap()).unwrap();
            let prior = jws::parse(&prior).unwrap();
            assert!(
                prior
                    .verify(&Anchors::one(manufacturer.clone()), &rules)
                    .is_ok()
            );
        }
        // The same message with one character of the payload changed.
        let payload: serde_json::Value = serde_json::from_str(&message).unwrap();
        let payload = payload["payload"].as_str().unwrap();
        let mut content = BASE64_URL_SAFE_NO_PAD.decode(payload).unwrap();
        content[2] ^= 1;
        let altered = message.replace(payload, &BASE64_URL_SAFE_NO_PAD.encode(content));
        let altered = jws::parse(altered.as_bytes()).unwrap();
        let error = altered
            .verify(&Anchors::one(anchor.clone()), &rules)
            .unwrap_err();
        assert!(matches!(error, EnvelopeError::NotTrusted(_)), "{name}");
    }
}

#[test]
fn constrained_vouchers_verify_by_their_signers_only() {
    let Some(vectors) = Vectors::open("cbrski") else {
        return;
    };
    let (masa_ca, domain_ca) = (vectors.one("masa_ca.pem"), vectors.one("domain_ca.pem"));
    let at = "2023-01-01T00:00:00Z".parse().unwrap();
    let lenient = PathRules::idevid(at, IdevidRules::default());
    let prove = |name: &str, anchor: &Certificate| {
        let anchor = Anchors::one(anchor.clone());
        verify_path(&vectors.one(name), &[], &anchor, &lenient).unwrap()
    };
    let pledge = prove("pledge.pem", &masa_ca);
    let registrar = prove("registrar.pem", &domain_ca);
    // The MASA of these examples signs with the key of its authority.
    let masa = prove("masa_ca.pem", &masa_ca);
    for (name, signer, other) in [
        ("pvr", &pledge, &masa),
        ("rvr", &registrar, &pledge),
        ("voucher", &masa, &registrar),
    ] {
        let message = vectors.hex(&format!("{name}.hex"));
        let content = vectors.hex(&format!("{name}-nonsigned.hex"));
        let signed = cose::parse(&message).unwrap().verify_by(signer).unwrap();
        assert_eq!(signed.content, content, "{name}");
        let error = cose::parse(&message).unwrap().verify_by(other).unwrap_err();
        assert!(matches!(error, EnvelopeError::NotTrusted(_)), "{name}");
    }
    let voucher = || cose::parse(&vectors.hex("voucher.hex")).unwrap();
    assert!(
        voucher()
            .verify(&Anchors::one(masa_ca.clone()), &lenient)
            .is_ok()
    );
    let unknown = voucher()
        .verify(&Anchors::one(domain_ca.clone()), &lenient)
        .unwrap_err();
    assert_eq!(unknown, NotTrusted::SignerUnknown.into());

    let message = vectors.hex("rvr.hex");
    let rules = PathRules::strict(at, Usage::Registrar);
    let verify = |anchor: &Certificate| {
        cose::parse(&message)
            .unwrap()
            .verify(&Anchors::one(anchor.clone()), &rules)
    };
    assert_eq!(verify(&domain_ca).unwrap().certificates.len(), 2);
    assert!(matches!(
        verify(&masa_ca).unwrap_err(),
        EnvelopeError::Path(_)
    ));
    let stripped = cose::strip_unprotected_certificates(&message).unwrap();
    assert!(
        cose::parse(&stripped)
            .unwrap()
            .verify_by(&registrar)
            .is_ok()
    );
}

#[test]
fn no_published_message_survives_truncation() {
    for (folder, name) in [
        ("rfc8995", "parboiled_vr_00-D0-E5-F2-00-02.b64"),
        ("jws-voucher", "voucher.jws.json"),
        ("cbrski", "rvr.hex"),
    ] {
        let Some(vectors) = Vectors::open(folder) else {
            return;
        };
        let message = match folder {
            "rfc8995" => vectors.base64(name),
            "cbrski" => vectors.hex(name),
            _ => vectors.text(name).trim_end().as_bytes().to_vec(),
        };
        for end in 0..message.len() {
            let part = &message[..end];
            assert!(cms::parse(part).is_err() && jws::parse(part).is_err());
            assert!(cose::parse(part).is_err(), "{name} at {end}");
        }
    }
}

struct Vectors(PathBuf);

impl Vectors {
    fn open(folder: &str) -> Option<Self> {
        if let Some(root) = std::env::var_os("VOUCHSAFE_VECTORS") {
            return Some(Self(PathBuf::from(root).join(folder)));
        }
        assert!(
            std::env::var_os("CI").is_none(),
            "VOUCHSAFE_VECTORS is not set"
        );
        println!("skipped: no vectors");
        None
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.0.join(name)).unwrap()
    }

    fn one(&self, name: &str) -> Certificate {
        Certificate::from_pem(&self.text(name)).unwrap()
    }

    fn base64(&self, name: &str) -> Vec<u8> {
        BASE64_STANDARD
            .decode(without_space(&self.text(name)))
            .unwrap()
    }

    fn hex(&self, name: &str) -> Vec<u8> {
        hex::decode(without_space(&self.text(name))).unwrap()
    }
}

fn without_space(text: &str) -> String {
    text.split_ascii_whitespace().collect()
}
