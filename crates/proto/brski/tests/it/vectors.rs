//! Published examples as data (RFC 8995 appendix C, the JWS and the constrained voucher drafts), read
//! from the folder that `VOUCHSAFE_VECTORS` names.

use std::path::PathBuf;

use base64::Engine as _;
use jiff::{SignedDuration, Timestamp};
use vouchsafe_brski::audit::{self, AuditLog, domain_id};
use vouchsafe_brski::masa::{
    ProximityMismatch, RegistrarRequestRules, RegistrarTrust, verify_registrar_request,
};
use vouchsafe_brski::pledge::{
    NoncelessVouchers, VoucherRules, reverify_server_chain, verify_voucher,
};
use vouchsafe_brski::registrar::{
    PledgeRequestRules, PledgeVoucherRequest, read_voucher, verify_pledge_request,
};
use vouchsafe_brski::telemetry::StatusReport;
use vouchsafe_brski::{Assertion, Compatibility, Encoding, Error, Nonce, Refusal, idevid, inspect};
use vouchsafe_trust::{Anchors, Certificate, IdevidRules, Path, Revocation, Verified, cms, jws};

/// The folder, or `None` after saying so; with `CI` set its absence is a failure.
fn folder(name: &str) -> Option<PathBuf> {
    match std::env::var_os("VOUCHSAFE_VECTORS") {
        Some(folder) => Some(PathBuf::from(folder).join(name)),
        None if std::env::var_os("CI").is_some() => panic!("VOUCHSAFE_VECTORS is not set"),
        None => {
            println!("skipped: no vectors");
            None
        }
    }
}

struct Vectors {
    folder: PathBuf,
}

impl Vectors {
    fn open(name: &str) -> Option<Self> {
        folder(name).map(|folder| Self { folder })
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap()
    }

    fn base64(&self, name: &str) -> Vec<u8> {
        let text: String = self.text(name).split_ascii_whitespace().collect();
        base64::engine::general_purpose::STANDARD
            .decode(text)
            .unwrap()
    }

    fn hex(&self, name: &str) -> Vec<u8> {
        let text: String = self.text(name).split_ascii_whitespace().collect();
        hex::decode(text).unwrap()
    }

    fn certificates(&self, name: &str) -> Vec<Certificate> {
        Certificate::many_from_pem(&self.text(name)).unwrap()
    }

    fn certificate(&self, name: &str) -> Certificate {
        self.certificates(name).remove(0)
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

struct Run<'a> {
    now: Timestamp,
    manufacturer: &'a Anchors,
    masa: &'a Anchors,
    compatibility: Compatibility,
    idevid_rules: IdevidRules,
}

impl Run<'_> {
    fn device(&self, chain: &[Certificate]) -> Verified<Path> {
        idevid::verify_device_chain(chain, self.manufacturer, &self.idevid_rules, self.now).unwrap()
    }

    fn pledge_request(
        &self,
        bytes: &[u8],
        encoding: Encoding,
        device: &Verified<Path>,
        presented: &[Certificate],
    ) -> Result<Verified<PledgeVoucherRequest>, Error> {
        verify_pledge_request(
            bytes,
            encoding,
            &PledgeRequestRules {
                device,
                presented,
                now: self.now,
                skew: SignedDuration::from_mins(5),
                compatibility: &self.compatibility,
            },
        )
    }

    fn masa_rules<'a>(
        &'a self,
        revocation: &'a Revocation,
        devices: &'a [Certificate],
    ) -> RegistrarRequestRules<'a> {
        RegistrarRequestRules {
            registrar: RegistrarTrust::Presented,
            tls_client: None,
            manufacturer: self.manufacturer,
            idevid: &self.idevid_rules,
            devices,
            vouchers: self.masa,
            revocation,
            now: self.now,
            max_age: SignedDuration::from_hours(1),
            skew: SignedDuration::from_mins(5),
            proximity_mismatch: ProximityMismatch::Refuse,
            compatibility: &self.compatibility,
        }
    }

    fn voucher_rules<'a>(
        &'a self,
        idevid: &'a Certificate,
        nonce: Option<&'a Nonce>,
    ) -> VoucherRules<'a> {
        VoucherRules {
            masa: self.masa,
            idevid,
            nonce,
            now: Some(self.now),
            skew: SignedDuration::from_mins(5),
            nonceless: NoncelessVouchers::WithClock,
            compatibility: &self.compatibility,
        }
    }
}

