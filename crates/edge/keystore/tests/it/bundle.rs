//! Bundles: many keys in one file, readable up to wherever a crash left them.

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use vouchsafe_keystore::{
    Algorithm, BundleWriter, Error, SealedBundle, SealedProblem, Sealer, Tail, generate_pkcs8,
};
use vouchsafe_trust::{Signer, SoftwareSigner};

struct Place {
    folder: TempDir,
    sealer: Sealer,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
            sealer: Sealer::new(&[3; 32]).unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("batch.bundle")
    }

    fn writer(&self) -> BundleWriter {
        BundleWriter::open(&self.path(), &self.sealer).unwrap()
    }

    fn reader(&self) -> SealedBundle {
        SealedBundle::open(&self.path(), &self.sealer).unwrap()
    }

    /// Three records with labels and secrets of equal length; returns the file.
    fn three(&self) -> Vec<u8> {
        let mut writer = self.writer();
        for (label, secret) in [("a", b"one"), ("b", b"two"), ("c", b"six")] {
            writer.append(label, secret).unwrap();
        }
        writer.sync().unwrap();
        fs::read(self.path()).unwrap()
    }
}

const HEADER: usize = 47;
const RECORD: usize = 8 + 1 + 1 + 12 + 3 + 16;

fn problem<T: std::fmt::Debug>(result: Result<T, Error>) -> SealedProblem {
    match result.unwrap_err() {
        Error::Sealed { problem, .. } => problem,
        other => panic!("{other}"),
    }
}

#[test]
fn keys_come_back_by_label_after_every_reopening() {
    let place = Place::new();
    let mut public = Vec::new();
    for round in 0..3 {
        let mut writer = place.writer();
        assert_eq!(writer.records(), round * 100);
        for number in 0..100 {
            let key = generate_pkcs8(Algorithm::EcdsaP256).unwrap();
            let label = format!("SN-{round}-{number}");
            public.push((
                label.clone(),
                SoftwareSigner::from_pkcs8_der(key.expose()).unwrap(),
            ));
            assert_eq!(
                writer.append(&label, key.expose()).unwrap(),
                round * 100 + number
            );
        }
        writer.sync().unwrap();
    }
    let reader = place.reader();
    assert_eq!((reader.records(), reader.tail()), (300, Tail::Whole));
    for (label, signer) in &public {
        let read = SoftwareSigner::from_pkcs8_der(reader.read(label).unwrap().expose()).unwrap();
        assert_eq!(read.public_key(), signer.public_key());
    }
    assert!(matches!(reader.read("SN-9-9"), Err(Error::NotFound { .. })));
}

#[test]
fn a_label_appended_again_replaces_the_older_record() {
    let place = Place::new();
    let mut writer = place.writer();
    for secret in ["old", "newer", "newest"] {
        writer.append("k", secret.as_bytes()).unwrap();
    }
    writer.sync().unwrap();
    assert!(place.reader().read("k").unwrap().ct_eq(b"newest"));
}

#[test]
fn every_truncation_is_reported_and_repair_loses_no_whole_record() {
    let whole = Place::new().three();
    assert_eq!(whole.len(), HEADER + 3 * RECORD);
    for length in HEADER..whole.len() {
        let place = Place::new();
        let whole = place.three();
        fs::write(place.path(), &whole[..length]).unwrap();
        let records = (length - HEADER) / RECORD;
        let rest = (length - HEADER) % RECORD;
        let reader = place.reader();
        assert_eq!(reader.records(), records as u64);
        for label in ["a", "b", "c"].iter().take(records) {
            reader.read(label).unwrap();
        }
        if rest == 0 {
            assert_eq!(reader.tail(), Tail::Whole);
            assert_eq!(
                BundleWriter::repair(&place.path(), &place.sealer).unwrap(),
                None
            );
            continue;
        }
        assert_eq!(reader.tail(), Tail::Unfinished { bytes: rest as u64 });
        match BundleWriter::open(&place.path(), &place.sealer).unwrap_err() {
            Error::BundleTruncated {
                records: found,
                tail_bytes,
                ..
            } => {
                assert_eq!((found, tail_bytes), (records as u64, rest as u64));
            }
            other => panic!("{other}"),
        }
        let aside = BundleWriter::repair(&place.path(), &place.sealer)
            .unwrap()
            .unwrap();
        assert_eq!(fs::read(aside).unwrap(), whole[length - rest..length]);
        let mut writer = place.writer();
        writer.append("d", b"new").unwrap();
        writer.sync().unwrap();
        assert!(place.reader().read("d").unwrap().ct_eq(b"new"));
    }
}

