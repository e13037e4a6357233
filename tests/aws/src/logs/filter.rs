//! FilterLogEvents: one page at a time.

use serde_json::{Value, json};

use super::{Answer, Event, Fault, Logs, not_found, now_ms, text};

/// Bytes that an event counts for beside its message.
const EVENT_OVERHEAD: usize = 26;

/// The order of events in answers.
pub fn order(event: &Event) -> (i64, i64, &str) {
    (event.timestamp, event.ingestion, &event.id)
}

impl Logs {
    pub(super) fn filter_log_events(&self, body: &Value) -> Answer {
        let group = text(body, "logGroupName");
        let mut state = self.state();
        let behaviour = state.behaviour.clone();
        let epoch = state.tokens_since;
        let events = state.groups.get(group).ok_or_else(|| not_found(group))?;
        let start = body["startTime"].as_i64().unwrap_or(i64::MIN);
        let end = body["endTime"].as_i64().unwrap_or(i64::MAX);
        if start > end {
            return Err(invalid("endTime is before startTime"));
        }
        let limit = body["limit"].as_u64().unwrap_or(10_000);
        if !(1..=10_000).contains(&limit) {
            return Err(invalid("limit is not between 1 and 10000"));
        }
        let after = match body["nextToken"].as_str() {
            Some(token) => Some(read_token(token, epoch)?),
            None => None,
        };
        let names = body["logStreamNames"].as_array();
        let prefix = text(body, "logStreamNamePrefix");
        if names.is_some() && !prefix.is_empty() {
            return Err(invalid("logStreamNames and logStreamNamePrefix"));
        }

        let is_empty_page = behaviour.empty_every > 1 && state.pages.is_multiple_of(behaviour.empty_every);
        let (mut page, mut bytes, mut cursor, mut more) = (Vec::new(), 0, after.clone(), is_empty_page);
        if !is_empty_page {
            let now = now_ms();
            let first = events.partition_point(|event| event.timestamp < start);
            // Where a page ends is a place in the order, not a count: an event that
            // shows up before it meanwhile is in none of the pages that follow.
            let candidates = events[first..]
                .iter()
                .take_while(|event| event.timestamp <= end)
                .filter(|event| event.visible <= now && event.stream.starts_with(prefix))
                .filter(|event| names.is_none_or(|names| names.iter().any(|name| name == &event.stream)))
                .filter(|event| after.as_ref().is_none_or(|after| *after < place(event)));
            let events_max = behaviour.page_events.min(limit as usize);
            for event in candidates {
                bytes += event.message.len() + EVENT_OVERHEAD;
                if page.len() == events_max || (bytes > behaviour.page_bytes && !page.is_empty()) {
                    more = true;
                    break;
                }
                cursor = Some(place(event));
                page.push(json!({
                    "logStreamName": event.stream, "timestamp": event.timestamp, "message": event.message,
                    "ingestionTime": event.ingestion, "eventId": event.id,
                }));
            }
        }
        state.pages += 1;
        let mut answer = json!({"events": page, "searchedLogStreams": []});
        if more {
            let (timestamp, ingestion, id) = cursor.unwrap_or((i64::MIN, 0, String::new()));
            answer["nextToken"] = json!(format!("{epoch}/{timestamp}/{ingestion}/{id}"));
        }
        Ok(answer)
    }
}

fn place(event: &Event) -> (i64, i64, String) {
    (event.timestamp, event.ingestion, event.id.clone())
}

fn read_token(token: &str, epoch: u64) -> Result<(i64, i64, String), Fault> {
    let bad = || invalid("The specified nextToken is invalid.");
    let mut parts = token.split('/');
    let mut next = || parts.next().ok_or_else(bad);
    if next()?.parse() != Ok(epoch) {
        return Err(bad());
    }
    let timestamp = next()?.parse().map_err(|_| bad())?;
    let ingestion = next()?.parse().map_err(|_| bad())?;
    Ok((timestamp, ingestion, next()?.to_owned()))
}

fn invalid(message: &str) -> Fault {
    Fault("InvalidParameterException", message.to_owned())
}
