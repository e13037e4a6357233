//! Security Hub findings, in both of their languages: ASFF and OCSF.
//!
//! They come bare, in lists (`aws securityhub get-findings`, the input of
//! `BatchImportFindings`) and in EventBridge events with several in
//! `detail.findings`. One table holds both, so that a question need not be asked
//! twice: `format` tells which it was, and words that differ are given as ASFF
//! has them.

use crate::column::{Column, Kind};
use crate::formats::documents::{self, Class, Shape, Spec, Value};
use crate::formats::{Format, OptionError, Parser, Setup, Timeline};
use crate::json;

use Kind::{Int, Json, Text, Time};

/// Paths of ASFF, then of OCSF, where `finding` is what 1.0 called `finding_info`.
#[rustfmt::skip]
const SPECS: &[Spec] = &[
    Spec::first("event_time", Time, &["UpdatedAt", "finding_info.modified_time_dt", "finding_info.modified_time", "finding.modified_time", "time_dt", "time", "CreatedAt"], "When this version of the finding was made."),
    Spec::first("finding_id", Text, &["Id", "finding_info.uid", "finding.uid", "metadata.uid"], "Id of the finding, the same in all its versions."),
    Spec::made("format", Text, &["class_uid"], |found| Some(Value::Text(if found[0].is_some() { "ocsf" } else { "asff" }.into())), "Which language the finding is written in.").one_of(&["asff", "ocsf"]),
    Spec::first("product_arn", Text, &["ProductArn", "metadata.product.uid"], "Product that found it."),
    Spec::first("product_name", Text, &["ProductName", "ProductFields.aws/securityhub/ProductName", "metadata.product.name"], "Name of that product."),
    Spec::first("generator_id", Text, &["GeneratorId", "finding_info.analytic.uid", "metadata.product.feature.uid", "finding_info.analytic.name"], "Control, rule or detector that found it."),
    Spec::first("account_id", Text, &["AwsAccountId", "cloud.account.uid", "cloud.account_uid", "resources[0].owner.account.uid"], "Account that the finding is about."),
    Spec::first("region", Text, &["Region", "cloud.region", "Resources[0].Region", "resources[0].region"], "Region that the finding is about."),
    Spec::first("title", Text, &["Title", "finding_info.title", "finding.title"], "The finding in a line."),
    Spec::first("description", Text, &["Description", "finding_info.desc", "finding.desc", "message"], "The finding in a few sentences."),
    Spec::made("severity_label", Text, SEVERITY, severity_label, "`INFORMATIONAL`, `LOW`, `MEDIUM`, `HIGH` or `CRITICAL`; OCSF has `FATAL` too.").one_of(&["INFORMATIONAL", "LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"]),
    Spec::made("severity_normalized", Int, SEVERITY, severity_normalized, "The same from 0 to 100: what the finding says, else by the label 0, 1, 40, 70, 90, 100."),
    Spec::first("types", Json, &["Types", "FindingProviderFields.Types", "finding_info.types", "finding.types"], "Kinds of the finding: `namespace/category/classifier`."),
    Spec::first("attacks", Json, &["finding_info.attacks", "attacks"], "MITRE ATT&CK tactics and techniques; ASFF has no member for them."),
    Spec::first("created_at", Time, &["CreatedAt", "finding_info.created_time_dt", "finding_info.created_time", "finding.created_time"], "When the first version was made."),
    Spec::first("updated_at", Time, &["UpdatedAt", "finding_info.modified_time_dt", "finding_info.modified_time", "finding.modified_time"], "When this version was made."),
    Spec::first("first_observed_at", Time, &["FirstObservedAt", "finding_info.first_seen_time_dt", "finding_info.first_seen_time", "finding.first_seen_time"], "When the issue was first seen."),
    Spec::first("last_observed_at", Time, &["LastObservedAt", "finding_info.last_seen_time_dt", "finding_info.last_seen_time", "finding.last_seen_time"], "When the issue was last seen."),
    Spec::made("workflow_status", Text, &["Workflow.Status", "WorkflowState", "status"], constant_case, "How far somebody has come with it: `NEW`, `NOTIFIED`, `SUPPRESSED`, `RESOLVED`; OCSF has `IN_PROGRESS`, `ARCHIVED` and others."),
    Spec::first("record_state", Text, &["RecordState"], "`ACTIVE`, or `ARCHIVED` once the product says it is over. OCSF has none.").one_of(&["ACTIVE", "ARCHIVED"]),
    Spec::made("compliance_status", Text, &["Compliance.Status", "compliance.status"], compliance_status, "Of a control: `PASSED`, `FAILED`, `WARNING` or `NOT_AVAILABLE`."),
    Spec::first("resource_type", Text, &["Resources[0].Type", "resources[0].type"], "What the finding is about: type of the first resource."),
    Spec::first("resource_id", Text, &["Resources[0].Id", "resources[0].uid", "resources[0].name"], "Its id, mostly an ARN."),
    Spec::first("resources", Json, &["Resources", "resources"], "All resources, whole."),
    Spec::extra("All other members of the finding as one JSON object, as they were written."),
];

