//! Authorities, devices, a server, and the wire between a station and the server.

use std::sync::Arc;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use jiff::{SignedDuration, Timestamp};
use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use vouchsafe_radius::{
    Acceptor, Answer, Client, Code, Connector, Entropy, Error, FragmentSize, Grant, Limits, Origin,
    Peer, PeerStep, Proof, Refusal, Segment, Sent, Server, Shared, Step, Trust, attribute,
};
use vouchsafe_trust::{
    Anchors, Authority, Certificate, Crl, CrlContent, Name, Profile, Revocation, RevocationReason,
    RevokedCertificate, Secret, Signer, SoftwareSigner, Validity, oid,
};

pub(crate) const SECRET: &str = "a secret of thirty-two characters";

pub(crate) fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn later(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

pub(crate) fn shared() -> Shared {
    Shared::new(Secret::new(SECRET.into()))
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

pub(crate) fn origin() -> Origin {
    Origin {
        client: 1,
        address: [0; 16],
        port: 40_000,
    }
}

/// A private key in PKCS #8.
pub(crate) fn key() -> Vec<u8> {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random);
    key.unwrap().as_ref().to_vec()
}

pub(crate) fn signer(key: &[u8]) -> Arc<dyn Signer> {
    Arc::new(SoftwareSigner::from_pkcs8_der(key).unwrap())
}

/// 2026.
pub(crate) fn validity() -> Validity {
    Validity::new(
        "2026-01-01T00:00:00Z".parse().unwrap(),
        "2026-12-31T23:59:59Z".parse().unwrap(),
    )
}

pub(crate) fn authority(name: &str, validity: Validity) -> Authority {
    let profile = Profile::certificate_authority(Name::common(name).unwrap(), None);
    let serial = random::<16>().map(|octet| octet & 0x7f | 1);
    Authority::self_signed(&profile, &serial, validity, signer(&key())).unwrap()
}

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: Certificate,
    pub(crate) key: Vec<u8>,
}

impl Identity {
    pub(crate) fn certified(&self) -> Arc<CertifiedKey> {
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let chain = vec![CertificateDer::from(self.certificate.der().to_vec())];
        Arc::new(CertifiedKey::new(chain, signer))
    }
}

pub(crate) fn device_profile(serial_number: &str) -> Profile {
    let name = Name::new(&[(oid::SERIAL_NUMBER, serial_number)]).unwrap();
    Profile::ldevid(name, Vec::new())
}

pub(crate) fn issue(authority: &Authority, profile: &Profile, validity: Validity) -> Identity {
    let key = key();
    let serial = random::<16>().map(|octet| octet & 0x7f | 1);
    let certificate = authority
        .issue(profile, signer(&key).public_key(), &serial, validity)
        .unwrap();
    Identity { certificate, key }
}

/// A network: its authority, its server's certificate, and what is revoked.
pub(crate) struct World {
    pub(crate) authority: Authority,
    pub(crate) server: Identity,
    pub(crate) lists: Vec<Crl>,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::at(now(), validity())
    }

    /// For peers that read the machine's clock.
    pub(crate) fn valid_during(validity: Validity) -> Self {
        Self::at(Timestamp::now(), validity)
    }

    fn at(now: Timestamp, validity: Validity) -> Self {
        let authority = authority("Domain CA", validity);
        let profile = Profile::tls_server(Name::common("gate").unwrap(), &["gate.example"]);
        let server = issue(&authority, &profile, validity);
        let mut world = Self {
            authority,
            server,
            lists: Vec::new(),
            now,
        };
        world.revoke(&[]);
        world
    }

    pub(crate) fn device(&self, serial_number: &str) -> Identity {
        issue(&self.authority, &device_profile(serial_number), validity())
    }

    /// Publishes a list with these certificates on it.
    pub(crate) fn revoke(&mut self, identities: &[&Identity]) {
        let entries: Vec<_> = identities
            .iter()
            .map(|identity| RevokedCertificate {
                serial: identity.certificate.serial().to_vec(),
                at: self.now,
                reason: RevocationReason::KeyCompromise,
            })
            .collect();
        let content = CrlContent {
            number: 1,
            this_update: self.now - SignedDuration::from_secs(60),
            next_update: self.now + SignedDuration::from_hours(24),
            entries: &entries,
        };
        self.lists = vec![self.authority.crl(&content).unwrap()];
    }

    pub(crate) fn trust(&self) -> Trust {
        Trust {
            anchors: Anchors::one(self.authority.certificate().clone()),
            revocation: Revocation::Checked {
                lists: self.lists.clone(),
                unknown_is_fatal: true,
            },
        }
    }

    /// What the device believes: it cannot fetch lists before it is in.
    pub(crate) fn device_trust(&self) -> Trust {
        Trust {
            anchors: Anchors::one(self.authority.certificate().clone()),
            revocation: Revocation::NotChecked,
        }
    }

    pub(crate) fn acceptor(&self) -> Acceptor {
        Acceptor::new(provider(), self.server.certified(), self.trust())
    }

    pub(crate) fn connector(&self, device: &Identity) -> Connector {
        let name = "gate.example".try_into().unwrap();
        Connector::new(
            provider(),
            device.certified(),
            self.device_trust(),
            Some(name),
        )
    }

    pub(crate) fn site(&self) -> Site {
        Site::new(self.acceptor())
    }
}

