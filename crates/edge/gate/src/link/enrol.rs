//! How a gate gets its certificate, once by a token and later by the certificate itself (RFC 7030).
//!
//! 1. The domain CA is what the administrator says it is: a file, or a fingerprint under which it is
//!    picked from `cacerts`. There is no way without.
//! 2. The controller must show a registrar's certificate of that CA; nobody else of the domain, and no
//!    other gate, hears the token.
//! 3. A key is made in the gate's key store.
//! 4. `simpleenroll` with the gate's name and its token (§3.2.3), or `simplereenroll` with the
//!    certificate in force (§4.2.2).
//! 5. The certificate is for this key and this name, by this CA, good as server and as client.
//! 6. Anchor and identity are written down. Only then an older key is destroyed.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, header};
use vouchsafe_brski::est::{self, Operation};
use vouchsafe_keystore::Algorithm;
use vouchsafe_net::{Clock, Connection, Connector, ConnectorOptions, Origin, ServerTrust};
use vouchsafe_trust::{
    Anchors, Certificate, CertificateRequest, Name, PathRules, RequestContent, Secret, Signer,
    Usage, verify_path,
};

use super::error::LinkError;
use super::folder::{LinkFolder, StoredIdentity};
use crate::error::GateError;
use crate::random;

/// Largest answer, in octets.
const MAX_ANSWER: usize = 256 * 1024;

/// How the administrator says which domain CA is the right one.
#[derive(Debug, Clone)]
pub enum DomainAnchor {
    /// Its certificate.
    Certificate(Box<Certificate>),
    /// The SHA-256 of its certificate.
    Fingerprint([u8; 32]),
}

/// What `vouchsafe-gate enrol` is given.
#[derive(Debug)]
pub struct Enrolment {
    /// The controller's registrar.
    pub controller: Origin,
    /// The gate's name there.
    pub name: String,
    /// The token that the controller gave for it.
    pub token: Secret,
    /// The domain CA.
    pub anchor: DomainAnchor,
    /// The key store's address.
    pub keys: String,
}

/// What came of it.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// The gate's certificate.
    pub certificate: Certificate,
    /// The domain CA.
    pub anchor: Certificate,
}

/// Steps 1 to 6 for the gate in `dir`.
///
/// # Errors
/// [`LinkError`]; nothing was written but a key that nothing uses.
pub async fn enrol(dir: &Path, wanted: Enrolment, clock: &Clock) -> Result<Enrolled, LinkError> {
    let folder = LinkFolder::of(dir);
    // 1
    let anchor = match wanted.anchor {
        DomainAnchor::Certificate(anchor) => *anchor,
        DomainAnchor::Fingerprint(wanted_one) => {
            pick(&wanted.controller, &wanted_one, clock).await?
        }
    };
    // 2
    let options = options(ServerTrust::Registrar(Anchors::one(anchor.clone())), clock);
    let connection = connect(&Connector::new(options), &wanted.controller).await?;
    // 3, 4
    let credentials = Secret::new([wanted.name.as_bytes(), b":", wanted.token.expose()].concat());
    let basic = format!("Basic {}", STANDARD.encode(credentials.expose()));
    let asked = Asked {
        operation: Operation::SimpleEnroll,
        authorization: Some(basic),
        subject: Name::common(&wanted.name).map_err(unusable)?,
        extensions: Vec::new(),
    };
    let fresh = obtain(&folder, &wanted.keys, connection, asked, &anchor, clock).await?;
    // 6
    let earlier = folder.stored_identity().ok();
    folder.put_anchor(&anchor)?;
    folder.put_identity(&StoredIdentity {
        gate: wanted.name,
        controller: wanted.controller.to_string(),
        keys: wanted.keys,
        label: fresh.label,
        chain: pem(&fresh.chain),
    })?;
    forget(&folder, earlier);
    Ok(Enrolled {
        certificate: fresh.leaf,
        anchor,
    })
}

/// Steps 2 to 6 for a gate that has a certificate.
pub(crate) async fn renew(
    folder: &LinkFolder,
    controller: &Origin,
    clock: &Clock,
) -> Result<Certificate, LinkError> {
    let anchor = folder.anchor()?;
    let stored = folder.stored_identity()?;
    let identity = folder.identity()?;
    let current = identity.chain().first().cloned();
    let current = current.ok_or_else(|| unusable("the gate's chain is empty"))?;
    let options = options(ServerTrust::Registrar(Anchors::one(anchor.clone())), clock)
        .with_identity(identity);
    let connection = connect(&Connector::new(options), controller).await?;
    let names = current.extension(&vouchsafe_trust::oid::SUBJECT_ALT_NAME);
    let asked = Asked {
        operation: Operation::SimpleReenroll,
        authorization: None,
        subject: current.subject().clone(),
        extensions: names.cloned().into_iter().collect(),
    };
    let fresh = obtain(folder, &stored.keys, connection, asked, &anchor, clock).await?;
    folder.put_identity(&StoredIdentity {
        label: fresh.label,
        chain: pem(&fresh.chain),
        ..stored.clone()
    })?;
    forget(folder, Some(stored));
    Ok(fresh.leaf)
}

/// What is asked for.
struct Asked {
    operation: Operation,
    authorization: Option<String>,
    subject: Name,
    extensions: Vec<vouchsafe_trust::Extension>,
}

/// A certificate that was checked, and where its key is.
struct Fresh {
    label: String,
    leaf: Certificate,
    chain: Vec<Certificate>,
}

