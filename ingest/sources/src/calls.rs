//! Requests to S3 and SQS: what is tried again, for how long, and what an error means.

use std::future::Future;
use std::time::{Duration, Instant};

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use tokio::sync::RwLock;
use trailhound_aws::{Aws, chain_of};
use trailhound_ingest::error::{Error, ErrorKind};

/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(20);

/// Longest time for one try, until its answer's head is there. A long poll takes 20 s.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// An address where nobody listens may be a restart, but most often is a typing error.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// The clients of one source. They are made anew when credentials have expired.
pub struct Calls {
    /// Address of the source, for errors.
    pub name: String,
    patience: Duration,
    endpoint_url: Option<String>,
    clients: RwLock<Clients>,
}

/// One client a service.
#[derive(Clone)]
pub struct Clients {
    /// S3, in `region`.
    pub s3: aws_sdk_s3::Client,
    /// SQS, there too.
    pub sqs: aws_sdk_sqs::Client,
    /// The Region that is configured, or that of the queue.
    pub region: String,
}

/// Why a request failed for good.
#[derive(Debug)]
pub struct Refused {
    /// AWS's name of the error, such as `NoSuchKey`. Empty: there was no answer.
    pub code: String,
    /// Status of the answer; 0: there was none.
    pub status: u16,
    /// Region that the bucket really lies in, if the answer says so.
    pub region: Option<String>,
    /// All that is known, in one line.
    pub reason: String,
}

impl Calls {
    /// Clients for the source `name`. `region` overrides the configured one.
    ///
    /// # Errors
    /// There are no credentials, or no Region.
    pub async fn open(
        name: &str,
        endpoint_url: Option<&str>,
        patience: Duration,
        region: Option<&str>,
    ) -> Result<Self, Error> {
        let clients = Clients::load(name, endpoint_url, region).await?;
        Ok(Calls {
            name: name.to_owned(),
            patience,
            endpoint_url: endpoint_url.map(str::to_owned),
            clients: RwLock::new(clients),
        })
    }

    /// The clients of this moment.
    pub async fn clients(&self) -> Clients {
        self.clients.read().await.clone()
    }

    /// Sends a request until it is answered or refused. `doing` is for the log.
    ///
    /// # Errors
    /// The answer is no, or there was none in the time that the source is given.
    pub async fn send<T, E, F>(&self, doing: &str, request: impl Fn(Clients) -> F) -> Result<T, Refused>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let began = Instant::now();
        let mut tries = 0;
        loop {
            let error = match request(self.clients().await).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let refused = Refused::of(&error);
            let is_expired = matches!(
                refused.code.as_str(),
                "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" | "TokenRefreshRequired"
            );
            let patience = if is_no_connection(&error) {
                self.patience.min(CONNECT_PATIENCE)
            } else {
                self.patience
            };
            let pause = pause(tries);
            if !(is_expired || is_transient(&error, &refused)) || began.elapsed() + pause > patience {
                return Err(refused);
            }
            tries += 1;
            if tries >= 3 {
                tracing::warn!(
                    source = self.name,
                    doing,
                    tries,
                    ?pause,
                    reason = refused.reason,
                    "tries again"
                );
            } else {
                tracing::debug!(
                    source = self.name,
                    doing,
                    tries,
                    ?pause,
                    reason = refused.reason,
                    "tries again"
                );
            }
            tokio::time::sleep(pause).await;
            if is_expired {
                let region = self
                    .clients
                    .read()
                    .await
                    .sqs
                    .config()
                    .region()
                    .map(ToString::to_string);
                match Clients::load(&self.name, self.endpoint_url.as_deref(), region.as_deref()).await {
                    Ok(clients) => *self.clients.write().await = clients,
                    Err(error) => tracing::warn!(source = self.name, "{error}"),
                }
            }
        }
    }

    /// The pause before try number `tries` of a body, if its time is not up.
    pub fn pause_until(&self, began: Instant, tries: u32) -> Option<Duration> {
        let pause = pause(tries);
        (began.elapsed() + pause <= self.patience).then_some(pause)
    }
}

