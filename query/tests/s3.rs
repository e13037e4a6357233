//! Raw tables on S3: a real server in this process, the real client, real signatures.

use std::sync::Once;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use tokio::net::TcpListener;
use trailhound_query::{ErrorKind, Options, Session};

use crate::files::{flow_log, folder_of_its_own, gzip, rows};

const KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

/// The SDK's default chain finds these first. Once, and before any thread of
/// these tests looks: only this module reads AWS settings.
fn credentials() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: no other thread of this test binary reads the environment while it is set here;
        // the SDK, its only reader, is first called after this.
        unsafe {
            std::env::set_var("AWS_ACCESS_KEY_ID", KEY_ID);
            std::env::set_var("AWS_SECRET_ACCESS_KEY", SECRET);
            std::env::set_var("AWS_REGION", "eu-west-1");
            std::env::set_var("AWS_EC2_METADATA_DISABLED", "true");
        }
    });
}

/// Serves the folders of `root` as buckets. Returns the endpoint.
async fn serve(root: &TempDir) -> String {
    credentials();
    let files = s3s_fs::FileSystem::new(root.path()).unwrap();
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
    let service = builder.build();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let _ = Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    endpoint
}

async fn open(endpoint: &str, location: &str) -> Result<Session, trailhound_query::Error> {
    let from = vec![format!("vpc_flow={location}").parse().unwrap()];
    Session::open(Options {
        from,
        endpoint_url: Some(endpoint.to_owned()),
        ..Options::default()
    })
    .await
}

#[tokio::test]
async fn prefixes_objects_and_globs() {
    let root = folder_of_its_own();
    let day = "AWSLogs/111122223333/vpcflowlogs/eu-west-1/2026/11";
    for (folder, ports) in [("01", 0..100u32), ("02", 100..250)] {
        let folder = root.path().join("logs").join(day).join(folder);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("x.log.gz"), gzip(&flow_log(ports))).unwrap();
    }
    let endpoint = serve(&root).await;
    for (location, count) in [
        ("s3://logs".to_owned(), "250"),
        (format!("s3://logs/{day}/"), "250"),
        (format!("s3://logs/{day}/02/x.log.gz"), "150"),
        (format!("s3://logs/{day}/*/x.log.gz"), "250"),
        (format!("s3://logs/{day}/01/*.gz"), "100"),
    ] {
        let session = open(&endpoint, &location).await.unwrap();
        assert_eq!(
            rows(&session, "SELECT count(*) FROM vpc_flow").await,
            [count],
            "{location}"
        );
    }
    let session = open(&endpoint, "s3://logs").await.unwrap();
    assert_eq!(
        rows(
            &session,
            "SELECT DISTINCT _source, region FROM vpc_flow ORDER BY 1 LIMIT 1"
        )
        .await,
        [format!("s3://logs/{day}/01/x.log.gz|eu-west-1")]
    );
}

/// Above the size that is fetched in one piece, objects are streamed.
#[tokio::test]
async fn large_objects_are_streamed() {
    let root = folder_of_its_own();
    std::fs::create_dir_all(root.path().join("logs")).unwrap();
    std::fs::write(root.path().join("logs/big.log"), flow_log(0..200_000u32)).unwrap();
    let endpoint = serve(&root).await;
    let session = open(&endpoint, "s3://logs/big.log").await.unwrap();
    // Ports above 65535 are no ports: those lines are rejects.
    assert_eq!(
        rows(&session, "SELECT count(*), max(_line) FROM vpc_flow").await,
        ["65536|65537"]
    );
    assert_eq!(
        rows(&session, "SELECT count(*), max(_line) FROM rejects").await,
        ["134464|200001"]
    );
}

#[tokio::test]
async fn external_tables_and_absent_buckets() {
    let root = folder_of_its_own();
    std::fs::create_dir_all(root.path().join("logs/a")).unwrap();
    std::fs::write(root.path().join("logs/a/x.log"), flow_log(0..4)).unwrap();
    let endpoint = serve(&root).await;
    let session = open(&endpoint, "s3://logs/a/").await.unwrap();
    rows(
        &session,
        "CREATE EXTERNAL TABLE x STORED AS VPC_FLOW LOCATION 's3://logs/a/'",
    )
    .await;
    assert_eq!(rows(&session, "SELECT count(*) FROM x").await, ["4"]);
    let error = open(&endpoint, "s3://absent/prefix/")
        .await
        .err()
        .expect("there is no such bucket");
    assert!(
        matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::WrongUse),
        "{error:?}"
    );
    assert!(error.message().contains("s3://absent/prefix/"), "{error}");
}
