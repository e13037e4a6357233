//! The members of a record that the table knows, and how their keys are told apart.

/// A member that some column, or the way a record is told from others, needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    // Top-level members that have a column of their own.
    EventTime,
    EventName,
    EventSource,
    AwsRegion,
    SourceIpAddress,
    UserAgent,
    ErrorCode,
    ErrorMessage,
    EventId,
    RequestId,
    SharedEventId,
    VpcEndpointId,
    VpcEndpointAccountId,
    ReadOnly,
    ManagementEvent,
    EventType,
    EventCategory,
    EventVersion,
    ApiVersion,
    RecipientAccountId,
    SessionCredentialFromConsole,
    UserIdentity,
    RequestParameters,
    ResponseElements,
    AdditionalEventData,
    Resources,
    TlsDetails,
    ServiceEventDetails,
    InsightDetails,
    Addendum,
    // Top-level members of aggregated events, which write `eventId` with a small d.
    SmallEventId,
    AccountId,
    TimeWindow,
    // Where Logstash's CloudTrail codec puts the event time.
    Timestamp,
    // What tells envelopes and other kinds of files.
    Records,
    Detail,
    DetailType,
    MessageType,
    LogEvents,
    S3,
    S3TestEvent,
    DigestStartTime,
    ConfigurationItems,
    // Members further inside.
    UserType,
    UserArn,
    UserPrincipalId,
    UserName,
    UserAccountId,
    UserAccessKeyId,
    InvokedBy,
    IssuerType,
    IssuerArn,
    IssuerUserName,
    MfaAuthenticated,
    MfaUsed,
    CreationDate,
    SourceIdentity,
    Ec2RoleDelivery,
}

use Field::*;

impl Field {
    /// How many there are.
    pub(super) const COUNT: usize = Ec2RoleDelivery as usize + 1;

    /// Its bit in a set of fields.
    pub(super) const fn bit(self) -> u64 {
        1 << self as u64
    }

    /// Whether a column of its own holds the member, so that `extra` need not.
    pub(super) const fn has_column(self) -> bool {
        (self as u8) < SmallEventId as u8
    }

    /// Whether the member lies inside another.
    pub(super) const fn is_inside(self) -> bool {
        self as u8 >= UserType as u8
    }

    /// The top-level member called `key`. Keys are compared as they are written:
    /// no service escapes letters in them.
    #[inline(always)]
    pub(super) fn of_record(key: &[u8]) -> Option<Field> {
        // The length leaves a handful at most, each of which is compared in one or two loads.
        Some(match key.len() {
            2 if key == b"s3" => S3,
            5 if key == b"Event" => S3TestEvent,
            6 if key == b"detail" => Detail,
            7 if key == b"eventID" => EventId,
            7 if key == b"eventId" => SmallEventId,
            7 if key == b"Records" => Records,
            8 if key == b"readOnly" => ReadOnly,
            8 if key == b"addendum" => Addendum,
            9 if key == b"eventTime" => EventTime,
            9 if key == b"eventName" => EventName,
            9 if key == b"eventType" => EventType,
            9 if key == b"awsRegion" => AwsRegion,
            9 if key == b"userAgent" => UserAgent,
            9 if key == b"requestID" => RequestId,
            9 if key == b"errorCode" => ErrorCode,
            9 if key == b"resources" => Resources,
            9 if key == b"accountId" => AccountId,
            9 if key == b"logEvents" => LogEvents,
            10 if key == b"tlsDetails" => TlsDetails,
            10 if key == b"apiVersion" => ApiVersion,
            10 if key == b"timeWindow" => TimeWindow,
            10 if key == b"@timestamp" => Timestamp,
            11 if key == b"eventSource" => EventSource,
            11 if key == b"messageType" => MessageType,
            11 if key == b"detail-type" => DetailType,
            12 if key == b"eventVersion" => EventVersion,
            12 if key == b"userIdentity" => UserIdentity,
            12 if key == b"errorMessage" => ErrorMessage,
            13 if key == b"eventCategory" => EventCategory,
            13 if key == b"sharedEventID" => SharedEventId,
            13 if key == b"vpcEndpointId" => VpcEndpointId,
            14 if key == b"insightDetails" => InsightDetails,
            15 if key == b"managementEvent" => ManagementEvent,
            15 if key == b"sourceIPAddress" => SourceIpAddress,
            15 if key == b"digestStartTime" => DigestStartTime,
            16 if key == b"responseElements" => ResponseElements,
            17 if key == b"requestParameters" => RequestParameters,
            18 if key == b"recipientAccountId" => RecipientAccountId,
            18 if key == b"configurationItems" => ConfigurationItems,
            19 if key == b"additionalEventData" => AdditionalEventData,
            19 if key == b"serviceEventDetails" => ServiceEventDetails,
            20 if key == b"vpcEndpointAccountId" => VpcEndpointAccountId,
            28 if key == b"sessionCredentialFromConsole" => SessionCredentialFromConsole,
            _ => return None,
        })
    }

    /// The member of `userIdentity` called `key`.
    #[inline]
    pub(super) fn of_identity(key: &[u8]) -> Option<Field> {
        Some(match key {
            b"type" => UserType,
            b"arn" => UserArn,
            b"principalId" => UserPrincipalId,
            b"userName" => UserName,
            b"accountId" => UserAccountId,
            b"accessKeyId" => UserAccessKeyId,
            b"invokedBy" => InvokedBy,
            _ => return None,
        })
    }

    /// The member of `sessionIssuer` called `key`.
    #[inline]
    pub(super) fn of_issuer(key: &[u8]) -> Option<Field> {
        Some(match key {
            b"type" => IssuerType,
            b"arn" => IssuerArn,
            b"userName" => IssuerUserName,
            _ => return None,
        })
    }

    /// The member of the session's `attributes` called `key`.
    #[inline]
    pub(super) fn of_attributes(key: &[u8]) -> Option<Field> {
        Some(match key {
            b"mfaAuthenticated" => MfaAuthenticated,
            b"creationDate" => CreationDate,
            _ => return None,
        })
    }

    /// The member of `sessionContext` called `key`.
    #[inline]
    pub(super) fn of_session(key: &[u8]) -> Option<Field> {
        Some(match key {
            b"sourceIdentity" => SourceIdentity,
            b"ec2RoleDelivery" => Ec2RoleDelivery,
            _ => return None,
        })
    }

    /// The member of `additionalEventData` called `key`.
    #[inline]
    pub(super) fn of_additional(key: &[u8]) -> Option<Field> {
        (key == b"MFAUsed").then_some(MfaUsed)
    }
}
