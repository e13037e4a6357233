//! Where the lake and its state lie, and how they are opened.

use std::path::{Path, PathBuf};

use trailhound_lake::Lake;
use trailhound_query::Error;
use url::Url;

use crate::config::Config;

/// The lake that is used when none is named.
pub const DEFAULT: &str = "./lake";

/// Arguments that say where the lake lies.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Where {
    /// The lake, a folder or an s3:// URL [default: ./lake]
    #[arg(long, value_name = "WHERE")]
    pub lake: Option<String>,

    /// Endpoint of an S3-compatible store, in place of AWS's own
    #[arg(long, value_name = "URL")]
    pub endpoint_url: Option<String>,

    /// Settings [default: trailhound.toml if it is there]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Where {
    /// The settings in force, and the place that they and the arguments name.
    ///
    /// # Errors
    /// The settings cannot be read.
    pub fn place(&self) -> anyhow::Result<(Config, Place)> {
        let config = Config::load(self.config.as_deref())?;
        let place = Place::of(self.lake.as_deref(), self.endpoint_url.as_deref(), &config);
        Ok((config, place))
    }
}

/// A lake that was named, or the default one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// A folder, or an `s3://` URL.
    pub location: String,
    /// Where S3 lies, if not at AWS.
    pub endpoint_url: Option<String>,
}

impl Place {
    /// The lake of a command: its argument, else the configuration, else [`DEFAULT`].
    pub fn of(argument: Option<&str>, endpoint_url: Option<&str>, config: &Config) -> Self {
        let location = argument.or(config.lake.path.as_deref()).unwrap_or(DEFAULT);
        Place {
            location: location.to_owned(),
            endpoint_url: endpoint_url
                .or(config.aws.endpoint_url.as_deref())
                .map(str::to_owned),
        }
    }

    /// Opens it to be read.
    ///
    /// # Errors
    /// There is none, or it cannot be reached.
    pub async fn read(&self) -> Result<Lake, Error> {
        match self.url()? {
            Some(url) => self.remote(url).await,
            None => Lake::open_local(Path::new(&self.location)),
        }
    }

    /// Opens it to be written, and makes it if it is not there.
    ///
    /// # Errors
    /// It cannot be made, written or reached.
    pub async fn write(&self) -> Result<Lake, Error> {
        match self.url()? {
            Some(url) => self.remote(url).await,
            None => Lake::local(Path::new(&self.location)),
        }
    }

    /// Where its state lies if nothing else is said: beside it.
    pub fn state(&self) -> PathBuf {
        let name = match self.url() {
            // Beside a bucket there is nothing; so it is kept here, under the bucket's name.
            Ok(Some(url)) => {
                let path = url.path().trim_matches('/').replace('/', "-");
                let bucket = url.host_str().unwrap_or_default().to_owned();
                match path.is_empty() {
                    true => bucket,
                    false => format!("{bucket}-{path}"),
                }
            }
            _ => self.location.trim_end_matches('/').to_owned(),
        };
        PathBuf::from(format!("{name}.state"))
    }

    fn url(&self) -> Result<Option<Url>, Error> {
        let Some((scheme, _)) = self.location.split_once("://") else {
            return Ok(None);
        };
        if scheme != "s3" {
            return Err(
                Error::wrong_use(format!("{}: a lake cannot lie there", self.location))
                    .with_help("use a folder, or s3://BUCKET/PREFIX"),
            );
        }
        let url = Url::parse(&self.location)
            .map_err(|error| Error::wrong_use(format!("{}: {error}", self.location)))?;
        match url.host_str() {
            Some(_) => Ok(Some(url)),
            None => Err(Error::wrong_use(format!("{}: it names no bucket", self.location))
                .with_help("use s3://BUCKET/PREFIX")),
        }
    }

    async fn remote(&self, url: Url) -> Result<Lake, Error> {
        let store = trailhound_aws::store(&url, self.endpoint_url.as_deref()).await?;
        Ok(Lake::new(url, store))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(location: &str) -> Place {
        Place {
            location: location.to_owned(),
            endpoint_url: None,
        }
    }

    #[test]
    fn the_state_lies_beside_the_lake() {
        assert_eq!(place("./lake").state(), Path::new("./lake.state"));
        assert_eq!(place("/srv/lake/").state(), Path::new("/srv/lake.state"));
        assert_eq!(place("s3://logs/a/lake/").state(), Path::new("logs-a-lake.state"));
        assert_eq!(place("s3://logs").state(), Path::new("logs.state"));
    }

    #[tokio::test]
    async fn other_schemes_and_missing_folders_are_refused() {
        let error = place("gs://x/y").read().await.expect_err("no such store");
        assert_eq!(error.message(), "gs://x/y: a lake cannot lie there");
        let error = place("./no-such-lake-here")
            .read()
            .await
            .expect_err("no such folder");
        assert!(error.message().contains("no lake here"), "{error}");
    }
}
