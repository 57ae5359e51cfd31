//! One manufacturer, one device, two domains: everything that a run needs.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use jiff::{SignedDuration, Timestamp};
use vouchsafe_brski::masa::{
    Pin, ProximityMismatch, RegistrarRequestRules, RegistrarTrust, RegistrarVoucherRequest,
    VoucherTerms, issue_voucher, verify_registrar_request,
};
use vouchsafe_brski::pledge::{NoncelessVouchers, PledgeRequest, VoucherRules, verify_voucher};
use vouchsafe_brski::registrar::{
    PledgeRequestRules, PledgeVoucherRequest, RegistrarRequest, verify_pledge_request,
};
use vouchsafe_brski::{Compatibility, Encoding, Error, Nonce, Voucher, idevid};
use vouchsafe_trust::{
    Anchors, Authority, Certificate, IdevidRules, Name, Path, Profile, Revocation, Signer,
    SoftwareSigner, Validity, Verified, cms, cose, jws, oid,
};

pub const SERIAL: &str = "JADA-0001";
pub const SKEW: SignedDuration = SignedDuration::from_mins(5);
pub const MAX_AGE: SignedDuration = SignedDuration::from_hours(1);

/// A certificate chain with the key of its first certificate.
pub struct Identity {
    pub chain: Vec<Certificate>,
    pub signer: Arc<dyn Signer>,
}

impl Identity {
    pub fn leaf(&self) -> &Certificate {
        &self.chain[0]
    }
}

/// A domain: its CA and one registrar.
pub struct Domain {
    pub authority: Authority,
    pub registrar: Identity,
}

impl Domain {
    pub fn new(name: &str) -> Self {
        let authority = root(&Profile::domain_ca(Name::common(name).unwrap()), years(20));
        let registrar = issue(
            &authority,
            &Profile::registrar(Name::common("registrar").unwrap(), &["registrar.example"]),
            years(2),
        );
        Self {
            authority,
            registrar,
        }
    }

    pub fn anchors(&self) -> Anchors {
        Anchors::one(self.authority.certificate().clone())
    }
}

pub struct World {
    pub now: Timestamp,
    pub manufacturer: Authority,
    pub manufacturer_anchors: Anchors,
    pub masa: Identity,
    pub masa_anchors: Anchors,
    pub device: Identity,
    pub domain: Domain,
    pub idevid_rules: IdevidRules,
    pub revocation: Revocation,
    pub compatibility: Compatibility,
}

impl World {
    pub fn new() -> Self {
        let manufacturer = root(
            &Profile::manufacturer_root(Name::common("manufacturer").unwrap()),
            years(30),
        );
        let masa = issue(
            &manufacturer,
            &Profile::voucher_signer(Name::common("masa").unwrap()),
            years(5),
        );
        let masa_anchors = Anchors::new(vec![
            manufacturer.certificate().clone(),
            masa.leaf().clone(),
        ])
        .unwrap();
        Self {
            now: now(),
            device: device(&manufacturer, SERIAL),
            manufacturer_anchors: Anchors::one(manufacturer.certificate().clone()),
            manufacturer,
            masa,
            masa_anchors,
            domain: Domain::new("domain"),
            idevid_rules: IdevidRules::default(),
            revocation: Revocation::NotChecked,
            compatibility: Compatibility::default(),
        }
    }

    pub fn nonce(&self, encoding: Encoding) -> Nonce {
        Nonce::fresh(&[7; 16], encoding).unwrap()
    }

    pub fn device_path(&self) -> Verified<Path> {
        idevid::verify_device_chain(
            &self.device.chain,
            &self.manufacturer_anchors,
            &self.idevid_rules,
            self.now,
        )
        .unwrap()
    }

    pub fn pledge_request(&self, encoding: Encoding) -> Vec<u8> {
        PledgeRequest {
            idevid_chain: &self.device.chain,
            nonce: &self.nonce(encoding),
            created_on: Some(self.now),
            registrar: self.domain.registrar.leaf(),
        }
        .sign(encoding, &*self.device.signer, &self.compatibility)
        .unwrap()
    }

