//! What is refused once TLS speaks: certificates, keys, versions, identities; on either side.

use std::sync::Arc;

use jiff::SignedDuration;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::CertificateDer;
use vouchsafe_radius::eap::{Body, Packet as Eap};
use vouchsafe_radius::{
    Acceptor, Code, Connector, FragmentSize, Misuse, Peer, PeerStep, Refusal, TlsFailure, Trust,
    Versions, eap,
};
use vouchsafe_trust::{Anchors, Name, Profile, Revocation, SubjectAltName, Validity, oid};

use crate::forge::{Heard, Puppet};
use crate::world::{
    Identity, Site, World, attempt, attempt_with, authority, device_profile, issue, key, later,
    now, peer, provider, validity,
};

const BOTH: [Versions; 2] = [Versions::Tls12, Versions::Tls13];

/// The server refuses `device` for `reason`, with both versions, after an alert.
fn refuses(world: &World, device: &Identity, reason: &str) {
    for versions in BOTH {
        let mut site = world.site();
        let connector = world.connector(device).with_versions(versions);
        let attempt = attempt(&mut site, connector);
        assert!(!attempt.is_in());
        assert_eq!(
            attempt.refused.unwrap().reason_code(),
            reason,
            "{versions:?}"
        );
        assert_eq!(attempt.answer.unwrap().code, Code::AccessReject);
        // The device hears why (RFC 5216 §2.1.3).
        assert_eq!(attempt.peer.unwrap_err(), TlsFailure::RefusedByPeer.into());
        assert_eq!(site.questions, 0, "nobody was asked");
        assert_eq!(site.server.conversations(), 0);
    }
}

fn during(from: i64, to: i64) -> Validity {
    Validity::new(later(from), later(to))
}

/// RFC 5280 §6.3.3, RFC 5216 §5.4
#[test]
fn a_revoked_device_is_refused() {
    let mut world = World::new();
    let device = world.device("17");
    world.revoke(&[&device]);
    refuses(&world, &device, "certificate-revoked");
}

/// RFC 5280 §6.1.3 (a)(2)
#[test]
fn a_certificate_outside_its_time_is_refused() {
    let world = World::new();
    let expired = issue(&world.authority, &device_profile("17"), during(-500, -10));
    refuses(&world, &expired, "certificate-expired");
    let early = issue(&world.authority, &device_profile("17"), during(10, 500));
    refuses(&world, &early, "certificate-not-yet-valid");
}

/// RFC 5280 §6.3.3: a clock that is wrong by a day makes every list stale, or one from the future. Nobody
/// comes in by that.
#[test]
fn a_server_whose_clock_is_wrong_by_a_day_lets_nobody_in() {
    let world = World::new();
    let device = world.device("17");
    for hours in [-25, 25] {
        let mut site = world.site();
        site.now += SignedDuration::from_hours(hours);
        let refused = attempt(&mut site, world.connector(&device));
        assert!(!refused.is_in());
        assert_eq!(refused.refused.unwrap().reason_code(), "revocation-unknown");
    }
}

/// RFC 5280 §6.1.3 (a)(4)
#[test]
fn a_device_of_a_foreign_authority_is_refused() {
    let world = World::new();
    let stranger = World::new().device("17");
    refuses(&world, &stranger, "unknown-issuer");
    // The same name, another key.
    let namesake = authority("Domain CA", validity());
    let device = issue(&namesake, &device_profile("17"), validity());
    refuses(&world, &device, "unknown-issuer");
}

/// RFC 8995 §2.3: the birth certificate proves the maker, not that the owner let the device in.
#[test]
fn an_idevid_is_refused_where_an_ldevid_is_asked() {
    let world = World::new();
    let maker = authority("Maker CA", validity());
    let name = Name::new(&[(oid::SERIAL_NUMBER, "17")]).unwrap();
    let profile = Profile::idevid(name, Some("masa.example")).unwrap();
    let idevid = issue(&maker, &profile, validity());
    refuses(&world, &idevid, "unknown-issuer");
}

/// RFC 5280 §4.2.1.12: a server's certificate is no device's.
#[test]
fn a_certificate_for_another_purpose_is_refused() {
    let world = World::new();
    let server = world.server.clone();
    refuses(&world, &server, "certificate-usage");
}

/// RFC 5216 §2.1.1: right name, wrong key.
#[test]
fn a_device_without_the_key_of_its_certificate_is_refused() {
    let world = World::new();
    let thief = Identity {
        certificate: world.device("17").certificate,
        key: key(),
    };
    refuses(&world, &thief, "wrong-key");
}

