//! How devices come in and leave.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vouchsafe_api::{
    Code, DeviceFilter, DeviceState, ImportManifest, ManufacturerTrust, PageQuery, Release, Role,
};
use vouchsafe_fleet::release::ReleaseStatement;
use vouchsafe_fleet::{ManufacturerId, OwnerId};
use vouchsafe_trust::{PathRules, Usage, cms};

use crate::world::{Maker, World, code};

fn serials(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("A-{number:04}")).collect()
}

async fn owner(world: &World) -> OwnerId {
    let site = world.admin().show_site().await.unwrap();
    site.owner.parse().unwrap()
}

fn import(maker: &Maker, signed: &[u8], anchored: bool) -> ImportManifest {
    ImportManifest {
        manifest: STANDARD.encode(signed),
        anchors_pem: anchored.then(|| maker.root_pem()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_manifest_brings_manufacturer_and_devices_and_does_so_once() {
    let world = World::new().await;
    let admin = world.admin();
    let maker = Maker::new("Maker");
    let manifest = maker.manifest(owner(&world).await, &serials(1201));
    let signed = maker.sign(&manifest);
    let tried = admin
        .import_manifest(&import(&maker, &signed, true), true)
        .await
        .unwrap();
    assert_eq!((tried.claimed, tried.refused), (1201, 0));
    assert_eq!(admin.show_status().await.unwrap().devices, []);

    let done = admin
        .import_manifest(&import(&maker, &signed, true), false)
        .await
        .unwrap();
    assert_eq!((done.claimed, done.unchanged, done.refused), (1201, 0, 0));
    assert_eq!(done.manufacturer, Some(maker.id.to_string()));
    let known = admin
        .show_manufacturer(&maker.id.to_string())
        .await
        .unwrap();
    assert_eq!(known.value.trust, ManufacturerTrust::VoucherRequired);

    // Now that somebody decided, whoever brings devices may do without the anchor.
    let installer = world.role(Role::Installer).await;
    let again = installer
        .import_manifest(&import(&maker, &signed, false), false)
        .await
        .unwrap();
    assert_eq!((again.claimed, again.unchanged), (0, 1201));

    let mut seen = Vec::new();
    let mut page = PageQuery::default();
    loop {
        let read = admin
            .list_devices(&DeviceFilter::default(), &page)
            .await
            .unwrap();
        seen.extend(read.items.into_iter().map(|device| device.serial));
        match read.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen, serials(1201));
    let journal = admin
        .device_journal(&maker.device_id("A-0007"), 0)
        .await
        .unwrap();
    let actions: Vec<&str> = journal
        .entries
        .iter()
        .map(|entry| entry.action.as_str())
        .collect();
    assert_eq!(actions, ["provisioned", "sold", "imported", "claimed"]);
    let device = maker.device_id("A-0007");
    let rest = admin.device_journal(&device, 2).await.unwrap();
    assert_eq!(rest.entries, journal.entries[2..]);
    let end = admin.device_journal(&device, 4).await.unwrap();
    assert_eq!(end.entries, []);
    assert_eq!(
        code(admin.device_journal(&device, -1).await),
        Code::BadRequest
    );
    let verification = admin.verify_journal().await.unwrap();
    assert!(verification.ok, "{verification:?}");
    let mut world = world;
    world.shut_down().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_is_believed_only_by_an_anchor_that_somebody_decided_on() {
    let world = World::new().await;
    let admin = world.admin();
    let maker = Maker::new("Maker");
    let ours = owner(&world).await;
    let manifest = maker.manifest(ours, &serials(2));
    let signed = maker.sign(&manifest);
    let before = admin.show_status().await.unwrap().journal_position;

    // Nobody knows the manufacturer.
    let answer = admin
        .import_manifest(&import(&maker, &signed, false), false)
        .await;
    assert_eq!(code(answer), Code::ManifestRefused);
    // An installer brings an anchor of its own.
    let installer = world.role(Role::Installer).await;
    let answer = installer
        .import_manifest(&import(&maker, &signed, true), false)
        .await;
    assert_eq!(code(answer), Code::Forbidden);
    // Another's anchor.
    let other = Maker::new("Other");
    let answer = admin
        .import_manifest(&import(&other, &signed, true), false)
        .await;
    assert_eq!(code(answer), Code::ManifestRefused);
    // A device of the manufacturer speaks for it.
    let (chain, key) = maker.birth("A-0001");
    let forged = maker.sign_as(&manifest, &chain, &*key);
    let answer = admin
        .import_manifest(&import(&maker, &forged, true), false)
        .await;
    assert_eq!(code(answer), Code::ManifestRefused);
    // Its MASA's listener does, which hangs below the same root.
    let (chain, key) = maker.listener();
    let forged = maker.sign_as(&manifest, &chain, &*key);
    let answer = admin
        .import_manifest(&import(&maker, &forged, true), false)
        .await;
    assert_eq!(code(answer), Code::ManifestRefused);
    // It speaks for another manufacturer.
    let mut foreign = other.manifest(ours, &serials(2));
    let borrowed = maker.sign(&foreign);
    let answer = admin
        .import_manifest(&import(&maker, &borrowed, true), false)
        .await;
    assert_eq!(code(answer), Code::ManifestRefused);
    foreign.manufacturer.id = maker.id;
    let borrowed = maker.sign(&foreign);
    let answer = admin
        .import_manifest(&import(&maker, &borrowed, true), false)
        .await;
    assert_eq!(code(answer), Code::ManifestRefused);
    // It is for somebody else.
    let elsewhere = maker.sign(&maker.manifest(OwnerId([7; 16]), &serials(2)));
    let answer = admin
        .import_manifest(&import(&maker, &elsewhere, true), false)
        .await;
    assert_eq!(code(answer), Code::ManifestRefused);
    // Altered, truncated, no manifest at all.
    let mut altered = signed.clone();
    let place = altered.len() / 2;
    altered[place] ^= 1;
    for broken in [&altered[..], &signed[..signed.len() - 1], b"", b"{}"] {
        let answer = admin
            .import_manifest(&import(&maker, broken, true), false)
            .await;
        assert_eq!(code(answer), Code::ManifestRefused);
    }
    let status = admin.show_status().await.unwrap();
    // The installer's token is all that was written.
    assert_eq!(status.journal_position, before + 1);
    assert_eq!(status.devices, []);
    assert!(
        admin
            .show_manufacturer(&maker.id.to_string())
            .await
            .is_err()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_a_statement_that_the_manufacturer_can_verify() {
    let world = World::new().await;
    let admin = world.admin();
    let maker = Maker::new("Maker");
    let ours = owner(&world).await;
    let signed = maker.sign(&maker.manifest(ours, &serials(1)));
    admin
        .import_manifest(&import(&maker, &signed, true), false)
        .await
        .unwrap();
    let id = maker.device_id("A-0000");
    let device = admin.show_device(&id).await.unwrap();
    let release = Release {
        reason: "sold on".to_owned(),
        next_owner: None,
    };
    let released = admin
        .release_device(&id, &release, device.version)
        .await
        .unwrap();
    assert_eq!(released.device.state, DeviceState::Released);
    let bytes = STANDARD.decode(&released.statement).unwrap();
    let envelope = cms::parse(&bytes).unwrap();
    let rules = PathRules::strict(jiff::Timestamp::now(), Usage::Registrar);
    let proved = envelope.verify(&world.anchors, &rules).unwrap();
    let statement = ReleaseStatement::read(&proved.content, maker.id, ours).unwrap();
    assert_eq!(statement.device().to_string(), id);
    assert_eq!(statement.reason, "sold on");

    // Whoever lost it asks again; nothing is written twice.
    let again = admin.release_device(&id, &release, None).await.unwrap();
    assert_eq!(again.device, released.device);
    // The version of before is no longer current.
    let stale = admin.release_device(&id, &release, device.version).await;
    assert_eq!(code(stale), Code::PreconditionFailed);
    let none = ManufacturerId([3; 16]).to_string();
    assert_eq!(code(admin.show_device(&none).await), Code::NotFound);
}
