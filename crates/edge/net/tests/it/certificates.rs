//! Certificates made byte by byte, so that odd ones are as easy as good ones.

use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair,
};
use vouchsafe_net::Identity;
use vouchsafe_trust::{
    Anchors, Certificate, PublicKey, SignError, SignatureAlgorithm, Signer, SoftwareSigner,
};

pub(crate) const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
pub(crate) const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
pub(crate) const CMC_RA: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 28];

pub(crate) struct Authority {
    pub(crate) certificate: Certificate,
    signer: Arc<dyn Signer>,
    name: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let signer = p256();
        let content = Content {
            ca: true,
            ..Content::named(name)
        };
        let certificate = content.certificate(name, &*signer, signer.public_key());
        Self {
            certificate,
            signer,
            name: name.to_owned(),
        }
    }

    pub(crate) fn anchors(&self) -> Anchors {
        Anchors::one(self.certificate.clone())
    }

    pub(crate) fn certify(&self, content: &Content, key: &PublicKey) -> Certificate {
        content.certificate(&self.name, &*self.signer, key)
    }

    /// A leaf and this authority's certificate.
    pub(crate) fn identity(&self, content: &Content, signer: Arc<dyn Signer>) -> Identity {
        let leaf = self.certify(content, signer.public_key());
        Identity::new(vec![leaf, self.certificate.clone()], signer).unwrap()
    }

    /// A server for `localhost` and 127.0.0.1.
    pub(crate) fn server(&self) -> Identity {
        self.identity(&Content::server(), p256())
    }
}

#[derive(Clone)]
pub(crate) struct Content {
    pub(crate) name: String,
    pub(crate) dns_names: Vec<&'static str>,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) purposes: Vec<&'static [u8]>,
    pub(crate) not_after: &'static str,
    pub(crate) ca: bool,
    pub(crate) version1: bool,
    pub(crate) unknown_critical: bool,
}

impl Content {
    pub(crate) fn named(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            dns_names: Vec::new(),
            addresses: Vec::new(),
            purposes: Vec::new(),
            not_after: "20491231235959Z",
            ca: false,
            version1: false,
            unknown_critical: false,
        }
    }

    pub(crate) fn server() -> Self {
        Self {
            dns_names: vec!["localhost"],
            addresses: vec![IpAddr::from([127, 0, 0, 1])],
            purposes: vec![SERVER_AUTH],
            ..Self::named("server")
        }
    }

    fn certificate(&self, issuer: &str, signer: &dyn Signer, key: &PublicKey) -> Certificate {
        let algorithm = signer.algorithm().algorithm_identifier();
        let mut fields = Vec::new();
        if !self.version1 {
            fields.push(tlv(0xa0, &[&tlv(0x02, &[&[2]])]));
        }
        fields.extend([
            tlv(0x02, &[&[0x11, 0x22, 0x33]]),
            algorithm.clone(),
            name(issuer),
            tlv(0x30, &[&time("20200101000000Z"), &time(self.not_after)]),
            name(&self.name),
            key.spki_der().to_vec(),
        ]);
        if !self.version1 {
            fields.push(tlv(0xa3, &[&tlv(0x30, &[&self.extensions().concat()])]));
        }
        let content = tlv(0x30, &[&fields.concat()]);
        let signature = signer.sign(&content).unwrap();
        let whole = tlv(
            0x30,
            &[&content, &algorithm, &tlv(0x03, &[&[0], &signature])],
        );
        Certificate::from_der(&whole).unwrap()
    }

    fn extensions(&self) -> Vec<Vec<u8>> {
        let mut extensions = Vec::new();
        if self.ca {
            let value = tlv(0x30, &[&[0x01, 0x01, 0xff]]);
            extensions.push(extension(&[0x55, 0x1d, 19], true, &value));
            extensions.push(extension(
                &[0x55, 0x1d, 15],
                true,
                &[0x03, 0x02, 0x01, 0x06],
            ));
        }
        if !self.purposes.is_empty() {
            let purposes: Vec<_> = self
                .purposes
                .iter()
                .map(|each| tlv(0x06, &[each]))
                .collect();
            let value = tlv(0x30, &[&purposes.concat()]);
            extensions.push(extension(&[0x55, 0x1d, 37], false, &value));
        }
        let mut names: Vec<_> = self
            .dns_names
            .iter()
            .map(|name| tlv(0x82, &[name.as_bytes()]))
            .collect();
        names.extend(self.addresses.iter().map(|address| match address {
            IpAddr::V4(address) => tlv(0x87, &[&address.octets()]),
            IpAddr::V6(address) => tlv(0x87, &[&address.octets()]),
        }));
        if !names.is_empty() {
            let value = tlv(0x30, &[&names.concat()]);
            extensions.push(extension(&[0x55, 0x1d, 17], false, &value));
        }
        if self.unknown_critical {
            // 1.3.6.1.4.1.55555.1
            let oid = [0x2b, 6, 1, 4, 1, 0x83, 0xb2, 0x03, 1];
            extensions.push(extension(&oid, true, &[0x05, 0x00]));
        }
        extensions
    }
}

