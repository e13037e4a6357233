//! The functions that a query can call, as `\df` lists them.

use trailhound_query::Session;
use trailhound_query::functions::FUNCTIONS;

use super::listing::Listing;

/// A function as a person knows it.
struct Function {
    name: String,
    call: String,
    about: String,
}

/// What the JSON functions do: they come without descriptions.
const JSON: &[(&str, &str, &str)] = &[
    (
        "json_get",
        "json -> key",
        "The value of a key, or the element of an index, of whatever type it is.",
    ),
    (
        "json_as_text",
        "json ->> key",
        "The value of a key, or the element of an index, as text.",
    ),
    ("json_contains", "json ? key", "Whether there is such a key."),
    (
        "json_get_str",
        "json_get_str(json, key, ...)",
        "The text at the end of a path of keys and indices.",
    ),
    (
        "json_get_int",
        "json_get_int(json, key, ...)",
        "The integer at the end of a path.",
    ),
    (
        "json_get_float",
        "json_get_float(json, key, ...)",
        "The number at the end of a path.",
    ),
    (
        "json_get_bool",
        "json_get_bool(json, key, ...)",
        "The truth value at the end of a path.",
    ),
    (
        "json_get_json",
        "json_get_json(json, key, ...)",
        "The value at the end of a path, as JSON text.",
    ),
    (
        "json_get_array",
        "json_get_array(json, key, ...)",
        "The array at the end of a path, as a list; unnest() makes rows of it.",
    ),
    (
        "json_length",
        "json_length(json, key, ...)",
        "Members of an object, or elements of an array.",
    ),
    (
        "json_object_keys",
        "json_object_keys(json, key, ...)",
        "The keys of an object, as a list.",
    ),
];

/// Names of all functions, ours first.
pub fn names(session: &Session) -> Vec<String> {
    all(session).into_iter().map(|function| function.name).collect()
}

/// The functions with `part` in their names.
pub fn listing(session: &Session, part: Option<&str>) -> Listing {
    let part = part.unwrap_or_default().to_lowercase();
    let found = all(session)
        .into_iter()
        .filter(|function| function.name.contains(&part));
    let rows = found
        .map(|function| vec![function.name, function.call, function.about])
        .collect();
    Listing {
        header: vec!["function", "call", "about"],
        rows,
    }
}

fn all(session: &Session) -> Vec<Function> {
    let state = session.context().state();
    let mut found: Vec<Function> = FUNCTIONS
        .iter()
        .map(|function| Function {
            name: function.name.to_string(),
            call: function.call(),
            about: function.about.to_string(),
        })
        .collect();
    let ours = found.len();
    let mut add = |name: &str, documentation: Option<&datafusion::logical_expr::Documentation>| {
        // Registered under each alias and, if they serve as both, as aggregate and window function.
        if name.starts_with("__") || found.iter().any(|function| function.name == name) {
            return;
        }
        let json = JSON.iter().find(|(json, ..)| *json == name);
        let (call, about) = match (documentation, json) {
            (Some(documentation), _) => (
                documentation.syntax_example.clone(),
                first_sentence(&documentation.description),
            ),
            (None, Some((_, call, about))) => (call.to_string(), about.to_string()),
            (None, None) => (format!("{name}(...)"), String::new()),
        };
        found.push(Function {
            name: name.to_string(),
            call,
            about,
        });
    };
    for (name, function) in state.scalar_functions() {
        add(name, function.documentation());
    }
    for (name, function) in state.aggregate_functions() {
        add(name, function.documentation());
    }
    for (name, function) in state.window_functions() {
        add(name, function.documentation());
    }
    found[ours..].sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn first_sentence(text: &str) -> String {
    let text = text
        .trim()
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let end = text.find(". ").map_or(text.len(), |end| end + 1);
    text[..end].to_string()
}
