//! A passphrase of its own for each device: random, sealed from the moment it is made, never shown.

use vouchsafe_fleet::CredentialId;
use vouchsafe_keystore::Sealer;
use vouchsafe_keystore::random;
use vouchsafe_trust::Secret;

use crate::controller::Fault;

/// What a passphrase is written with: 32 characters without look-alikes, so that each holds five
/// bits, and none that hostapd's files give a meaning to.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// Characters: 130 bits, between the 8 and 63 of a WPA passphrase (IEEE 802.11 annex J.4).
const LENGTH: usize = 26;

/// What it is sealed for: one credential. Key labels have no slash, so nothing else opens it.
fn label(credential: &CredentialId) -> String {
    format!("passphrase/{credential}")
}

/// A device's passphrase for one network.
pub(crate) struct Passphrase(Secret);

impl Passphrase {
    /// A new one.
    pub(crate) fn random() -> Self {
        let entropy = Secret::new(random::bytes::<LENGTH>().to_vec());
        let text = entropy
            .expose()
            .iter()
            .filter_map(|byte| ALPHABET.get(usize::from(byte & 31)).copied())
            .collect();
        Self(Secret::new(text))
    }

    /// The form that is stored.
    ///
    /// # Errors
    /// [`Fault::Sign`] when the sealing fails.
    pub(crate) fn seal(
        &self,
        sealer: &Sealer,
        credential: &CredentialId,
    ) -> Result<Vec<u8>, Fault> {
        sealer
            .seal(&label(credential), self.0.expose())
            .map_err(|error| Fault::Sign(error.to_string()))
    }

    /// Opens what [`Passphrase::seal`] made.
    ///
    /// # Errors
    /// [`Fault::Sign`] when it was sealed under another key or for another credential, or
    /// is damaged.
    pub(crate) fn unseal(
        sealer: &Sealer,
        credential: &CredentialId,
        sealed: &[u8],
    ) -> Result<Self, Fault> {
        sealer
            .unseal(&label(credential), sealed)
            .map(Self)
            .map_err(|error| Fault::Sign(error.to_string()))
    }

    /// Its characters, for the message and the file they belong into.
    pub(crate) fn expose(&self) -> &str {
        std::str::from_utf8(self.0.expose()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_another_and_fits_every_file_it_goes_to() {
        let one = Passphrase::random();
        let other = Passphrase::random();
        assert_ne!(one.expose(), other.expose());
        for passphrase in [one, other] {
            assert_eq!(passphrase.expose().len(), LENGTH);
            assert!(
                passphrase
                    .expose()
                    .bytes()
                    .all(|byte| ALPHABET.contains(&byte))
            );
        }
    }

    #[test]
    fn it_opens_only_under_its_own_key_and_name() {
        let sealer = Sealer::new(&[1; 32]).unwrap();
        let passphrase = Passphrase::random();
        let [id, other] = ["00ff", "ff00"].map(|id| CredentialId(id.to_owned()));
        let sealed = passphrase.seal(&sealer, &id).unwrap();
        let text = passphrase.expose().as_bytes();
        assert!(!sealed.windows(text.len()).any(|part| part == text));
        let opened = Passphrase::unseal(&sealer, &id, &sealed).unwrap();
        assert_eq!(opened.expose(), passphrase.expose());
        let foreign = Sealer::new(&[2; 32]).unwrap();
        assert!(Passphrase::unseal(&foreign, &id, &sealed).is_err());
        assert!(Passphrase::unseal(&sealer, &other, &sealed).is_err());
    }
}
