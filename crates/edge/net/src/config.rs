//! The TLS configuration of a listener, made once for each identity it has had.

use std::sync::{Arc, Mutex, PoisonError};

use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerSessionMemoryCache};
use rustls::{ServerConfig, server::NoClientAuth};
use vouchsafe_trust::Anchors;

use crate::clock::Clock;
use crate::identity::{Identity, Presents, ReloadableIdentity};
use crate::tls::{TlsVersions, provider};
use crate::verify::{AnyClient, KnownClient};

/// Sessions kept for resumption where a listener allows it.
const RESUMABLE_SESSIONS: usize = 1024;

/// What a listener asks of its clients.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// No certificate is asked for.
    None,
    /// A certificate is asked for; none is fine, and so is any chain whose leaf key the client
    /// holds, whoever signed it: the handler judges it. No issuers are hinted.
    Optional,
    /// A certificate that leads to these anchors by the strict rules, or no connection.
    Required(Anchors),
}

/// Makes and keeps the current configuration.
#[derive(Debug)]
pub(crate) struct Configurations {
    identity: ReloadableIdentity,
    verifier: Arc<dyn ClientCertVerifier>,
    provider: Arc<CryptoProvider>,
    versions: TlsVersions,
    protocols: Vec<Vec<u8>>,
    resumption: bool,
    clock: Clock,
    current: Mutex<Option<(Arc<Identity>, Arc<ServerConfig>)>>,
}

impl Configurations {
    pub(crate) fn new(
        identity: ReloadableIdentity,
        client_auth: &ClientAuth,
        versions: TlsVersions,
        resumption: bool,
        clock: Clock,
    ) -> Self {
        let provider = provider();
        let verifier: Arc<dyn ClientCertVerifier> = match client_auth {
            ClientAuth::None => Arc::new(NoClientAuth),
            ClientAuth::Optional => AnyClient::new(&provider),
            ClientAuth::Required(anchors) => KnownClient::new(anchors.clone(), &provider),
        };
        // A resumed session skips the client's proof of its key, so it is for clients without one.
        let resumption = resumption && matches!(client_auth, ClientAuth::None);
        let current = Mutex::new(None);
        Self {
            identity,
            verifier,
            provider,
            versions,
            protocols: vec![b"http/1.1".to_vec()],
            resumption,
            clock,
            current,
        }
    }

    /// For what is not HTTP and names no protocol (RFC 7301).
    pub(crate) fn without_protocols(mut self) -> Self {
        self.protocols.clear();
        self
    }

    /// The identity for a connection that begins now, and the configuration that presents it.
    pub(crate) fn current(&self) -> Result<(Arc<Identity>, Arc<ServerConfig>), rustls::Error> {
        let identity = self.identity.current();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((made_for, configuration)) = &*current
            && Arc::ptr_eq(made_for, &identity)
        {
            return Ok((identity, configuration.clone()));
        }
        let configuration = Arc::new(self.make(&identity)?);
        *current = Some((identity.clone(), configuration.clone()));
        Ok((identity, configuration))
    }

    fn make(&self, identity: &Identity) -> Result<ServerConfig, rustls::Error> {
        let clock = Arc::new(self.clock.clone());
        let mut configuration = ServerConfig::builder_with_details(self.provider.clone(), clock)
            .with_protocol_versions(self.versions.supported())?
            .with_client_cert_verifier(self.verifier.clone())
            .with_cert_resolver(Arc::new(Presents(identity.certified_key())));
        configuration.alpn_protocols.clone_from(&self.protocols);
        if self.resumption {
            configuration.session_storage = ServerSessionMemoryCache::new(RESUMABLE_SESSIONS);
        } else {
            configuration.session_storage = Arc::new(NoServerSessionStorage {});
            configuration.send_tls13_tickets = 0;
        }
        Ok(configuration)
    }
}
