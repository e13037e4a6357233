//! Folders served as buckets: `s3s-fs`, with what it leaves out of S3's own behaviour.
//!
//! Added here: ETags in listings, `If-Match` on reads, conditional puts that hold
//! against rivals, pages of at most 1,000 keys, and buckets that are denied or lie
//! in another Region. Files may be put into the folder without asking the server.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use s3s::auth::SimpleAuth;
use s3s::crypto::{Checksum, Md5};
use s3s::dto::*;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use s3s_fs::FileSystem;

use crate::server::{Answer, Failure, Server, answer, failure, locked};
use crate::{KEY_ID, SECRET};

/// A server of S3 alone.
pub fn serve(root: &Path) -> (Server, Buckets) {
    let buckets = Buckets::new(root);
    let served = buckets.clone();
    let server = Server::start(Arc::new(move |request, _| {
        let buckets = served.clone();
        Box::pin(async move { buckets.answer(request).await })
    }));
    (server, buckets)
}

/// The buckets of a server: what a test can change about them.
#[derive(Debug, Clone)]
pub struct Buckets {
    service: S3Service,
    rules: Arc<Mutex<Rules>>,
}

#[derive(Debug)]
struct Rules {
    denied: Vec<String>,
    elsewhere: HashMap<String, String>,
    page: i32,
}

impl Buckets {
    /// The folders of `root` as buckets.
    ///
    /// # Panics
    /// There is no such folder.
    pub fn new(root: &Path) -> Self {
        let rules = Arc::new(Mutex::new(Rules {
            denied: Vec::new(),
            elsewhere: HashMap::new(),
            page: 1000,
        }));
        let mut builder = S3ServiceBuilder::new(Folders {
            files: FileSystem::new(root).expect("a folder"),
            root: root.canonicalize().expect("a folder"),
            rules: rules.clone(),
            tags: Mutex::new(HashMap::new()),
            puts: tokio::sync::Mutex::new(()),
        });
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        Buckets {
            service: builder.build(),
            rules,
        }
    }

    /// From now on `bucket` answers every request with AccessDenied.
    pub fn deny(&self, bucket: &str) {
        locked(&self.rules).denied.push(bucket.to_owned());
    }

    /// From now on `bucket` lies in `region`, and requests for it went to the wrong one.
    pub fn move_to(&self, bucket: &str, region: &str) {
        locked(&self.rules)
            .elsewhere
            .insert(bucket.to_owned(), region.to_owned());
    }

    /// Listings have at most this many keys a page; 1,000 unless told.
    pub fn page(&self, keys: i32) {
        locked(&self.rules).page = keys;
    }

    /// Answers one request.
    ///
    /// # Errors
    /// The service could not make an answer.
    pub async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Failure> {
        let bucket = request.uri().path().trim_start_matches('/').split('/').next();
        let bucket = bucket.unwrap_or_default().to_owned();
        let (is_denied, region) = {
            let rules = locked(&self.rules);
            (
                rules.denied.contains(&bucket),
                rules.elsewhere.get(&bucket).cloned(),
            )
        };
        if is_denied {
            return Ok(error(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied", ""));
        }
        if let Some(region) = region {
            let more = format!("<Bucket>{bucket}</Bucket><Region>{region}</Region>");
            let text =
                "The bucket you are attempting to access must be addressed using the specified endpoint.";
            let mut answer = error(StatusCode::MOVED_PERMANENTLY, "PermanentRedirect", text, &more);
            let value = region.parse().expect("a Region is a header's value");
            answer.headers_mut().insert("x-amz-bucket-region", value);
            return Ok(answer);
        }
        let answer = self
            .service
            .call(request.map(s3s::Body::from))
            .await
            .map_err(failure)?;
        Ok(answer.map(|body| body.map_err(failure).boxed_unsync()))
    }
}

/// An error as S3 writes it.
pub(crate) fn error(status: StatusCode, code: &str, message: &str, more: &str) -> Answer {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
         {more}<RequestId>TESTREQUEST</RequestId><HostId>TESTHOST</HostId></Error>"
    );
    answer(status, &[("content-type", "application/xml")], body)
}

/// What a tag was worked out from: length, time of change, inode.
type Stamp = (u64, i64, i64, u64);

#[derive(Debug)]
struct Folders {
    files: FileSystem,
    root: PathBuf,
    rules: Arc<Mutex<Rules>>,
    tags: Mutex<HashMap<PathBuf, (Stamp, String)>>,
    // "Does it exist" and "write it" are two steps of s3s-fs: one put at a time.
    puts: tokio::sync::Mutex<()>,
}

impl Folders {
    /// MD5 of a file, as S3 makes tags. Also of files that a test wrote.
    fn tag(&self, bucket: &str, key: &str) -> Option<String> {
        let path = self.root.join(bucket).join(key);
        let stat = std::fs::metadata(&path).ok().filter(|stat| stat.is_file())?;
        let stamp = (stat.len(), stat.ctime(), stat.ctime_nsec(), stat.ino());
        if let Some((known, tag)) = locked(&self.tags).get(&path)
            && *known == stamp
        {
            return Some(tag.clone());
        }
        let sum = Md5::checksum(&std::fs::read(&path).ok()?);
        let tag: String = AsRef::<[u8]>::as_ref(&sum)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        locked(&self.tags).insert(path, (stamp, tag.clone()));
        Some(tag)
    }