    pub fn at_registrar(
        &self,
        bytes: &[u8],
        encoding: Encoding,
    ) -> Result<Verified<PledgeVoucherRequest>, Error> {
        let device = self.device_path();
        verify_pledge_request(
            bytes,
            encoding,
            &PledgeRequestRules {
                device: &device,
                presented: &self.domain.registrar.chain,
                now: self.now,
                skew: SKEW,
                compatibility: &self.compatibility,
            },
        )
    }

    pub fn registrar_request(&self, encoding: Encoding) -> Vec<u8> {
        let pledge = self
            .at_registrar(&self.pledge_request(encoding), encoding)
            .unwrap();
        self.sign_registrar(&RegistrarRequest::for_pledge(&pledge, self.now))
    }

    pub fn sign_registrar(&self, request: &RegistrarRequest) -> Vec<u8> {
        request
            .sign(
                &self.domain.registrar.chain,
                &*self.domain.registrar.signer,
                &self.compatibility,
            )
            .unwrap()
    }

    pub fn masa_rules<'a>(&'a self, registrar: RegistrarTrust<'a>) -> RegistrarRequestRules<'a> {
        RegistrarRequestRules {
            registrar,
            tls_client: None,
            manufacturer: &self.manufacturer_anchors,
            idevid: &self.idevid_rules,
            devices: &[],
            vouchers: &self.masa_anchors,
            revocation: &self.revocation,
            now: self.now,
            max_age: MAX_AGE,
            skew: SKEW,
            proximity_mismatch: ProximityMismatch::Refuse,
            compatibility: &self.compatibility,
        }
    }

    pub fn at_masa(
        &self,
        bytes: &[u8],
        encoding: Encoding,
    ) -> Result<Verified<RegistrarVoucherRequest>, Error> {
        verify_registrar_request(bytes, encoding, &self.masa_rules(RegistrarTrust::Presented))
    }

    pub fn at_masa_known(
        &self,
        bytes: &[u8],
        encoding: Encoding,
    ) -> Result<Verified<RegistrarVoucherRequest>, Error> {
        let anchors = self.domain.anchors();
        verify_registrar_request(
            bytes,
            encoding,
            &self.masa_rules(RegistrarTrust::Known(&anchors)),
        )
    }

    pub fn terms(&self) -> VoucherTerms {
        VoucherTerms {
            created_on: self.now,
            lifetime: SignedDuration::from_hours(24 * 14),
            ownership_verified: false,
            pin: Pin::LowestCa,
            last_renewal: None,
        }
    }

    pub fn voucher(&self, encoding: Encoding) -> Vec<u8> {
        let request = self
            .at_masa(&self.registrar_request(encoding), encoding)
            .unwrap();
        self.issue(&request, encoding)
    }

    pub fn issue(
        &self,
        request: &Verified<RegistrarVoucherRequest>,
        encoding: Encoding,
    ) -> Vec<u8> {
        issue_voucher(
            request,
            &self.terms(),
            encoding,
            &self.masa.chain[..1],
            &*self.masa.signer,
            &self.compatibility,
        )
        .unwrap()
        .bytes
    }

    pub fn voucher_rules<'a>(&'a self, nonce: Option<&'a Nonce>) -> VoucherRules<'a> {
        VoucherRules {
            masa: &self.masa_anchors,
            idevid: self.device.leaf(),
            nonce,
            now: Some(self.now),
            skew: SKEW,
            nonceless: NoncelessVouchers::WithClock,
            compatibility: &self.compatibility,
        }
    }

    pub fn at_pledge(&self, bytes: &[u8], encoding: Encoding) -> Result<Verified<Voucher>, Error> {
        let nonce = self.nonce(encoding);
        verify_voucher(bytes, encoding, &self.voucher_rules(Some(&nonce)))
    }
}

pub fn now() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub fn years(count: i64) -> Validity {
    let before = now() - SignedDuration::from_hours(24);
    Validity::new(before, now() + SignedDuration::from_hours(24 * 365 * count))
}

