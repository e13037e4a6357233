//! Flow records as CloudWatch Logs delivers them: in JSON documents, without a header.
//!
//! Subscription envelopes (`logEvents`) and `aws logs` output (`events`) hold one
//! record in each event's message. Their fields are given by the option `fields`,
//! else they are those of version 2. Objects of plain lines pass through.

use arrow::array::RecordBatch;
use serde_json::Value;

use super::VpcFlowParser;
use crate::block::Block;
use crate::formats::{Parser, Progress, Refusal};
use crate::tally::Tally;

/// Within these first bytes an object shows that it holds events.
const TOLD_WITHIN_BYTES: usize = 64 << 10;

/// Lines or documents, told by the object's first bytes.
pub struct AnyDelivery {
    lines: VpcFlowParser,
    kind: Kind,
    /// Messages of the document under way, a line each.
    messages: Block,
    skipping: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Untold,
    Lines,
    Documents,
}

impl AnyDelivery {
    /// Hands records on to `lines`.
    pub fn new(lines: VpcFlowParser) -> Self {
        AnyDelivery {
            lines,
            kind: Kind::Untold,
            messages: Block::default(),
            skipping: false,
        }
    }

    fn told(&mut self, block: &Block, last: bool) -> bool {
        let rest = block.rest();
        let head = &rest[..rest.len().min(TOLD_WITHIN_BYTES)];
        let holds = |name: &[u8]| memchr::memmem::find(head, name).is_some();
        if !rest.starts_with(b"{") {
            self.kind = if rest.is_empty() && !last {
                Kind::Untold
            } else {
                Kind::Lines
            };
        } else if holds(b"\"logEvents\"") || holds(b"\"events\"") || holds(b"\"messageType\"") {
            self.kind = Kind::Documents;
            self.lines.assume_default_fields();
        } else if last || rest.len() >= TOLD_WITHIN_BYTES {
            self.kind = Kind::Lines; // Which refuses it, and says why.
        }
        self.kind != Kind::Untold
    }

    /// Takes the next document. False: it is not whole yet.
    fn document(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> bool {
        let spaces = block
            .rest()
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        block.pos += spaces;
        if block.rest().is_empty() {
            return false;
        }
        let mut documents = serde_json::Deserializer::from_slice(block.rest()).into_iter::<Value>();
        let (reason, length) = match documents.next() {
            Some(Ok(document)) => {
                let length = documents.byte_offset();
                match messages(&document) {
                    Some(text) => {
                        block.pos += length;
                        self.messages = Block::new(text);
                        return true;
                    }
                    None if document["messageType"] == "CONTROL_MESSAGE" => {
                        tally.passed += 1;
                        block.pos += length;
                        return true;
                    }
                    None => ("a document without log events".to_owned(), length),
                }
            }
            Some(Err(error)) if error.is_eof() && !last => return false,
            Some(Err(error)) => {
                let line = memchr::memchr(b'\n', block.rest()).map_or(block.rest().len(), |at| at + 1);
                (format!("not a JSON document: {error}"), line)
            }
            None => return false,
        };
        let number = self.lines.count_line();
        tally.reject(number, reason, &block.rest()[..length]);
        block.pos += length;
        true
    }
}

/// The messages of a document's events, a line each; none if it has no events.
fn messages(document: &Value) -> Option<String> {
    let events = document
        .get("logEvents")
        .or_else(|| document.get("events"))?
        .as_array()?;
    let mut text = String::new();
    for event in events {
        // A message of several lines is no flow record: as one line it is one reject.
        let message = event.get("message").and_then(Value::as_str).unwrap_or_default();
        text.push_str(&message.trim_end_matches(['\r', '\n']).replace('\n', "\u{2424}"));
        text.push('\n');
    }
    Some(text)
}

impl Parser for AnyDelivery {
    fn parse(&mut self, block: &mut Block, last: bool, tally: &mut Tally) -> Result<Progress, Refusal> {
        if self.kind == Kind::Untold && !self.told(block, last) {
            return Ok(Progress::NeedsInput);
        }
        if self.kind == Kind::Lines {
            return self.lines.parse(block, last, tally);
        }
        if self.skipping {
            let Some(length) = memchr::memchr(b'\n', block.rest()) else {
                block.pos = block.bytes().len();
                return Ok(Progress::NeedsInput);
            };
            block.pos += length + 1;
            self.skipping = false;
        }
        loop {
            if self.lines.parse(&mut self.messages, true, tally)? == Progress::BatchFull {
                return Ok(Progress::BatchFull);
            }
            if !self.document(block, last, tally) {
                return Ok(Progress::NeedsInput);
            }
        }
    }

    fn skip_oversized(&mut self, block: &mut Block, tally: &mut Tally) {
        self.lines.skip_oversized(block, tally);
        if self.kind == Kind::Documents {
            self.lines.skip_nothing();
            self.skipping = true;
        }
    }

    fn rows(&self) -> usize {
        self.lines.rows()
    }

    fn flush(&mut self) -> RecordBatch {
        self.lines.flush()
    }

    fn line(&self) -> u64 {
        self.lines.line()
    }
}
