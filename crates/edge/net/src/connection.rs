//! One server connection, from its first byte to its last.
//!
//! 1. Read the ClientHello. A silent client holds nothing but its place.
//! 2. Wait for a turn; then the handshake, whose signature is the expensive part.
//! 3. Note who the peer is ([`Peer`]).
//! 4. Requests, one after the other, until a limit, the peer or the shutdown ends it.
//! 5. Say goodbye in TLS; after a body that was not read whole, let the client read the answer first.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Sleep, sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use crate::activity::{Activity, InFlight};
use crate::body::{BoundedBody, HoldingBody};
use crate::config::Configurations;
use crate::identity::Identity;
use crate::limits::{Limits, MIN_HEAD_BYTES, STALLED_HANDSHAKE};
use crate::peer::Peer;
use crate::registry::{Place, Registry};
use crate::stats::{Cut, Stats};
use crate::stream::Metered;
use crate::tls::{self, HandshakeFailure};

/// How long the end of a connection may take.
const GOODBYE: Duration = Duration::from_secs(2);

/// Of a body that nobody read to its end, we read this much on, so that the client gets to our answer.
const LINGER_BYTES: u64 = 8 * 1024 * 1024;

/// What all connections of a listener share.
pub(crate) struct Shared {
    pub(crate) limits: Arc<Limits>,
    pub(crate) stats: Stats,
    pub(crate) registry: Arc<Registry>,
    pub(crate) handshakes: Semaphore,
    pub(crate) configurations: Configurations,
    pub(crate) router: Router,
}

/// How far the shutdown has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Serving,
    /// No new requests; those in flight finish.
    Draining,
    /// The grace time is over.
    Over,
}

type Wire = Metered<TcpStream>;

/// Runs one connection to its end.
pub(crate) async fn run(
    wire: Wire,
    addr: SocketAddr,
    connection_id: u64,
    place: Place,
    shared: Arc<Shared>,
    mut stage: watch::Receiver<Stage>,
) {
    let closer = place.closer.clone();
    let (tls, identity) = tokio::select! {
        biased;
        reason = closer.closed() => {
            shared.stats.cut(reason);
            return;
        }
        () = reached(&mut stage, Stage::Draining) => return,
        result = handshake(wire, &place, &shared) => match result {
            Ok(finished) => finished,
            Err(failure) => {
                tracing::debug!(%addr, reason = failure.as_str(), "handshake failed");
                shared.stats.handshake_failed(failure);
                return;
            }
        }
    };
    let session = tls.get_ref().1;
    let chain = tls::read_chain(session.peer_certificates());
    let (Ok(chain), Ok(exporter)) = (chain, tls::exporter(session)) else {
        shared.stats.handshake_failed(HandshakeFailure::Protocol);
        return;
    };
    let peer = Peer {
        chain,
        presented: identity.chain().clone(),
        exporter,
        addr,
        connection_id,
    };
    let (stream, meter) = Metered::new(tls);
    let activity = Arc::new(Activity::new(shared.limits.clone(), meter, place));
    let service = {
        let (shared, activity) = (shared.clone(), activity.clone());
        service_fn(move |request| {
            Box::pin(answer(
                request,
                shared.clone(),
                activity.clone(),
                peer.clone(),
            ))
        })
    };
    let mut http = http1::Builder::new()
        .header_read_timeout(None) // ours distinguishes an idle client from a slow one
        .max_buf_size(shared.limits.head_bytes.max(MIN_HEAD_BYTES))
        .serve_connection(TokioIo::new(stream), service);

    let mut timer = pin!(sleep(shared.limits.idle));
    let (mut closing, mut draining) = (false, false);
    let mut over = stage.clone();
    let cut = loop {
        tokio::select! {
            biased;
            result = poll_fn(|cx| http.poll_without_shutdown(cx)) => {
                if let Err(error) = result {
                    tracing::debug!(%addr, connection_id, %error, "connection failed");
                }
                break None;
            }
            reason = poll_fn(|cx| past_deadline(&activity, timer.as_mut(), cx)) => {
                break Some(reason);
            }
            reason = closer.closed(), if !closing => {
                if !activity.is_answering() {
                    break Some(reason);
                }
                closing = true;
                Pin::new(&mut http).graceful_shutdown();
            }
            () = reached(&mut stage, Stage::Draining), if !draining => {
                draining = true;
                if !activity.is_answering() {
                    break None;
                }
                Pin::new(&mut http).graceful_shutdown();
            }
            () = reached(&mut over, Stage::Over) => break Some(Cut::GraceOver),
        }
    };
    match cut {
        Some(reason) => {
            tracing::debug!(%addr, connection_id, reason = reason.as_str(), "connection cut");
            shared.stats.cut(reason);
        }
        None => {
            let stream = http.into_parts().io.into_inner();
            let _ = timeout(GOODBYE, goodbye(stream, activity.has_unread())).await;
        }
    }
}

