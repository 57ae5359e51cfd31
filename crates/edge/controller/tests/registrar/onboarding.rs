//! The way of a device that belongs here, and that nothing on it happens twice.

use vouchsafe_brski::Encoding;

use crate::world::{SERIAL, World};

/// RFC 8995 §5.2 to §5.9.
#[tokio::test]
async fn a_device_onboards() {
    let world = World::new().await;
    let birth = world.maker.device(SERIAL);
    let _ = world.request(&birth, Encoding::CmsJson).await;
    let ldevid = world.onboarded(&birth).await;
    assert_eq!(ldevid.chain[0].subject_serial_number(), Some(SERIAL));
}
