//! Birth at the factory line: the key is made on the device and never leaves it (key origin
//! `device`, or `hardware` in a token or TPM).
//!
//! 1. The key is made in the key store named, or found there from a run that was broken off; with it a
//!    bootstrapping key for Wi-Fi Easy Connect, if the device is to have one.
//! 2. A request with its proof of possession goes to the line, over TLS with the station's
//!    identity: `POST /line/v1/identities`, `application/pkcs10`.
//! 3. The answer's certificate is for this key and this serial number.
//! 4. The birth folder is written, `device.toml` last.
//!
//! The same key asks again and gets the same certificate, so all of it can be repeated.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header};
use serde::Deserialize;
use vouchsafe_dpp::Curve;
use vouchsafe_keystore::{Algorithm, KeyStore, StoreKind, StoreUri};
use vouchsafe_net::{
    ClientError, Clock, Connector, ConnectorOptions, Identity, Origin, ServerTrust,
};
use vouchsafe_trust::{
    Anchors, Certificate, CertificateRequest, Name, RequestContent, Signer, oid,
};

use crate::birth::{Birth, DeviceFile, FOLDER, read};
use crate::error::LocalError;
use crate::event::{Event, Events, Record};
use crate::folder::Folder;
use crate::keys::blocking;
use crate::wifi::key;

/// Where stations post.
const PATH: &str = "/line/v1/identities";

/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// Where a station's key is, seen from its folder.
const STATION_KEYS: &str = "file:keys?sealing-key=sealing.key";

/// What is to be born, and where.
#[derive(Debug, Clone)]
pub struct NewDevice {
    /// The agent's folder.
    pub dir: PathBuf,
    /// The product's serial number.
    pub serial: String,
    /// What kind of device it is.
    pub model: Option<String>,
    /// Address of the key store; relative paths are taken from the birth folder.
    pub key_store: String,
    /// The key's label.
    pub key_label: String,
    /// The kind of key.
    pub algorithm: Algorithm,
    /// The curve of a bootstrapping key for Wi-Fi Easy Connect that is made too, as `P-256`.
    pub dpp_curve: Option<String>,
    /// Whether that key is made in the key store, which it then never leaves if that is hardware.
    pub dpp_in_store: bool,
    /// The line.
    pub line: Origin,
    /// The station's folder: `station.pem`, and its key under the label `station` in `keys/`.
    pub station: PathBuf,
    /// The line's CA certificate; the station's `line-ca.pem` when absent.
    pub line_anchor: Option<PathBuf>,
}

impl NewDevice {
    /// What the bootstrapping key is called in the key store. Several devices may share one token.
    fn dpp_label(&self) -> String {
        format!("{}.dpp", self.key_label)
    }
}

/// Why a device was not born.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BirthError {
    /// The device's folder or key, or the station's.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// The line could not be reached.
    #[error("the line does not answer: {0}")]
    Connection(#[from] ClientError),
    /// The line said no.
    #[error("the line answered {status}: {said}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// The line's answer cannot be used.
    #[error("the line's answer cannot be used: {0}")]
    Answer(String),
}

/// What the line answers; more fields are its business.
#[derive(Debug, Deserialize)]
struct Answer {
    chain: String,
    masa_anchors: String,
}

/// Steps 1 to 4.
///
/// # Errors
/// [`BirthError`]; [`LocalError::Born`] when there is a birth folder already.
pub async fn be_born(device: &NewDevice, clock: &Clock, events: &Events) -> Result<(), BirthError> {
    let write = |source| LocalError::Write {
        path: device.dir.clone(),
        source,
    };
    std::fs::create_dir_all(&device.dir).map_err(write)?;
    let _folder = Folder::open(&device.dir)?;
    let folder = device.dir.join(FOLDER);
    if folder.join("device.toml").exists() {
        return Err(LocalError::Born(device.dir.clone()).into());
    }
    // 1
    let (signer, kind) = key(device, &folder).await?;
    let dpp_uri = bootstrapping_key(device, &folder).await?;
    // 2
    let answer = ask(device, clock, &signer, kind, dpp_uri.as_deref()).await?;
    // 3
    let chain = certificates(&answer.chain)?;
    let anchors = certificates(&answer.masa_anchors)?;
    check(device, &chain, &*signer)?;
    // 4
    let file = DeviceFile {
        serial: device.serial.clone(),
        model: device.model.clone(),
        key_store: device.key_store.clone(),
        key_label: device.key_label.clone(),
        dpp_key: (device.dpp_in_store && dpp_uri.is_some()).then(|| device.dpp_label()),
        dpp_uri,
    };
    Birth::write(&device.dir, &file, &chain, &anchors)?;
    events.tell(&Record {
        at: clock.now(),
        serial: device.serial.clone(),
        event: Event::Born { keys: kind.name() },
    });
    Ok(())
}

async fn key(
    device: &NewDevice,
    folder: &Path,
) -> Result<(Arc<dyn Signer>, StoreKind), LocalError> {
    let mut uri: StoreUri = device
        .key_store
        .parse()
        .map_err(vouchsafe_keystore::Error::from)?;
    uri.resolve_from(folder);
    let (label, algorithm) = (device.key_label.clone(), device.algorithm);
    let made = blocking(move || {
        let store = KeyStore::open_uri(&uri)?;
        let signer = match store.load(&label) {
            Err(vouchsafe_keystore::Error::NotFound { .. }) => store.create(&label, algorithm),
            loaded => loaded,
        };
        signer.map(|signer| (signer, store.kind()))
    });
    Ok(made.await??)
}

