//! Strangers, slow ones and many: what they can take is bounded, and others are served meanwhile.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vouchsafe_dpp::Curve;
use vouchsafe_fleet::wifi::DeviceRole;

use crate::peer::station;
use crate::world::{Enrollee, PATIENCE, World};

/// Half-open sessions in the crowd.
const CROWD: usize = 10_000;

/// 10,000 that connect and say nothing, or half a length: others are served.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_silent_connections_keeps_nobody_out() {
    vouchsafe_net::raise_open_files_limit();
    let world = World::with(|config| config.dpp.max_sessions = 256).await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    let addr = world.addr;
    let crowd = tokio::spawn(async move {
        let mut held = Vec::with_capacity(512);
        for number in 0..CROWD {
            let Ok(mut stream) = TcpStream::connect(addr).await else {
                continue;
            };
            if number % 2 == 0 {
                let _ = stream.write_all(&[0, 0]).await;
            }
            // What was cut is let go, so that the test needs few files.
            if held.len() == 512 {
                held.remove(0);
            }
            held.push(stream);
        }
        held
    });
    let mut served = 0;
    while !crowd.is_finished() || served == 0 {
        enrollee.announce(&world).await.configured(&station()).await;
        served += 1;
    }
    world.until_confirmed(id).await;
    drop(crowd.await.unwrap());
}

/// 65,535 is the most that a relay forwards; nothing is made room for beyond it.
#[tokio::test(flavor = "multi_thread")]
async fn a_frame_that_is_too_long_or_empty_ends_the_connection() {
    let world = World::new().await;
    for length in [0_u32, 65_536, u32::MAX] {
        let mut wire = world.connect().await;
        wire.0.write_all(&length.to_be_bytes()).await.unwrap();
        assert_eq!(wire.receive().await, None, "{length}");
    }
    // As long as it may be, and without any meaning.
    let mut wire = world.connect().await;
    wire.send(&vec![9; 65_535]).await;
    assert_eq!(wire.receive().await, None);
}

/// A peer that sends its frame byte by byte and never ends it is cut when its time is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_peer_is_cut() {
    let world = World::new().await;
    let mut wire = world.connect().await;
    let (mut reader, mut writer) = wire.0.split();
    let drip = async {
        let _ = writer.write_all(&100_u32.to_be_bytes()).await;
        loop {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            if writer.write_all(&[9]).await.is_err() {
                return;
            }
        }
    };
    let mut byte = [0];
    let cut = async {
        // An end or a reset: both are one.
        let _ = reader.read(&mut byte).await;
    };
    let both = async {
        tokio::select! {
            () = drip => {}
            () = cut => {}
        }
    };
    tokio::time::timeout(PATIENCE, both)
        .await
        .expect("it is cut");
}

/// Peers that go away in the middle leave nothing behind, and the next one is served.
#[tokio::test(flavor = "multi_thread")]
async fn peers_that_go_away_leave_nothing_behind() {
    let mut world = World::new().await;
    let enrollee = Enrollee::new(Curve::P256);
    let id = world.claim(&enrollee, DeviceRole::Station, "plant").await;
    drop(world.connect().await);
    let mut wire = enrollee.chirp(&world).await;
    wire.receive().await.unwrap();
    drop(wire);
    drop(enrollee.announce(&world).await);
    enrollee.announce(&world).await.configured(&station()).await;
    world.until_confirmed(id).await;
    assert_eq!(world.stop().await, 0);
}
