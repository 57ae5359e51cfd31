use proptest::prelude::*;

use super::*;
use crate::curve::Point;
use crate::error::Refusal;

/// What hostap 2.10 shows for a fresh key.
const HOSTAP: &str =
    "DPP:V:2;K:MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACB+JBiYLTY6ex7VpJQ8uNm0424w/1eVwshfv3yvnnf+M=;;";
const K: &str =
    "K:MDkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDIgACB+JBiYLTY6ex7VpJQ8uNm0424w/1eVwshfv3yvnnf+M=";

fn full() -> BootstrappingUri {
    let mut uri = BootstrappingUri::parse(HOSTAP).unwrap();
    uri.channels = [(81, 1), (81, 6), (115, 36)]
        .map(|(operating_class, number)| Channel {
            operating_class,
            number,
        })
        .to_vec();
    uri.mac = Some([0x52, 0x54, 0, 0x58, 0x28, 0xe5]);
    uri.information = Some("SN=4774LH2b4044".into());
    uri.version = Some(3);
    uri.supported_curves = Some(SupportedCurves::of(&Curve::ALL));
    uri.host = Some(Host::new("192.0.2.7", 8909).unwrap());
    uri
}

#[track_caller]
fn refused(text: &str, reason: impl Into<Error>) {
    let reason = reason.into();
    assert_eq!(
        BootstrappingUri::parse(text).err(),
        Some(reason.clone()),
        "{text}"
    );
    assert_eq!(
        BootstrappingUri::parse_strictly(text).err(),
        Some(reason),
        "{text}"
    );
}

/// Read by one, refused by the other.
#[track_caller]
fn tolerated(text: &str, reason: Malformed) -> BootstrappingUri {
    let strict = BootstrappingUri::parse_strictly(text).err();
    assert_eq!(strict, Some(reason.into()), "{text}");
    BootstrappingUri::parse(text).unwrap()
}

#[test]
fn what_hostap_writes_is_read_and_written_the_same() {
    let uri = BootstrappingUri::parse_strictly(HOSTAP).unwrap();
    assert_eq!(uri.version, Some(2));
    assert_eq!(uri.key().curve(), Curve::P256);
    assert_eq!(uri.to_string(), HOSTAP);
}

#[test]
fn every_field_is_written_and_read_in_any_order() {
    let uri = full();
    let text = uri.to_string();
    assert!(
        text.starts_with(
            "DPP:C:81/1,6,115/36;M:5254005828e5;I:SN=4774LH2b4044;V:3;B:f3;H:192.0.2.7:8909;K:"
        ),
        "{text}"
    );
    uri.check().unwrap();
    assert_eq!(BootstrappingUri::parse_strictly(&text).unwrap(), uri);
    let mut fields: Vec<&str> = text["DPP:".len()..text.len() - 2].split(';').collect();
    fields.reverse();
    let reversed = format!("DPP:{};;", fields.join(";"));
    assert_eq!(BootstrappingUri::parse_strictly(&reversed).unwrap(), uri);
}

/// §5.2.1: the low half of the set is the first digit.
#[test]
fn supported_curves_are_written_low_half_first() {
    let uri = |digits: &str| BootstrappingUri::parse(&format!("DPP:B:{digits};{K};;"));
    let curves = |digits| uri(digits).unwrap().supported_curves.unwrap();
    assert!(curves("3").contains(Curve::P256) && curves("3").contains(Curve::P384));
    assert!(!curves("3").contains(Curve::P521));
    assert_eq!(curves("13").bits(), 0x31);
    assert_eq!(curves("13").to_string(), "13");
    for digits in ["", "g", "1g", "123", "+1"] {
        refused(&format!("DPP:B:{digits};{K};;"), Malformed::UriCurves);
    }
}

#[test]
fn hosts_are_addresses_or_names_with_or_without_port() {
    for (text, address, port) in [
        ("192.0.2.7", "192.0.2.7", DPP_PORT),
        ("192.0.2.7:99", "192.0.2.7", 99),
        ("gate.example", "gate.example", DPP_PORT),
        ("2001:db8::7", "2001:db8::7", DPP_PORT),
        ("[2001:db8::7]:99", "2001:db8::7", 99),
    ] {
        let host: Host = text.parse().unwrap();
        assert_eq!((host.address(), host.port()), (address, port));
        assert_eq!(host.to_string(), text);
    }
    for text in [
        "", "a b", "a:0", "a:65536", "a:+1", "[a]:1", "[::1", "[::1]1", "a:1:2", "é",
    ] {
        refused(&format!("DPP:H:{text};{K};;"), Malformed::UriHost);
    }
}