pub fn key() -> Arc<dyn Signer> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
        .unwrap();
    Arc::new(SoftwareSigner::from_pkcs8_der(pkcs8.as_ref()).unwrap())
}

/// Distinct without a random number generator: the first bytes of a fresh key's hash.
pub fn serial(signer: &dyn Signer) -> [u8; 16] {
    let mut serial: [u8; 16] = signer.public_key().sha256()[..16].try_into().unwrap();
    serial[0] = serial[0] & 0x7f | 1;
    serial
}

pub fn root(profile: &Profile, validity: Validity) -> Authority {
    let signer = key();
    Authority::self_signed(profile, &serial(&*signer), validity, signer).unwrap()
}

pub fn issue(authority: &Authority, profile: &Profile, validity: Validity) -> Identity {
    let signer = key();
    let leaf = authority
        .issue(profile, signer.public_key(), &serial(&*signer), validity)
        .unwrap();
    let mut chain = vec![leaf];
    chain.extend_from_slice(authority.chain());
    Identity { chain, signer }
}

pub fn device(manufacturer: &Authority, serial: &str) -> Identity {
    let subject = Name::new(&[(oid::COMMON_NAME, "sensor"), (oid::SERIAL_NUMBER, serial)]).unwrap();
    let profile = Profile::idevid(subject, Some("masa.example")).unwrap();
    let before = now() - SignedDuration::from_hours(24);
    let mut identity = issue(manufacturer, &profile, Validity::without_end(before));
    identity.chain.truncate(1);
    identity
}

/// The JSON content of a signed message, edited and signed again by `identity`.
pub fn forge(
    bytes: &[u8],
    encoding: Encoding,
    identity: &Identity,
    edit: impl FnOnce(&mut serde_json::Map<String, serde_json::Value>),
) -> Vec<u8> {
    let mut content: serde_json::Value = serde_json::from_slice(&content(bytes, encoding)).unwrap();
    let fields = content
        .as_object_mut()
        .unwrap()
        .values_mut()
        .next()
        .unwrap();
    edit(fields.as_object_mut().unwrap());
    sign(
        content.to_string().as_bytes(),
        encoding,
        &identity.chain,
        &*identity.signer,
    )
}

/// The same for CBOR, where fields are known by their deltas.
pub fn forge_cbor(
    bytes: &[u8],
    identity: &Identity,
    edit: impl FnOnce(&mut Vec<(ciborium::Value, ciborium::Value)>),
) -> Vec<u8> {
    let mut content: ciborium::Value =
        ciborium::from_reader(&content(bytes, Encoding::CoseCbor)[..]).unwrap();
    edit(content.as_map_mut().unwrap()[0].1.as_map_mut().unwrap());
    let mut out = Vec::new();
    ciborium::into_writer(&content, &mut out).unwrap();
    sign(&out, Encoding::CoseCbor, &identity.chain, &*identity.signer)
}

pub fn content(bytes: &[u8], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::CmsJson => cms::parse(bytes).unwrap().content().to_vec(),
        Encoding::JwsJson => jws::parse(bytes).unwrap().content().to_vec(),
        Encoding::CoseCbor => cose::parse(bytes).unwrap().content().to_vec(),
    }
}

pub fn sign(
    content: &[u8],
    encoding: Encoding,
    certificates: &[Certificate],
    signer: &dyn Signer,
) -> Vec<u8> {
    match encoding {
        Encoding::CmsJson => cms::sign(
            content,
            &cms::SignOptions {
                content_type: cms::ID_CT_ANIMA_JSON_VOUCHER,
                certificates,
                signing_time: None,
            },
            signer,
        ),
        Encoding::JwsJson => jws::sign(
            content,
            &jws::SignOptions {
                typ: None,
                certificates,
                form: jws::Form::General,
            },
            signer,
        ),
        Encoding::CoseCbor => cose::sign(
            content,
            &cose::SignOptions {
                certificates,
                header: cose::CertificateHeader::Bag,
                placement: cose::Placement::Unprotected,
            },
            signer,
        ),
    }
    .unwrap()
}
