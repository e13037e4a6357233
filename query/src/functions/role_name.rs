//! `role_name(arn)`

use super::{Body, Function, Group, Type, arn_part, text};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "role_name",
    group: Group::Arns,
    arguments: &[text("arn")],
    gives: Type::Text,
    about: "Name of the role in the ARN of a role or of an assumed-role session, without its path. NULL for other \
            ARNs. The session part of such an ARN is chosen by the caller and proves nothing by itself.",
    example: (
        "role_name('arn:aws:sts::111122223333:assumed-role/app/i-0abc')",
        "app",
    ),
    body: Body::Scalar(|arguments| {
        let arn = arguments.text(0);
        arguments.to_text(|row| name(arn.at(row)?).filter(|name| !name.is_empty()))
    }),
};

fn name(arn: &str) -> Option<&str> {
    let resource = arn_part::part(arn, "resource")?;
    match resource.split_once('/')? {
        ("role", path) => path.rsplit('/').next(),
        ("assumed-role", rest) => rest.split('/').next(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name("arn:aws:iam::1:role/a/b/app"), Some("app"));
        assert_eq!(name("arn:aws:sts::1:assumed-role/app/session/with"), Some("app"));
        assert_eq!(name("arn:aws:iam::1:user/alice"), None);
        assert_eq!(name("nothing"), None);
    }
}