const RFC8995_SERIAL: &str = "00-D0-E5-F2-00-02";

#[test]
fn rfc8995_appendix_c_is_one_run() {
    let Some(vectors) = Vectors::open("rfc8995") else {
        return;
    };
    let vendor = Anchors::one(vectors.certificate("vendor.crt"));
    let masa = Anchors::one(vectors.certificate("masa.crt"));
    let run = Run {
        now: at("2021-04-13T21:43:30Z"),
        manufacturer: &vendor,
        masa: &masa,
        compatibility: Compatibility::default(),
        idevid_rules: IdevidRules::default(),
    };
    let pledge_bytes = vectors.base64("vr_00-D0-E5-F2-00-02.b64");
    let registrar_bytes = vectors.base64("parboiled_vr_00-D0-E5-F2-00-02.b64");
    let voucher_bytes = vectors.base64("voucher_00-D0-E5-F2-00-02.b64");
    assert_eq!(
        [
            pledge_bytes.len(),
            registrar_bytes.len(),
            voucher_bytes.len()
        ],
        [1652, 3943, 1574]
    );
    let registrar = vectors.certificate("jrc_prime256v1.crt");

    // The certificate that signed is in the message; the file holds a later one of the same key.
    let idevid = cms::parse(&pledge_bytes)
        .unwrap()
        .claimed_signer()
        .unwrap()
        .clone();
    let device = run.device(std::slice::from_ref(&idevid));
    let pledge = run
        .pledge_request(
            &pledge_bytes,
            Encoding::CmsJson,
            &device,
            std::slice::from_ref(&registrar),
        )
        .unwrap();
    assert_eq!(pledge.serial_number(), RFC8995_SERIAL);
    let nonce = Nonce::Text("-_XE9zK9q8Ll1qylMtLKeg".to_owned());
    assert_eq!(pledge.request.nonce, Some(nonce.clone()));
    assert_eq!(pledge.request.assertion, Some(Assertion::Proximity));
    assert_eq!(
        pledge.request.created_on,
        Some(at("2021-04-13T21:43:23.747Z"))
    );

    let revocation = Revocation::NotChecked;
    let rules = run.masa_rules(&revocation, &[]);
    let at_masa = verify_registrar_request(&registrar_bytes, Encoding::CmsJson, &rules).unwrap();
    assert_eq!(
        at_masa.request.prior_signed_voucher_request.as_deref(),
        Some(&pledge_bytes[..]),
        "RFC 8995 §5.5: the pledge's request is untouched"
    );
    assert_eq!(
        at_masa.request.idevid_issuer, None,
        "RFC 8366bis §6.1 came later"
    );
    assert!(at_masa.proximity);
    assert_eq!(at_masa.registrar, registrar);

    // Strictly by RFC 8366bis §6.1 it is refused.
    let mut strict = run.compatibility.clone();
    strict.accept_missing_idevid_issuer = false;
    let mut rules = run.masa_rules(&revocation, &[]);
    rules.compatibility = &strict;
    let error = verify_registrar_request(&registrar_bytes, Encoding::CmsJson, &rules).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::IdevidIssuerMissing));

    let voucher = verify_voucher(
        &voucher_bytes,
        Encoding::CmsJson,
        &run.voucher_rules(&idevid, Some(&nonce)),
    )
    .unwrap();
    assert_eq!(voucher.assertion, Assertion::Logged);
    assert_eq!(voucher.pinned_domain_cert.as_deref(), Some(registrar.der()));
    reverify_server_chain(&voucher, std::slice::from_ref(&registrar), Some(run.now)).unwrap();
    assert_eq!(
        domain_id(&registrar),
        "Oy6w2vS8ar8m/FtEHuzs7sl7LSD3pW9yTCgCecoIL3M=",
        "RFC 8995 §5.8.2: no key identifier, so SHA-256 of the key"
    );
    let received = read_voucher(
        &voucher_bytes,
        Encoding::CmsJson,
        RFC8995_SERIAL,
        Some(&nonce),
        &run.compatibility,
    )
    .unwrap();
    assert_eq!(received.bytes, voucher_bytes);
}

