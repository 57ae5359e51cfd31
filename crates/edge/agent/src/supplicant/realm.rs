//! What an open network says of itself before anybody joins it: the realms that it leads to (ANQP, IEEE
//! 802.11-2020 §9.4.5.10). Anybody can say so; it decides where a device knocks, and nothing else.
//!
//! 1. Only who says that it interworks (§9.4.2.91) is asked.
//! 2. The supplicant asks it, and keeps the answer.
//! 3. The answer is a list of realms. One that is malformed names none.

use std::time::Duration;

use tokio::time::Instant;

use super::{Control, SupplicantError};

/// How long the answer may take.
const ANSWER: Duration = Duration::from_secs(3);

/// The Interworking element.
const INTERWORKING: u8 = 107;

/// The ANQP element with the realms.
const NAI_REALMS: u16 = 263;

/// Longest realm: that of a network access identifier (RFC 7542 §2.2).
const MAX_REALM: usize = 253;

/// A realm, such as `eap.arpa`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Realm(String);

impl Realm {
    /// Labels of letters, digits and hyphens, two at least (RFC 7542 §2.2); `_` may begin one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_label = |label: &str| {
            let rest = label.strip_prefix('_').unwrap_or(label);
            let inner = |it: u8| it.is_ascii_alphanumeric() || it == b'-';
            !rest.is_empty()
                && rest.len() <= 63
                && rest.bytes().all(inner)
                && !rest.starts_with('-')
                && !rest.ends_with('-')
        };
        let fits = text.len() <= MAX_REALM && text.contains('.') && text.split('.').all(is_label);
        fits.then(|| Self(text.to_ascii_lowercase()))
    }

    /// Whether it is one of those that an access point lists, whatever the case of its letters.
    fn is_in(&self, list: &[u8]) -> bool {
        realms(list).is_some_and(|realms| {
            let mut each = realms.iter().flat_map(|it| it.split(';'));
            each.any(|realm| realm.eq_ignore_ascii_case(&self.0))
        })
    }

    /// Steps 1 to 3, with the access point of this address.
    pub(super) async fn is_announced(
        &self,
        control: &mut Control,
        access_point: &str,
    ) -> Result<bool, SupplicantError> {
        let known = format!("BSS {access_point}");
        // 1
        let says = control.ask(&known).await?;
        let elements = member(&says, "ie").unwrap_or_default();
        if !has_element(&elements, INTERWORKING) {
            return Ok(false);
        }
        // 2
        control.forget_events().await?;
        let query = format!("ANQP_GET {access_point} {NAI_REALMS}");
        if control.ask(&query).await? != "OK" {
            return Ok(false);
        }
        let (deadline, from) = (Instant::now() + ANSWER, format!("addr={access_point} "));
        while let Some(event) = control.event(deadline).await? {
            if event.starts_with("ANQP-QUERY-DONE") && event.contains(&from) {
                break;
            }
        }
        // 3
        let says = control.ask(&known).await?;
        Ok(member(&says, "anqp_nai_realm").is_some_and(|list| self.is_in(&list)))
    }
}

impl std::fmt::Display for Realm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The octets of a line `name=…` in hexadecimal digits.
fn member(says: &str, name: &str) -> Option<Vec<u8>> {
    let mut lines = says.lines().filter_map(|line| line.split_once('='));
    let (_, digits) = lines.find(|(found, _)| *found == name)?;
    hex::decode(digits).ok()
}

/// Whether an element is among them: one octet of identifier, one of length.
fn has_element(mut elements: &[u8], wanted: u8) -> bool {
    while let [id, length, rest @ ..] = elements {
        if *id == wanted {
            return true;
        }
        elements = rest.get(usize::from(*length)..).unwrap_or_default();
    }
    false
}

/// A count, and so many times: length, encoding, length of the realm, the realm, methods. All or none.
fn realms(list: &[u8]) -> Option<Vec<&str>> {
    let (count, mut rest) = list.split_first_chunk::<2>()?;
    let mut found = Vec::new();
    for _ in 0..u16::from_le_bytes(*count) {
        let (length, behind) = rest.split_first_chunk::<2>()?;
        let (one, next) = behind.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
        let [_, length, one @ ..] = one else {
            return None;
        };
        found.push(std::str::from_utf8(one.get(..usize::from(*length))?).ok()?);
        rest = next;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(realms: &[&str]) -> Vec<u8> {
        let mut list = u16::try_from(realms.len()).unwrap().to_le_bytes().to_vec();
        for realm in realms {
            let length = u8::try_from(realm.len()).unwrap();
            list.extend_from_slice(&(u16::from(length) + 3).to_le_bytes());
            list.extend_from_slice(&[0, length]);
            list.extend_from_slice(realm.as_bytes());
            // No methods.
            list.push(0);
        }
        list
    }

    /// RFC 7542 §2.2.
    #[test]
    fn a_realm_is_a_name_with_a_dot() {
        let long = format!("{}.arpa", "x".repeat(64));
        for text in [
            "",
            "arpa",
            ".arpa",
            "eap.",
            "e ap.arpa",
            "-e.arpa",
            "e\n.arpa",
            &long,
        ] {
            assert_eq!(Realm::parse(text), None, "{text:?}");
        }
        assert_eq!(Realm::parse("EAP.arpa"), Realm::parse("eap.arpa"));
        assert!(Realm::parse("_bootstrapks.example").is_some());
    }

    /// IEEE 802.11-2020 §9.4.5.10: several realms of one entry stand between semicolons.
    #[test]
    fn a_realm_is_found_among_others_and_not_as_a_part_of_one() {
        let realm = Realm::parse("eap.arpa").unwrap();
        assert!(realm.is_in(&list(&["example.com", "EAP.arpa"])));
        assert!(realm.is_in(&list(&["example.com;eap.arpa"])));
        assert!(!realm.is_in(&list(&["eap.arpa.example.com", "x.eap.arpa", "eap"])));
        assert!(!realm.is_in(&list(&[])));
    }

    /// It is a stranger's word: what is cut short names nothing.
    #[test]
    fn a_list_that_is_cut_short_anywhere_names_no_realm() {
        let realm = Realm::parse("eap.arpa").unwrap();
        let whole = list(&["eap.arpa", "example.com"]);
        for length in 0..whole.len() {
            let cut = &whole[..length];
            // The octet at the end counts methods, which nobody asks for.
            assert!(!realm.is_in(cut), "{length} octets");
        }
        assert!(realm.is_in(&whole));
        let mut lies = list(&["eap.arpa"]);
        lies[5] = 200;
        assert!(!realm.is_in(&lies));
    }

    #[test]
    fn elements_are_gone_through_to_their_end() {
        assert!(has_element(&[0, 1, 7, 107, 1, 0], INTERWORKING));
        assert!(!has_element(&[0, 2, 107, 1], INTERWORKING));
        assert!(!has_element(&[0, 200, 107], INTERWORKING));
        assert!(!has_element(&[0], INTERWORKING));
    }
}
