//! What the shared secret proves (RFC 2865 §3, RFC 2866 §3, RFC 3579 §3.2, RFC 5176 §3), and what it hides
//! (RFC 2548 §2.4).
//!
//! MD5 is what the protocol has. What rests on it alone can be forged in minutes (a response without
//! Message-Authenticator), so here every packet that admits somebody carries an HMAC and is refused
//! without it; RadSec or a network of its own is what protects the rest.

use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use subtle::ConstantTimeEq;
use vouchsafe_trust::Secret;
use zeroize::Zeroizing;

use crate::attribute::{self, VENDOR_MICROSOFT};
use crate::error::{Error, Malformed, Refusal};
use crate::packet::{Code, Draft, HEADER, Packet};

/// The authenticator's place in a packet.
const AUTHENTICATOR: usize = 4;

/// The secret that a client and we share.
#[derive(Clone, Debug)]
pub struct Shared(Secret);

impl Shared {
    /// The secret, as both sides have it configured.
    pub fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// Proves a request whose authenticator is random (Access-Request, Status-Server).
    ///
    /// # Errors
    ///
    /// No Message-Authenticator, or a wrong one.
    pub fn check_access_request(&self, packet: &Packet) -> Result<(), Error> {
        self.check_message(packet, packet.authenticator())
    }

    /// Proves a request whose authenticator is a digest (accounting, Disconnect, CoA). A
    /// Message-Authenticator is checked where one is.
    ///
    /// # Errors
    ///
    /// A wrong authenticator, or a wrong Message-Authenticator.
    pub fn check_digest_request(&self, packet: &Packet) -> Result<(), Error> {
        let expected = self.digest(&packet.with_octets(AUTHENTICATOR, &[0; 16]));
        if !bool::from(expected.ct_eq(packet.authenticator())) {
            return Err(Refusal::AuthenticatorWrong.into());
        }
        match self.check_message(packet, &[0; 16]) {
            Err(Error::Refused(Refusal::MessageAuthenticatorMissing)) => Ok(()),
            checked => checked,
        }
    }

    /// Proves a response to the request that had `request_authenticator`.
    ///
    /// # Errors
    ///
    /// A wrong authenticator; a wrong Message-Authenticator; none in a response that decides about
    /// access.
    pub fn check_response(
        &self,
        packet: &Packet,
        request_authenticator: &[u8; 16],
    ) -> Result<(), Error> {
        let expected = self.digest(&packet.with_octets(AUTHENTICATOR, request_authenticator));
        if !bool::from(expected.ct_eq(packet.authenticator())) {
            return Err(Refusal::AuthenticatorWrong.into());
        }
        let decides = matches!(
            packet.code(),
            Code::AccessAccept | Code::AccessReject | Code::AccessChallenge
        );
        match self.check_message(packet, request_authenticator) {
            Err(Error::Refused(Refusal::MessageAuthenticatorMissing)) if !decides => Ok(()),
            checked => checked,
        }
    }

    /// Finishes an Access-Request or Status-Server; `authenticator` is sixteen random octets.
    ///
    /// # Errors
    ///
    /// The attributes do not fit.
    pub fn finish_access_request(
        &self,
        draft: Draft,
        authenticator: &[u8; 16],
    ) -> Result<Vec<u8>, Error> {
        let mut bytes = draft.with_message_authenticator().sealed(authenticator)?;
        self.fill_message(&mut bytes);
        Ok(bytes)
    }

    /// Finishes an accounting, Disconnect or CoA request.
    ///
    /// # Errors
    ///
    /// The attributes do not fit.
    pub fn finish_digest_request(&self, draft: Draft) -> Result<Vec<u8>, Error> {
        // RFC 5176 §3.3: the Message-Authenticator is made over an authenticator of zeros. In
        // accounting it has no place (RFC 2866 §5.13).
        let accounting = draft.code() == Code::AccountingRequest;
        let draft = if accounting {
            draft
        } else {
            draft.with_message_authenticator()
        };
        let mut bytes = draft.sealed(&[0; 16])?;
        if !accounting {
            self.fill_message(&mut bytes);
        }
        self.fill_digest(&mut bytes);
        Ok(bytes)
    }

    /// Finishes a response to `request`, whose Proxy-State attributes it repeats in their order.
    ///
    /// # Errors
    ///
    /// The attributes do not fit.
    pub fn finish_response(&self, draft: Draft, request: &Packet) -> Result<Vec<u8>, Error> {
        let accounting = draft.code() == Code::AccountingResponse;
        let draft = if accounting {
            draft
        } else {
            draft.with_message_authenticator()
        };
        let mut bytes = draft
            .with_proxy_state_of(request)
            .sealed(request.authenticator())?;
        if !accounting {
            self.fill_message(&mut bytes);
        }
        self.fill_digest(&mut bytes);
        Ok(bytes)
    }

