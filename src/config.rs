//! `trailhound.toml`: one struct, checked once, then handed down.
//!
//! A flag goes before the environment (`TRAILHOUND_LAKE__PATH`), and that before
//! the file. Secrets have no place in it: AWS access is the SDK's default chain.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};
use trailhound_query::Error;

/// The file that is read if it lies in the working folder and none is named.
pub const DEFAULT_FILE: &str = "trailhound.toml";

/// Start of the names of environment variables.
const PREFIX: &str = "TRAILHOUND_";

/// Variables with that start that are no settings.
const NOT_SETTINGS: &[&str] = &["TRAILHOUND_LOG", "TRAILHOUND_FAILPOINT", "TRAILHOUND_CORPUS"];

/// All settings.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The lake.
    pub lake: LakeSection,
    /// AWS access.
    pub aws: AwsSection,
    /// How logs are taken in.
    pub ingest: IngestSection,
    /// Files about addresses.
    pub enrich: EnrichSection,
    /// Sources that `trailhound ingest` takes in when none is named.
    pub source: Vec<SourceSection>,
}

/// `[lake]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LakeSection {
    /// A folder, or an `s3://` URL.
    pub path: Option<String>,
    /// Folder of the state; beside the lake by default.
    pub state: Option<PathBuf>,
}

/// `[aws]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AwsSection {
    /// Where the services lie, if not at AWS.
    pub endpoint_url: Option<String>,
}

/// `[ingest]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct IngestSection {
    /// Memory for rows that are on their way, such as `512MiB`.
    pub memory: Option<String>,
    /// Rows after which a batch is committed.
    pub batch_rows: Option<u64>,
    /// Time after which a batch is committed, such as `60s`.
    pub batch_age: Option<String>,
    /// Requests a second to CloudWatch Logs, for all sources together.
    pub rate: Option<f64>,
}

/// `[enrich]`: files that say more about addresses.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnrichSection {
    /// AWS's `ip-ranges.json`.
    pub aws_ranges: Option<PathBuf>,
    /// A MaxMind database of countries or cities.
    pub geoip: Option<PathBuf>,
    /// A MaxMind database of autonomous systems.
    pub asn: Option<PathBuf>,
    /// Lists of addresses and networks. In the environment, with the system's
    /// separator of paths between them.
    #[serde(deserialize_with = "paths")]
    pub threat_lists: Vec<PathBuf>,
}

/// A list of paths, or text as in the environment.
fn paths<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a list of paths")]
    enum Paths {
        List(Vec<PathBuf>),
        Text(String),
    }
    Ok(match Paths::deserialize(deserializer)? {
        Paths::List(paths) => paths,
        Paths::Text(text) => std::env::split_paths(&text).collect(),
    })
}

/// `[[source]]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SourceSection {
    /// As on the command line, such as `s3://bucket/prefix`.
    pub address: String,
    /// The table that all its objects belong to; recognised by default.
    pub table: Option<String>,
    /// Go on as more comes in.
    #[serde(default)]
    pub follow: bool,
    /// Settings of the table's format.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl Config {
    /// The settings of `file`, or of [`DEFAULT_FILE`] if that is there, with
    /// those of the environment over them.
    ///
    /// # Errors
    /// The file cannot be read, a key is unknown, or a value makes no sense; with
    /// the place in the file.
    pub fn load(file: Option<&Path>) -> Result<Self, Error> {
        let (name, text) = match file {
            Some(file) => (file.to_owned(), Some(read(file)?)),
            None => {
                let file = PathBuf::from(DEFAULT_FILE);
                let text = file.is_file().then(|| read(&file)).transpose()?;
                (file, text)
            }
        };
        let variables = std::env::vars().filter(|(name, _)| name.starts_with(PREFIX));
        Config::parse(&name, text.as_deref().unwrap_or_default(), variables)
    }

    fn parse(
        file: &Path,
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        // Once as it stands, so that what is wrong is found with its line.
        let config: Config = toml::from_str(text).map_err(|error| wrong(file, text, &error))?;
        let settings: Vec<(String, String)> = variables
            .filter(|(name, _)| !NOT_SETTINGS.contains(&name.as_str()))
            .collect();
        if settings.is_empty() {
            return Ok(config);
        }
        let mut table: toml::Table = toml::from_str(text).map_err(|error| wrong(file, text, &error))?;
        for (name, value) in &settings {
            lay_over(&mut table, name, value)?;
        }
        table.try_into().map_err(|error: toml::de::Error| {
            let names: Vec<&str> = settings.iter().map(|(name, _)| name.as_str()).collect();
            Error::wrong_use(format!(
                "settings from the environment ({}): {}",
                names.join(", "),
                error.message()
            ))
            .with_help("they are named TRAILHOUND_SECTION__KEY, such as TRAILHOUND_LAKE__PATH")
        })
    }
}

