//! What `cwl://...` means: one log group, a part of its streams, or many groups.
//!
//! Names of groups have slashes of their own. So of `cwl:///ecs/web/app/` the group
//! is the longest name that exists and is the path's beginning, by whole segments.

use tracing::warn;
use trailhound_ingest::error::{Error, ErrorKind};

use super::calls::Calls;
use super::deliver::LogGroup;

/// Most groups of one address.
const GROUPS_MAX: usize = 10_000;

/// Names are near if they are this alike; 1 is the same.
const NEAR: f64 = 0.8;

/// An address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A group, and maybe what its streams begin with.
    One {
        /// The whole path before it is resolved, then the group.
        path: String,
        /// Empty: all streams.
        stream_prefix: String,
    },
    /// All groups whose names begin with this.
    Many(String),
}

impl Address {
    /// Reads `cwl://...`.
    ///
    /// # Errors
    /// It is no such address.
    pub fn parse(address: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::wrong_use(format!("{address}: {why}")).with_help(
                "write cwl://log-group, cwl://log-group/stream-prefix, or cwl://prefix* for many groups; \
                 a name that begins with a slash gives three: cwl:///ecs/web",
            )
        };
        let path = address
            .strip_prefix("cwl://")
            .ok_or_else(|| wrong("not an address of CloudWatch Logs"))?;
        if let Some(prefix) = path.strip_suffix('*') {
            if prefix.contains('*') {
                return Err(wrong("more than one *"));
            }
            return Ok(Address::Many(prefix.to_owned()));
        }
        if path.trim_matches('/').is_empty() {
            return Err(wrong("no log group is named"));
        }
        if path.contains('*') {
            return Err(wrong("a * can only be the last character"));
        }
        Ok(Address::One {
            path: path.to_owned(),
            stream_prefix: String::new(),
        })
    }

    /// Whether it stands for several groups.
    pub fn is_many(&self) -> bool {
        matches!(self, Address::Many(_))
    }

    /// What the names of the wanted streams begin with, if not all are wanted.
    pub fn stream_prefix(&self) -> Option<&str> {
        match self {
            Address::One { stream_prefix, .. } if !stream_prefix.is_empty() => Some(stream_prefix),
            _ => None,
        }
    }

    /// Finds the groups.
    ///
    /// # Errors
    /// There is none, or they cannot be listed.
    pub async fn resolve(self, calls: &Calls) -> Result<(Self, Vec<LogGroup>), Error> {
        let path = match &self {
            Address::Many(prefix) => {
                let found = self.list(calls).await?;
                if found.is_empty() {
                    let near = near(calls, prefix).await;
                    return Err(missing(&format!("cwl://{prefix}*"), prefix, &near));
                }
                return Ok((self, found));
            }
            Address::One { path, .. } => path.clone(),
        };
        for (group, stream_prefix) in splits(&path) {
            // Names come sorted, so the group itself is the first that begins with it.
            match calls.groups(Some(group), None, 1).await {
                Ok(found) => {
                    if let Some(found) = found.into_iter().find(|found| found.name == group) {
                        let address = Address::One {
                            path: group.to_owned(),
                            stream_prefix: stream_prefix.to_owned(),
                        };
                        return Ok((address, vec![found]));
                    }
                }
                Err(refused) if refused.code == "AccessDeniedException" => {
                    warn!(
                        group = path,
                        "log groups may not be listed (logs:DescribeLogGroups): takes all of the address for the group's name"
                    );
                    let group = LogGroup {
                        name: path,
                        arn: None,
                    };
                    return Ok((self, vec![group]));
                }
                Err(refused) => return Err(refused.error),
            }
        }
        let near = near(calls, &path).await;
        Err(missing(&format!("cwl://{path}"), &path, &near))
    }

    /// The groups of a prefix.
    ///
    /// # Errors
    /// They cannot be listed.
    pub async fn list(&self, calls: &Calls) -> Result<Vec<LogGroup>, Error> {
        let Address::Many(prefix) = self else {
            return Ok(Vec::new());
        };
        let prefix = (!prefix.is_empty()).then_some(&**prefix);
        calls
            .groups(prefix, None, GROUPS_MAX)
            .await
            .map_err(|refused| refused.error)
    }
}

/// Ways to read a path as group and stream prefix, the longest group first.
fn splits(path: &str) -> Vec<(&str, &str)> {
    let mut splits = vec![(path, "")];
    for (at, _) in path.rmatch_indices('/') {
        if at > 0 {
            splits.push((&path[..at], &path[at + 1..]));
        }
    }
    splits
}

/// Groups whose names are like `name`.
async fn near(calls: &Calls, name: &str) -> Vec<String> {
    let trimmed = name.trim_matches('/');
    let longest = trimmed
        .split('/')
        .max_by_key(|part| part.len())
        .unwrap_or(trimmed);
    let start: String = name.chars().take(4).collect();
    let mut found = Vec::new();
    // A hint is not worth another error.
    for (prefix, pattern) in [(None, Some(longest)), (Some(&*start), None), (None, None)] {
        found.extend(calls.groups(prefix, pattern, 50).await.unwrap_or_default());
    }
    let mut scored: Vec<(f64, String)> = found
        .into_iter()
        .map(|group| {
            let other = group.name.trim_matches('/').to_lowercase();
            (strsim::jaro_winkler(&trimmed.to_lowercase(), &other), group.name)
        })
        .filter(|(score, _)| *score >= NEAR)
        .collect();
    scored.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
    scored.dedup();
    scored.into_iter().take(3).map(|(_, name)| name).collect()
}

/// The error for a group that does not exist.
pub fn missing(source: &str, name: &str, near: &[String]) -> Error {
    let help = if near.is_empty() {
        "check AWS_REGION, and the name with: aws logs describe-log-groups".to_owned()
    } else {
        let near: Vec<String> = near.iter().map(|name| format!("cwl://{name}")).collect();
        format!("did you mean {}?", near.join(" or "))
    };
    Error::new(
        ErrorKind::Unreachable,
        format!("{source}: there is no log group {name}"),
    )
    .with_help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_refused() {
        assert_eq!(
            Address::parse("cwl:///ecs/*").unwrap(),
            Address::Many("/ecs/".into())
        );
        assert_eq!(Address::parse("cwl://*").unwrap(), Address::Many(String::new()));
        for bad in ["cwl://", "cwl:///", "s3://a", "cwl://a*b", "cwl://*a*"] {
            let error = Address::parse(bad).unwrap_err();
            assert!(error.message().starts_with(bad), "{error}");
            assert!(error.help().is_some(), "{bad}");
        }
    }

    #[test]
    fn the_longest_group_comes_first() {
        assert_eq!(
            splits("/ecs/web/app/"),
            [
                ("/ecs/web/app/", ""),
                ("/ecs/web/app", ""),
                ("/ecs/web", "app/"),
                ("/ecs", "web/app/"),
            ]
        );
        assert_eq!(splits("flows"), [("flows", "")]);
    }
}
