//! Segments: changed by who has seen the newest, and removed where nothing is meant for them.

use http::{Method, StatusCode, header};
use vouchsafe_api::{Claim, Code, PutNetwork, PutSegment};

use crate::world::{Maker, World, code};

fn segment(name: &str) -> PutSegment {
    PutSegment {
        name: name.to_owned(),
        vlan: Some(20),
        reach: None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_is_changed_by_who_has_seen_the_newest() {
    let world = World::new().await;
    let admin = world.admin();
    let added = admin.add_segment(&segment("cameras")).await.unwrap();
    assert_eq!(added.version, 1);
    let body = r#"{"name":"cameras","vlan":30}"#;
    let put = async |if_match: Option<&str>| {
        let mut headers = vec![(header::CONTENT_TYPE, "application/json")];
        headers.extend(if_match.map(|tag| (header::IF_MATCH, tag)));
        let path = "/api/v1/segments/cameras";
        let secret = Some(world.secret.as_str());
        let answer = world.raw(Method::PUT, path, secret, &headers, body).await;
        answer.status()
    };
    assert_eq!(put(None).await, StatusCode::PRECONDITION_REQUIRED);
    let first = Some("\"1\"");
    assert_eq!(put(first).await, StatusCode::OK);
    assert_eq!(put(first).await, StatusCode::PRECONDITION_FAILED);
    let shown = admin.show_segment("cameras").await.unwrap();
    assert_eq!((shown.value.version, shown.value.vlan), (2, Some(30)));
    let stale = admin.remove_segment("cameras", Some(vouchsafe_api::Version(1)));
    assert_eq!(code(stale.await), Code::PreconditionFailed);
    let lamps = segment("lamps");
    let absent = admin.put_segment(&lamps, vouchsafe_api::Version(1));
    assert_eq!(code(absent.await), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_that_is_meant_for_somebody_stays_and_so_does_the_last() {
    let maker = Maker::new("Maker");
    let world = World::prepared(
        |_| {},
        async |_, store| {
            let put = vouchsafe_fleet::Change::PutManufacturer(Box::new(maker.trusted()));
            let commit = vouchsafe_fleet::Commit {
                changes: vec![put],
                ..vouchsafe_fleet::Commit::default()
            };
            store.commit(commit).await.unwrap();
        },
    )
    .await;
    let admin = world.admin();
    for name in ["cameras", "lamps", "spare"] {
        admin.add_segment(&segment(name)).await.unwrap();
    }
    let claim = Claim {
        manufacturer: maker.id.to_string(),
        serial: "A-1".to_owned(),
        segment: Some("cameras".to_owned()),
        model: None,
        mac: None,
        reason: None,
    };
    admin.claim_device(&claim).await.unwrap();
    let network = PutNetwork {
        name: "floor".to_owned(),
        ssid: "floor".to_owned(),
        credential: vouchsafe_api::NetworkCredential::Connector,
        fallback: false,
        segment: Some("lamps".to_owned()),
        lifetime_days: None,
        server_name: None,
    };
    admin.add_network(&network).await.unwrap();
    let refused = async |name: &str| {
        let removed = admin.remove_segment(name, None).await;
        let said = removed.unwrap_err().to_string();
        let answer = admin.show_segment(name).await;
        assert!(answer.is_ok(), "{name} is gone");
        said
    };
    for name in ["cameras", "lamps"] {
        let said = refused(name).await;
        assert!(said.contains("segment-in-use"), "{said}");
    }
    admin.remove_segment("spare", None).await.unwrap();

    // Without any, policy could name what confines nobody.
    admin.remove_network("floor", None).await.unwrap();
    admin.remove_segment("lamps", None).await.unwrap();
    let world = World::new().await;
    let admin = world.admin();
    admin.add_segment(&segment("only")).await.unwrap();
    let said = admin.remove_segment("only", None).await.unwrap_err();
    assert!(said.to_string().contains("last-segment"), "{said}");
    // Of two that go at once one stays.
    admin.add_segment(&segment("other")).await.unwrap();
    let (one, two) = tokio::join!(
        admin.remove_segment("only", None),
        admin.remove_segment("other", None),
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
}

/// Whoever comes second learns it: the network that its segment is gone, or the removal that a network
/// leads there.
#[tokio::test(flavor = "multi_thread")]
async fn a_network_does_not_slip_through_while_its_segment_goes() {
    let world = World::new().await;
    let admin = world.admin();
    admin.add_segment(&segment("stays")).await.unwrap();
    for round in 0..5 {
        let name = format!("lamps-{round}");
        admin.add_segment(&segment(&name)).await.unwrap();
        let network = PutNetwork {
            name: format!("network-{round}"),
            ssid: "floor".to_owned(),
            credential: vouchsafe_api::NetworkCredential::Connector,
            fallback: false,
            segment: Some(name.clone()),
            lifetime_days: None,
            server_name: None,
        };
        let (added, removed) = tokio::join!(
            admin.add_network(&network),
            admin.remove_segment(&name, None)
        );
        assert!(added.is_ok() != removed.is_ok(), "{added:?} {removed:?}");
        let said = added.err().or(removed.err()).unwrap().to_string();
        let second = ["segment-unknown", "segment-in-use"];
        assert!(second.iter().any(|code| said.contains(code)), "{said}");
    }
}

/// A gate confines nobody in a segment that nobody described, so a slip of the pen must not name one.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_names_a_segment_that_is_not_described() {
    let world = World::new().await;
    let admin = world.admin();
    let claim = |serial: &str, segment: &str| Claim {
        manufacturer: Maker::new("Maker").id.to_string(),
        serial: serial.to_owned(),
        segment: Some(segment.to_owned()),
        model: None,
        mac: None,
        reason: None,
    };
    // Any, while none is described.
    admin.claim_device(&claim("A-1", "lmaps")).await.unwrap();
    admin.add_segment(&segment("lamps")).await.unwrap();
    let problem = admin.claim_device(&claim("A-2", "lmaps")).await;
    assert_eq!(code(problem), Code::BadRequest);
    let device = admin.claim_device(&claim("A-2", "lamps")).await.unwrap();
    let approve = vouchsafe_api::Approve {
        segment: Some("lmaps".to_owned()),
        reason: "it is ours".to_owned(),
    };
    let problem = admin.approve_device(&device.id, &approve, None).await;
    assert_eq!(code(problem), Code::BadRequest);
    let list = vouchsafe_api::ImportDevices {
        devices: ["lmaps", "lamps"]
            .into_iter()
            .enumerate()
            .map(|(index, name)| vouchsafe_api::ImportDevice {
                manufacturer: Maker::new("Maker").id.to_string(),
                serial: format!("B-{index}"),
                model: None,
                idevid_sha256: None,
                segment: Some(name.to_owned()),
            })
            .collect(),
    };
    let result = admin.import_devices(&list, false).await.unwrap();
    assert_eq!((result.claimed, result.refused), (1, 1));
    assert_eq!(result.refusals[0].code, "segment-unknown");
}
