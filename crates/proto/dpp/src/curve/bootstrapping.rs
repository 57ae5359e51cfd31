//! Bootstrapping keys: the long-lived key whose public half a URI carries.

use aws_lc_rs::digest;
use vouchsafe_trust::Secret;

use super::private_key::{ID_EC_PUBLIC_KEY, tagged};
use super::{Curve, Point, PrivateKey};
use crate::error::{Error, Malformed};

/// A bootstrapping key that can agree on a secret: in memory, in a PKCS#11 token or in a TPM.
///
/// Only the x coordinate of a product is asked for, since that is all that a token gives.
pub trait Agreement: Send + Sync {
    /// The public half.
    fn public_key(&self) -> &BootstrappingPublicKey;

    /// The x coordinate of this key times `peer`.
    fn agree_x(&self, peer: &Point) -> Result<Secret, Error>;

    /// The x coordinate of the sum of this key and `protocol_key`, times `peer`: the responder's L of
    /// mutual authentication (Wi-Fi Easy Connect 3.0 §6.3.3).
    ///
    /// A token gives no y. Of the two points with the agreed x the right one is found by a second
    /// agreement, with `peer` moved by the generator: it must end at that point moved by our public key.
    fn agree_x_with_sum(&self, protocol_key: &PrivateKey, peer: &Point) -> Result<Secret, Error> {
        let curve = peer.curve();
        let x = self.agree_x(peer)?;
        let moved = self.agree_x(&peer.add(&Point::generator(curve)?)?)?;
        let other = protocol_key.multiply(peer)?;
        for candidate in Point::both_with_x(curve, x.expose())? {
            let check = candidate.add(self.public_key().point());
            if check.is_ok_and(|check| moved.ct_eq(check.x())) {
                return Ok(Secret::new(candidate.add(&other)?.x().to_vec()));
            }
        }
        Err(crate::Misuse::KeyDevice.into())
    }
}

/// The public half of a bootstrapping key, and the hashes by which messages name it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct BootstrappingPublicKey {
    point: Point,
    hash: [u8; 32],
    chirp_hash: [u8; 32],
}

impl BootstrappingPublicKey {
    /// Takes a point as a bootstrapping key.
    #[must_use]
    pub fn new(point: Point) -> Self {
        let spki = subject_public_key_info(&point);
        Self {
            hash: sha256(&[&spki]),
            chirp_hash: sha256(&[b"chirp", &spki]),
            point,
        }
    }

    /// Reads a SubjectPublicKeyInfo as a URI carries it (Wi-Fi Easy Connect 3.0 §5.2.1). An
    /// uncompressed point is taken too; the hashes are always over the compressed form.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, Error> {
        for curve in Curve::ALL {
            let length = curve.coordinate_length();
            for point_length in [1 + length, 1 + 2 * length] {
                let (head, point) = der.split_at(der.len().saturating_sub(point_length));
                if head == spki_head(curve, point_length) {
                    return Ok(Self::new(Point::from_sec1(curve, point)?));
                }
            }
        }
        Err(Malformed::PublicKey.into())
    }

    /// Whose curve it is on, which is that of the whole exchange.
    #[must_use]
    pub fn curve(&self) -> Curve {
        self.point.curve()
    }

    /// The point.
    #[must_use]
    pub fn point(&self) -> &Point {
        &self.point
    }

    /// The SubjectPublicKeyInfo with compressed point, DER.
    #[must_use]
    pub fn spki_der(&self) -> Vec<u8> {
        subject_public_key_info(&self.point)
    }

    /// SHA-256 over [`Self::spki_der`]: how messages name the key, on every curve.
    #[must_use]
    pub fn hash(&self) -> &[u8; 32] {
        &self.hash
    }

    /// SHA-256 over `chirp` and [`Self::spki_der`]: how a presence announcement names it (Wi-Fi Easy
    /// Connect 3.0 §6.2.1).
    #[must_use]
    pub fn chirp_hash(&self) -> &[u8; 32] {
        &self.chirp_hash
    }
}

impl std::fmt::Debug for BootstrappingPublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BootstrappingPublicKey({}, ", self.curve())?;
        for octet in self.hash.iter().take(8) {
            write!(f, "{octet:02x}")?;
        }
        f.write_str(")")
    }
}

/// A bootstrapping key in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrappingKey {
    private: PrivateKey,
    public: BootstrappingPublicKey,
}

impl BootstrappingKey {
    /// Uses `private` as a bootstrapping key.
    #[must_use]
    pub fn new(private: PrivateKey) -> Self {
        let public = BootstrappingPublicKey::new(private.public().clone());
        Self { private, public }
    }

    /// The private half, for storage under seal.
    #[must_use]
    pub fn private(&self) -> &PrivateKey {
        &self.private
    }
}

impl Agreement for BootstrappingKey {
    fn public_key(&self) -> &BootstrappingPublicKey {
        &self.public
    }

    fn agree_x(&self, peer: &Point) -> Result<Secret, Error> {
        self.private.agree_x(peer)
    }

    fn agree_x_with_sum(&self, protocol_key: &PrivateKey, peer: &Point) -> Result<Secret, Error> {
        self.private.agree_x_with_sum(protocol_key, peer)
    }
}

fn subject_public_key_info(point: &Point) -> Vec<u8> {
    let compressed = point.to_compressed();
    let mut out = spki_head(point.curve(), compressed.len());
    out.extend_from_slice(&compressed);
    out
}

/// Everything of a SubjectPublicKeyInfo (RFC 5480 §2) that stands before a point of that length.
fn spki_head(curve: Curve, point_length: usize) -> Vec<u8> {
    let mut algorithm = ID_EC_PUBLIC_KEY.to_vec();
    algorithm.extend_from_slice(curve.object_identifier());
    let mut body = tagged(0x30, &algorithm).to_vec();
    // The octet before the point says that no bits are unused.
    body.extend_from_slice(&tagged(3, &vec![0; 1 + point_length]));
    let whole = tagged(0x30, &body);
    let head = whole.len().saturating_sub(point_length);
    whole.get(..head).unwrap_or_default().to_vec()
}

pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}