fn read(file: &Path) -> Result<String, Error> {
    std::fs::read_to_string(file)
        .map_err(|error| Error::wrong_use(format!("{}: cannot read it: {error}", file.display())))
}

/// `TRAILHOUND_SECTION__KEY` over the file's.
fn lay_over(table: &mut toml::Table, name: &str, value: &str) -> Result<(), Error> {
    let path = name[PREFIX.len()..].to_lowercase();
    let Some((section, key)) = path.split_once("__") else {
        return Err(Error::wrong_use(format!("{name}: not a setting"))
            .with_help("settings are named TRAILHOUND_SECTION__KEY, such as TRAILHOUND_LAKE__PATH"));
    };
    let section = table
        .entry(section.to_owned())
        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    let toml::Value::Table(section) = section else {
        return Err(Error::wrong_use(format!(
            "{name}: lists are set in the file only"
        )));
    };
    let value = match (value.parse(), value.parse()) {
        (Ok(number), _) => toml::Value::Integer(number),
        (_, Ok(number)) => toml::Value::Float(number),
        _ => toml::Value::String(value.to_owned()),
    };
    section.insert(key.to_owned(), value);
    Ok(())
}

fn wrong(file: &Path, text: &str, error: &toml::de::Error) -> Error {
    let line = error.span().map_or(1, |span| {
        text[..span.start.min(text.len())].matches('\n').count() + 1
    });
    Error::wrong_use(format!("{}:{line}: {}", file.display(), error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, variables: &[(&str, &str)]) -> Result<Config, Error> {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::parse(Path::new("t.toml"), text, variables)
    }

    #[test]
    fn sections_and_sources() {
        let config = parse(
            "[lake]\npath = \"s3://b/lake\"\n\n[[source]]\naddress = \"sqs://q\"\nfollow = true\n\
             [[source]]\naddress = \"logs/\"\ntable = \"vpc_flow\"\noptions = { fields = \"srcaddr\" }\n",
            &[],
        )
        .unwrap();
        assert_eq!(config.lake.path.as_deref(), Some("s3://b/lake"));
        assert_eq!(config.source.len(), 2);
        assert!(config.source[0].follow && !config.source[1].follow);
        assert_eq!(config.source[1].options["fields"], "srcaddr");
    }

    #[test]
    fn unknown_keys_are_errors_with_their_line() {
        let error = parse("[lake]\npath = \"x\"\npaht = \"y\"\n", &[]).unwrap_err();
        assert!(
            error.message().starts_with("t.toml:3: unknown field `paht`"),
            "{error}"
        );
        let error = parse("[lake]\npath = 3\n", &[]).unwrap_err();
        assert!(error.message().starts_with("t.toml:2: "), "{error}");
    }

    #[test]
    fn the_environment_goes_before_the_file() {
        let config = parse(
            "[lake]\npath = \"a\"\nstate = \"s\"\n",
            &[("TRAILHOUND_LAKE__PATH", "b"), ("TRAILHOUND_INGEST__RATE", "2.5")],
        )
        .unwrap();
        assert_eq!(config.lake.path.as_deref(), Some("b"));
        assert_eq!(config.lake.state.as_deref(), Some(Path::new("s")));
        assert_eq!(config.ingest.rate, Some(2.5));
        let lists = [("TRAILHOUND_ENRICH__THREAT_LISTS", "a.txt:b c.txt")];
        let config = parse(
            "[enrich]\nthreat_lists = [\"c.txt\"]\ngeoip = \"g.mmdb\"\n",
            &lists,
        )
        .unwrap();
        assert_eq!(config.enrich.geoip, Some("g.mmdb".into()));
        assert_eq!(
            config.enrich.threat_lists,
            [PathBuf::from("a.txt"), "b c.txt".into()]
        );
        let error = parse("", &[("TRAILHOUND_LAKE__PAHT", "b")]).unwrap_err();
        assert!(error.message().contains("TRAILHOUND_LAKE__PAHT"), "{error}");
        assert!(parse("", &[("TRAILHOUND_LAKE", "b")]).is_err());
        assert_eq!(
            parse("", &[("TRAILHOUND_CORPUS", "x")]).unwrap(),
            Config::default()
        );
    }
}