pub(crate) fn p256() -> Arc<dyn Signer> {
    ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING)
}

pub(crate) fn p384() -> Arc<dyn Signer> {
    ecdsa(&ECDSA_P384_SHA384_ASN1_SIGNING)
}

pub(crate) fn ed25519() -> Arc<dyn Signer> {
    let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Arc::new(SoftwareSigner::from_pkcs8_der(key.as_ref()).unwrap())
}

/// A key that also exists as PKCS #8, for TLS stacks that want it so.
pub(crate) fn p256_pkcs8() -> (Vec<u8>, Arc<dyn Signer>) {
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
        .unwrap();
    let signer = SoftwareSigner::from_pkcs8_der(key.as_ref()).unwrap();
    (key.as_ref().to_vec(), Arc::new(signer))
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm) -> Arc<dyn Signer> {
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &SystemRandom::new()).unwrap();
    Arc::new(SoftwareSigner::from_pkcs8_der(key.as_ref()).unwrap())
}

/// Shows somebody else's certificate and signs with a key of its own.
#[derive(Debug)]
pub(crate) struct Impostor {
    pub(crate) claims: PublicKey,
    pub(crate) own: Arc<dyn Signer>,
}

impl Impostor {
    /// With the chain of `victim`, whose key it does not have.
    pub(crate) fn of(victim: &Identity) -> Identity {
        let claims = victim.signer().public_key().clone();
        Identity::new(
            victim.chain().to_vec(),
            Arc::new(Self {
                claims,
                own: p256(),
            }),
        )
        .unwrap()
    }
}

impl Signer for Impostor {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.own.algorithm()
    }

    fn public_key(&self) -> &PublicKey {
        &self.claims
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.own.sign(message)
    }
}

fn name(common_name: &str) -> Vec<u8> {
    let text = tlv(0x0c, &[common_name.as_bytes()]);
    let attribute = tlv(0x30, &[&tlv(0x06, &[&[0x55, 4, 3]]), &text]);
    tlv(0x30, &[&tlv(0x31, &[&attribute])])
}

/// Until 2049 a certificate writes its years with two digits (RFC 5280 §4.1.2.5).
fn time(text: &str) -> Vec<u8> {
    if text < "2050" {
        tlv(0x17, &[&text.as_bytes()[2..]])
    } else {
        tlv(0x18, &[text.as_bytes()])
    }
}

fn extension(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[0x01, 0x01, 0xff] } else { &[] };
    tlv(0x30, &[&tlv(0x06, &[oid]), flag, &tlv(0x04, &[value])])
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let mut whole = vec![tag];
    match u16::try_from(content.len()).unwrap().to_be_bytes() {
        [0, short] if short < 0x80 => whole.push(short),
        [0, short] => whole.extend([0x81, short]),
        [high, low] => whole.extend([0x82, high, low]),
    }
    whole.extend(content);
    whole
}
