//! A proxy that makes faults: resets, cut bodies, delays, 500, SlowDown, expired
//! credentials. It stands before any server of this crate, on an address of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::server::{Answer, Failure, Hang, Server, failure, locked};
use crate::{s3, sqs};

/// How often each fault is made: shares of all requests, of which the sum is at most 1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rates {
    /// The connection is reset before the server sees the request.
    pub reset: f64,
    /// The request is carried out, and the connection reset in place of an answer.
    pub reset_after: f64,
    /// The answer's body ends in the middle.
    pub truncate: f64,
    /// The answer comes late, by up to [`Self::delay_max`].
    pub delay: f64,
    /// Longest delay.
    pub delay_max: Duration,
    /// 500 InternalError, and the server has not seen the request.
    pub internal: f64,
    /// 500 InternalError, and the request was carried out.
    pub internal_after: f64,
    /// 503 SlowDown, or a JSON service's ThrottlingException.
    pub slow_down: f64,
    /// 400 ExpiredToken.
    pub expired: f64,
}

impl Rates {
    /// Every fault alike, `share` of all requests together.
    pub fn all(share: f64) -> Self {
        let each = share / 8.0;
        Rates {
            reset: each,
            reset_after: each,
            truncate: each,
            delay: each,
            delay_max: Duration::from_millis(200),
            internal: each,
            internal_after: each,
            slow_down: each,
            expired: each,
        }
    }
}

/// What a proxy did: requests in all, and faults by kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Made {
    /// Requests that came.
    pub requests: usize,
    /// Connections reset before the server saw the request.
    pub reset: usize,
    /// Connections reset after it was carried out.
    pub reset_after: usize,
    /// Bodies that ended in the middle. Bodies of under 2 bytes cannot.
    pub truncate: usize,
    /// Answers that came late.
    pub delay: usize,
    /// 500s in place of the request.
    pub internal: usize,
    /// 500s after the request was carried out.
    pub internal_after: usize,
    /// SlowDowns.
    pub slow_down: usize,
    /// Expired credentials.
    pub expired: usize,
}

impl Made {
    /// Faults of all kinds.
    pub fn faults(&self) -> usize {
        self.requests_failed() + self.delay
    }

    /// Faults other than delays.
    pub fn requests_failed(&self) -> usize {
        self.reset
            + self.reset_after
            + self.truncate
            + self.internal
            + self.internal_after
            + self.slow_down
            + self.expired
    }
}

/// A proxy before a server.
#[derive(Debug)]
pub struct Proxy {
    server: Server,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    rates: Rates,
    made: Made,
}

#[derive(Debug, Clone, Copy)]
enum Fault {
    None,
    Reset,
    ResetAfter,
    Truncate(f64),
    Delay(Duration),
    Internal,
    InternalAfter,
    SlowDown,
    Expired,
}

impl Proxy {
    /// Starts a proxy before the server at `url`. The same `seed` draws the same
    /// faults, in the order in which requests come.
    ///
    /// # Panics
    /// `url` is not that of a server of this crate.
    pub fn start(url: &str, seed: u64, rates: Rates) -> Self {
        let upstream = url
            .strip_prefix("http://")
            .expect("http://address:port")
            .to_owned();
        let state = Arc::new(Mutex::new(State {
            random: fastrand::Rng::with_seed(seed),
            rates,
            made: Made::default(),
        }));
        let shared = state.clone();
        let server = Server::start(Arc::new(move |request, hang| {
            let fault = locked(&shared).draw();
            let (shared, upstream) = (shared.clone(), upstream.clone());
            Box::pin(async move { pass(request, &hang, fault, &upstream, &shared).await })
        }));
        Proxy { server, state }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        self.server.url()
    }

    /// Other rates from now on.
    pub fn rates(&self, rates: Rates) {
        locked(&self.state).rates = rates;
    }

    /// What it did so far.
    pub fn made(&self) -> Made {
        locked(&self.state).made
    }
}