#[test]
fn what_people_paste_is_read_and_not_by_the_strict_reader() {
    let plain = BootstrappingUri::parse(HOSTAP).unwrap();
    let same = |text: &str, reason| assert_eq!(tolerated(text, reason), plain, "{text}");
    same(
        &HOSTAP
            .to_lowercase()
            .replace(&K.to_lowercase(), K)
            .replace("v:", "V:"),
        Malformed::UriScheme,
    );
    same(&format!("  {HOSTAP}\n"), Malformed::UriScheme);
    same(
        &HOSTAP.replace("AQYI", "AQYI\r\n"),
        Malformed::UriKeyEncoding,
    );
    same(&HOSTAP.replace("AQYI", "AQ YI"), Malformed::UriKeyEncoding);
    same(
        &HOSTAP.replace('+', "-").replace('/', "_"),
        Malformed::UriKeyEncoding,
    );
    same(&HOSTAP.replace('=', ""), Malformed::UriKeyEncoding);
    same(HOSTAP.trim_end_matches(';'), Malformed::UriEnd);
    same(&HOSTAP.replace("DPP:", "DPP:;X:new;;"), Malformed::UriField);
    let with_mac = tolerated(&format!("DPP:M:52:54-00 5828E5;{K};;"), Malformed::UriMac);
    assert_eq!(with_mac.mac, full().mac);
    let mut der = plain.key().spki_der();
    let point = plain.key().point();
    der.truncate(der.len() - 33);
    der.extend_from_slice(point.to_uncompressed());
    (der[1], der[24]) = (der[1] + 32, der[24] + 32);
    let text = format!("DPP:V:2;K:{};;", STANDARD.encode(&der));
    same(&text, Malformed::UriKeyUncompressed);
}

#[test]
fn oddities_are_refused_by_name_section_5_2_1() {
    refused("", Malformed::UriScheme);
    refused("DPP", Malformed::UriScheme);
    refused("WIFI:S:home;;", Malformed::UriScheme);
    refused("DPQ:;;", Malformed::UriScheme);
    refused("DPP:V:2;;", Malformed::UriKeyMissing);
    refused(&format!("DPP:{K};{K};;"), Malformed::UriFieldTwice);
    refused(&format!("DPP:V:1;V:1;{K};;"), Malformed::UriFieldTwice);
    refused(&format!("DPP:I:a;{K};I:b;;"), Malformed::UriFieldTwice);
    refused("DPP:K:;;", Malformed::PublicKey);
    refused("DPP:K:%%%%;;", Malformed::UriKeyEncoding);
    refused("DPP:K:AAAA;;", Malformed::PublicKey);
    refused(&HOSTAP.replace("MDkw", "MDkx"), Malformed::PublicKey);
    refused(
        &HOSTAP.replace("KoZIzj0DA", "KoZIzj0DB"),
        Malformed::PublicKey,
    );
    refused(
        &format!("DPP:{}{K};;", " ".repeat(MAX_URI_LENGTH)),
        Malformed::UriTooLong,
    );
    for version in ["", "0", "256", "-1", "2a", "+2"] {
        refused(&format!("DPP:V:{version};{K};;"), Malformed::UriVersion);
    }
    for mac in [
        "",
        "525400",
        "5254005828e5e5",
        "g254005828e5",
        "5254005828e",
    ] {
        refused(&format!("DPP:M:{mac};{K};;"), Malformed::UriMac);
    }
    for channels in [
        "", "1", "81", "/1", "81/", "81/0", "0/1", "81/1,", "81/+1", "256/1", "81/1/2",
    ] {
        refused(&format!("DPP:C:{channels};{K};;"), Malformed::UriChannels);
    }
    let many = format!("81/{}1", "1,".repeat(MAX_CHANNELS));
    refused(&format!("DPP:C:{many};{K};;"), Malformed::UriChannels);
    refused(&format!("DPP:I:caf\u{e9};{K};;"), Malformed::UriInformation);
}

/// SEC 1 §2.3.4: an x that no point of the curve has.
#[test]
fn a_point_off_the_curve_is_refused() {
    let plain = BootstrappingUri::parse(HOSTAP).unwrap();
    let mut der = plain.key().spki_der();
    let last = der.len() - 1;
    let off = (0..=255_u8)
        .find(|octet| {
            der[last] = *octet;
            Point::from_sec1(Curve::P256, &der[last - 32..]).is_err()
        })
        .unwrap();
    der[last] = off;
    refused(
        &format!("DPP:K:{};;", STANDARD.encode(&der)),
        Refusal::PointOffCurve,
    );
}

#[test]
fn information_that_cannot_be_written_is_not_written() {
    for information in ["a;b", "é", "a\n"] {
        let mut uri = full();
        uri.information = Some(information.into());
        assert!(uri.check().is_err(), "{information}");
    }
}

proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}", fields in "([CMIVBHK]:[ -~]{0,40};){0,8}") {
        let _ = BootstrappingUri::parse(&text);
        let _ = BootstrappingUri::parse_strictly(&text);
        let text = format!("DPP:{fields}{K};;");
        if let Ok(uri) = BootstrappingUri::parse_strictly(&text) {
            prop_assert_eq!(BootstrappingUri::parse_strictly(&uri.to_string()), Ok(uri.clone()));
            prop_assert_eq!(BootstrappingUri::parse(&text), Ok(uri));
        }
    }
}