/// A label, a number from 0 to 100, and OCSF's number of a label.
const SEVERITY: &[&str] = &[
    "Severity.Label",
    "FindingProviderFields.Severity.Label",
    "severity",
    "Severity.Normalized",
    "FindingProviderFields.Severity.Normalized",
    "severity_id",
];

/// Labels by OCSF's numbers from 1 on, with the numbers that ASFF puts in their place.
const SEVERITIES: &[(&str, i64)] = &[
    ("INFORMATIONAL", 0),
    ("LOW", 1),
    ("MEDIUM", 40),
    ("HIGH", 70),
    ("CRITICAL", 90),
    ("FATAL", 100),
];

const COLUMNS: [Column; SPECS.len()] = documents::columns(SPECS);

static SHAPE: Shape = Shape {
    noun: "a Security Hub finding",
    specs: SPECS,
    class: |object| {
        // 2001 is what OCSF 1.0 called all findings; Inventory and the like are other categories.
        let is_ocsf = || matches!(object.raw("class_uid").and_then(whole), Some(2001..=2007));
        if object.has("AwsAccountId") && (object.has("ProductArn") || object.has("GeneratorId")) || is_ocsf()
        {
            Class::Record
        } else if object.text("source").as_deref() == Some("aws.securityhub")
            && object.at("detail.findings").is_some()
        {
            Class::Inside("detail.findings")
        } else {
            Class::Unknown
        }
    },
    marks: &["AwsAccountId", "class_uid", "detail-type"],
    lists: &["Findings", "findings", "events"],
    constants: &[("SchemaVersion", "\"2018-10-08\"")],
};

/// Security Hub findings.
#[derive(Debug, Clone, Copy)]
pub struct SecurityHub;

impl Format for SecurityHub {
    fn name(&self) -> &'static str {
        "security_hub"
    }

    fn about(&self) -> &'static str {
        "Security Hub findings, from EventBridge, `aws securityhub get-findings` and whatever writes ASFF, and OCSF \
         findings (classes 2001 to 2007) of the new Security Hub, Security Lake and others. One row for each version \
         of a finding that was sent, so count `finding_id` and not rows. Controls that pass are findings too: see \
         `compliance_status`."
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn timeline(&self) -> Timeline {
        Timeline {
            who: "coalesce(product_name, product_arn)",
            what: "title",
            place: "resource_id",
            from: "NULL",
        }
    }

    fn parser(&self, setup: Setup) -> Result<Box<dyn Parser>, OptionError> {
        Ok(documents::parser(&SHAPE, &setup))
    }
}

/// The whole number that a raw value is.
fn whole(raw: &[u8]) -> Option<i64> {
    std::str::from_utf8(json::between_quotes(raw).unwrap_or(raw))
        .ok()?
        .parse()
        .ok()
}

/// The first of `found` that is text, in the way of ASFF: `In Progress` as `IN_PROGRESS`.
fn constant(found: &[Option<&[u8]>]) -> Option<String> {
    let text = found.iter().flatten().find_map(|raw| json::string(raw))?;
    Some(text.to_ascii_uppercase().replace(' ', "_"))
}

