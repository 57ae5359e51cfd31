//! Facts about one device with a label, and about one network.

use vouchsafe_fleet::decide::Strangers;
use vouchsafe_fleet::decide::wifi::*;
use vouchsafe_fleet::wifi::*;
use vouchsafe_fleet::*;

use crate::world::{MAKER, OWNER, at, device};

pub(crate) const URI: &str = "DPP:K:AAAA;;";

pub(crate) fn key_id() -> Digest {
    Digest::of(b"bootstrapping key of A-1")
}

pub(crate) fn chirp() -> Digest {
    Digest::of(b"chirp of A-1")
}

pub(crate) fn key_facts() -> KeyFacts<'static> {
    KeyFacts {
        id: key_id(),
        chirp_hash: chirp(),
        curve: "P-256",
        uri: URI,
    }
}

pub(crate) fn key() -> BootstrappingKey {
    BootstrappingKey {
        id: key_id(),
        chirp_hash: chirp(),
        curve: "P-256".to_owned(),
        uri: URI.to_owned(),
        device: device(State::Claimed).id,
        role: DeviceRole::Station,
        source: KeySource::Manifest,
        conflict: None,
        added_at: at(0),
        updated_at: at(0),
        version: 1,
    }
}

pub(crate) fn disputed() -> BootstrappingKey {
    BootstrappingKey {
        conflict: Some(KeyConflict {
            device: DeviceId::new(MAKER, "B-1"),
            serial: "B-1".to_owned(),
            source: KeySource::Person,
            by: "bob".to_owned(),
            at: at(0),
        }),
        version: 2,
        ..key()
    }
}

pub(crate) fn network(name: &str, credential: NetworkCredential) -> Network {
    Network {
        name: name.to_owned(),
        ssid: format!("SSID of {name}"),
        credential,
        fallback: false,
        segment: None,
        lifetime_days: None,
        server_name: None,
        version: 1,
        created_at: at(0),
        updated_at: at(0),
    }
}

pub(crate) fn known<'a>(key: &'a BootstrappingKey, device: &'a Device) -> Known<'a> {
    Known {
        key,
        device,
        manufacturer: None,
        approval: None,
        owned_since: Some(at(0)),
    }
}

pub(crate) fn announced<'a>(
    known: Option<Known<'a>>,
    verdict: &'a Verdict,
) -> AnnouncementFacts<'a> {
    AnnouncementFacts {
        now: at(0),
        owner: OWNER,
        hash: chirp(),
        form: HashForm::Chirp,
        via: Some("192.0.2.7:4711"),
        known,
        verdict,
        seen: None,
        remembered: Strangers::default().remembered,
    }
}

pub(crate) fn configure_facts<'a>(
    key: &'a BootstrappingKey,
    device: &'a Device,
    networks: &'a [Network],
    verdict: &'a Verdict,
) -> ConfigureFacts<'a> {
    ConfigureFacts {
        now: at(0),
        owner: OWNER,
        proof: Proof::Bootstrapping {
            key,
            assurance: Assurance::ResponderOnly,
        },
        label: None,
        device,
        manufacturer: None,
        request_sha256: Digest::of(b"configuration request"),
        role: Some(DeviceRole::Station),
        said: &[("name", "lamp"), ("mudurl", "https://example.com/lamp")],
        networks,
        holdings: Holdings::NONE,
        key_holder: None,
        certificates: &[],
        approval: None,
        owned_since: Some(at(0)),
        verdict,
    }
}

pub(crate) fn connector(number: u8) -> IssuedAccess {
    IssuedAccess::Connector {
        id: CredentialId(format!("c{number:031x}")),
        net_access_key_sha256: Digest::of(&[number]),
        signed_by: "kid".to_owned(),
        expires_at: Some(at(1000)),
    }
}

pub(crate) fn passphrase(number: u8) -> IssuedAccess {
    IssuedAccess::Passphrase {
        id: CredentialId(format!("a{number:031x}")),
        identifier: "lamp".to_owned(),
        sealed: SealedPassphrase(b"sealed, and not for print".to_vec()),
    }
}
