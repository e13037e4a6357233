//! Object stores by URL: the local file system, and S3 where it is built in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::execution::runtime_env::RuntimeEnv;
use object_store::ObjectStore;
use url::Url;

use crate::error::Error;

/// The object stores of a session, made when a URL first asks for them.
#[derive(Debug)]
pub struct Stores {
    runtime: Arc<RuntimeEnv>,
    #[cfg_attr(not(feature = "aws"), expect(dead_code, reason = "only S3 has endpoints"))]
    endpoint_url: Option<String>,
    made: Mutex<BTreeMap<String, Arc<dyn ObjectStore>>>,
}

impl Stores {
    /// Stores that are registered in `runtime`. `endpoint_url` is where S3 lies, if not at AWS.
    pub fn new(runtime: Arc<RuntimeEnv>, endpoint_url: Option<String>) -> Self {
        Stores {
            runtime,
            endpoint_url,
            made: Mutex::new(BTreeMap::new()),
        }
    }

    /// The store of a URL's scheme and host, registered for queries too.
    ///
    /// # Errors
    /// There is no such kind of store, or it cannot be set up.
    pub async fn of(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, Error> {
        let key = format!("{}://{}", url.scheme(), url.host_str().unwrap_or_default());
        if let Some(store) = self.made.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(Arc::clone(store));
        }
        let store: Arc<dyn ObjectStore> = match url.scheme() {
            "file" => Arc::new(object_store::local::LocalFileSystem::new()),
            "s3" => self.s3(url).await?,
            other => {
                return Err(
                    Error::wrong_use(format!("{url}: nothing here reads {other}:// URLs"))
                        .with_help("use a path, or s3://BUCKET/PREFIX"),
                );
            }
        };
        let base = Url::parse(&key).map_err(|error| Error::wrong_use(format!("{key}: {error}")))?;
        self.runtime.register_object_store(&base, Arc::clone(&store));
        self.made
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, Arc::clone(&store));
        Ok(store)
    }

    #[cfg(not(feature = "aws"))]
    async fn s3(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, Error> {
        Err(
            Error::wrong_use(format!("{url}: this build reads local files only"))
                .with_help("build it with S3: cargo build --release --features aws"),
        )
    }

    #[cfg(feature = "aws")]
    async fn s3(&self, url: &Url) -> Result<Arc<dyn ObjectStore>, Error> {
        trailhound_aws::store(url, self.endpoint_url.as_deref()).await
    }
}
