//! Filter patterns, run: which rows they find is what CloudWatch Logs documents.

use tempfile::TempDir;
use trailhound_query::Session;
use trailhound_query::pattern::to_sql;

use crate::files::{HEADER, folder_of_its_own, open, rows};

/// A table over one file of this text.
async fn table(format: &str, text: &str) -> (TempDir, Session) {
    let folder = folder_of_its_own();
    let file = folder.path().join("log");
    std::fs::write(&file, text).unwrap();
    let session = open(&[(format, file.to_string_lossy().into_owned())]).await;
    (folder, session)
}

/// What the pattern finds: the lines, or for messages and records their numbers too.
async fn found(session: &Session, format: &str, pattern: &str) -> String {
    let sql = to_sql(pattern, format, format).unwrap_or_else(|error| panic!("{pattern}: {error}"));
    rows(session, &format!("SELECT _line FROM ({sql}) ORDER BY _line"))
        .await
        .join(" ")
}

async fn assert_finds(session: &Session, format: &str, cases: &[(&str, &str)]) {
    for (pattern, expected) in cases {
        assert_eq!(found(session, format, pattern).await, *expected, "{pattern}");
    }
}

/// Line 1 is the header. Line 8 is a window without traffic.
async fn flows() -> (TempDir, Session) {
    let lines = [
        "2 111122223333 eni-1 10.0.0.1 10.0.9.9 40000 80 6 4 399 1763622000 1763622060 ACCEPT OK",
        "2 111122223333 eni-1 10.0.0.1 10.0.9.9 40001 8080 6 4 400 1763622000 1763622060 REJECT OK",
        "2 111122223333 eni-1 10.0.2.7 10.0.9.9 40002 80 6 4 5000 1763622000 1763622060 REJECT OK",
        "2 111122223333 eni-1 10.0.20.7 10.0.9.9 40003 443 6 4 5000 1763622000 1763622060 REJECT OK",
        "2 444455556666 eni-2 10.0.2.8 10.0.9.9 40004 8080 17 4 40 1763622000 1763622060 ACCEPT OK",
        "2 444455556666 eni-2 2001:db8::1 10.0.9.9 80 22 6 4 4000 1763622000 1763622060 ACCEPT OK",
        "2 444455556666 eni-2 - - - - - - - 1763622000 1763622060 - NODATA",
    ];
    table("vpc_flow", &format!("{HEADER}\n{}\n", lines.join("\n"))).await
}

#[tokio::test]
async fn the_four_questions_of_the_runbook() {
    let (_folder, session) = flows().await;
    let source_is_10_0_0_1 = "[version, account, eni, source = 10.0.0.1, destination, srcport, destport, protocol, \
                              packets, bytes, windowstart, windowend, action, flowlogstatus]";
    let source_is_10_0_2_x = "[version, account, eni, source = 10.0.2.*, destination, srcport, destport, protocol, \
                              packets, bytes, windowstart, windowend, action, flowlogstatus]";
    let port_is_80_or_8080 = "[version, account, eni, source, destination, srcport, destport = 80 || destport = 8080, \
                              protocol, packets, bytes, windowstart, windowend, action, flowlogstatus]";
    let large_and_rejected = "[version, account, eni, source, destination, srcport, destport = 80 || destport = 8080, \
                              protocol, packets, bytes >= 400, windowstart, windowend, action = REJECT, flowlogstatus]";
    let cases = [
        (source_is_10_0_0_1, "2 3"),
        (source_is_10_0_2_x, "4 6"),
        (port_is_80_or_8080, "2 3 4 6"),
        (large_and_rejected, "3 4"),
    ];
    assert_finds(&session, "vpc_flow", &cases).await;
}

