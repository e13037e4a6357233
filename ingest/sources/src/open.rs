//! From the address that a user writes to the source that it means.

use std::time::Duration;

use chrono::{DateTime, Utc};
use trailhound_aws::Aws;
use trailhound_ingest::error::Error;

use crate::cloudwatch::{CloudWatch, CloudWatchOptions};
use crate::files::Files;
use crate::s3::S3;
use crate::source::{Resume, Source};
use crate::sqs::Sqs;
use crate::stdin::Stdin;

/// A kind of source, for the help.
#[derive(Debug, Clone, Copy)]
pub struct SourceInfo {
    /// How its addresses begin.
    pub scheme: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// An address.
    pub example: &'static str,
}

/// Every kind of source.
pub const SOURCES: &[SourceInfo] = &[
    SourceInfo {
        scheme: "",
        about: "a file, a folder with all below it, or a pattern",
        example: "logs/**/*.gz",
    },
    SourceInfo {
        scheme: "-",
        about: "standard input",
        example: "-",
    },
    SourceInfo {
        scheme: "s3://",
        about: "the objects of a bucket below a prefix",
        example: "s3://bucket/AWSLogs/",
    },
    SourceInfo {
        scheme: "sqs://",
        about: "the objects that a queue announces: S3, SNS, EventBridge or CloudTrail notices",
        example: "sqs://sqs.eu-west-1.amazonaws.com/111122223333/logs",
    },
    SourceInfo {
        scheme: "cwl://",
        about: "the events of CloudWatch log groups, and of streams that begin alike",
        example: "cwl:///aws/ecs/web/app",
    },
];

/// Where logs come from, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceAddress {
    /// A path or a pattern of this machine.
    Files(String),
    /// Standard input.
    Stdin,
    /// Objects of a bucket.
    S3 {
        /// Its name.
        bucket: String,
        /// How the keys begin. Empty: all.
        prefix: String,
    },
    /// A queue: its name, or its URL.
    Sqs(String),
    /// Log groups: the address as it was written.
    CloudWatch(String),
}

impl SourceAddress {
    /// Reads an address.
    ///
    /// # Errors
    /// It is none: an unknown scheme, or a name that is missing.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text == "-" {
            return Ok(SourceAddress::Stdin);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return match text {
                "" => Err(wrong("an empty address")),
                _ => Ok(SourceAddress::Files(text.to_owned())),
            };
        };
        match scheme {
            "s3" => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                if bucket.is_empty() {
                    return Err(wrong(&format!("{text}: the name of the bucket is missing")));
                }
                Ok(SourceAddress::S3 {
                    bucket: bucket.to_owned(),
                    prefix: prefix.to_owned(),
                })
            }
            "sqs" => queue(text, rest),
            "cwl" => Ok(SourceAddress::CloudWatch(text.to_owned())),
            "file" => Ok(SourceAddress::Files(rest.to_owned())),
            "https" | "http" if rest.starts_with("sqs.") => queue(text, text),
            _ => Err(wrong(&format!("{text}: there is no source {scheme}://"))),
        }
    }
}

fn queue(text: &str, rest: &str) -> Result<SourceAddress, Error> {
    let url = match rest {
        "" => return Err(wrong(&format!("{text}: the name of the queue is missing"))),
        _ if rest.starts_with("https://") || rest.starts_with("http://") => rest.to_owned(),
        _ if rest.contains('/') => format!("https://{rest}"),
        name => {
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            if !name.bytes().all(is_name) || name.len() > 80 {
                return Err(wrong(&format!("{text}: this is no name of a queue")));
            }
            return Ok(SourceAddress::Sqs(name.to_owned()));
        }
    };
    let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/'));
    let is_queue = path.is_some_and(|(host, path)| {
        !host.is_empty()
            && path
                .split_once('/')
                .is_some_and(|(account, name)| !account.is_empty() && !name.is_empty())
    });
    if !is_queue {
        return Err(wrong(&format!(
            "{text}: the address of a queue ends with its account and name"
        )));
    }
    Ok(SourceAddress::Sqs(url))
}

fn wrong(message: &str) -> Error {
    let known: Vec<&str> = SOURCES.iter().map(|source| source.example).collect();
    Error::wrong_use(message).with_help(format!("sources look like {}", known.join(", ")))
}