/// RFC 9155 §2, RFC 8301: SHA-224 signatures are too weak.
#[test]
fn a_certificate_with_a_weak_algorithm_is_refused() {
    let world = World::new();
    let device = world.device("17");
    let mut der = device.certificate.der().to_vec();
    let ecdsa_with_sha256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let places: Vec<_> = (0..der.len() - 8)
        .filter(|start| der[*start..start + 8] == ecdsa_with_sha256)
        .collect();
    assert_eq!(places.len(), 2);
    for start in places {
        der[start + 7] = 0x01;
    }
    let certificate = vouchsafe_trust::Certificate::from_der(&der).unwrap();
    let weak = Identity {
        certificate,
        key: device.key,
    };
    refuses(&world, &weak, "certificate-signature-invalid");
}

/// RFC 5280 §5.1.2.5: a list that has aged says nothing, and nothing is not "not revoked". A clock that
/// is wrong by days does the same.
#[test]
fn without_a_fresh_list_nobody_comes_in() {
    let mut world = World::new();
    let device = world.device("17");
    let mut site = world.site();
    site.now = later(3 * 86_400);
    let refused = attempt(&mut site, world.connector(&device));
    assert_eq!(refused.refused.unwrap().reason_code(), "revocation-unknown");
    world.lists.clear();
    refuses(&world, &device, "revocation-unknown");
}

/// A key that signs nothing makes rustls show no certificate.
#[derive(Debug)]
struct NoKey;

