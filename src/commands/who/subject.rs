//! Whom `who` is asked about: what kind of thing a text names.

use std::net::IpAddr;

/// A kind of subject. Its form tells it; nothing is looked up for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An IPv4 or IPv6 address.
    Address,
    /// A network interface, `eni-...`.
    Interface,
    /// An access key, `AKIA...` or `ASIA...`.
    AccessKey,
    /// An ECS task, by its ARN or by the end of it.
    Task,
    /// An EC2 instance, `i-...`.
    Instance,
    /// A role, by its ARN.
    Role,
    /// Any other principal, by its ARN.
    Principal,
    /// Something else: the name of a session, a user or a service.
    Name,
}

impl Kind {
    /// The kind in words.
    pub fn words(self) -> &'static str {
        match self {
            Kind::Address => "address",
            Kind::Interface => "network interface",
            Kind::AccessKey => "access key",
            Kind::Task => "ECS task",
            Kind::Instance => "EC2 instance",
            Kind::Role => "role",
            Kind::Principal => "principal",
            Kind::Name => "name",
        }
    }
}

/// A subject: its kind, and the text that logs know it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// What it is.
    pub kind: Kind,
    /// As logs write it; of a task the id.
    pub name: String,
}

impl Subject {
    /// Tells what `text` names.
    pub fn of(text: &str) -> Subject {
        let text = text.trim();
        let subject = |kind, name: &str| Subject {
            kind,
            name: name.to_owned(),
        };
        if let Ok(address) = text.parse::<IpAddr>() {
            return subject(Kind::Address, &address.to_string());
        }
        if let Some(resource) = text
            .strip_prefix("arn:")
            .and_then(|rest| rest.splitn(5, ':').nth(4))
        {
            let end = resource.rsplit('/').next().unwrap_or_default();
            return match resource.split('/').next() {
                Some("task") if text.contains(":ecs:") => subject(Kind::Task, end),
                Some("network-interface") => subject(Kind::Interface, end),
                Some("instance") if text.contains(":ec2:") => subject(Kind::Instance, end),
                Some("role") => subject(Kind::Role, text),
                _ => subject(Kind::Principal, text),
            };
        }
        let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let kind = match text {
            _ if text
                .strip_prefix("eni-")
                .is_some_and(|id| id.len() >= 8 && hex(id)) =>
            {
                Kind::Interface
            }
            _ if text.strip_prefix("i-").is_some_and(|id| id.len() >= 8 && hex(id)) => Kind::Instance,
            _ if is_access_key(text) => Kind::AccessKey,
            _ if text.len() == 32 && hex(text) => Kind::Task,
            // The ids of tasks before 2019.
            _ if text.len() == 36
                && text.split('-').map(str::len).eq([8, 4, 4, 4, 12])
                && hex(&text.replace('-', "")) =>
            {
                Kind::Task
            }
            _ => Kind::Name,
        };
        subject(kind, text)
    }
}

/// Access keys are 16 to 128 capital letters and digits; the first four tell the kind.
fn is_access_key(text: &str) -> bool {
    (16..=128).contains(&text.len())
        && (text.starts_with("AKIA") || text.starts_with("ASIA"))
        && text
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_tells_the_kind() {
        for (text, kind, name) in [
            ("10.0.0.1", Kind::Address, "10.0.0.1"),
            ("2001:DB8::1", Kind::Address, "2001:db8::1"),
            ("eni-0123456789abcdef0", Kind::Interface, "eni-0123456789abcdef0"),
            ("i-0123456789abcdef0", Kind::Instance, "i-0123456789abcdef0"),
            ("ASIAQNZGKIQY56JQ7WML", Kind::AccessKey, "ASIAQNZGKIQY56JQ7WML"),
            (
                "1dc5c17a422b4dc4b493371970c6c4d6",
                Kind::Task,
                "1dc5c17a422b4dc4b493371970c6c4d6",
            ),
            (
                "arn:aws:ecs:eu-west-1:111122223333:task/prod/1dc5c17a422b4dc4b493371970c6c4d6",
                Kind::Task,
                "1dc5c17a422b4dc4b493371970c6c4d6",
            ),
            (
                "arn:aws:iam::111122223333:role/ops/deploy",
                Kind::Role,
                "arn:aws:iam::111122223333:role/ops/deploy",
            ),
            (
                "arn:aws:sts::111122223333:assumed-role/deploy/ci",
                Kind::Principal,
                "arn:aws:sts::111122223333:assumed-role/deploy/ci",
            ),
            ("alice", Kind::Name, "alice"),
            ("eni-nonsense", Kind::Name, "eni-nonsense"),
        ] {
            let subject = Subject::of(text);
            assert_eq!((subject.kind, subject.name.as_str()), (kind, name), "{text}");
        }
    }
}
