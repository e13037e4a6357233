//! One JSON object: where its members lie, and its row.

use std::borrow::Cow;
use std::ops::Range;

use super::kinds::{self, Envelope};
use super::value::{Text, holds, quoted, time_of};
use super::{Context, Make, Shape, Take};
use crate::column::{Column, Kind};
use crate::json::{self, Elements, Fault, Members};
use crate::rows::Rows;

/// Keys of one path. Walking recurses once for each, and a path may be a user's.
const PATH_KEYS_MAX: usize = 16;

/// The object at the root of a path.
const ROOT: usize = 0;

/// An object, for a format to tell what it is.
pub(crate) struct Object<'a> {
    bytes: &'a [u8],
    members: &'a [Member],
}

/// A member at the top of an object: its key without the quotes, its value.
#[derive(Debug, Clone)]
pub(super) struct Member {
    key: Range<usize>,
    value: Range<usize>,
}

impl<'a> Object<'a> {
    /// Whether it has a member of this name, null or not.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.member(key).is_some()
    }

    /// The raw value of the first member of this name; None for null.
    pub(crate) fn raw(&self, key: &str) -> Option<&'a [u8]> {
        let value = self.member(key)?;
        Some(&self.bytes[value]).filter(|raw| *raw != b"null")
    }

    /// The text of a member that is a string.
    pub(crate) fn text(&self, key: &str) -> Option<Cow<'a, str>> {
        json::string(self.raw(key)?)
    }

    /// Where the value at a path of keys with dots between them lies, if it is not null.
    pub(super) fn span(&self, path: &str) -> Option<Range<usize>> {
        let mut keys = path.split('.');
        let mut value = self.member(keys.next()?)?;
        for key in keys {
            value = json::member(self.bytes, value.start, key.as_bytes())?;
        }
        Some(value).filter(|value| self.bytes[value.start] != b'n')
    }

    /// The raw value at a path of keys with dots between them, if it is not null.
    pub(crate) fn at(&self, path: &str) -> Option<&'a [u8]> {
        Some(&self.bytes[self.span(path)?])
    }

    /// Its keys, still escaped.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'a [u8]> {
        self.members.iter().map(|member| &self.bytes[member.key.clone()])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    fn member(&self, key: &str) -> Option<Range<usize>> {
        self.members
            .iter()
            .find(|member| &self.bytes[member.key.clone()] == key.as_bytes())
            .map(|member| member.value.clone())
    }
}

/// How far [`Record::walk`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Walked {
    /// To the end of the object.
    Whole {
        /// Where it ends.
        end: usize,
    },
    /// To the bracket of a list, which is read element by element.
    List {
        /// Where the bracket is.
        bracket: usize,
    },
    /// To the bracket of an array called `Records`, which other formats have.
    Records {
        /// Where the bracket is.
        bracket: usize,
    },
}

/// A key on the path of some column.
#[derive(Debug)]
struct Node {
    key: Box<[u8]>,
    /// As the index of an element, if it is one.
    index: Option<usize>,
    children: Vec<usize>,
    /// A column that is asked for looks further inside.
    enters: bool,
}

/// A column, and the nodes of the tree that its value comes from.
#[derive(Debug)]
struct Field {
    column: usize,
    kind: Kind,
    how: How,
    nodes: Vec<usize>,
}

#[derive(Debug, Clone, Copy)]
enum How {
    First,
    Made(Make),
    Extra,
}

/// The members of one object. Kept from record to record, so that none allocates.
pub(super) struct Record {
    shape: &'static Shape,
    nodes: Vec<Node>,
    /// Where the value of each node lies, or nothing.
    spans: Vec<Option<Range<usize>>>,
    members: Vec<Member>,
    /// Columns that are asked for, without the event time.
    fields: Vec<Field>,
    /// The event time, and the paths that it comes from.
    time: Field,
    time_paths: Vec<String>,
    wants_time: bool,
    /// All columns that hold a value as it is, for `extra` to leave out; empty if that is not asked for.
    holders: Vec<Field>,
    account: Option<usize>,
    region: Option<usize>,
    extra: String,
    held: Vec<usize>,
}