#[test]
fn a_bundle_cut_within_its_header_is_named() {
    let place = Place::new();
    let whole = place.three();
    for length in 0..HEADER {
        fs::write(place.path(), &whole[..length]).unwrap();
        let opened = SealedBundle::open(&place.path(), &place.sealer);
        assert_eq!(
            problem(opened),
            SealedProblem::Truncated {
                have: length,
                need: HEADER
            }
        );
        assert!(BundleWriter::open(&place.path(), &place.sealer).is_err());
    }
}

#[test]
fn zeros_after_the_end_count_as_unfinished() {
    let place = Place::new();
    let mut file = place.three();
    file.extend([0; 5000]);
    fs::write(place.path(), &file).unwrap();
    assert_eq!(place.reader().tail(), Tail::Unfinished { bytes: 5000 });
    BundleWriter::repair(&place.path(), &place.sealer)
        .unwrap()
        .unwrap();
    assert_eq!(place.writer().records(), 3);
    // Zeros with something behind them are damage, and damage is never cut off.
    file.push(1);
    fs::write(place.path(), &file).unwrap();
    assert_eq!(place.reader().tail(), Tail::Damaged { bytes: 5001 });
    let repaired = BundleWriter::repair(&place.path(), &place.sealer);
    assert_eq!(problem(repaired), SealedProblem::Damaged);
    assert_eq!(fs::read(place.path()).unwrap(), file);
}

#[test]
fn no_flipped_bit_gives_a_wrong_secret() {
    let place = Place::new();
    let whole = place.three();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(place.path(), &flipped).unwrap();
        let Ok(reader) = SealedBundle::open(&place.path(), &place.sealer) else {
            assert!(bit / 8 < HEADER);
            continue;
        };
        let mut failures = 0;
        for (label, secret) in [("a", b"one"), ("b", b"two"), ("c", b"six")] {
            match reader.read(label) {
                Ok(read) => assert!(read.ct_eq(secret)),
                Err(_) => failures += 1,
            }
        }
        assert!(failures > 0, "bit {bit}");
    }
}

#[test]
fn records_cannot_be_swapped_taken_out_or_brought_in() {
    let place = Place::new();
    let whole = place.three();
    let record = |number: usize| &whole[HEADER + number * RECORD..HEADER + (number + 1) * RECORD];
    let swapped = [&whole[..HEADER], record(1), record(0), record(2)].concat();
    fs::write(place.path(), swapped).unwrap();
    assert_eq!(problem(place.reader().read("a")), SealedProblem::Damaged);
    let without_first = [&whole[..HEADER], record(1), record(2)].concat();
    fs::write(place.path(), without_first).unwrap();
    assert_eq!(problem(place.reader().read("b")), SealedProblem::Damaged);
    let other = Place::new().three();
    let brought_in = [&whole[..HEADER], &other[HEADER..]].concat();
    fs::write(place.path(), brought_in).unwrap();
    assert_eq!(problem(place.reader().read("a")), SealedProblem::Damaged);
}

#[test]
fn another_sealing_key_or_another_writer_is_refused() {
    let place = Place::new();
    place.three();
    let other = Sealer::new(&[4; 32]).unwrap();
    let opened = SealedBundle::open(&place.path(), &other);
    assert!(matches!(
        problem(opened),
        SealedProblem::WrongSealingKey { .. }
    ));
    let writer = place.writer();
    assert!(matches!(
        BundleWriter::open(&place.path(), &place.sealer),
        Err(Error::Io { doing: "lock", .. })
    ));
    drop(writer);
    place.writer();
}

#[test]
fn a_frame_that_promises_too_much_takes_no_memory() {
    let place = Place::new();
    let mut file = place.three();
    let length = u32::MAX - 9;
    file.extend(length.to_be_bytes());
    file.extend((!length).to_be_bytes());
    fs::write(place.path(), &file).unwrap();
    assert_eq!(place.reader().tail(), Tail::Damaged { bytes: 8 });
}

#[test]
fn labels_and_secrets_have_limits() {
    let place = Place::new();
    let mut writer = place.writer();
    assert!(matches!(writer.append("", b"s"), Err(Error::Label { .. })));
    assert!(matches!(
        writer.append(&"l".repeat(256), b"s"),
        Err(Error::Label { .. })
    ));
    let long = vec![0; vouchsafe_keystore::MAX_SECRET_BYTES + 1];
    assert!(matches!(
        problem(writer.append("l", &long)),
        SealedProblem::TooLong { .. }
    ));
    writer.append(&"l".repeat(255), &long[1..]).unwrap();
    writer.sync().unwrap();
    assert!(
        place
            .reader()
            .read(&"l".repeat(255))
            .unwrap()
            .ct_eq(&long[1..])
    );
}
