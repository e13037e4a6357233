//! The columns of the table, and what each takes from a record.

use super::fields::Field::{self, *};
use crate::column::{Column, Kind};

/// How a column gets its value from the spans of a record.
#[derive(Debug, Clone, Copy)]
pub(super) enum Take {
    /// The first of these fields that is there and not null, as text.
    Text(&'static [Field]),
    /// The same, except that an empty string is NULL.
    TextNotEmpty(Field),
    /// The raw JSON of a field.
    Json(Field),
    /// A field that is true or false, with quotes or without.
    Bool(Field),
    /// The time of the event, which every record has.
    EventTime,
    /// `sessionIssuer.arn`, if the issuer is a role.
    RoleArn,
    /// The session's name at the end of an assumed-role ARN or principal id.
    SessionName,
    /// Whether the session or the sign-in used MFA.
    Mfa,
    /// When the session was created.
    SessionCreated,
    /// `eventCategory`, or what older records tell in other ways.
    EventCategory,
    /// All members that no other column names.
    Extra,
}

/// A column and what it takes.
pub(super) struct Spec {
    pub(super) column: Column,
    pub(super) take: Take,
}

const fn spec(name: &'static str, kind: Kind, from: &'static str, take: Take, about: &'static str) -> Spec {
    Spec {
        column: Column::new(name, kind, from, about),
        take,
    }
}

const fn text(name: &'static str, from: &'static str, field: &'static [Field], about: &'static str) -> Spec {
    spec(name, Kind::Text, from, Take::Text(field), about)
}

const fn json(name: &'static str, from: &'static str, field: Field, about: &'static str) -> Spec {
    spec(name, Kind::Json, from, Take::Json(field), about)
}

const fn boolean(name: &'static str, from: &'static str, field: Field, about: &'static str) -> Spec {
    spec(name, Kind::Bool, from, Take::Bool(field), about)
}

/// Every column with what it takes, in the order of the table.
pub(super) const SPECS: &[Spec] = &[
    spec(
        "event_time",
        Kind::Time,
        "eventTime",
        Take::EventTime,
        "When the call completed, to the second. Aggregated events: when their window began. Records that \
         went through Logstash have it as `@timestamp`.",
    ),
    text(
        "event_name",
        "eventName",
        &[EventName],
        "The API action, sign-in step or service event.",
    ),
    text(
        "event_source",
        "eventSource",
        &[EventSource],
        "Service that was called, such as `ec2.amazonaws.com`.",
    ),
    text(
        "aws_region",
        "awsRegion",
        &[AwsRegion],
        "Region that the call was made to.",
    ),
    text(
        "region",
        "awsRegion",
        &[AwsRegion],
        "Same as `aws_region`, under the name that all tables share.",
    ),
    text(
        "source_ip_address",
        "sourceIPAddress",
        &[SourceIpAddress],
        "Address of the caller; the name of a service, or `AWS Internal`, if a service made the call.",
    ),
    text(
        "user_agent",
        "userAgent",
        &[UserAgent],
        "What the caller says it is. The caller chooses this text.",
    ),
    text(
        "error_code",
        "errorCode",
        &[ErrorCode],
        "Why the call failed; NULL if it succeeded.",
    ),
    text(
        "error_message",
        "errorMessage",
        &[ErrorMessage],
        "The failure in words.",
    ),
    text(
        "principal_type",
        "userIdentity.type",
        &[UserType],
        "`Root`, `IAMUser`, `AssumedRole`, `Role`, `FederatedUser`, `AWSAccount`, `AWSService`, \
         `IdentityCenterUser`, `SAMLUser`, `WebIdentityUser`, `Directory` or `Unknown`.",
    ),
    text(
        "principal_arn",
        "userIdentity.arn",
        &[UserArn],
        "ARN of the caller; of a session, not of its role.",
    ),
    text(
        "principal_id",
        "userIdentity.principalId",
        &[UserPrincipalId],
        "Unique id of the caller, which a deleted and made-again user does not keep; `ROLE_ID:session` for sessions.",
    ),
    text(
        "principal_name",
        "userIdentity.userName",
        &[UserName, IssuerUserName],
        "Name of the user, or of the role that issued the session.",
    ),
    text(
        "account_id",
        "userIdentity.accountId",
        &[UserAccountId, AccountId, RecipientAccountId],
        "Account of the caller; if the record does not tell it, the account that received the event.",
    ),
    spec(
        "access_key_id",
        Kind::Text,
        "userIdentity.accessKeyId",
        Take::TextNotEmpty(UserAccessKeyId),
        "Access key that signed the call: `AKIA...` lasts, `ASIA...` belongs to a session.",
    ),
    spec(
        "role_arn",
        Kind::Text,
        "userIdentity.sessionContext.sessionIssuer.arn",
        Take::RoleArn,
        "Role that issued the session, with its path.",
    ),
    spec(
        "session_name",
        Kind::Text,
        "userIdentity.arn",
        Take::SessionName,
        "Name of the role session: the instance id for EC2, the task id for ECS, else what the caller chose.",
    ),
    text(
        "ec2_role_delivery",
        "userIdentity.sessionContext.ec2RoleDelivery",
        &[Ec2RoleDelivery],
        "`1.0` or `2.0`: version of the instance metadata service that handed out the credentials.",
    ),
    spec(
        "mfa",
        Kind::Bool,
        "userIdentity.sessionContext.attributes.mfaAuthenticated",
        Take::Mfa,
        "Whether the session was opened with MFA; for sign-ins `additionalEventData.MFAUsed`.",
    ),
    text(
        "invoked_by",
        "userIdentity.invokedBy",
        &[InvokedBy],
        "Service that made the call for the caller.",
    ),
    spec(
        "session_created",
        Kind::Time,
        "userIdentity.sessionContext.attributes.creationDate",
        Take::SessionCreated,
        "When the session's credentials were issued.",
    ),
    text(
        "source_identity",
        "userIdentity.sessionContext.sourceIdentity",
        &[SourceIdentity],
        "Identity that stays the same through chained roles.",
    ),
    text(
        "vpc_endpoint_id",
        "vpcEndpointId",
        &[VpcEndpointId],
        "VPC endpoint that the call came through.",
    ),
    text(
        "vpc_endpoint_account_id",
        "vpcEndpointAccountId",
        &[VpcEndpointAccountId],
        "Account that owns the VPC endpoint.",
    ),
    text(
        "event_id",
        "eventID",
        &[EventId, SmallEventId],
        "Unique id of the event; the key to drop doubles by.",
    ),
    text(
        "request_id",
        "requestID",
        &[RequestId],
        "Id that the service gave the request.",
    ),
    text(
        "shared_event_id",
        "sharedEventID",
        &[SharedEventId],
        "Joins the records of one action in several accounts, and start and end of an Insight.",
    ),
    boolean(
        "read_only",
        "readOnly",
        ReadOnly,
        "Whether the action only reads.",
    ),
    boolean(
        "management_event",
        "managementEvent",
        ManagementEvent,
        "Whether this is a management event.",
    ),
    text(
        "event_type",
        "eventType",
        &[EventType],
        "`AwsApiCall`, `AwsConsoleSignIn`, `AwsServiceEvent` and others.",
    ),
    spec(
        "event_category",
        Kind::Text,
        "eventCategory",
        Take::EventCategory,
        "`Management`, `Data`, `NetworkActivity`, `Insight` or `Aggregated`. Records from before eventVersion \
         1.07 do not name it: then it is derived from `managementEvent` and `eventType`, and NULL if they do not tell.",
    ),
    text(
        "event_version",
        "eventVersion",
        &[EventVersion],
        "Version of the record's layout; compare its parts as numbers.",
    ),
    text(
        "api_version",
        "apiVersion",
        &[ApiVersion],
        "Version of the API that was called.",
    ),
    text(
        "recipient_account_id",
        "recipientAccountId",
        &[RecipientAccountId],
        "Account that received this event.",
    ),
    boolean(
        "session_credential_from_console",
        "sessionCredentialFromConsole",
        SessionCredentialFromConsole,
        "Whether the call came from a console session; NULL means that it did not.",
    ),
    json(
        "user_identity",
        "userIdentity",
        UserIdentity,
        "Who made the call, whole.",
    ),
    json(
        "request_parameters",
        "requestParameters",
        RequestParameters,
        "What was asked for.",
    ),
    json(
        "response_elements",
        "responseElements",
        ResponseElements,
        "What was answered; NULL for reads.",
    ),
    json(
        "additional_event_data",
        "additionalEventData",
        AdditionalEventData,
        "What the service adds about the call.",
    ),
    json(
        "resources",
        "resources",
        Resources,
        "Resources that the call touched: `ARN`, `accountId`, `type`.",
    ),
    json(
        "tls_details",
        "tlsDetails",
        TlsDetails,
        "TLS version, cipher suite and host name of the call.",
    ),
    json(
        "service_event_details",
        "serviceEventDetails",
        ServiceEventDetails,
        "What a service did by itself.",
    ),
    json(
        "insight_details",
        "insightDetails",
        InsightDetails,
        "What was unusual, with baseline and attribution.",
    ),
    json(
        "addendum",
        "addendum",
        Addendum,
        "Why the event came late or again, and what was changed in it.",
    ),
    spec(
        "extra",
        Kind::Json,
        "",
        Take::Extra,
        "All other members of the record as one JSON object, as they were written. Also second members of one \
         name, and booleans that are none.",
    ),
];

/// The columns alone.
pub(super) const COLUMNS: [Column; SPECS.len()] = {
    let mut columns = [SPECS[0].column; SPECS.len()];
    let mut index = 0;
    while index < SPECS.len() {
        columns[index] = SPECS[index].column;
        index += 1;
    }
    columns
};