impl Record {
    /// Room for records of which `rows` wants some columns.
    pub(super) fn new(
        shape: &'static Shape,
        rows: &Rows,
        paths: impl Fn(&Column) -> Option<Vec<String>>,
    ) -> Self {
        let mut record = Record {
            shape,
            nodes: vec![Node {
                key: Box::default(),
                index: None,
                children: Vec::new(),
                enters: true,
            }],
            spans: Vec::new(),
            members: Vec::new(),
            fields: Vec::new(),
            time: Field {
                column: 0,
                kind: Kind::Time,
                how: How::First,
                nodes: Vec::new(),
            },
            time_paths: Vec::new(),
            wants_time: rows.wants(0),
            holders: Vec::new(),
            account: None,
            region: None,
            extra: String::new(),
            held: Vec::new(),
        };
        let wants_extra = shape
            .specs
            .iter()
            .enumerate()
            .any(|(column, spec)| matches!(spec.take, Take::Extra) && rows.wants(column));
        for (column, spec) in shape.specs.iter().enumerate() {
            match spec.column.name {
                "account_id" => record.account = Some(column),
                "region" => record.region = Some(column),
                _ => {}
            }
            let wanted = column == 0 || rows.wants(column);
            let how = match spec.take {
                Take::Path(_) | Take::First(_) => How::First,
                Take::Made(_, make) => How::Made(make),
                Take::Extra => How::Extra,
            };
            let texts = match how {
                How::First | How::Made(_) => paths(&spec.column).unwrap_or_else(|| spec.paths()),
                How::Extra => spec.paths(),
            };
            // Which of several values a column holds decides what is left for `extra`.
            let decides = wants_extra && matches!(how, How::First) && texts.len() > 1;
            let nodes: Vec<usize> = texts
                .iter()
                .map(|path| record.node(path, wanted || decides))
                .collect();
            let field = |nodes: &Vec<usize>| Field {
                column,
                kind: spec.column.kind,
                how,
                nodes: nodes.clone(),
            };
            if wants_extra && matches!(how, How::First) {
                record.holders.push(field(&nodes));
            }
            if column == 0 {
                record.time = field(&nodes);
                record.time_paths = texts;
            } else if wanted {
                record.fields.push(field(&nodes));
            }
        }
        record.spans = vec![None; record.nodes.len()];
        record
    }

    /// The node at the end of `path`, made if it is not there.
    fn node(&mut self, path: &str, wanted: bool) -> usize {
        let mut at = ROOT;
        for key in keys_of(path) {
            self.nodes[at].enters |= wanted;
            let found = self.nodes[at]
                .children
                .iter()
                .copied()
                .find(|&child| *self.nodes[child].key == *key);
            at = found.unwrap_or_else(|| {
                let child = self.nodes.len();
                self.nodes[at].children.push(child);
                self.nodes.push(Node {
                    index: std::str::from_utf8(&key).ok().and_then(|key| key.parse().ok()),
                    key: key.into(),
                    children: Vec::new(),
                    enters: false,
                });
                child
            });
        }
        at
    }

    /// Notes where the members of the object at `start` lie, and checks all of it.
    ///
    /// `document` says that the object stands by itself: then it may also be the
    /// object around a list, and the walk ends where that shows.
    pub(super) fn walk(&mut self, bytes: &[u8], start: usize, document: bool) -> Result<Walked, Fault> {
        self.spans.fill(None);
        self.members.clear();
        let mut members = Members::new(bytes, start)?;
        while let Some(key) = members.next_key()? {
            if document && members.peek() == b'[' {
                let bracket = members.pos();
                match &bytes[key.clone()] {
                    list if self.shape.is_list(list) => return Ok(Walked::List { bracket }),
                    b"Records" => return Ok(Walked::Records { bracket }),
                    _ => {}
                }
            }
            let value = self.walk_value(bytes, &mut members, ROOT, &key)?;
            self.members.push(Member { key, value });
        }
        Ok(Walked::Whole { end: members.pos() })
    }

