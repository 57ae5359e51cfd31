//! The MASA over TLS: vouchers in each encoding, and every refusal towards a registrar.

use vouchsafe_brski::{Assertion, Encoding};

use crate::world::{Domain, World, fresh_nonce};

#[tokio::test]
async fn the_owner_gets_a_voucher_in_each_encoding_that_its_device_accepts() {
    let world = World::new().await;
    let domain = Domain::new("Harbour Hotel");
    let device = world.sold("A-1", &domain).await;
    let masa = world.serve().await;
    for encoding in Encoding::ALL {
        let nonce = fresh_nonce(encoding);
        let request = world.request_with(&device, &domain, encoding, &nonce);
        let answer = masa.voucher(&domain, encoding, request).await;
        assert_eq!(answer.status(), 200, "{encoding:?}: {answer:?}");
        assert_eq!(answer.media_type(), encoding.media_type());
        let voucher = world
            .at_device(&device, answer.body(), encoding, Some(&nonce))
            .unwrap();
        assert_eq!(voucher.assertion, Assertion::Proximity);
        let pinned = voucher.pinned_domain_cert.as_deref();
        assert_eq!(pinned, Some(domain.authority.certificate().der()));
    }
    assert_eq!(
        world.journal("A-1").await,
        [
            "provisioned",
            "sold",
            "voucher-issued",
            "voucher-issued",
            "voucher-issued"
        ]
    );
    masa.stop().await;
}
