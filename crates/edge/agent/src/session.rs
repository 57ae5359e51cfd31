//! Requests to one registrar on one connection (RFC 8995 §5), and what its answers mean.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, header};
use vouchsafe_net::{ClientError, Connection, Connector, ConnectorOptions, Origin};
use vouchsafe_trust::Certificate;

use crate::error::{Failure, LocalError, Step};

/// The largest answer that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// The longest explanation of a registrar that is kept, in bytes.
const MAX_SAID: usize = 400;

/// A connection, and how to make it again.
#[derive(Debug)]
pub(crate) struct Session {
    connector: Connector,
    addr: Option<SocketAddr>,
    connection: Connection,
    /// The first certificate that the server showed on the first connection.
    shown: Certificate,
}

/// An answer, checked for nothing but its size.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) location: Option<String>,
    pub(crate) body: Bytes,
}

impl Session {
    pub(crate) async fn open(
        mut options: ConnectorOptions,
        origin: &Origin,
        addr: Option<SocketAddr>,
    ) -> Result<Self, Failure> {
        options.response_bytes = MAX_ANSWER_BYTES;
        let connector = Connector::new(options);
        let connection = connect(&connector, origin, addr).await?;
        let shown = leaf(&connection)?;
        Ok(Self {
            connector,
            addr,
            connection,
            shown,
        })
    }

    pub(crate) fn origin(&self) -> &Origin {
        self.connection.origin()
    }

    pub(crate) fn server(&self) -> &Certificate {
        &self.shown
    }

    pub(crate) fn server_chain(&self) -> Vec<Certificate> {
        self.connection.server_chain().to_vec()
    }

    /// The channel binding of the connection that the next request uses.
    pub(crate) async fn exporter(&mut self) -> Result<[u8; 32], Failure> {
        self.ensure_open().await?;
        Ok(self.connection.exporter())
    }

    pub(crate) async fn get(&mut self, path: &str, accept: &str) -> Result<Reply, Failure> {
        let request = Request::get(path)
            .header(header::ACCEPT, accept)
            .body(Bytes::new());
        self.send(request).await
    }

    pub(crate) async fn post(
        &mut self,
        path: &str,
        content_type: &str,
        accept: &str,
        body: impl Into<Bytes>,
    ) -> Result<Reply, Failure> {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, content_type)
            .header(header::ACCEPT, accept)
            .body(body.into());
        self.send(request).await
    }

    async fn send(
        &mut self,
        request: Result<Request<Bytes>, http::Error>,
    ) -> Result<Reply, Failure> {
        let request = request.map_err(|error| LocalError::Sign(error.to_string()))?;
        self.ensure_open().await?;
        Ok(Reply::read(self.connection.request(request).await?))
    }

    /// A server may close a kept connection. The next one must be the same server's (RFC 8995 §5).
    async fn ensure_open(&mut self) -> Result<(), Failure> {
        if self.connection.is_open() {
            return Ok(());
        }
        let origin = self.connection.origin().clone();
        let connection = connect(&self.connector, &origin, self.addr).await?;
        if leaf(&connection)? != self.shown {
            return Err(Failure::OtherRegistrar);
        }
        self.connection = connection;
        Ok(())
    }
}

impl Reply {
    fn read(response: Response<Bytes>) -> Self {
        let text = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let retry_after = text(header::RETRY_AFTER)
            .and_then(|value| value.trim().parse::<u64>().ok())
            .map(Duration::from_secs);
        Self {
            status: response.status().as_u16(),
            content_type: text(header::CONTENT_TYPE).unwrap_or_default().to_owned(),
            retry_after,
            location: text(header::LOCATION).map(str::to_owned),
            body: response.into_body(),
        }
    }

    /// What the server said, as one line that is safe to print.
    pub(crate) fn said(&self) -> String {
        let body = self.body.get(..MAX_SAID).unwrap_or(&self.body);
        let text: String = String::from_utf8_lossy(body)
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        text.trim().to_owned()
    }

    /// The answer as a refusal.
    pub(crate) fn refusal(&self, step: Step) -> Failure {
        Failure::Answered {
            step,
            status: self.status,
            said: self.said(),
        }
    }

    /// 200, or a refusal.
    pub(crate) fn success(self, step: Step) -> Result<Self, Failure> {
        match self.status {
            200 => Ok(self),
            _ => Err(self.refusal(step)),
        }
    }
}

async fn connect(
    connector: &Connector,
    origin: &Origin,
    addr: Option<SocketAddr>,
) -> Result<Connection, ClientError> {
    match addr {
        Some(addr) => connector.connect_at(addr, origin).await,
        None => connector.connect(origin).await,
    }
}

fn leaf(connection: &Connection) -> Result<Certificate, Failure> {
    let shown = connection.server_chain().first().cloned();
    shown.ok_or_else(|| ClientError::Closed { answered: true }.into())
}