impl Clients {
    async fn load(name: &str, endpoint_url: Option<&str>, region: Option<&str>) -> Result<Self, Error> {
        let aws = Aws::load(endpoint_url, name).await?;
        // The SDK's own retries would hide from the log, and end too early.
        let retry = RetryConfig::disabled();
        let timeout = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .read_timeout(ATTEMPT_TIMEOUT)
            .build();
        let mut s3 = aws_sdk_s3::config::Builder::from(aws.sdk())
            .force_path_style(aws.endpoint_url().is_some())
            .retry_config(retry.clone())
            .timeout_config(timeout.clone());
        let mut sqs = aws_sdk_sqs::config::Builder::from(aws.sdk())
            .retry_config(retry)
            .timeout_config(timeout);
        if let Some(region) = region {
            let region = aws_sdk_s3::config::Region::new(region.to_owned());
            s3 = s3.region(region.clone());
            sqs = sqs.region(region);
        }
        Ok(Clients {
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
            region: region.unwrap_or(aws.region()).to_owned(),
        })
    }
}

impl Refused {
    fn of<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let response = error.raw_response();
        let header = response.and_then(|response| response.headers().get("x-amz-bucket-region"));
        let body = response.and_then(|response| response.body().bytes());
        let region = header.map(str::to_owned).or_else(|| {
            let text = String::from_utf8_lossy(body?).into_owned();
            let (_, rest) = text.split_once("<Region>")?;
            Some(rest.split_once("</Region>")?.0.to_owned())
        });
        let code = error.code().unwrap_or_default();
        let reason = match (code, error.message()) {
            ("", _) => match response {
                Some(response) => format!("HTTP status {}", response.status()),
                None => chain_of(error),
            },
            (code, Some(message)) => format!("{code}: {message}"),
            (code, None) => code.to_owned(),
        };
        Refused {
            code: code.rsplit('#').next().unwrap_or_default().to_owned(),
            status: response.map_or(0, |response| response.status().as_u16()),
            region,
            reason,
        }
    }
}

fn is_transient<E>(error: &SdkError<E, HttpResponse>, refused: &Refused) -> bool {
    let is_passing = matches!(
        refused.code.as_str(),
        "SlowDown" | "RequestTimeout" | "InternalError" | "ServiceUnavailable" | "RequestLimitExceeded"
    ) || refused.code.contains("Throttl");
    match error {
        SdkError::ServiceError(_) => is_passing || refused.status >= 500 || refused.status == 429,
        SdkError::ResponseError(_) | SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
        _ => false,
    }
}

fn is_no_connection<E>(error: &SdkError<E, HttpResponse>) -> bool
where
    E: std::error::Error + Send + Sync + 'static,
{
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        source = error.source();
    }
    false
}

/// 50 ms, doubled each time, and up to half of it less, so that many do not come at once.
fn pause(tries: u32) -> Duration {
    let full = Duration::from_millis(50 << tries.min(12)).min(PAUSE_MAX);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let share = f64::from(now.unwrap_or_default().subsec_nanos() % 1000) / 2000.0;
    full.mul_f64(1.0 - share)
}

/// An error of S3 for people. `what` is what was asked for: a bucket, an object.
pub fn s3_error(what: &str, bucket: &str, region: &str, refused: &Refused) -> Error {
    let unreachable = |message: String| Error::new(ErrorKind::Unreachable, message);
    let is_elsewhere = matches!(
        refused.code.as_str(),
        "PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException"
    ) || refused.status == 301;
    match refused.code.as_str() {
        _ if is_elsewhere => match &refused.region {
            Some(right) => unreachable(format!(
                "{what}: bucket {bucket} lies in {right}, not in {region}"
            ))
            .with_help(format!("set AWS_REGION={right}")),
            None => unreachable(format!("{what}: bucket {bucket} does not lie in {region}"))
                .with_help("set AWS_REGION to the bucket's Region"),
        },
        "NoSuchBucket" => unreachable(format!("{what}: there is no bucket {bucket}"))
            .with_help("check the name, and that the credentials belong to the right partition of AWS"),
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" => unreachable(format!(
            "{what}: the credentials are not accepted: {}",
            refused.reason
        ))
        .with_help("check AWS_PROFILE, or sign in anew"),
        "InvalidObjectState" => unreachable(format!("{what} is archived and must be restored first"))
            .with_help("restore it from its storage class, or give --since to leave it out"),
        _ if refused.status == 403 => unreachable(format!("{what}: access is denied")).with_help(
            "reading needs s3:ListBucket on the bucket, s3:GetObject on its objects, \
             and kms:Decrypt on the key if they are encrypted",
        ),
        _ => unreachable(format!("{what}: {}", refused.reason))
            .with_help("check the network and --endpoint-url"),
    }
}