/// How a source is read.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// Whether to wait for more when all is read.
    pub follow: bool,
    /// Nothing older than this: by the date in a key, by the time of an event.
    pub since: Option<DateTime<Utc>>,
    /// Nothing newer than this.
    pub until: Option<DateTime<Utc>>,
    /// Where AWS's services lie, if not at AWS.
    pub endpoint_url: Option<String>,
    /// Requests a second to CloudWatch Logs, at most. None: the source's own default.
    pub rate: Option<f64>,
    /// CloudWatch Logs by live tail: at once, and with losses.
    pub live_tail: bool,
    /// Time between two looks at a folder or a bucket that is followed.
    pub poll: Duration,
    /// Time between two looks at all of a bucket that is followed, for late objects.
    pub full_pass: Duration,
    /// How long a request is tried again before its source counts as unreachable.
    pub patience: Duration,
    /// How long a queue is waited for, up to 20 s. Unless it is followed, it counts as empty then.
    pub wait: Duration,
    /// Messages of a queue that are under way at once.
    pub messages_max: usize,
}

impl Default for SourceOptions {
    fn default() -> Self {
        SourceOptions {
            follow: false,
            since: None,
            until: None,
            endpoint_url: None,
            rate: None,
            live_tail: false,
            poll: Duration::from_secs(1),
            full_pass: Duration::from_secs(3600),
            patience: Duration::from_secs(120),
            wait: Duration::from_secs(5),
            messages_max: 500,
        }
    }
}

/// Opens the source of an address. `name` is the address as it was given.
///
/// # Errors
/// It cannot be reached, is not there, or the address makes no sense.
pub async fn open(name: &str, options: &SourceOptions, resume: Resume) -> Result<Box<dyn Source>, Error> {
    if let (Some(since), Some(until)) = (options.since, options.until)
        && since > until
    {
        return Err(Error::wrong_use(format!(
            "since {since} lies after until {until}"
        )));
    }
    Ok(match SourceAddress::parse(name)? {
        SourceAddress::Files(path) => Box::new(Files::open(&path, options)?),
        SourceAddress::Stdin => Box::new(Stdin::open()),
        SourceAddress::S3 { bucket, prefix } => {
            Box::new(S3::open(name, &bucket, &prefix, options, &resume).await?)
        }
        SourceAddress::Sqs(queue) => Box::new(Sqs::open(name, &queue, options).await?),
        SourceAddress::CloudWatch(address) => {
            let aws = Aws::load(options.endpoint_url.as_deref(), name).await?;
            let default = CloudWatchOptions::default();
            let of_events = CloudWatchOptions {
                follow: options.follow,
                since_ms: options.since.map(|time| time.timestamp_millis()),
                until_ms: options.until.map(|time| time.timestamp_millis()),
                rate: options.rate.unwrap_or(default.rate),
                live_tail: options.live_tail,
                ..default
            };
            Box::new(CloudWatch::open(&address, &aws, of_events, resume).await?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let s3 = |bucket: &str, prefix: &str| SourceAddress::S3 {
            bucket: bucket.to_owned(),
            prefix: prefix.to_owned(),
        };
        let sqs = |queue: &str| SourceAddress::Sqs(queue.to_owned());
        let url = "https://sqs.eu-west-1.amazonaws.com/111122223333/q";
        for (text, expected) in [
            ("-", SourceAddress::Stdin),
            ("logs/*.gz", SourceAddress::Files("logs/*.gz".to_owned())),
            ("file:///var/log", SourceAddress::Files("/var/log".to_owned())),
            ("s3://b", s3("b", "")),
            ("s3://b/", s3("b", "")),
            ("s3://b/a b/c", s3("b", "a b/c")),
            (&format!("sqs://{url}"), sqs(url)),
            (url, sqs(url)),
            ("sqs://sqs.eu-west-1.amazonaws.com/111122223333/q", sqs(url)),
            ("sqs://q.fifo", sqs("q.fifo")),
            (
                "cwl:///aws/ecs/x",
                SourceAddress::CloudWatch("cwl:///aws/ecs/x".to_owned()),
            ),
        ] {
            assert_eq!(SourceAddress::parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_told() {
        for (text, message) in [
            ("", "an empty address"),
            ("s3://", "s3://: the name of the bucket is missing"),
            ("s3:///x", "s3:///x: the name of the bucket is missing"),
            ("sqs://", "sqs://: the name of the queue is missing"),
            ("sqs://a b", "sqs://a b: this is no name of a queue"),
            (
                "sqs://https://sqs.eu-west-1.amazonaws.com/q",
                "sqs://https://sqs.eu-west-1.amazonaws.com/q: the address of a queue ends with its account and name",
            ),
            ("gs://b", "gs://b: there is no source gs://"),
        ] {
            let error = SourceAddress::parse(text).unwrap_err();
            assert_eq!(error.message(), message);
            assert!(error.help().unwrap().contains("s3://bucket/AWSLogs/"), "{text}");
        }
    }
}