#[test]
fn rfc8995_appendix_c_is_refused_out_of_its_time_and_place() {
    let Some(vectors) = Vectors::open("rfc8995") else {
        return;
    };
    let vendor = Anchors::one(vectors.certificate("vendor.crt"));
    let masa = Anchors::one(vectors.certificate("masa.crt"));
    let mut run = Run {
        now: at("2021-04-13T21:43:30Z"),
        manufacturer: &vendor,
        masa: &masa,
        compatibility: Compatibility::default(),
        idevid_rules: IdevidRules::default(),
    };
    let pledge_bytes = vectors.base64("vr_00-D0-E5-F2-00-02.b64");
    let registrar_bytes = vectors.base64("parboiled_vr_00-D0-E5-F2-00-02.b64");
    let voucher_bytes = vectors.base64("voucher_00-D0-E5-F2-00-02.b64");
    let idevid = cms::parse(&pledge_bytes)
        .unwrap()
        .claimed_signer()
        .unwrap()
        .clone();
    let device = run.device(std::slice::from_ref(&idevid));

    let other = vectors.certificate("masa.crt");
    let error = run
        .pledge_request(&pledge_bytes, Encoding::CmsJson, &device, &[other])
        .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::ProximityNotOurs));

    let revocation = Revocation::NotChecked;
    run.now = at("2021-04-14T21:43:30Z");
    let error = verify_registrar_request(
        &registrar_bytes,
        Encoding::CmsJson,
        &run.masa_rules(&revocation, &[]),
    )
    .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::RequestStale));
    run.now = at("2026-04-14T21:43:30Z");
    let error = verify_registrar_request(
        &registrar_bytes,
        Encoding::CmsJson,
        &run.masa_rules(&revocation, &[]),
    )
    .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::RegistrarExpired));

    run.now = at("2021-04-13T21:43:30Z");
    let wrong = Nonce::Text("-_XE9zK9q8Ll1qylMtLKeh".to_owned());
    let error = verify_voucher(
        &voucher_bytes,
        Encoding::CmsJson,
        &run.voucher_rules(&idevid, Some(&wrong)),
    )
    .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::VoucherWrongNonce));
}

#[test]
fn rfc8995_examples_of_json_are_read() {
    let Some(vectors) = Vectors::open("rfc8995") else {
        return;
    };
    let log = AuditLog::from_json(vectors.text("example-auditlog.json").as_bytes()).unwrap();
    assert_eq!(log.version, audit::VERSION);
    assert_eq!(log.events.len(), 2);
    assert_eq!(log.events[0].domain_id, "BduJhdHPpfhQLyponf48JzXSGZ8=");
    assert_eq!(
        log.events[0].nonce.as_deref(),
        Some("VOUFT-WwrEv0NuAQEHoV7Q")
    );
    assert_eq!(log.truncation.nonceless_duplicates, 1);
    assert_eq!(log.truncation.arbitrary, 2);
    let again = AuditLog::from_json(&log.to_json()).unwrap();
    assert_eq!(again, log);
    for name in ["example-telemetry.json", "example-enrollstatus.json"] {
        let report = StatusReport::from_json(vectors.text(name).as_bytes()).unwrap();
        assert_eq!(report.version, 1);
        assert!(report.reason.is_some());
        assert!(report.reason_context.unwrap().contains_key("additional"));
    }
}

