//! Two owners want the same device. Its maker gives devices to whoever comes first.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::process::Ended;
use crate::world::{Controller, Device, Manufacturer, Place};

/// Devices that both owners want at the same moment.
const DEVICES: usize = 4;

#[test]
fn of_two_registrars_racing_for_a_device_one_wins_and_the_other_learns_why() {
    let place = Place::new();
    let maker = Manufacturer::start(&place, &["ownership.policy=first-come"]);
    let owners = ["anna", "bert"].map(|name| Controller::start(&place, name, &[]));
    let serials: Vec<String> = (0..DEVICES).map(|number| format!("R-{number}")).collect();
    let devices: Vec<[Device<'_>; 2]> = serials
        .iter()
        .map(|serial| {
            let device = maker.provision(serial);
            // One device cannot ask two registrars at once; the same device twice can.
            let twin = Device::new(&place, &format!("{serial}-twin"));
            copy(&device.dir(), &twin.dir());
            [device, twin]
        })
        .collect();
    for owner in &owners {
        let api = owner.api();
        let maker = api.post(
            "/api/v1/manufacturers",
            &json!({
                "name": "Lamps Ltd",
                "anchors_pem": maker.file("root-ca.pem"),
                "masa_anchors_pem": maker.file("masa-anchors.pem"),
                "trust": "voucher-required",
            }),
        );
        for serial in &serials {
            api.post(
                "/api/v1/devices",
                &json!({ "manufacturer": maker["id"], "serial": serial }),
            );
        }
    }
    let running: Vec<_> = devices
        .iter()
        .map(|pair| [0, 1].map(|it: usize| pair[it].start(&owners[it].registrar())))
        .collect();
    for (serial, pair) in serials.iter().zip(running) {
        let ended: [Ended; 2] = pair.map(crate::process::Process::end_of_itself);
        let winners = ended.iter().filter(|it| it.success()).count();
        assert_eq!(
            winners,
            1,
            "{serial}: {}{}",
            ended[0].said(),
            ended[1].said()
        );
        let winner = ended.iter().position(Ended::success).unwrap();
        owners[winner].assert_onboarded_once(serial);
        let loser = &owners[1 - winner];
        let api = loser.api();
        let device = api.device(serial);
        assert_ne!(device["state"], "onboarded", "{device}");
        assert!(api.credentials(&device).is_empty());
        // RFC 8995 §5.5.4: the MASA says no, and both the owner and the device are told why.
        let refused = api
            .journal(&device)
            .into_iter()
            .find(|it| it["action"] == "voucher-refused");
        let refused = refused.unwrap_or_else(|| panic!("{serial}: the loser learns nothing"));
        assert!(
            refused["text"].as_str().unwrap().contains("other-owner"),
            "{refused}"
        );
        let said = ended[1 - winner].said();
        assert!(said.contains("other-owner"), "{serial}: {said}");
        let issued = maker
            .journal(serial)
            .into_iter()
            .filter(|it| it["action"] == "voucher-issued");
        assert_eq!(issued.count(), 1, "{serial}");
    }
    maker.verify_journal();
    for owner in &owners {
        owner.api().verify_journal();
    }
}

/// A folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
