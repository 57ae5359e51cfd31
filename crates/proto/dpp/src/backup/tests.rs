use proptest::prelude::*;

use super::*;
use crate::error::Refusal;
use crate::recorded;

fn key(curve: Curve, seed: u8) -> PrivateKey {
    PrivateKey::from_seed(curve, &vec![seed; curve.seed_length()]).unwrap()
}

fn exchange(role: Role, curve: Curve, bk: u8) -> Authenticated {
    let peer = key(curve, 2).public().clone();
    let bk = Secret::new(vec![bk; curve.hash_length()]);
    let ke = Secret::new(vec![9; curve.hash_length()]);
    Authenticated::from_keys(role, 2, key(curve, 1), peer, bk, ke)
}

fn entropy() -> BackupEntropy {
    BackupEntropy::new([4; 64], [5; 64])
}

fn keys(curve: Curve) -> Vec<BackupKey> {
    let template = r#"{"wi-fi_tech":"infra","discovery":{"ssid":"test"},"cred":{"akm":"dpp"}}"#;
    [(10, None), (12, Some(r#"{"groups":[]}"#))]
        .map(|(seed, connector)| BackupKey {
            c_sign: key(curve, seed),
            privacy_key: key(curve, seed + 1),
            configuration_template: template.into(),
            connector_template: connector.map(str::to_owned),
        })
        .to_vec()
}

fn sealed(curve: Curve) -> Vec<u8> {
    let side = exchange(Role::Configurator, Curve::P256, 3);
    seal(&side, &keys(curve), &entropy()).unwrap()
}

fn opened(der: &[u8]) -> Result<Vec<BackupKey>, Error> {
    open(&exchange(Role::Enrollee, Curve::P256, 3), der)
}

#[test]
fn keys_arrive_on_every_curve() {
    for curve in [
        Curve::P256,
        Curve::P384,
        Curve::P521,
        Curve::Bp256,
        Curve::Bp384,
    ] {
        assert_eq!(opened(&sealed(curve)), Ok(keys(curve)));
    }
}

/// What Debian's wpa_supplicant 2.10 packed for our enrollee, one C-sign key a curve.
#[test]
fn backups_of_hostap_are_opened() {
    for (recording, curve) in [
        (
            include_str!("../../tests/hostap/backup-p256.txt"),
            Curve::P256,
        ),
        (
            include_str!("../../tests/hostap/backup-p384.txt"),
            Curve::P384,
        ),
        (
            include_str!("../../tests/hostap/backup-p521.txt"),
            Curve::P521,
        ),
        (
            include_str!("../../tests/hostap/backup-bp256.txt"),
            Curve::Bp256,
        ),
    ] {
        let octets = |name| recorded::octets(recording, name);
        let peer = key(Curve::P256, 2).public().clone();
        let bk = Secret::new(octets("bk"));
        let ke = Secret::new(vec![9; 32]);
        let own = key(Curve::P256, 1);
        let side = Authenticated::from_keys(Role::Enrollee, 2, own, peer, bk, ke);
        let keys = open(&side, &octets("backup")).unwrap();
        let [
            BackupKey {
                c_sign,
                privacy_key,
                configuration_template,
                ..
            },
        ] = &keys[..]
        else {
            panic!("{keys:?}")
        };
        assert_eq!(c_sign.to_bytes().expose(), octets("c_sign_key"));
        assert_eq!(privacy_key.to_bytes().expose(), octets("privacy_key"));
        assert_eq!(c_sign.curve(), curve);
        assert!(configuration_template.contains("infra"));
        // The same again by us opens with what hostap would derive.
        let peer = key(Curve::P256, 2).public().clone();
        let bk = Secret::new(octets("bk"));
        let ke = Secret::new(vec![9; 32]);
        let own = key(Curve::P256, 1);
        let ours = Authenticated::from_keys(Role::Configurator, 2, own, peer, bk, ke);
        let again = seal(&ours, &keys, &entropy()).unwrap();
        assert_eq!(open(&side, &again), Ok(keys));
    }
}

/// The password of another exchange opens nothing (§7.2).
#[test]
fn another_exchange_opens_nothing() {
    let other = exchange(Role::Enrollee, Curve::P256, 4);
    assert_eq!(
        open(&other, &sealed(Curve::P256)),
        Err(Refusal::Unwrap.into())
    );
    let other = exchange(Role::Enrollee, Curve::P384, 3);
    assert_eq!(
        open(&other, &sealed(Curve::P256)),
        Err(Refusal::Unwrap.into())
    );
}

#[test]
fn only_a_configurator_packs_and_only_an_enrollee_opens() {
    let enrollee = exchange(Role::Enrollee, Curve::P256, 3);
    let configurator = exchange(Role::Configurator, Curve::P256, 3);
    assert_eq!(
        seal(&enrollee, &keys(Curve::P256), &entropy()),
        Err(Misuse::Role.into())
    );
    assert_eq!(
        open(&configurator, &sealed(Curve::P256)),
        Err(Misuse::Role.into())
    );
}

#[test]
fn keys_that_do_not_belong_together_are_not_packed() {
    let side = exchange(Role::Configurator, Curve::P256, 3);
    let refused = |keys: &[BackupKey]| seal(&side, keys, &entropy()).unwrap_err();
    assert_eq!(refused(&[]), Misuse::BackupKeys.into());
    let mut mixed = keys(Curve::P256);
    mixed[1].privacy_key = key(Curve::P384, 1);
    assert_eq!(refused(&mixed), Misuse::BackupKeys.into());
    let many = vec![keys(Curve::P256)[0].clone(); MAX_BACKUP_KEYS + 1];
    assert_eq!(refused(&many), Misuse::BackupKeys.into());
}

/// RFC 5652 §6.2.4 and RFC 5958 §2 as they are written, with implicit tags.
#[test]
fn implicit_tags_are_read_too() {
    let der = sealed(Curve::P256);
    let mut enveloped = Reader(&der).last(SEQUENCE).unwrap();
    enveloped.take(INTEGER).unwrap();
    let recipient = Reader(enveloped.take(SET).unwrap())
        .last(CONTEXT_3)
        .unwrap();
    let mut recipient = recipient.last(SEQUENCE).unwrap();
    recipient.take(INTEGER).unwrap();
    let derivation = Reader(recipient.take(CONTEXT_0).unwrap());
    let derivation = derivation.last(SEQUENCE).unwrap().0;
    let mut out = Writer::default();
    out.nest(SEQUENCE, |out| {
        out.put(INTEGER, &[3]);
        out.nest(SET, |out| {
            out.nest(CONTEXT_3, |out| {
                out.put(INTEGER, &[0]);
                out.put(CONTEXT_0, derivation);
                out.0.extend_from_slice(recipient.0);
            });
        });
        out.0.extend_from_slice(enveloped.0);
    });
    assert_eq!(opened(&out.0), Ok(keys(Curve::P256)));
}

#[test]
fn what_is_no_backup_is_refused() {
    let der = sealed(Curve::P256);
    let altered = |from: &[u8], to: &[u8]| {
        let at = der.windows(from.len()).position(|part| part == from);
        let at = at.unwrap();
        let mut der = der.clone();
        der[at..at + from.len()].copy_from_slice(to);
        opened(&der).unwrap_err()
    };
    assert_eq!(
        altered(&[0x02, 0x02, 0x03, 0xe8], &[0x02, 0x02, 0x7f, 0xff]),
        Unsupported::Backup.into(),
        "as many rounds as the sender likes, §7.2"
    );
    assert_eq!(altered(PBKDF2, HMAC_LONG), Unsupported::Backup.into());
    assert_eq!(
        altered(HMAC_SHA256, HMAC_SHA512),
        Unsupported::Backup.into()
    );
    assert_eq!(altered(AES_SIV_256, KEY_LONG), Unsupported::Backup.into());
    assert_eq!(
        altered(KEY_PACKAGE, CONFIGURATION_PARAMETERS),
        Unsupported::Backup.into()
    );
    assert_eq!(altered(&[4; 64], &[6; 64]), Refusal::Unwrap.into());
    let mut last = der.clone();
    *last.last_mut().unwrap() ^= 1;
    assert_eq!(opened(&last), Err(Refusal::Unwrap.into()));
    let mut longer = der.clone();
    longer.push(0);
    assert_eq!(opened(&longer), Err(Malformed::Backup.into()));
    assert_eq!(
        opened(&vec![0x30; MAX_BACKUP_LENGTH + 1]),
        Err(Malformed::Backup.into())
    );
    for length in 0..der.len() {
        assert_eq!(opened(&der[..length]), Err(Malformed::Backup.into()));
    }
}

/// Object identifiers of nothing, as long as the ones that they stand in for.
const HMAC_LONG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 5, 99];
const KEY_LONG: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 3, 99];

#[test]
fn keys_do_not_print() {
    let printed = format!("{:?} {:?}", keys(Curve::P256), entropy());
    assert!(
        !printed.contains("05, 05") && !printed.contains("[5, 5"),
        "{printed}"
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>(), to: u8) {
        prop_assert!(opened(&bytes).is_err());
        let mut der = sealed(Curve::P256);
        let at = at.index(der.len());
        if der[at] != to {
            der[at] = to;
            // The cipher of the content may be named otherwise; the key says which it is.
            let _ = opened(&der);
        }
    }
}