/// A server whose caller grants everything, unless it is told otherwise.
pub(crate) struct Site {
    pub(crate) server: Server,
    pub(crate) grant: Grant,
    pub(crate) now: Timestamp,
    /// At which question the caller says no.
    pub(crate) refuse_at: Option<usize>,
    pub(crate) questions: usize,
    pub(crate) resumed: bool,
}

impl Site {
    pub(crate) fn new(acceptor: Acceptor) -> Self {
        Self::with_limits(acceptor, Limits::default())
    }

    pub(crate) fn with_limits(acceptor: Acceptor, limits: Limits) -> Self {
        Self {
            server: Server::new(Arc::new(acceptor), limits),
            grant: Grant {
                name: Some("device-17".to_owned()),
                segment: Some(Segment::new("cameras").unwrap()),
                session_seconds: Some(600),
                class: Some(b"session 9".to_vec()),
            },
            now: now(),
            refuse_at: None,
            questions: 0,
            resumed: false,
        }
    }

    /// One datagram to the server and what comes of it.
    pub(crate) fn handle(&mut self, datagram: &[u8]) -> Step {
        let entropy = || Entropy(random());
        match self
            .server
            .handle(self.now, origin(), &shared(), datagram, entropy())
        {
            Step::Decide(question) => {
                self.questions += 1;
                self.resumed = question.is_resumed();
                if self.refuse_at == Some(self.questions) {
                    let reason = Refusal::NotAuthorized.into();
                    return self.server.refuse(self.now, &shared(), *question, reason);
                }
                self.server
                    .grant(self.now, &shared(), *question, &self.grant, entropy())
            }
            step => step,
        }
    }
}

/// How a station's attempt ended.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The server's last answer, if it gave one.
    pub(crate) answer: Option<Answer>,
    /// What the peer made of it.
    pub(crate) peer: Result<Box<Proof>, Error>,
    /// Why the server refused.
    pub(crate) refused: Option<Error>,
    /// Requests that were needed.
    pub(crate) requests: usize,
}

impl Attempt {
    /// The station is in, and both sides have the same keys.
    pub(crate) fn is_in(&self) -> bool {
        self.peer.is_ok()
            && self
                .answer
                .as_ref()
                .is_some_and(|answer| answer.code == Code::AccessAccept)
    }
}

pub(crate) fn attributes() -> Vec<(u8, Vec<u8>)> {
    vec![
        (attribute::USER_NAME, b"anonymous".to_vec()),
        (attribute::NAS_IDENTIFIER, b"ap-1".to_vec()),
        (attribute::CALLING_STATION_ID, b"02-00-00-00-00-01".to_vec()),
        (attribute::PROXY_STATE, b"one".to_vec()),
        (attribute::PROXY_STATE, b"two".to_vec()),
    ]
}

pub(crate) fn peer(connector: Connector) -> Box<Peer> {
    Box::new(Peer::new(
        connector,
        "@example.org",
        FragmentSize::default(),
    ))
}

/// Lets a station try to come in; `alter` sees each of the station's EAP packets on its way.
pub(crate) fn attempt_with(
    site: &mut Site,
    mut peer: Box<Peer>,
    mut alter: impl FnMut(usize, &mut Vec<u8>),
) -> Attempt {
    let mut client = Client::new(shared(), attributes());
    let mut requests = 0;
    let mut lane = None;
    let identity = [1, 0, 0, 5, 1];
    let mut response = match peer.handle(site.now, &identity).unwrap() {
        PeerStep::Respond(next, response) => {
            peer = next;
            response
        }
        _ => panic!("no identity"),
    };
    loop {
        alter(requests, &mut response);
        let number = u8::try_from(requests).unwrap();
        let (datagram, open) = client.request(number, &response, random()).unwrap();
        requests += 1;
        let of = *lane.get_or_insert(vouchsafe_radius::lane(&datagram));
        assert_eq!(of, vouchsafe_radius::lane(&datagram));
        let (sent, refused) = match site.handle(&datagram) {
            Step::Send(sent, Sent::Reject(rejection)) => (sent, Some(rejection.reason)),
            Step::Send(sent, _) => (sent, None),
            Step::Discard(error) => {
                return Attempt {
                    answer: None,
                    peer: Err(error.clone()),
                    refused: Some(error),
                    requests,
                };
            }
            Step::Decide(_) => unreachable!(),
        };
        let answer = client.answer(&open, &sent).unwrap();
        let Some(eap) = answer.eap.clone() else {
            return Attempt {
                answer: Some(answer),
                peer: Err(Refusal::NoEapMessage.into()),
                refused,
                requests,
            };
        };
        let done = match peer.handle(site.now, &eap) {
            Ok(PeerStep::Respond(next, message)) if answer.code == Code::AccessChallenge => {
                (peer, response) = (next, message);
                continue;
            }
            Ok(PeerStep::Done(proof)) => {
                client
                    .check_keys(&open, &answer, proof.keys.msk.expose())
                    .unwrap();
                Ok(proof)
            }
            Ok(_) => panic!("the peer waits for more than {:?}", answer.code),
            Err(error) => Err(error),
        };
        return Attempt {
            answer: Some(answer),
            peer: done,
            refused,
            requests,
        };
    }
}

pub(crate) fn attempt(site: &mut Site, connector: Connector) -> Attempt {
    attempt_with(site, peer(connector), |_, _| {})
}
