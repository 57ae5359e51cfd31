//! A conversation: each piece of the input is the data of an EAP-TLS message, under the right secret.
#![no_main]

use std::sync::{Arc, OnceLock};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use jiff::{SignedDuration, Timestamp};
use libfuzzer_sys::fuzz_target;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use vouchsafe_radius::{
    Acceptor, Client, Code, Connector, Entropy, FragmentSize, Limits, Origin, Peer, PeerStep,
    Server, Shared, Step, Trust, eap,
};
use vouchsafe_trust::{
    Anchors, Authority, Name, Profile, Revocation, Secret, SoftwareSigner, Validity,
};

struct World {
    acceptor: Arc<Acceptor>,
    connector: Connector,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let key =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
                .unwrap();
        let signer = Arc::new(SoftwareSigner::from_pkcs8_der(key.as_ref()).unwrap());
        let epoch = Timestamp::UNIX_EPOCH;
        let validity = Validity::new(epoch, epoch + SignedDuration::from_hours(24));
        let profile = Profile::certificate_authority(Name::common("CA").unwrap(), None);
        let authority = Authority::self_signed(&profile, &[1; 16], validity, signer).unwrap();
        let chain = vec![CertificateDer::from(authority.certificate().der().to_vec())];
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.as_ref().to_vec()));
        let signing = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).unwrap();
        let certified = Arc::new(rustls::sign::CertifiedKey::new(chain, signing));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let trust = Trust {
            anchors: Anchors::one(authority.certificate().clone()),
            revocation: Revocation::NotChecked,
        };
        let acceptor = Acceptor::new(provider.clone(), certified.clone(), trust.clone());
        World {
            acceptor: Arc::new(acceptor),
            connector: Connector::new(provider, certified, trust, None),
        }
    })
}

/// Octets that differ from call to call, which is all that a fuzzer needs.
fn counted<const N: usize>(counter: &mut u64) -> [u8; N] {
    *counter += 1;
    let mut bytes = [0; N];
    for (byte, count) in bytes.iter_mut().zip(counter.to_le_bytes()) {
        *byte = count;
    }
    bytes
}

fuzz_target!(|data: &[u8]| {
    let world = world();
    let now = Timestamp::UNIX_EPOCH;
    let shared = Shared::new(Secret::new(b"secret".to_vec()));
    let origin = Origin {
        client: 0,
        address: [0; 16],
        port: 0,
    };
    let mut server = Server::new(world.acceptor.clone(), Limits::default());
    let mut client = Client::new(shared.clone(), Vec::new());
    let mut peer = Some(Box::new(Peer::new(
        world.connector.clone(),
        "@fuzz",
        FragmentSize::default(),
    )));
    let mut identifier = 1;
    let mut counter = 0;
    let mut message = eap::Packet::Response(eap::Body {
        identifier,
        method: eap::IDENTITY,
        data: b"@fuzz",
    })
    .encode();
    for piece in data.split(|octet| *octet == 0x99) {
        let request = client.request(1, &message, counted(&mut counter));
        let Ok((datagram, open)) = request else {
            return;
        };
        let entropy = Entropy(counted(&mut counter));
        let Step::Send(answer, _) = server.handle(now, origin, &shared, &datagram, entropy) else {
            return;
        };
        let Ok(answer) = client.answer(&open, &answer) else {
            return;
        };
        assert_ne!(answer.code, Code::AccessAccept);
        let Some(request) = answer.eap else { return };
        let Ok(eap::Packet::Request(body)) = eap::Packet::parse(&request) else {
            return;
        };
        identifier = body.identifier;
        message = eap::Packet::Response(eap::Body {
            identifier,
            method: eap::TLS,
            data: piece,
        })
        .encode();
        // The other side hears the same piece as a request.
        let heard = eap::Packet::Request(eap::Body {
            identifier,
            method: eap::TLS,
            data: piece,
        })
        .encode();
        peer = match peer.take().map(|peer| peer.handle(now, &heard)) {
            Some(Ok(PeerStep::Respond(peer, _) | PeerStep::Ignore(peer))) => Some(peer),
            Some(Ok(PeerStep::Done(_))) => unreachable!("in by a fuzzer"),
            Some(Err(_)) | None => None,
        };
    }
});
