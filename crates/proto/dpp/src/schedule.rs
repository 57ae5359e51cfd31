//! The key schedule of authentication, and the tags by which each side proves that it has the keys.
//!
//! * M = pI·BR = bR·PI: the initiator's protocol key with the responder's bootstrapping key.
//! * N = pI·PR = pR·PI: both protocol keys.
//! * L = bI·(BR + PR) = (bR + pR)·BI: mutual authentication only.

use aws_lc_rs::hmac;
use vouchsafe_trust::Secret;

use crate::curve::{Curve, MAX_HASH_LENGTH, Point};

/// Expands `key` to `length` octets (RFC 5869 §2.3) with the hash of `curve`.
#[must_use]
pub fn expand(curve: Curve, key: &[u8], info: &[u8], length: usize) -> Secret {
    let key = hmac::Key::new(curve.hmac_algorithm(), key);
    let mut out = Vec::with_capacity(length + MAX_HASH_LENGTH);
    let mut counter: u8 = 0;
    let mut block: Option<hmac::Tag> = None;
    while out.len() < length && counter < u8::MAX {
        counter += 1;
        let mut context = hmac::Context::with_key(&key);
        context.update(block.as_ref().map(AsRef::as_ref).unwrap_or_default());
        context.update(info);
        context.update(&[counter]);
        let tag = context.sign();
        out.extend_from_slice(tag.as_ref());
        block = Some(tag);
    }
    out.truncate(length);
    Secret::new(out)
}

/// HMAC over `parts`, one after the other, with the hash of `curve`: also HKDF-Extract with `key` as
/// the salt (RFC 5869 §2.2).
#[must_use]
pub fn hmac(curve: Curve, key: &[u8], parts: &[&[u8]]) -> Secret {
    let key = hmac::Key::new(curve.hmac_algorithm(), key);
    let mut context = hmac::Context::with_key(&key);
    for part in parts {
        context.update(part);
    }
    Secret::new(context.sign().as_ref().to_vec())
}

/// HKDF of one secret without salt, expanded to the curve's key length.
pub(crate) fn hkdf(curve: Curve, secret: &[u8], info: &[u8]) -> Secret {
    let salt = [0; MAX_HASH_LENGTH];
    let salt = salt.get(..curve.hash_length()).unwrap_or_default();
    let extracted = hmac(curve, salt, &[secret]);
    expand(curve, extracted.expose(), info, curve.key_length())
}

/// k1, from M.x (Wi-Fi Easy Connect 3.0 §6.3.2).
#[must_use]
pub fn k1(curve: Curve, m_x: &Secret) -> Secret {
    hkdf(curve, m_x.expose(), b"first intermediate key")
}

/// k2, from N.x (Wi-Fi Easy Connect 3.0 §6.3.3).
#[must_use]
pub fn k2(curve: Curve, n_x: &Secret) -> Secret {
    hkdf(curve, n_x.expose(), b"second intermediate key")
}

/// The nonces of one exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nonces {
    /// I-nonce.
    pub initiator: Vec<u8>,
    /// R-nonce.
    pub responder: Vec<u8>,
}

/// bk, from everything agreed on; `l_x` only with mutual authentication (Wi-Fi Easy Connect 3.0
/// §6.3.3).
#[must_use]
pub fn bk(
    curve: Curve,
    nonces: &Nonces,
    m_x: &Secret,
    n_x: &Secret,
    l_x: Option<&Secret>,
) -> Secret {
    let salt = [nonces.initiator.as_slice(), &nonces.responder].concat();
    let l_x = l_x.map(Secret::expose).unwrap_or_default();
    hmac(curve, &salt, &[m_x.expose(), n_x.expose(), l_x])
}

/// ke, the key of everything that follows (Wi-Fi Easy Connect 3.0 §6.3.3).
#[must_use]
pub fn ke(curve: Curve, bk: &Secret) -> Secret {
    expand(curve, bk.expose(), b"DPP Key", curve.key_length())
}

/// The public keys that the tags cover.
#[derive(Debug, Clone, Copy)]
pub struct Keys<'a> {
    /// PI.
    pub initiator_protocol: &'a Point,
    /// PR.
    pub responder_protocol: &'a Point,
    /// BI, only with mutual authentication.
    pub initiator_bootstrapping: Option<&'a Point>,
    /// BR.
    pub responder_bootstrapping: &'a Point,
}

/// R-auth = H(I-nonce | R-nonce | PI.x | PR.x | [BI.x |] BR.x | 0) (Wi-Fi Easy Connect 3.0 §6.3.3).
#[must_use]
pub fn responder_tag(curve: Curve, nonces: &Nonces, keys: Keys<'_>) -> Secret {
    Secret::new(
        curve.hash(&[
            &nonces.initiator,
            &nonces.responder,
            keys.initiator_protocol.x(),
            keys.responder_protocol.x(),
            keys.initiator_bootstrapping
                .map(Point::x)
                .unwrap_or_default(),
            keys.responder_bootstrapping.x(),
            &[0],
        ]),
    )
}

/// I-auth = H(R-nonce | I-nonce | PR.x | PI.x | BR.x | [BI.x |] 1) (Wi-Fi Easy Connect 3.0 §6.3.4).
#[must_use]
pub fn initiator_tag(curve: Curve, nonces: &Nonces, keys: Keys<'_>) -> Secret {
    Secret::new(
        curve.hash(&[
            &nonces.responder,
            &nonces.initiator,
            keys.responder_protocol.x(),
            keys.initiator_protocol.x(),
            keys.responder_bootstrapping.x(),
            keys.initiator_bootstrapping
                .map(Point::x)
                .unwrap_or_default(),
            &[1],
        ]),
    )
}

/// Auth-I, the enrollee's proof that it has the new protocol key Pe which the configurator asked for:
/// HMAC(k, E-nonce | Pc.x | Pe.x) with k from bk and S = pc·Pe (Wi-Fi Easy Connect 3.0 §6.4.2).
///
/// `curve` is that of the authentication: hash and lengths stay its own, whatever the new key's.
#[must_use]
pub fn new_key_tag(
    curve: Curve,
    bk: &Secret,
    s_x: &Secret,
    enrollee_nonce: &[u8],
    configurator_key: &Point,
    enrollee_key: &Point,
) -> Secret {
    let extracted = hmac(curve, bk.expose(), &[s_x.expose()]);
    let info = b"New DPP Protocol Key";
    let key = expand(curve, extracted.expose(), info, curve.hash_length());
    let parts = [enrollee_nonce, configurator_key.x(), enrollee_key.x()];
    hmac(curve, key.expose(), &parts)
}