#[test]
fn the_jws_drafts_example_is_one_run() {
    let Some(vectors) = Vectors::open("jws-voucher") else {
        return;
    };
    let pledge_chain = vectors.certificates("pledge-chain.pem");
    let manufacturer = Anchors::one(pledge_chain[1].clone());
    let masa = Anchors::one(vectors.certificates("masa-chain.pem")[1].clone());
    let run = Run {
        now: at("2024-11-29T09:34:20Z"),
        manufacturer: &manufacturer,
        masa: &masa,
        compatibility: Compatibility::default(),
        idevid_rules: IdevidRules::default(),
    };
    let pledge_bytes = vectors.text("pvr.jws.json").into_bytes();
    let registrar_bytes = vectors.text("rvr.jws.json").into_bytes();
    let voucher_bytes = vectors.text("voucher.jws.json").into_bytes();

    let device = run.device(&pledge_chain);
    // The TLS certificate of that registrar stands in the pledge's request only.
    let content: serde_json::Value =
        serde_json::from_slice(jws::parse(&pledge_bytes).unwrap().content()).unwrap();
    let seen = content["ietf-voucher-request:voucher"]["proximity-registrar-cert"]
        .as_str()
        .unwrap();
    let seen = base64::engine::general_purpose::STANDARD
        .decode(seen)
        .unwrap();
    let seen = Certificate::from_der(&seen).unwrap();
    let pledge = run
        .pledge_request(&pledge_bytes, Encoding::JwsJson, &device, &[seen])
        .unwrap();
    assert_eq!(pledge.serial_number(), "kit-987654321");

    // It signs with another key than it shows in TLS: proximity cannot be proved from the message.
    let revocation = Revocation::NotChecked;
    let mut rules = run.masa_rules(&revocation, &[]);
    let error = verify_registrar_request(&registrar_bytes, Encoding::JwsJson, &rules).unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::ProximityMismatch));
    rules.proximity_mismatch = ProximityMismatch::Log;
    let at_masa = verify_registrar_request(&registrar_bytes, Encoding::JwsJson, &rules).unwrap();
    assert!(!at_masa.proximity, "the example's voucher says logged");
    let registrar_chain = vectors.certificates("registrar-chain.pem");
    assert_eq!(at_masa.registrar, registrar_chain[0]);
    assert_eq!(
        at_masa.request.idevid_issuer,
        Some(idevid::issuer(&pledge_chain[0])),
        "RFC 8366bis §6.1"
    );

    let nonce = Nonce::Text("TauvK+Y/cc2RfIFvpZzfKQ==".to_owned());
    let voucher = verify_voucher(
        &voucher_bytes,
        Encoding::JwsJson,
        &run.voucher_rules(&pledge_chain[0], Some(&nonce)),
    )
    .unwrap();
    assert_eq!(voucher.assertion, Assertion::Logged);
    // That request carries no CA, so we would pin the registrar; the example's MASA knew its CA.
    assert_eq!(at_masa.domain(), Some(&registrar_chain[0]));
    assert_eq!(
        voucher.pinned_domain_cert.as_deref(),
        Some(registrar_chain[1].der())
    );
}