impl SigningKey for NoKey {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn rustls::sign::Signer>> {
        None
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

/// RFC 5216 §2.1.1: the peer's certificate is not optional.
#[test]
fn a_device_without_certificate_is_refused() {
    let world = World::new();
    for versions in BOTH {
        let chain = vec![CertificateDer::from(
            world.device("17").certificate.der().to_vec(),
        )];
        let key = Arc::new(CertifiedKey::new(chain, Arc::new(NoKey)));
        let connector = Connector::new(provider(), key, world.device_trust(), None);
        let mut site = world.site();
        let attempt = attempt(&mut site, connector.with_versions(versions));
        assert_eq!(attempt.refused, Some(TlsFailure::NoCertificate.into()));
    }
}

/// RFC 8996 §2: a ClientHello of TLS 1.1, by hand.
#[test]
fn tls_1_1_is_refused() {
    let mut site = World::new().site();
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    // No session id; TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA and TLS_RSA_WITH_AES_128_CBC_SHA; no compression.
    hello.extend([0, 0, 4, 0xc0, 0x09, 0x00, 0x2f, 1, 0]);
    // supported_groups with P-256, point formats, signature_algorithms with ECDSA and SHA-256.
    let extensions = [
        0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0, 0, 13, 0, 4, 0, 2, 4, 3,
    ];
    hello.extend([0, u8::try_from(extensions.len()).unwrap()]);
    hello.extend(extensions);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![0, 22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.extend(hello);
    let mut puppet = Puppet::invited(&mut site);
    let Heard::Request(alert) = puppet.say(&mut site, eap::TLS, &record) else {
        panic!("no alert");
    };
    // A fatal alert.
    assert_eq!((alert[1], alert[6]), (21, 2));
    let heard = puppet.say(&mut site, eap::TLS, &[0]);
    assert_eq!(heard, Heard::Rejected("tls-version"));
}

#[test]
fn a_server_that_speaks_one_version_refuses_the_other() {
    let world = World::new();
    let device = world.device("17");
    let acceptor = world.acceptor().with_versions(Versions::Tls13);
    let mut site = Site::new(acceptor);
    let connector = world.connector(&device).with_versions(Versions::Tls12);
    let attempt = attempt(&mut site, connector);
    assert_eq!(attempt.refused, Some(TlsFailure::Version.into()));
}

/// RFC 5216 §5.2
#[test]
fn an_identity_that_differs_from_the_certificate_is_refused() {
    let world = World::new();
    let name = Name::new(&[(oid::COMMON_NAME, "camera"), (oid::SERIAL_NUMBER, "SN-17")]);
    let names = vec![SubjectAltName::Dns("sn-17.devices.example".to_owned())];
    let device = issue(
        &world.authority,
        &Profile::ldevid(name.unwrap(), names),
        validity(),
    );
    let comes_in = |identity: &str| {
        let mut site = world.site();
        let size = FragmentSize::default();
        let peer = Box::new(Peer::new(world.connector(&device), identity, size));
        let attempt = attempt_with(&mut site, peer, |_, _| {});
        let refused = attempt.refused.clone();
        assert!(attempt.is_in() || refused == Some(Refusal::IdentityMismatch.into()));
        attempt.is_in()
    };
    for identity in [
        "",
        "@example.org",
        "anonymous",
        "anonymous@example.org",
        "sn-17",
        "SN-17@example.org",
        "camera",
        "sn-17.devices.example",
        "host/sn-17.devices.example",
    ] {
        assert!(comes_in(identity), "{identity}");
    }
    for identity in [
        "SN-18",
        "sn-18@example.org",
        "root",
        "host/root",
        "x@SN-17",
        "SN-17x",
    ] {
        assert!(!comes_in(identity), "{identity}");
    }
}

/// RFC 5216 §5.3, §2.1.3: the device does not believe a gate of nobody it knows, and the gate learns it.
#[test]
fn a_rogue_server_is_refused_by_the_device() {
    let world = World::new();
    let device = world.device("17");
    let rogue = World::new();
    for versions in BOTH {
        let mut site = rogue.site();
        let connector = world.connector(&device).with_versions(versions);
        let attempt = attempt(&mut site, connector);
        assert_eq!(attempt.peer.unwrap_err().reason_code(), "unknown-issuer");
        assert_eq!(attempt.refused, Some(TlsFailure::RefusedByPeer.into()));
    }
}

/// RFC 5216 §5.2, RFC 9190 §2.2
#[test]
fn a_server_of_another_name_or_purpose_is_refused_by_the_device() {
    let world = World::new();
    let device = world.device("17");
    let name = "other.example".try_into().unwrap();
    let certified = device.certified();
    let connector = Connector::new(provider(), certified, world.device_trust(), Some(name));
    let mut site = world.site();
    let refused = attempt(&mut site, connector);
    assert_eq!(
        refused.peer.unwrap_err(),
        Refusal::ServerNameMismatch.into()
    );

    // Another device of the domain plays the server.
    let mut impostor = World::new();
    impostor.server = world.device("18");
    let refused = attempt(&mut impostor.site(), world.connector(&device));
    assert_eq!(refused.peer.unwrap_err().reason_code(), "certificate-usage");

    let mut world = world;
    let server = world.server.clone();
    world.revoke(&[&server]);
    let trust = Trust {
        anchors: Anchors::one(world.authority.certificate().clone()),
        revocation: Revocation::Checked {
            lists: world.lists.clone(),
            unknown_is_fatal: true,
        },
    };
    let connector = Connector::new(provider(), device.certified(), trust, None);
    let refused = attempt(&mut world.site(), connector);
    assert_eq!(
        refused.peer.unwrap_err().reason_code(),
        "certificate-revoked"
    );
}

fn request(identifier: u8, method: u8, data: &[u8]) -> Vec<u8> {
    Eap::Request(Body {
        identifier,
        method,
        data,
    })
    .encode()
}

fn answer(peer: Box<Peer>, packet: &[u8]) -> (Box<Peer>, Vec<u8>) {
    match peer.handle(now(), packet).unwrap() {
        PeerStep::Respond(peer, answer) => (peer, answer),
        _ => panic!("no answer"),
    }
}

/// RFC 3748 §5.3.1, §2: a server that wants a password gets a Nak, and in mid-course nothing.
#[test]
fn the_device_speaks_nothing_but_eap_tls() {
    let world = World::new();
    let device = world.device("17");
    let device = peer(world.connector(&device));
    let (device, nak) = answer(device, &request(1, 4, &[0; 17]));
    assert_eq!(nak, [2, 1, 0, 6, 3, 13]);
    let (device, hello) = answer(device, &request(2, eap::TLS, &[0x20]));
    assert_eq!((hello[4], hello[6]), (eap::TLS, 22));
    let Ok(PeerStep::Ignore(device)) = device.handle(now(), &request(3, 4, &[0; 17])) else {
        panic!("not ignored");
    };
    // The same request again, the same answer again.
    let (device, again) = answer(device, &request(2, eap::TLS, &[0x20]));
    assert_eq!(again, hello);
    let Err(error) = device.handle(now(), &request(4, eap::TLS, &[0x20])) else {
        panic!("started anew");
    };
    assert_eq!(error, Refusal::StartUnexpected.into());
}

/// RFC 9190 §2.1.1, RFC 3748 §4.2: an access point cannot let a device believe that it is in.
#[test]
fn success_before_the_end_of_the_handshake_is_refused_by_the_device() {
    let world = World::new();
    let device = world.device("17");
    for rounds in 0..2 {
        let mut device = peer(world.connector(&device));
        if rounds == 1 {
            device = answer(device, &request(1, eap::TLS, &[0x20])).0;
        }
        let Err(error) = device.handle(now(), &[3, 1, 0, 4]) else {
            panic!("believed");
        };
        assert_eq!(error, Refusal::SuccessTooEarly.into());
    }
}

/// A device that shows this chain, with a key of its own.
fn showing(world: &World, chain: Vec<CertificateDer<'static>>) -> Connector {
    let own = world.device("17").certified();
    let key = Arc::new(CertifiedKey::new(chain, own.key.clone()));
    Connector::new(provider(), key, world.device_trust(), None)
}

/// RFC 5280 §4.1: what is no certificate, and chains longer than anybody needs.
#[test]
fn an_unreadable_chain_is_refused() {
    let world = World::new();
    let good = CertificateDer::from(world.device("17").certificate.der().to_vec());
    let garbage = CertificateDer::from(vec![0x30, 0x03, 0x02, 0x01, 0x05]);
    let long = vec![good.clone(); vouchsafe_radius::MAX_CHAIN + 1];
    for chain in [vec![garbage.clone()], vec![good, garbage], long] {
        for versions in BOTH {
            let connector = showing(&world, chain.clone()).with_versions(versions);
            let attempt = attempt(&mut world.site(), connector);
            let reason = TlsFailure::CertificateUnreadable;
            assert_eq!(attempt.refused, Some(reason.into()), "{versions:?}");
        }
    }
}

/// RFC 9325 §4: no group in common; and settings with which no handshake could be made at all.
#[test]
fn a_device_with_which_nothing_is_in_common_is_refused() {
    use rustls::crypto::aws_lc_rs::kx_group;
    let world = World::new();
    let device = world.device("17");
    let only = |group| {
        Arc::new(rustls::crypto::CryptoProvider {
            kx_groups: vec![group],
            ..Arc::unwrap_or_clone(provider())
        })
    };
    let certified = world.server.certified();
    let acceptor = Acceptor::new(only(kx_group::X25519), certified, world.trust());
    let certified = device.certified();
    let trust = world.device_trust();
    let connector = Connector::new(only(kx_group::SECP384R1), certified, trust, None);
    let refused = attempt(&mut Site::new(acceptor), connector);
    assert_eq!(refused.refused, Some(TlsFailure::NothingInCommon.into()));

    let nothing = Arc::new(rustls::crypto::CryptoProvider {
        cipher_suites: Vec::new(),
        ..Arc::unwrap_or_clone(provider())
    });
    let acceptor = Acceptor::new(nothing, world.server.certified(), world.trust());
    let refused = attempt(&mut Site::new(acceptor), world.connector(&device));
    assert_eq!(refused.refused, Some(Misuse::Tls.into()));
}

/// RFC 8446 §5.2, RFC 5246 §6.2.3.3: one bit of an encrypted record is enough.
#[test]
fn an_altered_record_is_refused() {
    let world = World::new();
    let device = world.device("17");
    for versions in BOTH {
        let connector = world.connector(&device).with_versions(versions);
        let attempt = attempt_with(&mut world.site(), peer(connector), |_, packet| {
            // The last flight of the handshake ends in a sealed record.
            if packet.len() > 500 {
                *packet.last_mut().unwrap() ^= 1;
            }
        });
        let reason = attempt.refused.unwrap();
        assert_eq!(reason, TlsFailure::Finished.into(), "{versions:?}");
    }
}

/// RFC 5216 §2.1.5: while the device's fragments are fetched, the server has nothing to say.
#[test]
fn data_instead_of_an_acknowledgement_is_refused_by_the_device() {
    let world = World::new();
    let size = FragmentSize::new(64).unwrap();
    let device = Peer::new(world.connector(&world.device("17")), "@example.org", size);
    let (device, hello) = answer(Box::new(device), &request(1, eap::TLS, &[0x20]));
    assert_eq!(hello[5], 0xc0, "more is to come");
    let Err(error) = device.handle(now(), &request(2, eap::TLS, &[0, 22, 3, 3])) else {
        panic!("taken");
    };
    assert_eq!(error, Refusal::FragmentUnexpected.into());
}