impl State {
    fn draw(&mut self) -> Fault {
        self.made.requests += 1;
        let rates = self.rates;
        let mut at = self.random.f64();
        let mut is_next = |rate: f64| {
            at -= rate;
            at < 0.0
        };
        if is_next(rates.reset) {
            self.made.reset += 1;
            Fault::Reset
        } else if is_next(rates.reset_after) {
            self.made.reset_after += 1;
            Fault::ResetAfter
        } else if is_next(rates.truncate) {
            Fault::Truncate(self.random.f64())
        } else if is_next(rates.delay) {
            self.made.delay += 1;
            Fault::Delay(rates.delay_max.mul_f64(self.random.f64()))
        } else if is_next(rates.internal) {
            self.made.internal += 1;
            Fault::Internal
        } else if is_next(rates.internal_after) {
            self.made.internal_after += 1;
            Fault::InternalAfter
        } else if is_next(rates.slow_down) {
            self.made.slow_down += 1;
            Fault::SlowDown
        } else if is_next(rates.expired) {
            self.made.expired += 1;
            Fault::Expired
        } else {
            Fault::None
        }
    }
}

async fn pass(
    request: Request<Incoming>,
    hang: &Hang,
    fault: Fault,
    upstream: &str,
    state: &Mutex<State>,
) -> Result<Answer, Failure> {
    let is_json = request.headers().contains_key("x-amz-target");
    let refuse = |status: u16, xml: &str, json: &str, text: &str| {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        if is_json {
            sqs::error(status, json, text)
        } else {
            s3::error(status, xml, text, "")
        }
    };
    let internal = || {
        refuse(
            500,
            "InternalError",
            "InternalFailure",
            "We encountered an internal error.",
        )
    };
    let reset = || {
        hang.reset();
        Err(failure("reset by the proxy"))
    };
    match fault {
        Fault::Reset => return reset(),
        Fault::Internal => return Ok(internal()),
        Fault::SlowDown => {
            return Ok(refuse(
                503,
                "SlowDown",
                "ThrottlingException",
                "Please reduce your request rate.",
            ));
        }
        Fault::Expired => {
            let text = "The provided token has expired.";
            return Ok(refuse(400, "ExpiredToken", "ExpiredTokenException", text));
        }
        Fault::Delay(time) => tokio::time::sleep(time).await,
        _ => {}
    }
    let answer = forward(request, upstream).await?;
    match fault {
        Fault::ResetAfter => {
            // Only once it is answered has it been carried out.
            answer.into_body().collect().await.map_err(failure)?;
            reset()
        }
        Fault::InternalAfter => {
            answer.into_body().collect().await.map_err(failure)?;
            Ok(internal())
        }
        Fault::Truncate(share) => {
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(failure)?.to_bytes();
            if body.len() < 2 {
                return Ok(Response::from_parts(head, whole(body)));
            }
            locked(state).made.truncate += 1;
            let kept = ((body.len() as f64 * share) as usize).min(body.len() - 1);
            Ok(Response::from_parts(head, cut(body.slice(..kept))))
        }
        _ => Ok(answer.map(|body| body.map_err(failure).boxed_unsync())),
    }
}

async fn forward(request: Request<Incoming>, upstream: &str) -> Result<Response<Incoming>, Failure> {
    let stream = TcpStream::connect(upstream).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(failure)?;
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(failure)
}

fn whole(body: Bytes) -> UnsyncBoxBody<Bytes, Failure> {
    Full::new(body).map_err(|error| match error {}).boxed_unsync()
}

/// A body that ends too early: the connection is closed before its promised length.
fn cut(body: Bytes) -> UnsyncBoxBody<Bytes, Failure> {
    let first = futures::stream::once(async move { Ok(Frame::data(body)) });
    let then = futures::stream::once(async {
        // Or the bytes before it would not leave.
        tokio::time::sleep(Duration::from_millis(5)).await;
        Err(failure("cut by the proxy"))
    });
    BodyExt::boxed_unsync(StreamBody::new(first.chain(then)))
}
