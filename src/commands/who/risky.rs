//! API calls that are worth a second look wherever they turn up.
//!
//! None of them is wrong by itself. The sources are the public catalogues of
//! techniques: MITRE ATT&CK for cloud, and AWS's own incident response guides.

/// (`eventName`, what it can mean), in alphabetical order.
const RISKY: &[(&str, &str)] = &[
    ("AssumeRole", "takes on other rights"),
    ("AttachRolePolicy", "gives rights"),
    ("AttachUserPolicy", "gives rights"),
    ("AuthorizeSecurityGroupIngress", "opens the network"),
    ("ConsoleLogin", "a person at the console"),
    ("CreateAccessKey", "makes a lasting key"),
    ("CreateLoginProfile", "makes a password"),
    ("CreateNetworkInterface", "a new way into the network"),
    ("CreatePolicyVersion", "changes rights"),
    ("CreateUser", "makes a lasting identity"),
    ("DeleteDetector", "blinds GuardDuty"),
    ("DeleteFlowLogs", "blinds flow logs"),
    ("DeleteLogGroup", "removes logs"),
    ("DeleteTrail", "blinds CloudTrail"),
    ("ExecuteCommand", "a shell in a container"),
    ("GetAuthorizationToken", "may pull and push images"),
    ("GetCallerIdentity", "asks who it is: often a thief's first call"),
    ("GetFederationToken", "makes keys that outlive the session"),
    ("GetParameter", "reads configuration, perhaps secrets"),
    ("GetParameters", "reads configuration, perhaps secrets"),
    ("GetParametersByPath", "reads configuration, perhaps secrets"),
    ("GetSecretValue", "reads a secret"),
    ("ModifySnapshotAttribute", "shares a disk"),
    ("PassRole", "hands rights to a service"),
    ("PutBucketPolicy", "opens or closes a bucket"),
    ("PutEventSelectors", "changes what CloudTrail sees"),
    ("PutImage", "changes what runs"),
    ("PutRolePolicy", "gives rights"),
    ("PutUserPolicy", "gives rights"),
    ("RegisterTaskDefinition", "changes what runs"),
    ("RunInstances", "starts machines"),
    ("RunTask", "starts containers"),
    ("SendCommand", "runs commands on instances"),
    ("StartSession", "a shell on an instance"),
    ("StopLogging", "blinds CloudTrail"),
    ("UpdateAssumeRolePolicy", "changes who may take on a role"),
    ("UpdateFunctionCode20150331v2", "changes what runs"),
    ("UpdateService", "changes what runs"),
    ("UpdateTrail", "changes what CloudTrail sees"),
];

/// The names of the calls.
pub fn names() -> impl Iterator<Item = &'static str> {
    RISKY.iter().map(|(name, _)| *name)
}

/// What a call can mean, if it is one to look at.
pub fn risk_of(event_name: &str) -> Option<&'static str> {
    let found = RISKY.binary_search_by(|(name, _)| (*name).cmp(event_name));
    found.ok().map(|at| RISKY[at].1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_found() {
        assert!(RISKY.is_sorted_by(|a, b| a.0 < b.0));
        assert_eq!(risk_of("StopLogging"), Some("blinds CloudTrail"));
        assert_eq!(risk_of("DescribeTasks"), None);
    }
}
