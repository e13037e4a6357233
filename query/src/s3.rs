//! S3 with the credentials and Region of the AWS SDK's default chain, and nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::{CredentialProvider, ObjectStore};
use url::Url;

use crate::error::{Error, ErrorKind};

/// The store of a bucket. `endpoint_url` is for S3-compatible servers.
///
/// # Errors
/// The chain has no credentials or no Region, or the bucket's name is not one.
pub async fn store(url: &Url, endpoint_url: Option<&str>) -> Result<Arc<dyn ObjectStore>, Error> {
    let bucket = url.host_str().unwrap_or_default();
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(aws_smithy_http_client::tls::Provider::Rustls(
            aws_smithy_http_client::tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(client)
        .load()
        .await;
    let provider = config
        .credentials_provider()
        .ok_or_else(|| no_credentials(bucket, "none is configured"))?;
    // Asked once here, so that missing credentials are one clear message and not a failing request.
    provider
        .provide_credentials()
        .await
        .map_err(|error| no_credentials(bucket, &chain_of(&error)))?;
    let endpoint = endpoint_url
        .map(str::to_owned)
        .or_else(|| config.endpoint_url().map(str::to_owned));
    let region = match (config.region(), &endpoint) {
        (Some(region), _) => region.to_string(),
        (None, Some(_)) => "us-east-1".to_owned(), // A server of one's own does not look at it.
        (None, None) => {
            return Err(
                Error::wrong_use(format!("s3://{bucket}: no Region is configured"))
                    .with_help("set AWS_REGION, or `region` in the AWS profile"),
            );
        }
    };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(region)
        .with_credentials(Arc::new(Chain(provider)));
    if let Some(endpoint) = endpoint {
        builder = builder
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint);
    }
    let store = builder
        .build()
        .map_err(|error| Error::wrong_use(format!("s3://{bucket}: {error}")))?;
    Ok(Arc::new(store))
}

fn no_credentials(bucket: &str, why: &str) -> Error {
    Error::new(
        ErrorKind::Unreachable,
        format!("s3://{bucket}: no AWS credentials: {why}"),
    )
    .with_help("sign in with the AWS CLI, or set AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// The SDK's chain as object_store asks for it. The SDK caches and renews.
#[derive(Debug)]
struct Chain(SharedCredentialsProvider);

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let credentials =
            self.0
                .provide_credentials()
                .await
                .map_err(|error| object_store::Error::Generic {
                    store: "S3",
                    source: Box::new(error),
                })?;
        Ok(Arc::new(AwsCredential {
            key_id: credentials.access_key_id().to_owned(),
            secret_key: credentials.secret_access_key().to_owned(),
            token: credentials.session_token().map(str::to_owned),
        }))
    }
}