    fn strong(&self, bucket: &str, key: &str) -> Option<ETag> {
        self.tag(bucket, key).map(ETag::Strong)
    }

    fn has_bucket(&self, bucket: &str) -> S3Result<()> {
        if self.root.join(bucket).is_dir() {
            Ok(())
        } else {
            Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"))
        }
    }
}

/// Whether a condition on the tag holds.
fn holds(condition: &ETagCondition, tag: &ETag) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(wanted) => wanted.weak_cmp(tag),
    }
}

#[async_trait::async_trait]
impl S3 for Folders {
    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        self.has_bucket(&bucket)?;
        let Some(tag) = self.strong(&bucket, &key) else {
            return Err(s3_error!(NoSuchKey, "The specified key does not exist."));
        };
        if request
            .input
            .if_match
            .as_ref()
            .is_some_and(|wanted| !holds(wanted, &tag))
        {
            return Err(s3_error!(PreconditionFailed));
        }
        if request
            .input
            .if_none_match
            .as_ref()
            .is_some_and(|held| holds(held, &tag))
        {
            return Err(s3_error!(NotModified));
        }
        let mut response = self.files.get_object(request).await?;
        response.output.e_tag = Some(tag);
        Ok(response)
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        let Some(tag) = self.strong(&bucket, &key) else {
            return Err(s3_error!(NoSuchKey));
        };
        let mut response = self.files.head_object(request).await?;
        response.output.e_tag = Some(tag);
        Ok(response)
    }

    async fn list_objects_v2(
        &self,
        mut request: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let page = locked(&self.rules).page;
        request.input.max_keys = Some(request.input.max_keys.map_or(page, |keys| keys.min(page)));
        let bucket = request.input.bucket.clone();
        let mut response = self.files.list_objects_v2(request).await?;
        for object in response.output.contents.iter_mut().flatten() {
            object.e_tag = object.key.as_deref().and_then(|key| self.strong(&bucket, key));
        }
        Ok(response)
    }

    async fn list_objects(
        &self,
        request: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        self.files.list_objects(request).await
    }

    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        self.has_bucket(&bucket)?;
        let _one = self.puts.lock().await;
        let mut response = self.files.put_object(request).await?;
        response.output.e_tag = self.strong(&bucket, &key);
        Ok(response)
    }

    async fn copy_object(
        &self,
        request: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let _one = self.puts.lock().await;
        self.files.copy_object(request).await
    }

    async fn delete_object(
        &self,
        request: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        self.files.delete_object(request).await
    }

    async fn delete_objects(
        &self,
        request: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        self.files.delete_objects(request).await
    }

    async fn head_bucket(
        &self,
        request: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.files.head_bucket(request).await
    }

    async fn get_bucket_location(
        &self,
        request: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.files.get_bucket_location(request).await
    }

    async fn list_buckets(
        &self,
        request: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        self.files.list_buckets(request).await
    }

    async fn create_bucket(
        &self,
        request: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        self.files.create_bucket(request).await
    }

    async fn create_multipart_upload(
        &self,
        request: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        self.files.create_multipart_upload(request).await
    }

    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        self.files.upload_part(request).await
    }

    async fn complete_multipart_upload(
        &self,
        request: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let (bucket, key) = (request.input.bucket.clone(), request.input.key.clone());
        let _one = self.puts.lock().await;
        if request.input.if_none_match.is_some() && self.tag(&bucket, &key).is_some() {
            return Err(s3_error!(PreconditionFailed));
        }
        let mut response = self.files.complete_multipart_upload(request).await?;
        if let Some(tag) = self.strong(&bucket, &key) {
            response.output.e_tag = Some(tag);
        }
        Ok(response)
    }

    async fn abort_multipart_upload(
        &self,
        request: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        self.files.abort_multipart_upload(request).await
    }
}
