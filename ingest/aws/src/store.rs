//! S3 as an object store.

use std::sync::Arc;

use async_trait::async_trait;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::{CredentialProvider, ObjectStore};
use trailhound_ingest::error::Error;
use url::Url;

use crate::config::Aws;

/// The store of a bucket. `endpoint_url` is for S3-compatible servers.
///
/// # Errors
/// The chain has no credentials or no Region, or the bucket's name is not one.
pub async fn store(url: &Url, endpoint_url: Option<&str>) -> Result<Arc<dyn ObjectStore>, Error> {
    let bucket = url.host_str().unwrap_or_default();
    let aws = Aws::load(endpoint_url, &format!("s3://{bucket}")).await?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(aws.region())
        .with_credentials(Arc::new(Chain(aws.credentials())));
    if let Some(endpoint) = aws.endpoint_url() {
        builder = builder
            .with_allow_http(endpoint.starts_with("http://"))
            .with_endpoint(endpoint);
    }
    let store = builder
        .build()
        .map_err(|error| Error::wrong_use(format!("s3://{bucket}: {error}")))?;
    Ok(Arc::new(store))
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