fn constant_case<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    constant(found).map(|text| Value::Text(text.into()))
}

fn compliance_status<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    let status = constant(found)?;
    Some(Value::Text(match status.as_str() {
        "PASS" => "PASSED".into(),
        "FAIL" => "FAILED".into(),
        _ => status.into(),
    }))
}

/// Label and number of the values at [`SEVERITY`].
fn severity(found: &[Option<&[u8]>]) -> (Option<String>, Option<i64>) {
    let (labels, numbers) = found.split_at(3);
    let (normalized, ocsf) = numbers.split_at(2);
    let normalized = normalized.iter().flatten().find_map(|raw| whole(raw));
    let of_ocsf = || {
        let id = usize::try_from(whole(ocsf[0]?)?).ok()?;
        SEVERITIES.get(id.checked_sub(1)?)
    };
    let of_number = || {
        let number = normalized?;
        SEVERITIES[..5].iter().rev().find(|(_, from)| number >= *from)
    };
    let label = constant(labels)
        .or_else(|| of_ocsf().map(|(label, _)| (*label).to_owned()))
        .or_else(|| of_number().map(|(label, _)| (*label).to_owned()));
    let number = normalized.or_else(|| {
        let label = label.as_deref()?;
        SEVERITIES
            .iter()
            .find(|(known, _)| *known == label)
            .map(|(_, number)| *number)
    });
    (label, number)
}

fn severity_label<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    severity(found).0.map(|label| Value::Text(label.into()))
}