/// The published messages are not of one run, and older than their certificates.
#[test]
fn the_constrained_drafts_examples_are_read() {
    let Some(vectors) = Vectors::open("cbrski") else {
        return;
    };
    let masa_ca = vectors.certificate("masa_ca.pem");
    let manufacturer = Anchors::one(masa_ca.clone());
    let masa = Anchors::new(vec![masa_ca, vectors.certificate("masa.pem")]).unwrap();
    let mut run = Run {
        now: at("2022-12-10T00:00:00Z"),
        manufacturer: &manufacturer,
        masa: &masa,
        compatibility: Compatibility::default(),
        idevid_rules: IdevidRules::default(),
    };
    let idevid = vectors.certificate("pledge.pem");
    let registrar = vectors.certificate("registrar.pem");
    let pledge_bytes = vectors.hex("pvr.hex");
    let registrar_bytes = vectors.hex("rvr.hex");
    let voucher_bytes = vectors.hex("voucher.hex");

    let device = run.device(std::slice::from_ref(&idevid));
    let pledge = run
        .pledge_request(
            &pledge_bytes,
            Encoding::CoseCbor,
            &device,
            std::slice::from_ref(&registrar),
        )
        .unwrap();
    assert_eq!(pledge.serial_number(), "JADA123456789");
    assert_eq!(
        pledge.request.nonce,
        Some(Nonce::Bytes(hex::decode("23BFBBC9C2BCF213").unwrap()))
    );
    assert_eq!(
        pledge.request.proximity_registrar_pubk.as_deref(),
        Some(registrar.public_key().spki_der())
    );

    // The registrar's request is three days older than the certificates in the files, and holds
    // those of its own time; the pledge's is not among them.
    run.now = at("2022-12-06T20:04:20Z");
    run.idevid_rules.ignore_expiry = true;
    let revocation = Revocation::NotChecked;
    let error = verify_registrar_request(
        &registrar_bytes,
        Encoding::CoseCbor,
        &run.masa_rules(&revocation, std::slice::from_ref(&idevid)),
    )
    .unwrap_err();
    assert_eq!(
        error.refusal(),
        Some(Refusal::PriorRequestUntrusted),
        "the pledge's certificate is not valid yet"
    );
    run.now = at("2022-12-10T00:00:00Z");
    let mut rules = run.masa_rules(&revocation, std::slice::from_ref(&idevid));
    rules.max_age = SignedDuration::from_hours(24 * 7);
    let at_masa = verify_registrar_request(&registrar_bytes, Encoding::CoseCbor, &rules).unwrap();
    assert!(at_masa.proximity);
    assert_eq!(
        at_masa.request.created_on,
        Some(at("2022-12-06T20:04:15.754Z"))
    );
    assert_eq!(at_masa.request.idevid_issuer, Some(idevid::issuer(&idevid)));
    assert_eq!(
        at_masa.request.prior_signed_voucher_request.as_deref(),
        Some(&pledge_bytes[..])
    );
    assert!(at_masa.domain().unwrap().is_ca());

    // The voucher is signed by a certificate issued four years later, and answers another nonce.
    run.now = at("2026-06-01T00:00:00Z");
    let nonce = Nonce::Bytes(hex::decode("57EED786AD404907").unwrap());
    let voucher = verify_voucher(
        &voucher_bytes,
        Encoding::CoseCbor,
        &run.voucher_rules(&idevid, Some(&nonce)),
    )
    .unwrap();
    assert_eq!(voucher.serial_number, "JADA123456789");
    assert_eq!(voucher.created_on, at("2022-12-06T20:23:30.708Z"));
    assert_eq!(voucher.assertion, Assertion::Proximity);
    let pinned = Certificate::from_der(voucher.pinned_domain_cert.as_deref().unwrap()).unwrap();
    assert_eq!(
        pinned.public_key(),
        vectors.certificate("domain_ca.pem").public_key(),
        "an earlier certificate of the same key"
    );
    let chain = [registrar, vectors.certificate("domain_ca.pem")];
    let before_end = at("2025-01-01T00:00:00Z");
    reverify_server_chain(&voucher, &chain, Some(before_end)).unwrap();
    let pvr_nonce = pledge.request.nonce.as_ref();
    let error = verify_voucher(
        &voucher_bytes,
        Encoding::CoseCbor,
        &run.voucher_rules(&idevid, pvr_nonce),
    )
    .unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::VoucherWrongNonce));
}