/// Waits until the shutdown has come to `wanted`; forever if the server is gone without one.
async fn reached(stage: &mut watch::Receiver<Stage>, wanted: Stage) {
    if stage.wait_for(|stage| *stage >= wanted).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Steps 1 and 2.
async fn handshake(
    wire: Wire,
    place: &Place,
    shared: &Shared,
) -> Result<(TlsStream<Wire>, Arc<Identity>), HandshakeFailure> {
    let finished = async {
        let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), wire).await?;
        let _turn = turn(shared).await;
        place.handshake_turn();
        let (identity, configuration) =
            shared.configurations.current().map_err(io::Error::other)?;
        // The ClientHello is at hand, so the first signature is made by into_stream() itself.
        let accept = async move { hello.into_stream(configuration).await };
        let tls = if identity.signer().may_block() {
            tls::off_reactor(timeout(shared.limits.handshake, accept)).await??
        } else {
            accept.await
        }?;
        io::Result::Ok((tls, identity))
    };
    match timeout(shared.limits.handshake, finished).await {
        Ok(Ok(finished)) => Ok(finished),
        Ok(Err(error)) => Err(HandshakeFailure::from_io(&error)),
        Err(_) => Err(HandshakeFailure::Slow),
    }
}

/// Waits for a turn, and meanwhile for handshakes that wait for nobody but a silent client.
async fn turn(shared: &Shared) -> Option<SemaphorePermit<'_>> {
    let mut turn = pin!(shared.handshakes.acquire());
    loop {
        tokio::select! {
            biased;
            turn = turn.as_mut() => return turn.ok(),
            () = sleep(STALLED_HANDSHAKE / 4) => shared.registry.close_stalled_handshake(),
        }
    }
}

fn past_deadline(
    activity: &Activity,
    mut timer: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
) -> Poll<Cut> {
    let Some((deadline, reason)) = activity.deadline() else {
        return Poll::Pending;
    };
    if timer.deadline() != deadline {
        timer.as_mut().reset(deadline);
    }
    timer.poll(cx).map(|()| reason)
}

/// Step 4, once: the limits around the router's answer.
async fn answer(
    mut request: Request<Incoming>,
    shared: Arc<Shared>,
    activity: Arc<Activity>,
    peer: Peer,
) -> Result<Response<HoldingBody<InFlight>>, Infallible> {
    let (number, in_flight) = activity.begin();
    shared.stats.request();
    let limit = shared.limits.body_bytes;
    request.extensions_mut().insert(peer);
    let request = request.map(|body| {
        Body::new(BoundedBody::new(
            body,
            shared.limits.clone(),
            activity.clone(),
        ))
    });
    let mut response = match shared.router.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let spoiled = activity.spoiled();
    if let Some(reason) = spoiled {
        shared.stats.cut(reason);
        response = refusal(reason, limit);
    }
    let last = shared
        .limits
        .requests_per_connection
        .is_some_and(|limit| number >= limit);
    if last || spoiled.is_some() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response.map(|body| HoldingBody::new(body, in_flight)))
}

fn refusal(reason: Cut, limit: usize) -> Response<Body> {
    let (status, text) = match reason {
        Cut::SlowBody => (
            StatusCode::REQUEST_TIMEOUT,
            "the request body came too slowly".to_owned(),
        ),
        _ => (
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the request body is larger than {limit} bytes"),
        ),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

/// Step 5. Closing a socket with unread bytes in it resets the connection, and the client might
/// lose the answer that says why.
async fn goodbye(mut stream: impl AsyncRead + AsyncWrite + Unpin, linger: bool) -> io::Result<()> {
    stream.shutdown().await?;
    if linger {
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await?;
    }
    Ok(())
}
