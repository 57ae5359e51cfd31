//! A copied birth certificate: it is public, so anybody may have it. The key is not.
//!
//! 1. Connect to the registrar with the device's certificate; TLS wants a signature by its key
//!    (RFC 8446 §4.4.3), and gets one by another.
//! 2. Ask for a voucher all the same.
//! 3. Say how far it went.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Request, header};
use serde_json::json;
use vouchsafe_brski::{Encoding, PATH_REQUEST_VOUCHER};
use vouchsafe_net::{Connector, ConnectorOptions, Identity, Origin, ServerTrust};
use vouchsafe_trust::{Certificate, PublicKey, SignError, SignatureAlgorithm, Signer};

use super::{pretender, say};

/// What the attacker has.
#[derive(Debug, clap::Args)]
pub struct CopiedCertificate {
    /// The device's birth certificate, PEM.
    #[arg(long)]
    idevid: PathBuf,
    /// The registrar to get into.
    #[arg(long)]
    registrar: Origin,
}

/// Shows somebody else's certificate and signs with a key of its own.
#[derive(Debug)]
struct Impostor {
    claims: PublicKey,
    own: Arc<dyn Signer>,
}

impl Signer for Impostor {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.own.algorithm()
    }

    fn public_key(&self) -> &PublicKey {
        &self.claims
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        self.own.sign(message)
    }
}

impl CopiedCertificate {
    pub(super) async fn run(&self) -> anyhow::Result<()> {
        let pem = std::fs::read_to_string(&self.idevid)
            .with_context(|| format!("reading {}", self.idevid.display()))?;
        let chain = Certificate::many_from_pem(&pem)?;
        let victim = chain.first().context("no certificate")?.clone();
        let impostor = Impostor {
            claims: victim.public_key().clone(),
            own: pretender::fresh_signer()?,
        };
        let identity = Identity::new(chain, Arc::new(impostor))?;
        let serial = victim.subject_serial_number();
        // 1
        let options = ConnectorOptions::new(ServerTrust::Provisional).with_identity(identity);
        let connected = Connector::new(options).connect(&self.registrar).await;
        // 2: with TLS 1.3 the server's verdict arrives after the handshake.
        let ended = match connected {
            Ok(mut connection) => {
                let request = Request::post(PATH_REQUEST_VOUCHER)
                    .header(header::CONTENT_TYPE, Encoding::CmsJson.media_type())
                    .body(Bytes::from_static(b"let me in"))?;
                connection.request(request).await
            }
            Err(error) => Err(error),
        };
        // 3
        match ended {
            Err(vouchsafe_net::ClientError::Handshake(failure)) => {
                let why = failure.to_string();
                say(&json!({
                    "event": "refused",
                    "serial": serial,
                    "by": "tls",
                    "why": why,
                    "section": "RFC 8446 §4.4.3",
                }));
            }
            Ok(response) => {
                let status = response.status().as_u16();
                say(&json!({ "event": "let-in", "serial": serial, "status": status }));
            }
            Err(error) => bail!("the attack did not even reach the registrar: {error}"),
        }
        Ok(())
    }
}
