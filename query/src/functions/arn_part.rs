//! `arn_part(arn, part)`

use super::{Body, Function, Group, Type, text};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "arn_part",
    group: Group::Arns,
    arguments: &[text("arn"), text("part")],
    gives: Type::Text,
    about: "A part of an ARN by its name: partition, service, region, account, resource, type (of the resource, \
            such as role) or id (the rest of the resource). NULL if it is not an ARN or the part is empty.",
    example: (
        "arn_part('arn:aws:ecs:eu-west-1:111122223333:service/prod/web', 'id')",
        "prod/web",
    ),
    body: Body::Scalar(|arguments| {
        let (arn, name) = (arguments.text(0), arguments.text(1));
        arguments.to_text(|row| part(arn.at(row)?, name.at(row)?).filter(|part| !part.is_empty()))
    }),
};

/// See <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html>.
pub(super) fn part<'a>(arn: &'a str, part: &str) -> Option<&'a str> {
    let mut fields = arn.splitn(6, ':');
    if fields.next() != Some("arn") {
        return None;
    }
    let mut fields = [
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
        fields.next()?,
    ]
    .into_iter();
    let resource = fields.clone().next_back()?;
    match part {
        "partition" => fields.next(),
        "service" => fields.nth(1),
        "region" => fields.nth(2),
        "account" => fields.nth(3),
        "resource" => Some(resource),
        "type" => resource.split_once(['/', ':']).map(|(kind, _)| kind),
        "id" => Some(resource.split_once(['/', ':']).map_or(resource, |(_, id)| id)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        let arn = "arn:aws:iam::111122223333:role/path/app";
        for (name, value) in [
            ("partition", Some("aws")),
            ("service", Some("iam")),
            ("region", Some("")),
            ("account", Some("111122223333")),
            ("resource", Some("role/path/app")),
            ("type", Some("role")),
            ("id", Some("path/app")),
            ("colour", None),
        ] {
            assert_eq!(part(arn, name), value, "{name}");
        }
        assert_eq!(part("arn:aws:s3:::bucket", "id"), Some("bucket"));
        assert_eq!(part("bucket", "id"), None);
    }
}