/// Step 1 for the bootstrapping key, if there is to be one: in a sealed file, or where the birth key
/// is.
async fn bootstrapping_key(
    device: &NewDevice,
    folder: &Path,
) -> Result<Option<String>, LocalError> {
    let Some(named) = &device.dpp_curve else {
        return Ok(None);
    };
    let curve = Curve::from_jwk_name(named)
        .filter(|curve| curve.is_available())
        .ok_or_else(|| LocalError::Config {
            key: "dpp",
            why: format!("{named:?} is no curve: P-256, P-384, P-521, BP-256 or BP-384"),
        })?;
    let mut uri: StoreUri = device
        .key_store
        .parse()
        .map_err(vouchsafe_keystore::Error::from)?;
    uri.resolve_from(folder);
    let (folder, serial) = (folder.to_owned(), device.serial.clone());
    let label = device.dpp_in_store.then(|| device.dpp_label());
    blocking(move || match label {
        Some(label) => key::make_in_store(&uri, &label, curve, &serial),
        None => key::make(&folder, &uri, curve, &serial),
    })
    .await?
    .map(Some)
}

async fn ask(
    device: &NewDevice,
    clock: &Clock,
    signer: &Arc<dyn Signer>,
    kind: StoreKind,
    dpp_uri: Option<&str>,
) -> Result<Answer, BirthError> {
    let sign = |error: vouchsafe_trust::IssueError| LocalError::Sign(error.to_string());
    let subject = Name::new(&[(oid::SERIAL_NUMBER, &device.serial)]).map_err(sign)?;
    let content = RequestContent::new(subject);
    let signing = Arc::clone(signer);
    let request = blocking(move || CertificateRequest::build(&content, &*signing)).await?;
    let request = request.map_err(sign)?;
    let origin = match kind {
        StoreKind::File => "device",
        _ => "hardware",
    };
    let mut path = format!("{PATH}?serial={}&origin={origin}", escape(&device.serial));
    if let Some(model) = &device.model {
        path.push_str(&format!("&model={}", escape(model)));
    }
    if let Some(uri) = dpp_uri {
        path.push_str(&format!("&dpp={}", escape(uri)));
    }
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, "application/pkcs10")
        .header(header::ACCEPT, "application/json")
        .body(Bytes::from(request))
        .map_err(|error| LocalError::Sign(error.to_string()))?;
    let mut connection = connector(device, clock)
        .await?
        .connect(&device.line)
        .await?;
    let response = connection.request(request).await?;
    if !response.status().is_success() {
        let said = String::from_utf8_lossy(response.body());
        let said = said.chars().filter(|c| !c.is_control()).take(400).collect();
        return Err(BirthError::Refused {
            status: response.status().as_u16(),
            said,
        });
    }
    serde_json::from_slice(response.body()).map_err(|error| BirthError::Answer(error.to_string()))
}

async fn connector(device: &NewDevice, clock: &Clock) -> Result<Connector, LocalError> {
    let (station, anchor) = (device.station.clone(), device.line_anchor.clone());
    let (chain, anchors, signer) = blocking(move || {
        let file = station.join("station.pem");
        let chain = pem_file(&file)?;
        let anchor = anchor.unwrap_or_else(|| station.join("line-ca.pem"));
        let anchors = Anchors::new(pem_file(&anchor)?)
            .map_err(|error| LocalError::damaged(&anchor, error))?;
        let mut uri: StoreUri = STATION_KEYS
            .parse()
            .map_err(vouchsafe_keystore::Error::from)?;
        uri.resolve_from(&station);
        let signer = KeyStore::open_uri(&uri)?.load("station")?;
        Ok::<_, LocalError>((chain, anchors, signer))
    })
    .await??;
    let identity = Identity::new(chain, signer)?;
    let mut options = ConnectorOptions::new(ServerTrust::Anchors(anchors)).with_identity(identity);
    options.response_bytes = MAX_ANSWER_BYTES;
    options.clock = clock.clone();
    Ok(Connector::new(options))
}

fn check(device: &NewDevice, chain: &[Certificate], signer: &dyn Signer) -> Result<(), BirthError> {
    let wrong = |why: &str| Err(BirthError::Answer(why.to_owned()));
    match chain.first() {
        None => wrong("it holds no certificate"),
        Some(leaf) if leaf.public_key() != signer.public_key() => {
            wrong("the certificate is for another key")
        }
        Some(leaf) if leaf.subject_serial_number() != Some(&device.serial) => {
            wrong("the certificate is for another serial number")
        }
        Some(_) => Ok(()),
    }
}

fn pem_file(path: &Path) -> Result<Vec<Certificate>, LocalError> {
    Certificate::many_from_pem(&read(path)?).map_err(|error| LocalError::damaged(path, error))
}

fn certificates(pem: &str) -> Result<Vec<Certificate>, BirthError> {
    match Certificate::many_from_pem(pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(BirthError::Answer(
            "a list of certificates is empty".to_owned(),
        )),
        Err(error) => Err(BirthError::Answer(error.to_string())),
    }
}

/// A value of a query (RFC 3986 §2.3).
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn a_serial_number_cannot_add_to_the_query() {
        assert_eq!(escape("PID:C9 SN&origin=x"), "PID%3AC9%20SN%26origin%3Dx");
        assert_eq!(escape("JADA-0001_a.b~"), "JADA-0001_a.b~");
    }
}
