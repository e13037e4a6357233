//! X-Ray segment documents, as the daemon receives them.
//!
//! A datagram to the daemon is the line `{"format":"json","version":1}` and the
//! document behind it; many of these in a row read the same way as documents
//! alone, one per line or not. `aws xray batch-get-traces` puts each document
//! as a string into its segment, its segments into a trace, its traces into a list.
//!
//! The header lines of datagrams are passed over.

use crate::column::{Column, Kind};
use crate::formats::documents::{self, Class, Shape, Spec, Value, time_of};
use crate::formats::{Format, OptionError, Parser, Setup, Timeline};

use Kind::{Bool, Double, Int, Json, Text, Time};

#[rustfmt::skip]
const SPECS: &[Spec] = &[
    Spec::at("event_time", Time, "start_time", "When the work began."),
    Spec::at("end_time", Time, "end_time", "When it ended; NULL while it goes on."),
    Spec::made("duration_seconds", Double, &["start_time", "end_time"], duration, "How long it took, in seconds."),
    Spec::at("trace_id", Text, "trace_id", "Joins all segments of one request: `1-<time in hexadecimal>-<random>`."),
    Spec::at("segment_id", Text, "id", "Id of the segment within its trace."),
    Spec::at("parent_id", Text, "parent_id", "Segment that made this request."),
    Spec::at("name", Text, "name", "Service that did the work; of a subsegment, what was called."),
    Spec::at("origin", Text, "origin", "Kind of AWS resource that the service runs on, such as `AWS::ECS::Container`."),
    Spec::at("type", Text, "type", "`subsegment` if it was sent apart from its segment."),
    Spec::at("namespace", Text, "namespace", "Of a subsegment: `aws` for calls of AWS, `remote` for others."),
    Spec::at("in_progress", Bool, "in_progress", "Whether the work goes on; NULL means that it does not."),
    Spec::at("http_method", Text, "http.request.method", "Method of the HTTP request."),
    Spec::at("http_url", Text, "http.request.url", "URL of the HTTP request, which may hold whatever the client put there."),
    Spec::at("http_status", Int, "http.response.status", "Status of the HTTP response."),
    Spec::at("client_ip", Text, "http.request.client_ip", "Address of the client; with `x_forwarded_for` in `extra`, what the client says it is."),
    Spec::at("user_agent", Text, "http.request.user_agent", "What the client says it is. The client chooses this text."),
    Spec::at("error", Bool, "error", "Whether the client was at fault (4xx); NULL means that it was not."),
    Spec::at("fault", Bool, "fault", "Whether the service was at fault (5xx); NULL means that it was not."),
    Spec::at("throttle", Bool, "throttle", "Whether the request was throttled (429); NULL means that it was not."),
    Spec::at("account_id", Text, "aws.account_id", "Account of the service or of the resource that was called."),
    Spec::at("region", Text, "aws.region", "Region of the resource that was called."),
    Spec::at("operation", Text, "aws.operation", "API that was called."),
    Spec::first("resource_name", Text, &["aws.resource_names[0]", "aws.table_name", "aws.queue_url", "aws.topic_arn", "aws.bucket_name", "aws.function_name"], "Resource that was called: table, queue, topic, bucket or function."),
    Spec::at("request_id", Text, "aws.request_id", "Id of the call; CloudTrail has the same."),
    Spec::first("instance_id", Text, &["aws.ec2.instance_id"], "EC2 instance that the service runs on."),
    Spec::first("container", Text, &["aws.ecs.container", "aws.ecs.container_name"], "Host name of the ECS container that the service runs in."),
    Spec::at("user", Text, "user", "User who sent the request, as the service tells it."),
    Spec::at("annotations", Json, "annotations", "What the service adds, to be searched by."),
    Spec::at("metadata", Json, "metadata", "What the service adds, otherwise."),
    Spec::at("subsegments", Json, "subsegments", "Calls of others, and parts of the work."),
    Spec::at("aws", Json, "aws", "The AWS resource that the service runs on or called, whole."),
    Spec::at("sql", Json, "sql", "The SQL query that was sent."),
    Spec::at("cause", Json, "cause", "What went wrong: exceptions with their stacks, or the id of the segment that has them."),
    Spec::extra("All other members of the document as one JSON object, as they were written; `http` among them."),
];

const COLUMNS: [Column; SPECS.len()] = documents::columns(SPECS);

static SHAPE: Shape = Shape {
    noun: "an X-Ray segment",
    specs: SPECS,
    class: |object| {
        if object.has("trace_id") && object.has("id") {
            Class::Record
        } else if object.has("format") && object.has("version") {
            Class::Pass
        } else if object.has("Document") {
            Class::Inside("Document")
        } else if object.has("Segments") {
            Class::Inside("Segments")
        } else {
            Class::Unknown
        }
    },
    marks: &["trace_id", "Segments", "Document"],
    lists: &["Traces", "events"],
    constants: &[],
};

