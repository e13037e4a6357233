//! Credentials, Region and endpoint: the AWS SDK's default chain, and nothing else.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use trailhound_ingest::error::{Error, ErrorKind};

/// What every client of AWS is made from.
#[derive(Debug, Clone)]
pub struct Aws {
    config: SdkConfig,
    credentials: SharedCredentialsProvider,
    region: String,
}

impl Aws {
    /// Asks the chain. `endpoint_url` is where the services lie, if not at AWS;
    /// `purpose` is what the errors name, such as `s3://bucket`.
    ///
    /// # Errors
    /// The chain has no credentials or no Region.
    pub async fn load(endpoint_url: Option<&str>, purpose: &str) -> Result<Self, Error> {
        let client = aws_smithy_http_client::Builder::new()
            .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
                aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring,
            ))
            .build_https();
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(client);
        if let Some(endpoint) = endpoint_url {
            loader = loader.endpoint_url(endpoint);
        }
        let config = loader.load().await;
        let credentials = config
            .credentials_provider()
            .ok_or_else(|| no_credentials(purpose, "none is configured"))?;
        // Asked once here, so that missing credentials are one clear message and not a failing request.
        credentials
            .provide_credentials()
            .await
            .map_err(|error| no_credentials(purpose, &chain_of(&error)))?;
        let region = match (config.region(), config.endpoint_url()) {
            (Some(region), _) => region.to_string(),
            (None, Some(_)) => "us-east-1".to_owned(), // A server of one's own does not look at it.
            (None, None) => {
                return Err(Error::wrong_use(format!("{purpose}: no Region is configured"))
                    .with_help("set AWS_REGION, or `region` in the AWS profile"));
            }
        };
        let config = config.into_builder().region(Region::new(region.clone())).build();
        Ok(Aws {
            config,
            credentials,
            region,
        })
    }

    /// For the SDK's clients: `aws_sdk_sqs::Client::new(aws.sdk())`.
    pub fn sdk(&self) -> &SdkConfig {
        &self.config
    }

    /// The Region.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Where the services lie, if not at AWS.
    pub fn endpoint_url(&self) -> Option<&str> {
        self.config.endpoint_url()
    }

    /// Credentials, cached and renewed by the SDK.
    pub fn credentials(&self) -> SharedCredentialsProvider {
        self.credentials.clone()
    }
}

fn no_credentials(purpose: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Unreachable,
        format!("{purpose}: no AWS credentials: {why}"),
    )
    .with_help("sign in with the AWS CLI, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
}

/// An error and what caused it, in one line: the SDK's own first line says little.
pub fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
