//! Requests to CloudWatch Logs: capped, and tried again.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use aws_sdk_cloudwatchlogs::config::retry::RetryConfig;
use aws_sdk_cloudwatchlogs::config::timeout::TimeoutConfig;
use aws_sdk_cloudwatchlogs::config::{Builder, IdentityCache, StalledStreamProtectionConfig};
use aws_sdk_cloudwatchlogs::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_cloudwatchlogs::operation::start_live_tail::StartLiveTailOutput;
use aws_sdk_cloudwatchlogs::{Client, types};
use tracing::{debug, warn};
use trailhound_aws::chain_of;
use trailhound_ingest::error::{Error, ErrorKind};

use super::deliver::{Event, LogGroup};
use super::rate::{Limiter, back_off};

/// So often a request is tried that could not be answered: about 3 minutes.
const ATTEMPTS_MAX: u32 = 12;

/// So often a request is tried that was throttled: about 15 minutes.
const THROTTLED_MAX: u32 = 40;

/// Longest time for one answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(60);

/// Names put before the host of the endpoint for streams.
const STREAM_PREFIX: &str = "stream-";

/// The client, its cap, and whom to name in errors.
pub struct Calls {
    source: String,
    config: Builder,
    client: RwLock<Client>,
    limiter: Arc<Limiter>,
}

/// What a page came to.
pub enum Page {
    /// Events, maybe none, and how to ask for the next page.
    Events {
        /// In the order of the answer.
        events: Vec<Event>,
        /// None: it was the last page.
        token: Option<String>,
    },
    /// The token is no longer good.
    TokenExpired,
    /// There is no such group.
    Missing,
}

/// Why a request failed for good.
pub struct Refused {
    /// AWS's name of the error, such as `AccessDeniedException`.
    pub code: String,
    /// The error, for people.
    pub error: Error,
}