/// X-Ray segment documents.
#[derive(Debug, Clone, Copy)]
pub struct XRaySegments;

impl Format for XRaySegments {
    fn name(&self) -> &'static str {
        "xray_segments"
    }

    fn about(&self) -> &'static str {
        "X-Ray segment documents: what services tell about each request that they served, as the daemon receives it or \
         as `aws xray batch-get-traces` gives it back. One row for each document; a segment that was sent while it went \
         on comes again when it ends. Sampled, so what is not there may well have happened. Whoever reaches the daemon's \
         port can write whatever he wants."
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn timeline(&self) -> Timeline {
        Timeline {
            who: "coalesce(\"user\", name)",
            what: "coalesce(operation, http_method)",
            place: "coalesce(resource_name, http_url, name)",
            from: "client_ip",
        }
    }

    fn parser(&self, setup: Setup) -> Result<Box<dyn Parser>, OptionError> {
        Ok(documents::parser(&SHAPE, &setup))
    }
}

/// From start to end, to the microsecond that times are kept to.
fn duration<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    let [start, end] = [time_of(found[0]?)?, time_of(found[1]?)?];
    Some(Value::Double(end.checked_sub(start)? as f64 / 1e6))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::documents::testing::{
        any_stream, check_documents, check_stream, column_names, printed, read, refusal,
    };
    use proptest::prelude::*;

    const SERVER: &str = r#"{"name":"web","id":"70de5b6f19ff9a0a","start_time":1763622309.271,"trace_id":"1-691ec0a5-a006649127e371903a2de979","end_time":1.763622309521E9,"origin":"AWS::ECS::Container","user":"jo","http":{"request":{"method":"GET","url":"https://www.example.com/x?y=1","client_ip":"198.51.100.7","user_agent":"curl/8","x_forwarded_for":true},"response":{"status":429,"content_length":2}},"error":true,"throttle":true,"aws":{"account_id":"111122223333","ecs":{"container":"ip-10-0-0-5"}},"annotations":{"tenant":"a"},"metadata":{"default":{"k":1}},"cause":{"exceptions":[{"message":"m"}]},"subsegments":[{"id":"53995c3f42cd8ad8","name":"x","start_time":1763622309.3,"end_time":1763622309.4}],"service":{"version":"3"}}"#;
    const CALL: &str = r#"{"name":"DynamoDB","id":"53995c3f42cd8ad9","parent_id":"70de5b6f19ff9a0a","type":"subsegment","namespace":"aws","start_time":1763622309.3,"end_time":1763622309.4,"trace_id":"1-691ec0a5-a006649127e371903a2de979","http":{"response":{"status":200}},"aws":{"operation":"GetItem","region":"eu-west-1","request_id":"R1","table_name":"users"},"fault":false,"sql":{"sanitized_query":"SELECT ?"}}"#;
    const RUNNING: &str = r#"{"name":"web","id":"194fcc8747581230","start_time":1763622310,"trace_id":"1-691ec0a6-7ce7f4a6d9a94ac5d5f0a3a1","in_progress":true}"#;
    const RECORDS: &[&str] = &[SERVER, CALL, RUNNING];

    #[test]
    fn segments_fill_the_columns() {
        let outcome = read(&XRaySegments, &RECORDS.join("\n"));
        assert_eq!(outcome.rejects, []);
        for (column, expected) in [
            (
                "event_time",
                [
                    "2025-11-20T07:05:09.271Z",
                    "2025-11-20T07:05:09.300Z",
                    "2025-11-20T07:05:10Z",
                ],
            ),
            (
                "end_time",
                ["2025-11-20T07:05:09.521Z", "2025-11-20T07:05:09.400Z", "NULL"],
            ),
            ("duration_seconds", ["0.25", "0.1", "NULL"]),
            (
                "segment_id",
                ["70de5b6f19ff9a0a", "53995c3f42cd8ad9", "194fcc8747581230"],
            ),
            ("parent_id", ["NULL", "70de5b6f19ff9a0a", "NULL"]),
            ("name", ["web", "DynamoDB", "web"]),
            ("origin", ["AWS::ECS::Container", "NULL", "NULL"]),
            ("type", ["NULL", "subsegment", "NULL"]),
            ("namespace", ["NULL", "aws", "NULL"]),
            ("in_progress", ["NULL", "NULL", "true"]),
            ("http_method", ["GET", "NULL", "NULL"]),
            ("http_url", ["https://www.example.com/x?y=1", "NULL", "NULL"]),
            ("http_status", ["429", "200", "NULL"]),
            ("client_ip", ["198.51.100.7", "NULL", "NULL"]),
            ("user_agent", ["curl/8", "NULL", "NULL"]),
            ("error", ["true", "NULL", "NULL"]),
            ("fault", ["NULL", "false", "NULL"]),
            ("throttle", ["true", "NULL", "NULL"]),
            ("account_id", ["111122223333", "NULL", "NULL"]),
            ("region", ["NULL", "eu-west-1", "NULL"]),
            ("operation", ["NULL", "GetItem", "NULL"]),
            ("resource_name", ["NULL", "users", "NULL"]),
            ("request_id", ["NULL", "R1", "NULL"]),
            ("container", ["ip-10-0-0-5", "NULL", "NULL"]),
            ("user", ["jo", "NULL", "NULL"]),
            ("annotations", [r#"{"tenant":"a"}"#, "NULL", "NULL"]),
            ("sql", ["NULL", r#"{"sanitized_query":"SELECT ?"}"#, "NULL"]),
            ("cause", [r#"{"exceptions":[{"message":"m"}]}"#, "NULL", "NULL"]),
        ] {
            assert_eq!(outcome.column(column), expected, "{column}");
        }
        let extra = outcome.column("extra");
        assert!(
            extra[0].contains(r#""x_forwarded_for":true"#)
                && extra[0].contains(r#""service":{"version":"3"}"#)
        );
        assert!(!extra[0].contains("annotations"));
        assert_eq!(extra[2], "NULL");
    }

    #[test]
    fn datagrams_and_traces_give_the_same_rows() {
        let plain = read(&XRaySegments, &RECORDS.join("\n"));
        let segments = |records: &[&str]| {
            let segments: Vec<_> = records
                .iter()
                .map(|record| serde_json::json!({"Id": "x", "Document": record}))
                .collect();
            serde_json::json!({"Id": "1-x", "Duration": 0.25, "LimitExceeded": false, "Segments": segments})
        };
        let traces = serde_json::json!({"Traces": [segments(&RECORDS[..2]), segments(&RECORDS[2..])], "UnprocessedTraceIds": []});
        let header = r#"{"format": "json", "version": 1}"#;
        for (text, passed) in [
            (
                RECORDS
                    .iter()
                    .map(|record| format!("{header}\n{record}\n"))
                    .collect(),
                3,
            ),
            (
                RECORDS
                    .iter()
                    .map(|record| format!("{header}\n{record}"))
                    .collect(),
                3,
            ),
            (format!("{header}\n{}", RECORDS.concat()), 1),
            (traces.to_string(), 0),
            (printed(&traces.to_string()), 0),
            (segments(RECORDS).to_string(), 0),
        ] {
            let mut outcome = read(&XRaySegments, &text);
            assert_eq!(outcome.passed, passed, "{text}");
            outcome.passed = plain.passed;
            assert_eq!(outcome, plain, "{text}");
        }
    }

    #[test]
    fn a_broken_document_in_a_trace_is_one_reject() {
        let text = serde_json::json!({"Traces": [{"Segments": [{"Document": SERVER}, {"Document": "{\"id\":"}, {"Document": 5}, {"Document": RUNNING}]}, {"Segments": []}]});
        let outcome = read(&XRaySegments, &text.to_string());
        assert_eq!((outcome.rows.len(), outcome.passed), (2, 1));
        assert_eq!(outcome.rejects.len(), 2, "{:?}", outcome.reasons());
        let outcome = read(&XRaySegments, r#"{"trace_id":"t","id":"i","start_time":"soon"}"#);
        assert_eq!(outcome.reasons(), ["start_time \"soon\" is not a time"]);
    }

    #[test]
    fn other_logs_are_refused() {
        for (text, reason) in [
            (
                r#"{"TraceSummaries":[]}"#,
                "not an X-Ray segment: it has the keys \"TraceSummaries\"",
            ),
            (r#"{"Records":[{"eventVersion":"1.08"}]}"#, "CloudTrail records"),
            ("hello", "not JSON with an X-Ray segment in it"),
            (
                "hello\n{\"a\":[{\"trace_id\":1}]}",
                "not JSON with an X-Ray segment in it",
            ),
            // What lies inside another kind of object is no record, however much of that is known.
            (
                "{\"a\":1}\n{\"a\":[{\"trace_id\":1}]}\n",
                "not an X-Ray segment: it has the keys \"a\"",
            ),
        ] {
            assert!(
                refusal(&XRaySegments, text).starts_with(reason),
                "{}",
                refusal(&XRaySegments, text)
            );
        }
    }

    #[test]
    fn records_read_the_same_in_every_shape() {
        check_documents(&XRaySegments, RECORDS);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn splits_and_projections_change_nothing(
            stream in any_stream(RECORDS),
            sizes in prop::collection::vec(1usize..300, 1..4),
            batch_rows in 1usize..4,
            columns in prop::sample::subsequence(column_names(&XRaySegments), 0..6),
        ) {
            check_stream(&XRaySegments, &stream, &sizes, batch_rows, &columns);
        }
    }
}
