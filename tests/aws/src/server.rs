//! One HTTP server for all services: a thread of its own, a log of what was asked.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// An error of a body or a handler: the connection ends with it.
pub type Failure = std::io::Error;

/// Any error as a [`Failure`].
pub fn failure(error: impl std::fmt::Debug) -> Failure {
    Failure::other(format!("{error:?}"))
}

/// The body of an answer.
pub type Answer = Response<UnsyncBoxBody<Bytes, Failure>>;

/// Answers one request. An error, or [`Hang::reset`], ends the connection instead.
pub type Handler =
    Arc<dyn Fn(Request<Incoming>, Hang) -> BoxFuture<'static, Result<Answer, Failure>> + Send + Sync>;

/// Whether the connection ends with a reset in place of a proper close.
#[derive(Debug, Clone, Default)]
pub struct Hang(Arc<AtomicBool>);

impl Hang {
    /// When the connection is dropped, the other side is told so by a TCP reset.
    pub fn reset(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A request that a server got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Path and query, as they came.
    pub path: String,
    /// Operation of a JSON service, such as `AmazonSQS.ReceiveMessage`.
    pub target: Option<String>,
}

/// A running server. It ends when this is dropped.
#[derive(Debug)]
pub struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts a server on a free port of the loopback address.
    ///
    /// # Panics
    /// There is no thread or port to be had.
    pub fn start(handler: Handler) -> Self {
        // Its own threads: a test that blocks, or waits for a child process, is still answered.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("test-aws")
            .enable_all()
            .build()
            .expect("a runtime");
        let listener =
            std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
        listener
            .set_nonblocking(true)
            .expect("a listener that does not block");
        let address = listener.local_addr().expect("an address");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            while let Ok((stream, _)) = listener.accept().await {
                let _ = stream.set_nodelay(true);
                tokio::spawn(connection(stream, handler.clone(), log.clone()));
            }
        });
        Server {
            url: format!("http://{address}"),
            asked,
            runtime: Some(runtime),
        }
    }

    /// Where it listens, for `--endpoint-url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        locked(&self.asked).clone()
    }

    /// Requests so far whose method, path and target `is_one` accepts.
    pub fn count(&self, is_one: impl Fn(&Asked) -> bool) -> usize {
        locked(&self.asked).iter().filter(|asked| is_one(asked)).count()
    }

    /// Listings of buckets so far.
    pub fn lists(&self) -> usize {
        self.count(|asked| asked.method == "GET" && asked.path.contains("list-type=2"))
    }

    /// Reads of objects so far.
    pub fn gets(&self) -> usize {
        self.count(|asked| asked.method == "GET" && asked.path.contains("x-id=GetObject"))
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        locked(&self.asked).clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn connection(stream: TcpStream, handler: Handler, log: Arc<Mutex<Vec<Asked>>>) {
    let hang = Hang::default();
    let io = TokioIo::new(Socket {
        stream,
        hang: hang.clone(),
    });
    let service = service_fn(move |request: Request<Incoming>| {
        let target = request.headers().get("x-amz-target");
        locked(&log).push(Asked {
            method: request.method().to_string(),
            path: request
                .uri()
                .path_and_query()
                .map(ToString::to_string)
                .unwrap_or_default(),
            target: target.and_then(|value| Some(value.to_str().ok()?.to_owned())),
        });
        handler(request, hang.clone())
    });
    // A client that goes away is the client's business.
    let _ = http1::Builder::new().serve_connection(io, service).await;
}

/// A connection that can end with a reset.
struct Socket {
    stream: TcpStream,
    hang: Hang,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.hang.0.load(Ordering::Relaxed) {
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// An answer with a body at hand.
///
/// # Panics
/// A header is none.
pub fn answer(status: StatusCode, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let body = Full::new(body.into()).map_err(never).boxed_unsync();
    builder.body(body).expect("valid headers")
}

fn never(error: Infallible) -> Failure {
    match error {}
}

/// The lock, also after a test that panicked.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