    /// Goes over the value of `key`, a member of the object at the node `parent`.
    fn walk_value(
        &mut self,
        bytes: &[u8],
        members: &mut Members<'_>,
        parent: usize,
        key: &Range<usize>,
    ) -> Result<Range<usize>, Fault> {
        let name = &bytes[key.clone()];
        let node = self.nodes[parent]
            .children
            .iter()
            .copied()
            .find(|&child| *self.nodes[child].key == *name)
            .filter(|&child| self.spans[child].is_none());
        let Some(node) = node else {
            return members.skip();
        };
        let value = if self.nodes[node].enters && members.peek() == b'{' {
            let start = members.pos();
            // Known from here on: only then is a second member of the name left alone.
            self.spans[node] = Some(start..start);
            let mut inside = members.enter()?;
            while let Some(key) = inside.next_key()? {
                self.walk_value(bytes, &mut inside, node, &key)?;
            }
            members.leave(&inside);
            start..members.pos()
        } else {
            members.skip()?
        };
        self.spans[node] = Some(value.clone());
        if self.nodes[node].enters && bytes[value.start] == b'[' {
            self.walk_elements(bytes, value.start, node)?;
        }
        Ok(value)
    }

    /// Notes the elements that columns look at of the valid array at `start`.
    fn walk_elements(&mut self, bytes: &[u8], start: usize, node: usize) -> Result<(), Fault> {
        let index_of = |record: &Record, child: &usize| record.nodes[*child].index;
        let Some(last) = self.nodes[node]
            .children
            .iter()
            .filter_map(|child| index_of(self, child))
            .max()
        else {
            return Ok(());
        };
        let mut elements = Elements::new(bytes, start)?;
        for index in 0..=last {
            let Some(element) = elements.next_element()? else {
                break;
            };
            let child = self.nodes[node]
                .children
                .iter()
                .copied()
                .find(|child| index_of(self, child) == Some(index));
            let Some(child) = child else { continue };
            self.spans[child] = Some(element.clone());
            if !self.nodes[child].enters {
                continue;
            }
            match bytes[element.start] {
                b'{' => {
                    let mut inside = Members::new(bytes, element.start)?;
                    while let Some(key) = inside.next_key()? {
                        self.walk_value(bytes, &mut inside, child, &key)?;
                    }
                }
                b'[' => self.walk_elements(bytes, element.start, child)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// What the object is whose members were walked last.
    pub(super) fn envelope(&self, shape: &Shape, bytes: &[u8]) -> Envelope {
        let object = Object {
            bytes,
            members: &self.members,
        };
        kinds::envelope(shape, &object)
    }

    /// The value of a node, if it is there and not null.
    fn value(&self, node: usize, bytes: &[u8]) -> Option<Range<usize>> {
        self.spans[node].clone().filter(|span| bytes[span.start] != b'n')
    }

    fn first(&self, field: &Field, bytes: &[u8]) -> Option<Range<usize>> {
        field.nodes.iter().find_map(|&node| self.value(node, bytes))
    }

    /// The time of the record, in microseconds since the epoch; `around` is what its envelope says.
    ///
    /// # Errors
    /// Why it cannot be told.
    pub(super) fn event_time(&self, bytes: &[u8], around: Option<i64>) -> Result<i64, String> {
        for (&node, path) in self.time.nodes.iter().zip(&self.time_paths) {
            if let Some(span) = self.value(node, bytes) {
                let raw = &bytes[span];
                return time_of(raw).ok_or_else(|| {
                    format!("{path} {} is not a time", quoted(&String::from_utf8_lossy(raw)))
                });
            }
        }
        let path = self.time_paths.first().map_or("", String::as_str);
        around.ok_or_else(|| format!("{path} is missing"))
    }

    /// Sets the wanted columns of one row; `micros` is its event time. All of
    /// the record is valid UTF-8.
    pub(super) fn write(&mut self, text: Text<'_>, micros: i64, context: &Context, rows: &mut Rows) {
        let bytes = text.bytes();
        if self.wants_time {
            rows.set_time(0, micros);
        }
        let mut extra = None;
        for field in &self.fields {
            match field.how {
                How::First => {
                    if let Some(span) = self.first(field, bytes) {
                        text.put_value(rows, field.column, field.kind, span);
                    }
                }
                How::Made(make) => {
                    let found: Vec<Option<&[u8]>> = field
                        .nodes
                        .iter()
                        .map(|&node| self.value(node, bytes).map(|span| &bytes[span]))
                        .collect();
                    if let Some(value) = make(&found) {
                        value.put(rows, field.column, field.kind);
                    }
                }
                How::Extra => extra = Some(field.column),
            }
        }
        if let Some(column) = extra {
            self.write_extra(bytes, column, rows);
        }
        // Of two values the first stays: these are for records that do not tell.
        for (column, value) in [(self.account, &context.account), (self.region, &context.region)] {
            if let (Some(column), Some(value)) = (column, value) {
                rows.set_text(column, value);
            }
        }
    }

    fn write_extra(&mut self, bytes: &[u8], column: usize, rows: &mut Rows) {
        let mut held = std::mem::take(&mut self.held);
        let mut extra = std::mem::take(&mut self.extra);
        held.clear();
        extra.clear();
        for field in &self.holders {
            if let Some(span) = self.first(field, bytes)
                && holds(field.kind, &bytes[span.clone()])
            {
                held.push(span.start);
            }
            // Nulls are held by NULL.
            let nulls = field.nodes.iter().filter_map(|&node| self.spans[node].as_ref());
            held.extend(nulls.map(|span| span.start).filter(|&start| bytes[start] == b'n'));
        }
        for Member { key, value } in &self.members {
            let is_constant = self.shape.constants.iter().any(|(name, raw)| {
                name.as_bytes() == &bytes[key.clone()] && raw.as_bytes() == &bytes[value.clone()]
            });
            if is_constant || held.contains(&value.start) {
                continue;
            }
            extra.push(if extra.is_empty() { '{' } else { ',' });
            extra.push_str(&String::from_utf8_lossy(&bytes[key.start - 1..value.end]));
        }
        if !extra.is_empty() {
            extra.push('}');
            rows.set_text(column, &extra);
        }
        self.held = held;
        self.extra = extra;
    }
}

/// The keys of a path: `a.b[0].c`, with `\.` for a dot that is part of a key.
fn keys_of(path: &str) -> Vec<Vec<u8>> {
    let mut keys = vec![Vec::new()];
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        let full = keys.len() == PATH_KEYS_MAX;
        let key = keys.last_mut().expect("there is always a last key");
        match byte {
            b'\\' => key.extend(rest.next()),
            b'.' | b'[' if !full => keys.push(Vec::new()),
            b']' => {}
            other => key.push(other),
        }
    }
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_keys_and_indices() {
        for (path, expected) in [
            ("time", &["time"][..]),
            ("detail.taskArn", &["detail", "taskArn"]),
            ("containers[0].name", &["containers", "0", "name"]),
            ("containers.0.name", &["containers", "0", "name"]),
            (r"source\.ip", &["source.ip"]),
            ("", &[""]),
        ] {
            let keys: Vec<String> = keys_of(path)
                .into_iter()
                .map(|key| String::from_utf8(key).unwrap())
                .collect();
            assert_eq!(keys, expected, "{path}");
        }
        assert_eq!(keys_of(&"a.".repeat(99)).len(), PATH_KEYS_MAX);
    }
}
