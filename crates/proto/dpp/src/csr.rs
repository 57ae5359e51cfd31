//! Certificates by the configuration protocol (Wi-Fi Easy Connect 3.0 §6.4.2, §4.5.4).
//!
//! 1. The configurator answers the first request with the status "certificate request needed".
//! 2. The enrollee sends a second one with a certificate request that carries a password which only
//!    the two ends of this exchange can derive ([`build`]). It binds the certificate to the
//!    authentication: without it, a request could be taken from elsewhere.
//! 3. The configurator checks both ([`verify`]), has the certificate issued and sends it in a bag
//!    ([`crate::object::EnterpriseCredential`]).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use vouchsafe_trust::{CertificateRequest, RequestContent, Secret, Signer, Verified};

use crate::authentication::{Authenticated, CHALLENGE_PASSWORD_LENGTH};
use crate::error::{Error, Misuse, Refusal};

/// A certificate request for the signer's key, bound to this exchange. A challenge password in
/// `content` is replaced.
///
/// # Errors
/// [`Misuse::KeyDevice`] when the key could not be used.
pub fn build(
    authenticated: &Authenticated,
    content: &RequestContent,
    signer: &dyn Signer,
) -> Result<Vec<u8>, Error> {
    let password = authenticated.challenge_password();
    let content = RequestContent {
        challenge_password: Some(BASE64_STANDARD.encode(password.expose())),
        ..content.clone()
    };
    CertificateRequest::build(&content, signer).map_err(|_| Misuse::KeyDevice.into())
}

/// Accepts a certificate request if its sender has the private key and it is bound to this
/// exchange.
///
/// # Errors
/// [`Refusal::CertificateRequest`] for one that does not parse, whose signature does not hold or whose key
/// is of a kind that is not certified here (Brainpool curves among them);
/// [`Refusal::ChallengePassword`]. The enrollee is told [`crate::Status::CertificateRequestBad`].
pub fn verify(
    authenticated: &Authenticated,
    der: &[u8],
) -> Result<Verified<CertificateRequest>, Error> {
    check(&authenticated.challenge_password(), der)
}

fn check(password: &Secret, der: &[u8]) -> Result<Verified<CertificateRequest>, Error> {
    let request =
        CertificateRequest::verify(der).map_err(|_| Error::from(Refusal::CertificateRequest))?;
    // Longer texts are no password of ours; base64 grows by a third.
    let claimed = request
        .challenge_password()
        .filter(|text| text.len() <= 2 * CHALLENGE_PASSWORD_LENGTH)
        .and_then(|text| BASE64_STANDARD.decode(text).ok())
        .ok_or(Refusal::ChallengePassword)?;
    if !password.ct_eq(&claimed) {
        return Err(Refusal::ChallengePassword.into());
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use vouchsafe_trust::{Name, SoftwareSigner, oid};

    use super::*;
    use crate::authentication::Role;
    use crate::curve::{Curve, PrivateKey};
    use crate::object::RequestObject;
    use crate::schedule;

    fn key(curve: Curve, seed: u8) -> PrivateKey {
        PrivateKey::from_seed(curve, &vec![seed; curve.seed_length()]).unwrap()
    }

    fn exchange(bk: &[u8]) -> Authenticated {
        let own = key(Curve::P256, 1);
        let peer = key(Curve::P256, 2).public().clone();
        let (bk, ke) = (Secret::new(bk.to_vec()), Secret::new(vec![7; 32]));
        Authenticated::from_keys(Role::Configurator, 2, own, peer, bk, ke)
    }

    fn content() -> RequestContent {
        RequestContent::new(Name::new(&[(oid::COMMON_NAME, "pump-7")]).unwrap())
    }

    /// A request that wpa_supplicant 2.10 made, with the bk of its exchange.
    #[test]
    fn a_request_of_hostap_is_bound_to_its_exchange() {
        let object = include_bytes!("../tests/hostap/dot1x-p256.request.json");
        let der = RequestObject::read(object).unwrap().certificate_request;
        let bk = hex::decode(include_str!("../tests/hostap/dot1x-p256.bk").trim()).unwrap();
        let request = verify(&exchange(&bk), der.as_ref().unwrap()).unwrap();
        assert_eq!(request.subject().attribute(&oid::COMMON_NAME), Some("Test"));
        let mut other = bk;
        other[0] ^= 1;
        assert_eq!(
            verify(&exchange(&other), der.as_ref().unwrap()).err(),
            Some(Refusal::ChallengePassword.into()),
            "§6.4.2"
        );
    }

    #[test]
    fn what_is_built_verifies_in_its_own_exchange_alone() {
        for curve in [Curve::P256, Curve::P384] {
            let signer = SoftwareSigner::from_pkcs8_der(key(curve, 3).to_pkcs8_der().expose());
            let signer = signer.unwrap();
            let der = build(&exchange(&[1; 32]), &content(), &signer).unwrap();
            let request = verify(&exchange(&[1; 32]), &der).unwrap();
            assert_eq!(request.public_key(), signer.public_key());
            assert_eq!(
                verify(&exchange(&[2; 32]), &der).err(),
                Some(Refusal::ChallengePassword.into())
            );
        }
    }

    #[test]
    fn a_request_without_or_with_another_password_is_refused_section_6_4_2() {
        let signer = SoftwareSigner::from_pkcs8_der(key(Curve::P256, 3).to_pkcs8_der().expose());
        let signer = signer.unwrap();
        let right = schedule::expand(Curve::P256, &[1; 32], b"CSR challengePassword", 64);
        let right = BASE64_STANDARD.encode(right.expose());
        let with = |password: Option<String>| {
            let content = RequestContent {
                challenge_password: password,
                ..content()
            };
            let der = CertificateRequest::build(&content, &signer).unwrap();
            verify(&exchange(&[1; 32]), &der).map(drop)
        };
        assert_eq!(with(Some(right.clone())), Ok(()));
        for wrong in [
            None,
            Some(String::new()),
            Some("secret".into()),
            Some(right[..84].to_owned()),
            Some(format!("{right}AAAA")),
            Some(right.to_lowercase()),
            Some("A".repeat(4000)),
        ] {
            assert_eq!(with(wrong), Err(Refusal::ChallengePassword.into()));
        }
    }

    #[test]
    fn a_request_that_proves_nothing_is_refused_rfc_2986_section_4_2() {
        let signer = SoftwareSigner::from_pkcs8_der(key(Curve::P256, 3).to_pkcs8_der().expose());
        let der = build(&exchange(&[1; 32]), &content(), &signer.unwrap()).unwrap();
        let refused = |der: &[u8]| verify(&exchange(&[1; 32]), der).unwrap_err();
        let mut altered = der.clone();
        *altered.last_mut().unwrap() ^= 1;
        assert_eq!(refused(&altered), Refusal::CertificateRequest.into());
        for length in 0..der.len() {
            assert_eq!(refused(&der[..length]), Refusal::CertificateRequest.into());
        }
    }
}