/// The diagnostic notation says the same as the bytes.
#[test]
fn the_constrained_drafts_diagnostics_agree_with_the_bytes() {
    let Some(vectors) = Vectors::open("cbrski") else {
        return;
    };
    for name in ["pvr", "rvr", "voucher"] {
        let diagnostic = vectors.text(&format!("{name}.cbordiag")).to_lowercase();
        let message = vouchsafe_trust::cose::parse(&vectors.hex(&format!("{name}.hex"))).unwrap();
        let payload = hex::encode(message.content());
        assert!(diagnostic.contains(&format!("h'{payload}'")), "{name}");
        assert_eq!(
            payload,
            hex::encode(vectors.hex(&format!("{name}-nonsigned.hex")))
        );
        for certificate in message.certificates() {
            assert!(
                diagnostic.contains(&hex::encode(certificate.der())),
                "{name}"
            );
        }
    }
}

/// `.sid` files of the drafts against our table.
#[test]
fn the_sid_tables_are_those_of_the_drafts() {
    let Some(vectors) = Vectors::open("cbrski") else {
        return;
    };
    for (file, module, table) in [
        (
            "ietf-voucher.sid",
            "ietf-voucher",
            &vouchsafe_brski::VOUCHER_SIDS,
        ),
        (
            "ietf-voucher-request.sid",
            "ietf-voucher-request",
            &vouchsafe_brski::REQUEST_SIDS,
        ),
    ] {
        let file: serde_json::Value = serde_json::from_str(&vectors.text(file)).unwrap();
        let file = &file["ietf-sid-file:sid-file"];
        assert_eq!(file["module-revision"], table.revision);
        let container = format!("/{module}:voucher");
        let mut found = Vec::new();
        for item in file["item"].as_array().unwrap() {
            let name = item["identifier"].as_str().unwrap();
            let sid: u64 = item["sid"].as_str().unwrap().parse().unwrap();
            if name == container {
                assert_eq!(sid, table.container);
            } else if let Some(child) = name.strip_prefix(&format!("{container}/")) {
                found.push((child.to_owned(), sid));
            }
        }
        let ours: Vec<_> = table
            .children
            .iter()
            .map(|(name, sid)| ((*name).to_owned(), *sid))
            .collect();
        assert_eq!(found, ours, "{module}");
    }
}

#[test]
fn every_published_message_can_be_inspected() {
    let mut seen = 0;
    if let Some(vectors) = Vectors::open("rfc8995") {
        for (name, kind) in [
            ("vr_00-D0-E5-F2-00-02.b64", "pledge-voucher-request"),
            (
                "parboiled_vr_00-D0-E5-F2-00-02.b64",
                "registrar-voucher-request",
            ),
            ("voucher_00-D0-E5-F2-00-02.b64", "voucher"),
        ] {
            let from_text = inspect(vectors.text(name).as_bytes()).unwrap();
            let from_bytes = inspect(&vectors.base64(name)).unwrap();
            assert_eq!(from_text, from_bytes);
            assert_eq!(from_text.kind, kind);
            assert_eq!(from_text.fields["serial-number"], RFC8995_SERIAL);
            assert_eq!(
                from_text.prior.is_some(),
                kind == "registrar-voucher-request"
            );
            serde_json::to_string(&from_text).unwrap();
            seen += 1;
        }
    }
    if let Some(vectors) = Vectors::open("jws-voucher") {
        for name in ["pvr", "rvr", "voucher"] {
            let inspection = inspect(vectors.text(&format!("{name}.jws.json")).as_bytes()).unwrap();
            assert_eq!(inspection.encoding, Encoding::JwsJson);
            assert!(inspection.signer.is_some());
            seen += 1;
        }
    }
    if let Some(vectors) = Vectors::open("cbrski") {
        for name in ["pvr", "rvr", "voucher"] {
            let inspection = inspect(&vectors.hex(&format!("{name}.hex"))).unwrap();
            assert_eq!(inspection.encoding, Encoding::CoseCbor);
            seen += 1;
        }
        assert_eq!(seen, 9);
    }
}