impl Calls {
    /// Requests on behalf of `source`.
    pub fn new(source: &str, config: Builder, limiter: Arc<Limiter>) -> Self {
        // The SDK's own retries would go past the cap.
        let config = config
            .retry_config(RetryConfig::disabled())
            .timeout_config(
                TimeoutConfig::builder()
                    .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                    .build(),
            )
            // A tail without events is no fault.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        Calls {
            source: source.to_owned(),
            client: RwLock::new(Client::from_conf(config.clone().build())),
            config,
            limiter,
        }
    }

    fn client(&self) -> Client {
        self.client.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Forgets the credentials that were kept, so that the next request asks for new ones.
    fn renew_credentials(&self) {
        let config = self.config.clone().identity_cache(IdentityCache::lazy().build());
        let client = Client::from_conf(config.build());
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = client;
    }

    /// Sends a request until it is answered, throttled too often, or refused.
    async fn send<T, E, F>(&self, doing: &str, request: impl Fn() -> F) -> Result<T, Refused>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let (mut throttled, mut failed) = (0, 0);
        loop {
            self.limiter.wait().await;
            let error = match request().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let code = error.code().unwrap_or_default().to_owned();
            let status = error.raw_response().map(|response| response.status().as_u16());
            let is_throttled =
                code.contains("Throttl") || code == "LimitExceededException" || status == Some(429);
            let is_transient = match &error {
                // An answer that was cut off on its way.
                SdkError::ResponseError(_) => true,
                SdkError::ServiceError(_) => {
                    status.is_none_or(|status| status >= 500) || code == "ServiceUnavailableException"
                }
                SdkError::TimeoutError(_) => true,
                SdkError::DispatchFailure(failure) => failure.is_io() || failure.is_timeout(),
                _ => false,
            };
            let is_expired = code == "ExpiredTokenException" || code == "ExpiredToken";
            let reason = chain_of(&error);
            if is_throttled && throttled < THROTTLED_MAX {
                let pause = back_off(throttled);
                throttled += 1;
                self.limiter.pause(pause);
                debug!(source = self.source, doing, ?pause, throttled, "throttled: waits");
                if throttled.is_power_of_two() {
                    warn!(
                        source = self.source,
                        doing, throttled, "CloudWatch Logs throttles requests: lower --rate if this goes on"
                    );
                }
            } else if (is_transient || is_expired) && failed < ATTEMPTS_MAX {
                let pause = back_off(failed);
                failed += 1;
                warn!(source = self.source, doing, reason, ?pause, failed, "tries again");
                tokio::time::sleep(pause).await;
                if is_expired {
                    self.renew_credentials();
                }
            } else {
                let error = Error::new(
                    ErrorKind::Unreachable,
                    format!("{}: {doing}: {reason}", self.source),
                );
                let error = error.with_help(match &*code {
                    "AccessDeniedException" => {
                        "allow logs:FilterLogEvents and logs:DescribeLogGroups on the group, and logs:StartLiveTail for a live tail"
                    }
                    "UnrecognizedClientException" | "ExpiredTokenException" | "InvalidSignatureException" => {
                        "the credentials are not good: sign in again"
                    }
                    _ if is_throttled => "lower --rate, or ask AWS for a higher quota",
                    _ => "check AWS_REGION and the network",
                });
                return Err(Refused { code, error });
            }
        }
    }

    /// One page of events of a window, both ends inclusive.
    ///
    /// # Errors
    /// The request failed for good.
    pub async fn filter(
        &self,
        group: &str,
        stream_prefix: Option<&str>,
        window: (i64, i64),
        token: Option<&str>,
    ) -> Result<Page, Error> {
        let answer = self
            .send(&format!("reading events of log group {group}"), || {
                self.client()
                    .filter_log_events()
                    .log_group_name(group)
                    .set_log_stream_name_prefix(stream_prefix.map(str::to_owned))
                    .start_time(window.0)
                    .end_time(window.1)
                    .set_next_token(token.map(str::to_owned))
                    .send()
            })
            .await;
        match answer {
            Ok(answer) => Ok(Page::Events {
                token: answer.next_token,
                events: answer
                    .events
                    .unwrap_or_default()
                    .into_iter()
                    .map(Event::from)
                    .collect(),
            }),
            Err(refused) if refused.code == "InvalidParameterException" && token.is_some() => {
                Ok(Page::TokenExpired)
            }
            Err(refused) if refused.code == "ResourceNotFoundException" => Ok(Page::Missing),
            Err(refused) => Err(refused.error),
        }
    }

    /// Groups whose names begin with `prefix` or hold `pattern`, at most `max`,
    /// in the order of their names.
    ///
    /// # Errors
    /// The request failed for good.
    pub async fn groups(
        &self,
        prefix: Option<&str>,
        pattern: Option<&str>,
        max: usize,
    ) -> Result<Vec<LogGroup>, Refused> {
        let mut groups: Vec<LogGroup> = Vec::new();
        let mut token = None;
        loop {
            let answer = self
                .send("listing log groups", || {
                    self.client()
                        .describe_log_groups()
                        .set_log_group_name_prefix(prefix.map(str::to_owned))
                        .set_log_group_name_pattern(pattern.map(str::to_owned))
                        .limit(i32::try_from(max.min(50)).unwrap_or(50))
                        .set_next_token(token.clone())
                        .send()
                })
                .await?;
            groups.extend(
                answer
                    .log_groups
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(log_group),
            );
            token = answer.next_token;
            if token.is_none() || groups.len() >= max {
                groups.truncate(max);
                return Ok(groups);
            }
        }
    }

    /// Begins a live tail.
    ///
    /// # Errors
    /// The request failed for good.
    pub async fn tail(
        &self,
        arns: &[String],
        stream_prefix: Option<&str>,
        custom_endpoint: bool,
    ) -> Result<StartLiveTailOutput, Error> {
        self.send("starting a live tail", || {
            let request = self
                .client()
                .start_live_tail()
                .set_log_group_identifiers(Some(arns.to_vec()))
                .set_log_stream_name_prefixes(stream_prefix.map(|prefix| vec![prefix.to_owned()]))
                .customize();
            let request = if custom_endpoint {
                // The SDK puts a name before the host, which a server of one's own does not have.
                request.mutate_request(|request| {
                    let uri = request.uri().replacen(&format!("://{STREAM_PREFIX}"), "://", 1);
                    // It was a URI before, and a host without the name is one as well.
                    let _ = request.set_uri(uri);
                })
            } else {
                request
            };
            request.send()
        })
        .await
        .map_err(|refused| refused.error)
    }
}

fn log_group(group: types::LogGroup) -> Option<LogGroup> {
    let arn = group
        .log_group_arn
        .or_else(|| Some(group.arn?.trim_end_matches(":*").to_owned()));
    Some(LogGroup {
        name: group.log_group_name?,
        arn,
    })
}
