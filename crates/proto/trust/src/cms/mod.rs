//! CMS `SignedData` (RFC 5652) with one signer: vouchers, manifests, and the certificates-only form of EST.
//!
//! Making one ([`sign`]):
//!
//! 1. digest the content; 2. build the signed attributes (content type, digest, signing time); 3. sign their
//!    DER `SET OF` encoding; 4. wrap content, chain and signature.
//!
//! Reading one:
//!
//! 1. [`parse`] takes DER, and indefinite-length BER as streaming signers write it (rewritten within the
//!    size of the message), and refuses anything but one signer with signed attributes (RFC 8366bis §7.1).
//! 2. [`Unverified::verify`] or [`Unverified::verify_by`]: the digest attribute is that of the content, the
//!    content type attribute that of the content, the signature that of the signer's key, and the signer
//!    leads to an anchor or is the one named.
//!
//! Content under both `id-data` and `id-ct-animaJSONVoucher` is in use for vouchers; the type is reported
//! in [`Signed::content_type`] and judging it is the reader's business.

mod ber;
mod parse;
mod sign;

pub use parse::{Unverified, parse, parse_certs_only, parse_within};
pub use sign::{SignOptions, certs_only, sign};

use crate::oid::Oid;

#[cfg(doc)]
use crate::envelope::Signed;

/// `id-data`, plain bytes (RFC 5652 §4). Written, with `SignedData` version 1, for readers that know no other.
pub const ID_DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.1");

/// `id-ct-animaJSONVoucher`, a voucher or voucher request in JSON (RFC 8366 §8.4).
pub const ID_CT_ANIMA_JSON_VOUCHER: Oid = Oid::new_unwrap("1.2.840.113549.1.9.16.1.40");

const ID_SIGNED_DATA: Oid = Oid::new_unwrap("1.2.840.113549.1.7.2");
const ID_CONTENT_TYPE: Oid = Oid::new_unwrap("1.2.840.113549.1.9.3");
const ID_MESSAGE_DIGEST: Oid = Oid::new_unwrap("1.2.840.113549.1.9.4");
const ID_SIGNING_TIME: Oid = Oid::new_unwrap("1.2.840.113549.1.9.5");
