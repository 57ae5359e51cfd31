//! Genuine messages taken apart, changed, and put together again.

use serde_json::{Map, Value, json};
use vouchsafe_brski::Encoding;
use vouchsafe_trust::{Certificate, Signer, cms, cose, jws};

use crate::world::Birth;

/// The JSON content of a signed message, edited and signed again by `who`.
pub fn edit(
    bytes: &[u8],
    encoding: Encoding,
    who: &Birth,
    edit: impl FnOnce(&mut Map<String, Value>),
) -> Vec<u8> {
    let mut content: Value = serde_json::from_slice(&content(bytes, encoding)).unwrap();
    let fields = content
        .as_object_mut()
        .unwrap()
        .values_mut()
        .next()
        .unwrap();
    edit(fields.as_object_mut().unwrap());
    sign(
        content.to_string().as_bytes(),
        encoding,
        &who.chain,
        &*who.signer,
    )
}

/// The same for CBOR, where fields are known by their deltas.
pub fn edit_cbor(
    bytes: &[u8],
    who: &Birth,
    edit: impl FnOnce(&mut Vec<(ciborium::Value, ciborium::Value)>),
) -> Vec<u8> {
    let mut content: ciborium::Value =
        ciborium::from_reader(&content(bytes, Encoding::CoseCbor)[..]).unwrap();
    edit(content.as_map_mut().unwrap()[0].1.as_map_mut().unwrap());
    let mut out = Vec::new();
    ciborium::into_writer(&content, &mut out).unwrap();
    sign(&out, Encoding::CoseCbor, &who.chain, &*who.signer)
}

/// What is inside the envelope.
pub fn content(bytes: &[u8], encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::CmsJson => cms::parse(bytes).unwrap().content().to_vec(),
        Encoding::JwsJson => jws::parse(bytes).unwrap().content().to_vec(),
        Encoding::CoseCbor => cose::parse(bytes).unwrap().content().to_vec(),
    }
}

/// An envelope around any content, signed by anybody.
pub fn sign(
    content: &[u8],
    encoding: Encoding,
    certificates: &[Certificate],
    signer: &dyn Signer,
) -> Vec<u8> {
    match encoding {
        Encoding::CmsJson => cms::sign(
            content,
            &cms::SignOptions {
                content_type: cms::ID_CT_ANIMA_JSON_VOUCHER,
                certificates,
                signing_time: None,
            },
            signer,
        ),
        Encoding::JwsJson => jws::sign(
            content,
            &jws::SignOptions {
                typ: None,
                certificates,
                form: jws::Form::General,
            },
            signer,
        ),
        Encoding::CoseCbor => cose::sign(
            content,
            &cose::SignOptions {
                certificates,
                header: cose::CertificateHeader::Bag,
                placement: cose::Placement::Unprotected,
            },
            signer,
        ),
    }
    .unwrap()
}

/// The same request with one bit of its signature turned over.
pub fn spoil_signature(bytes: &[u8], encoding: Encoding) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match encoding {
        // The signature stands last.
        Encoding::CmsJson | Encoding::CoseCbor => *bytes.last_mut().unwrap() ^= 1,
        Encoding::JwsJson => {
            let mut jws: Value = serde_json::from_slice(&bytes).unwrap();
            let text = jws["signatures"][0]["signature"]
                .as_str()
                .unwrap()
                .to_owned();
            let mut signature = decode_url(&text);
            signature[40] ^= 1;
            jws["signatures"][0]["signature"] = encode_url(&signature).into();
            bytes = jws.to_string().into_bytes();
        }
    }
    bytes
}

/// A CMS message whose list of signers is edited.
pub fn edit_signers(
    bytes: &[u8],
    edit: impl FnOnce(&mut Vec<::cms::signed_data::SignerInfo>),
) -> Vec<u8> {
    use der::{Decode, Encode};
    let mut outer = ::cms::content_info::ContentInfo::from_der(bytes).unwrap();
    let mut signed: ::cms::signed_data::SignedData = outer.content.decode_as().unwrap();
    let mut infos = signed.signer_infos.0.into_vec();
    edit(&mut infos);
    signed.signer_infos = infos.try_into().unwrap();
    outer.content = der::Any::encode_from(&signed).unwrap();
    outer.to_der().unwrap()
}

/// A JWS that is edited as the JSON it is.
pub fn edit_jws(bytes: &[u8], edit: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut jws: Value = serde_json::from_slice(bytes).unwrap();
    edit(&mut jws);
    jws.to_string().into_bytes()
}

/// The protected header of the first signature demands an extension that nobody knows.
pub fn demand_unknown(jws: &mut Value) {
    let protected = jws["signatures"][0]["protected"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut header: Value = serde_json::from_slice(&decode_url(&protected)).unwrap();
    header["crit"] = json!(["mind-this"]);
    header["mind-this"] = json!(1);
    jws["signatures"][0]["protected"] = encode_url(header.to_string().as_bytes()).into();
}

/// A COSE_Sign1 whose protected header is {1: -7, 2: [99], 99: 1}.
pub fn demand_unknown_in_cose(bytes: &[u8]) -> Vec<u8> {
    let mut tagged: ciborium::Value = ciborium::from_reader(bytes).unwrap();
    let ciborium::Value::Tag(18, inner) = &mut tagged else {
        panic!("a COSE_Sign1 has tag 18")
    };
    inner.as_array_mut().unwrap()[0] =
        ciborium::Value::Bytes(vec![0xa3, 1, 0x26, 2, 0x81, 0x18, 99, 0x18, 99, 1]);
    let mut bytes = Vec::new();
    ciborium::into_writer(&tagged, &mut bytes).unwrap();
    bytes
}

pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn encode_url(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

fn decode_url(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .unwrap()
}
