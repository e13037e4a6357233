//! All services behind one address, as `--endpoint-url` needs it.

use std::path::Path;
use std::sync::Arc;

use http_body_util::BodyExt;

use crate::logs::Logs;
use crate::s3::Buckets;
use crate::server::{Failure, Server, failure};
use crate::sqs::Queues;

/// S3, SQS and CloudWatch Logs behind one address.
pub struct Aws {
    /// The server, with the log of its requests.
    pub server: Server,
    /// The buckets: folders of the root.
    pub buckets: Buckets,
    /// The queues. There are none at first.
    pub queues: Queues,
    /// The log groups. There are none at first.
    pub logs: Logs,
}

impl Aws {
    /// Where it listens.
    pub fn url(&self) -> &str {
        self.server.url()
    }
}

/// Serves the folders of `root` as buckets, queues, and log groups. Requests with
/// `x-amz-target` go to the service that it names, all others to S3.
///
/// # Panics
/// There is no such folder, or no port.
pub fn serve(root: &Path) -> Aws {
    let buckets = Buckets::new(root);
    let queues = Queues::default();
    let logs = Logs::new();
    let (served, queued, logged) = (buckets.clone(), queues.clone(), logs.clone());
    let server = Server::start(Arc::new(move |request, _| {
        let (buckets, queues, logs) = (served.clone(), queued.clone(), logged.clone());
        Box::pin(async move {
            let target = request.headers().get("x-amz-target");
            let target = target.and_then(|value| Some(value.to_str().ok()?.to_owned()));
            match target {
                None => buckets.answer(request).await,
                Some(target) if target.starts_with("AmazonSQS.") => queues.answer(request).await,
                Some(target) => {
                    let body = request.into_body().collect().await.map_err(failure)?.to_bytes();
                    let answer = logs.handle(&target, body).await;
                    Ok(answer.map(|body| body.map_err(|error| -> Failure { match error {} }).boxed_unsync()))
                }
            }
        })
    }));
    Aws {
        server,
        buckets,
        queues,
        logs,
    }
}