#[tokio::test]
async fn fields_of_flow_logs() {
    let (_folder, session) = flows().await;
    let cases = [
        ("", "2 3 4 5 6 7 8"),
        ("[...]", "2 3 4 5 6 7 8"),
        ("[..., action = REJECT, status]", "3 4 5"),
        ("[..., action = \"-\", status]", "8"),
        ("[..., action != \"-\", status]", "2 3 4 5 6 7"),
        // The text of the field is `-`, which differs.
        ("[..., action != REJECT, status]", "2 6 7 8"),
        ("[..., action = %^[-A]%, status]", "2 6 7 8"),
        ("[..., action != %^[-A]%, status]", "3 4 5"),
        ("[..., status = N*A]", "8"),
        ("[v, account = 444455556666, ...]", "6 7 8"),
        ("[v, account > 111122223333, ...]", "6 7 8"),
        ("[v, account, eni, src != 10.*, ...]", "7 8"),
        ("[v, account, eni, src = *, ...]", "2 3 4 5 6 7 8"),
        ("[v, account, eni, src = %10\\.0\\.2\\d?\\.%, ...]", "4 5 6"),
        ("[v, account, eni, src, dst, srcport, dstport = \"22\", ...]", "7"),
        (
            "[v, account, eni, src, dst, srcport, dstport != 80, ...]",
            "3 5 6 7 8",
        ),
        (
            "[v, account, eni, src, dst, srcport, dstport = 80*, ...]",
            "2 3 4 6",
        ),
        (
            "[v, account, eni, src, dst, srcport, dstport > 79.5 && dstport < 1e3, ...]",
            "2 4 5",
        ),
        ("[v, account, eni, src, dst, srcport, dstport < 0, ...]", ""),
        ("[dstport = 22]", "7"),
        ("[interface-id = eni-2, bytes > 39]", "6 7"),
        (
            "[v=2,b!=-,c!=-,d!=-,e!=-,f!=-,g!=-,h!=-,i!=-,j!=-,k>1,l>1,m!=-,n=OK]",
            "2 3 4 5 6 7",
        ),
    ];
    assert_finds(&session, "vpc_flow", &cases).await;
}