    /// Encrypts a session key for MS-MPPE-Send-Key or MS-MPPE-Recv-Key (RFC 2548 §2.4.2). The salt's
    /// first bit is set here; the two salts of one packet must differ.
    pub(crate) fn hide_key(
        &self,
        key: &[u8; 32],
        request_authenticator: &[u8; 16],
        salt: [u8; 2],
    ) -> Vec<u8> {
        let salt = [salt[0] | 0x80, salt[1]];
        // The key's length, the key, and zeros up to a whole block.
        let mut plain = Zeroizing::new(Vec::with_capacity(48));
        plain.push(32);
        plain.extend_from_slice(key);
        plain.resize(48, 0);
        let mut out = salt.to_vec();
        let mut previous = [request_authenticator.as_slice(), &salt].concat();
        for block in plain.chunks_exact(16) {
            let pad = self.pad(&previous);
            let start = out.len();
            out.extend(block.iter().zip(pad).map(|(plain, pad)| plain ^ pad));
            previous = out.get(start..).unwrap_or_default().to_vec();
        }
        out
    }

    /// Decrypts what [`Self::hide_key`] made.
    fn reveal_key(&self, hidden: &[u8], request_authenticator: &[u8; 16]) -> Result<Secret, Error> {
        let (salt, body) = hidden.split_first_chunk::<2>().ok_or(Malformed::MppeKey)?;
        if body.is_empty() || body.len() % 16 != 0 || body.len() > 240 {
            return Err(Malformed::MppeKey.into());
        }
        let mut plain = Zeroizing::new(Vec::with_capacity(body.len()));
        let mut previous = [request_authenticator.as_slice(), salt].concat();
        for block in body.chunks_exact(16) {
            let pad = self.pad(&previous);
            plain.extend(block.iter().zip(pad).map(|(hidden, pad)| hidden ^ pad));
            previous = block.to_vec();
        }
        let (length, key) = plain.split_first().ok_or(Malformed::MppeKey)?;
        let key = key.get(..usize::from(*length)).ok_or(Malformed::MppeKey)?;
        Ok(Secret::new(key.to_vec()))
    }

    /// The two session keys of an Access-Accept, receive key first.
    ///
    /// # Errors
    ///
    /// One is missing or does not decrypt.
    pub fn session_keys(
        &self,
        accept: &Packet,
        request_authenticator: &[u8; 16],
    ) -> Result<[Secret; 2], Error> {
        let find = |kind| {
            accept
                .vendor(VENDOR_MICROSOFT, kind)
                .ok_or(Error::Refused(Refusal::KeyMissing))
                .and_then(|hidden| self.reveal_key(hidden, request_authenticator))
        };
        Ok([
            find(attribute::MS_MPPE_RECV_KEY)?,
            find(attribute::MS_MPPE_SEND_KEY)?,
        ])
    }

    fn pad(&self, previous: &[u8]) -> [u8; 16] {
        let mut hash = Md5::new();
        hash.update(self.0.expose());
        hash.update(previous);
        hash.finalize().into()
    }

    fn digest(&self, bytes: &[u8]) -> [u8; 16] {
        let mut hash = Md5::new();
        hash.update(bytes);
        hash.update(self.0.expose());
        hash.finalize().into()
    }

    /// HMAC takes keys of any length, so there is always an answer; should there be none, nothing is
    /// proved by it.
    fn authenticate(&self, bytes: &[u8]) -> Option<[u8; 16]> {
        let mut mac = Hmac::<Md5>::new_from_slice(self.0.expose()).ok()?;
        mac.update(bytes);
        Some(mac.finalize().into_bytes().into())
    }

    fn check_message(&self, packet: &Packet, authenticator: &[u8; 16]) -> Result<(), Error> {
        let offset = packet
            .offset_of_sixteen(attribute::MESSAGE_AUTHENTICATOR)?
            .ok_or(Refusal::MessageAuthenticatorMissing)?;
        let mut bytes = packet.with_octets(offset, &[0; 16]);
        if let Some(place) = bytes.get_mut(AUTHENTICATOR..HEADER) {
            place.copy_from_slice(authenticator);
        }
        let claimed = packet.bytes().get(offset..offset + 16).unwrap_or_default();
        match self.authenticate(&bytes) {
            Some(expected) if bool::from(expected.ct_eq(claimed)) => Ok(()),
            _ => Err(Refusal::MessageAuthenticatorWrong.into()),
        }
    }

    /// Fills the Message-Authenticator, which stands first.
    fn fill_message(&self, bytes: &mut [u8]) {
        let value = self.authenticate(bytes);
        let place = bytes.get_mut(HEADER + 2..HEADER + 18);
        if let (Some(place), Some(value)) = (place, value) {
            place.copy_from_slice(&value);
        }
    }

    fn fill_digest(&self, bytes: &mut [u8]) {
        let value = self.digest(bytes);
        if let Some(place) = bytes.get_mut(AUTHENTICATOR..HEADER) {
            place.copy_from_slice(&value);
        }
    }
}