/// Steps 3 to 5.
async fn obtain(
    folder: &LinkFolder,
    keys: &str,
    mut connection: Connection,
    asked: Asked,
    anchor: &Certificate,
    clock: &Clock,
) -> Result<Fresh, LinkError> {
    let store = folder.key_store(keys)?;
    let label = format!("gate-{}", hex::encode(random::bytes::<8>()?));
    let signer = store
        .create(&label, Algorithm::EcdsaP256)
        .map_err(GateError::from)?;
    let content = RequestContent {
        extensions: asked.extensions.clone(),
        ..RequestContent::new(asked.subject.clone())
    };
    let request = CertificateRequest::build(&content, &*signer).map_err(unusable)?;
    let came = async {
        let certificates = post(&mut connection, &asked, &request).await?;
        check(&certificates, &signer, anchor, clock)
    };
    match came.await {
        Ok((leaf, chain)) => Ok(Fresh { label, leaf, chain }),
        Err(error) => {
            // Nothing uses it.
            if let Err(error) = store.delete(&label) {
                tracing::warn!(%error, label, "a key that nothing uses stays");
            }
            Err(error)
        }
    }
}

async fn post(
    connection: &mut Connection,
    asked: &Asked,
    request: &[u8],
) -> Result<Vec<Certificate>, LinkError> {
    let controller = connection.origin().to_string();
    let path = format!("{}/{}", est::PATH, asked.operation.name());
    let mut builder = Request::post(path)
        .header(header::CONTENT_TYPE, est::MEDIA_TYPE_REQUEST)
        .header(header::ACCEPT, est::MEDIA_TYPE_CERTS_ONLY);
    if let Some(authorization) = &asked.authorization {
        builder = builder.header(header::AUTHORIZATION, authorization);
    }
    let request = builder
        .body(Bytes::from(est::encode_body(request)))
        .map_err(|error| LinkError::answer(&controller, error))?;
    let answer = connection
        .request(request)
        .await
        .map_err(|source| LinkError::Connection {
            controller: controller.clone(),
            source,
        })?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(LinkError::answered(&controller, status, answer.body()));
    }
    est::parse_certs_only(answer.body()).map_err(|error| LinkError::message(&controller, &error))
}

/// Step 5. What comes back is the leaf, and the path without its anchor.
fn check(
    certificates: &[Certificate],
    signer: &Arc<dyn Signer>,
    anchor: &Certificate,
    clock: &Clock,
) -> Result<(Certificate, Vec<Certificate>), LinkError> {
    let leaf = certificates
        .iter()
        .find(|certificate| certificate.public_key() == signer.public_key())
        .ok_or_else(|| unusable("it is for another key"))?;
    let between: Vec<_> = certificates
        .iter()
        .filter(|certificate| *certificate != leaf)
        .cloned()
        .collect();
    let anchors = Anchors::one(anchor.clone());
    let mut chain = Vec::new();
    for usage in [Usage::TlsClient, Usage::TlsServer] {
        let rules = PathRules::strict(clock.now(), usage);
        let path = verify_path(leaf, &between, &anchors, &rules).map_err(unusable)?;
        chain = path.certificates().to_vec();
    }
    if chain.len() > 1 {
        chain.pop();
    }
    Ok((leaf.clone(), chain))
}

/// Step 1 by fingerprint: nothing is believed of this connection but what has it.
async fn pick(
    controller: &Origin,
    wanted: &[u8; 32],
    clock: &Clock,
) -> Result<Certificate, LinkError> {
    let connector = Connector::new(options(ServerTrust::Provisional, clock));
    let mut connection = connect(&connector, controller).await?;
    let named = controller.to_string();
    let path = format!("{}/{}", est::PATH, Operation::CaCerts.name());
    let request = Request::get(path)
        .body(Bytes::new())
        .map_err(|error| LinkError::answer(&named, error))?;
    let answer = connection
        .request(request)
        .await
        .map_err(|source| LinkError::Connection {
            controller: named.clone(),
            source,
        })?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(LinkError::answered(&named, status, answer.body()));
    }
    let certificates =
        est::parse_certs_only(answer.body()).map_err(|error| LinkError::message(&named, &error))?;
    let found = certificates.first().map(Certificate::fingerprint_sha256);
    certificates
        .into_iter()
        .find(|certificate| certificate.fingerprint_sha256() == *wanted && certificate.is_ca())
        .ok_or_else(|| LinkError::OtherDomain {
            controller: named,
            found: found.map(hex::encode).unwrap_or_default(),
        })
}

pub(super) fn options(trust: ServerTrust, clock: &Clock) -> ConnectorOptions {
    let mut options = ConnectorOptions::new(trust);
    options.clock = clock.clone();
    options.response_bytes = MAX_ANSWER;
    options
}

pub(super) async fn connect(
    connector: &Connector,
    controller: &Origin,
) -> Result<Connection, LinkError> {
    let connected = connector.connect(controller).await;
    connected.map_err(|source| LinkError::Connection {
        controller: controller.to_string(),
        source,
    })
}

fn forget(folder: &LinkFolder, earlier: Option<StoredIdentity>) {
    let Some(earlier) = earlier else { return };
    let deleted = folder
        .key_store(&earlier.keys)
        .and_then(|store| Ok(store.delete(&earlier.label)?));
    if let Err(error) = deleted {
        tracing::warn!(%error, label = earlier.label, "a key that nothing uses stays");
    }
}

fn pem(chain: &[Certificate]) -> String {
    chain.iter().map(Certificate::pem).collect()
}

fn unusable(problem: impl ToString) -> LinkError {
    LinkError::Certificate(problem.to_string())
}