#[tokio::test]
async fn members_of_cloudtrail_records() {
    let record = |members: &str| {
        format!(
            r#"{{"eventVersion":"1.08","eventTime":"2025-11-20T07:05:09Z","eventSource":"s3.amazonaws.com",{members}}}"#
        )
    };
    let records = [
        record(
            r#""eventName":"StopLogging","userIdentity":{"type":"IAMUser","arn":"arn:aws:iam::1:user/bob","accountId":"012345678901","tags":[]},"readOnly":false,"requestParameters":{"name":"trail","n":5,"o":{"x":"y"},"a":[{"p":22},{"p":"80"}],"z":null,"t":true}"#,
        ),
        record(
            r#""eventName":"StopLogging","errorCode":"AccessDenied","readOnly":false,"requestParameters":null"#,
        ),
        record(
            r#""eventName":"GetObject","errorCode":"Client.UnauthorizedOperation","userIdentity":{"type":"AWSService","invokedBy":"config.amazonaws.com"},"readOnly":true,"requestParameters":{"name":"it's","n":"7","a":[]},"resources":[{"ARN":"arn:aws:s3:::a"},{"ARN":"arn:aws:s3:::secret/b"}],"dotted.key":{"v":1}"#,
        ),
    ];
    let (_folder, session) = table("cloudtrail", &format!(r#"{{"Records":[{}]}}"#, records.join(","))).await;
    let cases = [
        (
            r#"{ $.eventName = "StopLogging" && $.errorCode NOT EXISTS }"#,
            "1",
        ),
        (
            r#"{ ($.errorCode = "*UnauthorizedOperation") || ($.errorCode = "AccessDenied*") }"#,
            "2 3",
        ),
        (r#"{ $.errorCode != "AccessDenied" }"#, "3"),
        (r#"{ $.errorCode = "*" }"#, "2 3"),
        (r#"{ $.userIdentity.arn = *bob }"#, "1"),
        (r#"{ $.userIdentity.invokedBy NOT EXISTS }"#, "1 2"),
        (r#"{ $.userIdentity.accountId = "012345678901" }"#, "1"),
        (r#"{ $.userIdentity = "*" }"#, ""),
        (r#"{ $.userIdentity NOT EXISTS }"#, "2"),
        (r#"{ $.readOnly IS TRUE }"#, "3"),
        (r#"{ $.readOnly = false }"#, "1 2"),
        (
            r#"{ $.eventTime = "2025-11-20T07:05:09Z" && $.eventVersion = 1.08 }"#,
            "1 2 3",
        ),
        (r#"{ $.requestParameters.name = "it's" }"#, "3"),
        (r#"{ $.requestParameters.name != "trail" }"#, "3"),
        (
            r#"{ $.requestParameters.n = 5 || $.requestParameters.n = 7 }"#,
            "1 3",
        ),
        (r#"{ $.requestParameters.n != 5 }"#, "3"),
        (r#"{ $.requestParameters.n > 1e-3 }"#, "1"),
        (r#"{ $.requestParameters.o = "*" }"#, ""),
        (r#"{ $.requestParameters.o != "x" }"#, ""),
        (r#"{ $.requestParameters.o.x = y }"#, "1"),
        (r#"{ $.requestParameters.z IS NULL }"#, "1"),
        (r#"{ $.requestParameters.z != "x" }"#, ""),
        (r#"{ $.requestParameters.z NOT EXISTS }"#, "2 3"),
        (r#"{ $.requestParameters.t IS TRUE }"#, "1"),
        (r#"{ $.requestParameters.t IS FALSE }"#, ""),
        (r#"{ $.requestParameters.a[1].p = 80 }"#, "1"),
        (r#"{ $.requestParameters.a[*].p = 22 }"#, "1"),
        (r#"{ $.requestParameters.a[*].p > 22 }"#, ""),
        (r#"{ $.requestParameters.a[*] NOT EXISTS }"#, "2 3"),
        (r#"{ $.requestParameters.* = "trail" }"#, "1"),
        (r#"{ $.requestParameters.name = %^tr.*l$% }"#, "1"),
        (r#"{ $.requestParameters.name != %^tr.*l$% }"#, "3"),
        (r#"{ $.requestParameters IS NULL }"#, "2"),
        (r#"{ $.resources[1].ARN = *secret* }"#, "3"),
        (r#"{ $.resources[*].ARN = %secret/% }"#, "3"),
        (r#"{ $.['dotted.key'].v = 1 }"#, "3"),
        (r#"{ $.unknown NOT EXISTS && $.eventName != GetObject }"#, "1 2"),
    ];
    assert_finds(&session, "cloudtrail", &cases).await;
}

/// Each message is an event, and its number that of its line.
async fn messages(messages: &[&str]) -> (TempDir, Session) {
    let lines: Vec<String> = messages
        .iter()
        .map(|message| format!("2025-11-20T07:05:09.123Z {message}\n"))
        .collect();
    table("container_logs", &lines.concat()).await
}

#[tokio::test]
async fn terms_of_messages() {
    let (_folder, session) = messages(&[
        "ERROR timeout of 5% it's",
        "error: ERROR 401 bad_request",
        "WARN all \"quoted\" 500",
        "漢字 ok",
    ])
    .await;
    let cases = [
        ("", "1 2 3 4"),
        ("\" \"", "1 2 3 4"),
        ("ERROR", "1 2"),
        ("ERROR -timeout", "2"),
        ("-ERROR", "3 4"),
        ("ERROR 401", "2"),
        ("?WARN ?401", "2 3"),
        ("?WARN ?401 ERROR", "1 2"),
        ("?WARN -401", "1 3 4"),
        ("\"ERROR 401\"", "2"),
        ("\"401 ERROR\"", ""),
        ("\"5% it's\"", "1"),
        ("\"\\\"quoted\\\"\"", "3"),
        ("\"%\"", "1"),
        ("漢字", "4"),
        ("%[45]\\d{1,2}%", "2 3"),
        ("%^WARN|ok$%", "3 4"),
    ];
    assert_finds(&session, "container_logs", &cases).await;
}

#[tokio::test]
async fn fields_of_messages() {
    let (_folder, session) = messages(&[
        "127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] \"GET /index.html HTTP/1.0\" 404 1534",
        "127.0.0.1 Dev frank [10/Oct/2000:13:35:22 -0700] \"GET /about.php HTTP/1.0\" 500 5324",
        "127.0.0.1 - - [10/Oct/2000:13:50:35 -0700] \"GET /contact.html HTTP/1.0\" 200 nan",
        "too few",
    ])
    .await;
    let cases = [
        (
            "[ip, user, username, timestamp, request =*.html*, status_code = 4*, bytes]",
            "1",
        ),
        (
            "[ip, user, username, timestamp, request =*.html*, status_code, bytes]",
            "1 3",
        ),
        (
            "[ip, user, username, timestamp, request, status = 404 || status = 500, bytes]",
            "1 2",
        ),
        (
            "[ip, user, username, timestamp, request, status, bytes > 1534.5]",
            "2",
        ),
        (
            "[ip, user, username, timestamp, request, status, bytes >= -1]",
            "1 2",
        ),
        (
            "[ip, user, username, timestamp, request, status, bytes != 5324]",
            "1 3",
        ),
        ("[..., status >= 300 && status < 500, bytes]", "1"),
        ("[ip, user = \"-\", ...]", "3"),
        ("[ip, user != Prod, ..., bytes]", "2 3"),
        (
            "[..., ts = \"10/Oct/2000:13:25:15 -0700\", request, status, bytes]",
            "1",
        ),
        ("[a, b]", "4"),
        ("[a, b, c]", ""),
        ("[a, b = %^.e%, ...]", "2 4"),
        ("[...]", "1 2 3 4"),
    ];
    assert_finds(&session, "container_logs", &cases).await;
}

#[tokio::test]
async fn members_of_messages() {
    let (_folder, session) = messages(&[
        r#"{"level":"ERROR","code":400,"big":12345678901234567890,"o":{"k":"v"},"list":["a",{"b":2}]}"#,
        r#"{"level":"INFO","code":"400","o":[],"list":[]}"#,
        "ERROR not JSON",
        r#"{"level":null,"code":0.001}"#,
        r#"["level"]"#,
    ])
    .await;
    let cases = [
        (r#"{ $.level = "ERROR" }"#, "1"),
        (r#"{ $.level != "ERROR" }"#, "2"),
        (r#"{ $.level IS NULL }"#, "4"),
        (r#"{ $.level = "*" }"#, "1 2"),
        (r#"{ $.code = 400 }"#, "1 2"),
        (r#"{ $.code = "400" }"#, "1 2"),
        (r#"{ $.code != 400 }"#, "4"),
        (r#"{ $.code = 1e-3 }"#, "4"),
        (r#"{ $.code >= 1 }"#, "1"),
        (r#"{ $.big = 12345678901234567890 }"#, "1"),
        (r#"{ $.big = 12345678901234567891 }"#, ""),
        (r#"{ $.o.k = v }"#, "1"),
        (r#"{ $.o = "*" }"#, ""),
        (r#"{ $.* = "INFO" }"#, "2"),
        (r#"{ $.list[0] = "a" }"#, "1"),
        (r#"{ $.list[*].b = 2 }"#, "1"),
        (r#"{ $.list[*] = "a" && $.code > 5 }"#, "1"),
    ];
    assert_finds(&session, "container_logs", &cases).await;
    // What is no document has no members either, but is not what this asks for.
    let absent = found(&session, "container_logs", "{ $.list NOT EXISTS }").await;
    assert_eq!(absent, "4 5");
}

#[tokio::test]
async fn every_field_has_a_name_that_sql_takes() {
    let (_folder, session) = flows().await;
    for number in 0..14 {
        let fields: Vec<String> = (0..14)
            .map(|field| {
                if field == number {
                    format!("f{field} != x")
                } else {
                    format!("f{field}")
                }
            })
            .collect();
        let pattern = format!("[{}]", fields.join(", "));
        assert_eq!(
            found(&session, "vpc_flow", &pattern).await,
            "2 3 4 5 6 7 8",
            "{pattern}"
        );
    }
}
