//! The keys of a rule's front matter, and what their values must look like.

use chrono::TimeDelta;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use crate::attack;
use crate::severity::Severity;

/// NIST CSF 1.1 subcategories that a detection may claim. The others are beyond
/// what reading logs can do: to set thresholds for a person, to contain, to recover.
pub const CSF: &[&str] = &[
    "DE.AE-1", "DE.AE-3", "DE.AE-4", "DE.CM-1", "PR.AC-1", "PR.AC-4", "PR.AC-7", "PR.PT-3", "RS.AN-2",
    "RS.CO-3",
];

/// The keys, as [`crate::Rule`] explains them. An unknown one is a slip of the pen, so it is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FrontMatter {
    pub id: String,
    pub title: String,
    pub severity: Severity,
    pub attack: Vec<TechniqueId>,
    pub csf: Vec<CsfId>,
    pub reads: Vec<String>,
    #[serde(default)]
    pub optional: Vec<String>,
    pub every: Option<Span>,
    pub window: Option<Span>,
    pub learn: Option<Span>,
    pub entity: Vec<String>,
    pub quiet: Span,
    pub message: String,
    #[serde(default)]
    pub impact: Vec<String>,
    #[serde(default)]
    pub keep: Vec<String>,
    pub risk: Option<u8>,
    pub misses: String,
    pub false_positives: String,
}

pub(crate) struct TechniqueId(pub String);

impl<'de> Deserialize<'de> for TechniqueId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        if !attack::is_well_formed(&id) {
            return Err(D::Error::custom(format!(
                "{id:?} is no ATT&CK technique id such as T1046 or T1552.005"
            )));
        }
        match attack::technique(&id) {
            Some(_) => Ok(TechniqueId(id)),
            None => Err(D::Error::custom(format!(
                "{id} is not in attack.toml: add its name and tactics there"
            ))),
        }
    }
}

pub(crate) struct CsfId(pub String);

impl<'de> Deserialize<'de> for CsfId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        if CSF.contains(&id.as_str()) {
            return Ok(CsfId(id));
        }
        Err(D::Error::custom(format!(
            "{id:?} is not one of the CSF subcategories in use: {}",
            CSF.join(", ")
        )))
    }
}

pub(crate) struct Span(pub TimeDelta);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        duration(&text)
            .map(Span)
            .ok_or_else(|| D::Error::custom(format!("{text:?} is no duration; write 90s, 15m, 24h or 7d")))
    }
}

/// A whole number and a unit: `90s`, `15m`, `24h`, `7d`. A year at most.
fn duration(text: &str) -> Option<TimeDelta> {
    let unit = text.chars().last()?;
    let seconds_each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    let number: i64 = text[..text.len() - 1].parse().ok()?;
    let seconds = number.checked_mul(seconds_each)?;
    (1..=366 * 86_400)
        .contains(&seconds)
        .then(|| TimeDelta::seconds(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("90s"), Some(TimeDelta::seconds(90)));
        assert_eq!(duration("7d"), Some(TimeDelta::days(7)));
        for bad in ["", "h", "0h", "-1h", "1", "1w", "1.5h", "9999d", "1é"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