fn severity_normalized<'a>(found: &[Option<&'a [u8]>]) -> Option<Value<'a>> {
    severity(found).1.map(Value::Int)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::documents::testing::{
        any_stream, check_documents, check_stream, column_names, read, refusal,
    };
    use proptest::prelude::*;

    const CONTROL: &str = r#"{"SchemaVersion":"2018-10-08","Id":"arn:aws:securityhub:eu-west-1:111122223333:subscription/x/finding/1","ProductArn":"arn:aws:securityhub:eu-west-1::product/aws/securityhub","ProductName":"Security Hub","GeneratorId":"x/CloudTrail.2","AwsAccountId":"111122223333","Region":"eu-west-1","Types":["Software and Configuration Checks/x"],"FirstObservedAt":"2025-11-20T01:00:00.076Z","LastObservedAt":"2025-11-20T02:00:00.956Z","CreatedAt":"2025-11-20T01:00:00Z","UpdatedAt":"2025-11-20T02:00:00Z","Severity":{"Label":"MEDIUM","Normalized":40,"Original":"MEDIUM"},"Title":"CloudTrail.2","Description":"d","Resources":[{"Type":"AwsCloudTrailTrail","Id":"arn:aws:cloudtrail:eu-west-1:111122223333:trail/t","Region":"eu-west-1"},{"Type":"Other","Id":"o"}],"Compliance":{"Status":"FAILED"},"WorkflowState":"NEW","Workflow":{"Status":"NOTIFIED"},"RecordState":"ACTIVE"}"#;
    const PROVIDER: &str = r#"{"SchemaVersion":"2018-10-08","Id":"2","ProductArn":"p","ProductFields":{"aws/securityhub/ProductName":"Custom"},"GeneratorId":"g","AwsAccountId":"111122223333","CreatedAt":"2025-11-20T03:00:00Z","FindingProviderFields":{"Severity":{"Label":"CRITICAL"},"Types":["TTPs/x"]},"Resources":[{"Type":"AwsEc2Instance","Id":"i-0abc","Region":"eu-west-2"}],"Note":{"Text":"n"}}"#;
    const OCSF: &str = r#"{"activity_id":1,"category_uid":2,"class_uid":2004,"type_uid":200401,"severity_id":5,"severity":"Critical","time":1763622309000,"status":"In Progress","status_id":2,"cloud":{"provider":"AWS","region":"eu-west-1","account":{"uid":"111122223333"}},"metadata":{"version":"1.8.0","product":{"uid":"arn:aws:securityhub:eu-west-1::productv2/aws/guardduty","name":"GuardDuty"}},"finding_info":{"uid":"3","title":"Shell","desc":"d","created_time":1763622000000,"modified_time":1763622300000,"first_seen_time":1763621000000,"types":["Execution"],"analytic":{"uid":"a","type_id":1},"attacks":[{"technique":{"uid":"T1059"}}]},"resources":[{"uid":"i-0abc","type":"AWS::EC2::Instance"}],"compliance":{"status":"Fail"}}"#;
    const OLD_OCSF: &str = r#"{"class_uid":2001,"severity_id":4,"time":1763622309000,"cloud":{"account_uid":"111122223333","region":"eu-west-1"},"metadata":{"version":"1.0.0-rc.2"},"finding":{"uid":"4","title":"t","types":["x"]},"resources":[{"uid":"r","type":"T"}]}"#;
    const RECORDS: &[&str] = &[CONTROL, PROVIDER, OCSF, OLD_OCSF];

    #[test]
    fn both_languages_fill_the_columns() {
        let outcome = read(&SecurityHub, &RECORDS.join("\n"));
        assert_eq!(outcome.rejects, []);
        for (column, expected) in [
            (
                "event_time",
                [
                    "2025-11-20T02:00:00Z",
                    "2025-11-20T03:00:00Z",
                    "2025-11-20T07:05:00Z",
                    "2025-11-20T07:05:09Z",
                ],
            ),
            ("format", ["asff", "asff", "ocsf", "ocsf"]),
            (
                "product_arn",
                [
                    "arn:aws:securityhub:eu-west-1::product/aws/securityhub",
                    "p",
                    "arn:aws:securityhub:eu-west-1::productv2/aws/guardduty",
                    "NULL",
                ],
            ),
            ("product_name", ["Security Hub", "Custom", "GuardDuty", "NULL"]),
            ("generator_id", ["x/CloudTrail.2", "g", "a", "NULL"]),
            ("account_id", ["111122223333"; 4]),
            ("region", ["eu-west-1", "eu-west-2", "eu-west-1", "eu-west-1"]),
            ("title", ["CloudTrail.2", "NULL", "Shell", "t"]),
            ("severity_label", ["MEDIUM", "CRITICAL", "CRITICAL", "HIGH"]),
            ("severity_normalized", ["40", "90", "90", "70"]),
            (
                "types",
                [
                    r#"["Software and Configuration Checks/x"]"#,
                    r#"["TTPs/x"]"#,
                    r#"["Execution"]"#,
                    r#"["x"]"#,
                ],
            ),
            (
                "attacks",
                ["NULL", "NULL", r#"[{"technique":{"uid":"T1059"}}]"#, "NULL"],
            ),
            (
                "created_at",
                [
                    "2025-11-20T01:00:00Z",
                    "2025-11-20T03:00:00Z",
                    "2025-11-20T07:00:00Z",
                    "NULL",
                ],
            ),
            (
                "first_observed_at",
                ["2025-11-20T01:00:00.076Z", "NULL", "2025-11-20T06:43:20Z", "NULL"],
            ),
            ("workflow_status", ["NOTIFIED", "NULL", "IN_PROGRESS", "NULL"]),
            ("record_state", ["ACTIVE", "NULL", "NULL", "NULL"]),
            ("compliance_status", ["FAILED", "NULL", "FAILED", "NULL"]),
            (
                "resource_type",
                ["AwsCloudTrailTrail", "AwsEc2Instance", "AWS::EC2::Instance", "T"],
            ),
            (
                "resource_id",
                [
                    "arn:aws:cloudtrail:eu-west-1:111122223333:trail/t",
                    "i-0abc",
                    "i-0abc",
                    "r",
                ],
            ),
        ] {
            assert_eq!(outcome.column(column), expected, "{column}");
        }
        assert!(outcome.column("extra")[1].contains(r#""Note":{"Text":"n"}"#));
        assert!(!outcome.column("extra")[0].contains("Resources"));
    }

    #[test]
    fn lists_and_events_give_the_same_rows() {
        let plain = read(&SecurityHub, &RECORDS.join("\n"));
        let all = RECORDS.join(",");
        for text in [
            format!(r#"{{"Findings":[{all}],"NextToken":"n"}}"#),
            format!(r#"{{"findings":[{all}]}}"#),
            format!(
                r#"{{"version":"0","id":"1","detail-type":"Security Hub Findings - Imported","source":"aws.securityhub","account":"111122223333","time":"2025-11-20T09:00:05Z","region":"eu-west-1","resources":[],"detail":{{"findings":[{all}]}}}}"#
            ),
            format!(
                r#"{{"detail-type":"Findings Imported V2","source":"aws.securityhub","account":"111122223333","time":"2025-11-20T09:00:05Z","region":"eu-west-1","detail":{{"findings":[{all}]}}}}"#
            ),
        ] {
            assert_eq!(read(&SecurityHub, &text), plain, "{text}");
        }
    }

    #[test]
    fn severities_fill_each_other_in() {
        // Label, its provider's, OCSF's, number, its provider's, OCSF's number.
        for (found, label, number) in [
            (
                [Some("\"LOW\""), None, None, None, None, None],
                Some("LOW"),
                Some(1),
            ),
            (
                [Some("\"HIGH\""), Some("\"LOW\""), None, Some("75"), None, None],
                Some("HIGH"),
                Some(75),
            ),
            (
                [None, Some("\"LOW\""), None, None, Some("30"), None],
                Some("LOW"),
                Some(30),
            ),
            (
                [None, None, None, Some("0"), None, None],
                Some("INFORMATIONAL"),
                Some(0),
            ),
            ([None, None, None, Some("39"), None, None], Some("LOW"), Some(39)),
            (
                [None, None, None, Some("100"), None, None],
                Some("CRITICAL"),
                Some(100),
            ),
            (
                [None, None, Some("\"Fatal\""), None, None, Some("6")],
                Some("FATAL"),
                Some(100),
            ),
            (
                [None, None, None, None, None, Some("1")],
                Some("INFORMATIONAL"),
                Some(0),
            ),
            (
                [None, None, Some("\"Unknown\""), None, None, Some("0")],
                Some("UNKNOWN"),
                None,
            ),
            ([None, None, None, None, None, Some("99")], None, None),
            ([None, None, None, Some("-1"), None, None], None, Some(-1)),
            ([None; 6], None, None),
        ] {
            let found = found.map(|raw: Option<&str>| raw.map(str::as_bytes));
            assert_eq!(severity(&found), (label.map(str::to_owned), number), "{found:?}");
        }
    }

    #[test]
    fn other_logs_are_refused() {
        for (text, reason) in [
            (
                r#"{"class_uid":3002,"metadata":{},"time":1}"#,
                "an OCSF event, not a Security Hub finding",
            ),
            (
                r#"{"schemaVersion":"2.0","accountId":"1","severity":2,"id":"f"}"#,
                "a GuardDuty finding (read it as guardduty)",
            ),
            (r#"{"Findings":{}}"#, ""),
            (
                r#"{"detail-type":"Security Hub Insight Results","source":"aws.securityhub","detail":{"actionName":"a"}}"#,
                "an EventBridge event \"Security Hub Insight Results\"",
            ),
        ] {
            if reason.is_empty() {
                assert_eq!(
                    read(&SecurityHub, text).reasons(),
                    ["Findings is an object, not an array"]
                );
            } else {
                assert!(
                    refusal(&SecurityHub, text).starts_with(reason),
                    "{}",
                    refusal(&SecurityHub, text)
                );
            }
        }
    }

    #[test]
    fn records_read_the_same_in_every_shape() {
        check_documents(&SecurityHub, RECORDS);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn splits_and_projections_change_nothing(
            stream in any_stream(RECORDS),
            sizes in prop::collection::vec(1usize..300, 1..4),
            batch_rows in 1usize..4,
            columns in prop::sample::subsequence(column_names(&SecurityHub), 0..6),
        ) {
            check_stream(&SecurityHub, &stream, &sizes, batch_rows, &columns);
        }
    }
}
