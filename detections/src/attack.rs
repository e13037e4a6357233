//! Names and tactics of ATT&CK techniques, from `attack.toml`.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// A technique or sub-technique.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Technique {
    /// Its name, without that of its parent.
    pub name: String,
    /// Ids of its tactics.
    pub tactics: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    version: String,
    tactics: BTreeMap<String, String>,
    techniques: BTreeMap<String, Technique>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../attack.toml")).expect("attack.toml is part of the program and tested")
});

/// Version of ATT&CK that the ids belong to.
pub fn version() -> &'static str {
    &TABLE.version
}

/// The technique with this id, such as `T1552.005`.
pub fn technique(id: &str) -> Option<&'static Technique> {
    TABLE.techniques.get(id)
}

/// Name of the tactic with this id, such as `TA0006`.
pub fn tactic(id: &str) -> Option<&'static str> {
    TABLE.tactics.get(id).map(String::as_str)
}

/// Id of the technique that a sub-technique belongs to; the id itself for a technique.
pub fn parent(id: &str) -> &str {
    id.split_once('.').map_or(id, |(parent, _)| parent)
}

/// Whether `id` looks like `T1046` or `T1552.005`.
pub fn is_well_formed(id: &str) -> bool {
    let digits = |text: &str, count: usize| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    id.strip_prefix('T').is_some_and(|id| match id.split_once('.') {
        Some((technique, sub)) => digits(technique, 4) && digits(sub, 3),
        None => digits(id, 4),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_technique_has_its_parent_and_tactics() {
        for (id, technique) in &TABLE.techniques {
            assert!(is_well_formed(id), "{id}");
            assert!(
                TABLE.techniques.contains_key(parent(id)),
                "{id} has no parent here"
            );
            assert!(!technique.tactics.is_empty(), "{id}");
            for known in &technique.tactics {
                assert!(tactic(known).is_some(), "{id} names the unknown tactic {known}");
            }
        }
    }

    #[test]
    fn ids_are_told_from_noise() {
        assert!(is_well_formed("T1046") && is_well_formed("T1552.005"));
        for bad in [
            "",
            "T",
            "T104",
            "T10466",
            "T1552.5",
            "T1552.",
            "TA0007",
            "t1046",
            "T1552.005.1",
        ] {
            assert!(!is_well_formed(bad), "{bad}");
        }
    }
}
