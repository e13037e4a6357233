//! `workload(service, task_definition, group_tag, interface)`

use std::borrow::Cow;

use super::{Body, Function, Group, Type, arn_part, percent_decode, text};

/// See [`Function::about`].
pub const FUNCTION: Function = Function {
    name: "workload",
    group: Group::Detections,
    arguments: &[
        text("service"),
        text("task_definition"),
        text("group_tag"),
        text("interface"),
    ],
    gives: Type::Text,
    about: "Name under which baselines know who is behind a flow record: its ECS service; else the family of its task \
            definition, as of tasks that no service started; else the Auto Scaling group, whose tag is \
            percent-encoded; else the interface. The first that is not NULL; an address is never one, since \
            addresses are used again.",
    example: (
        "workload(NULL, 'arn:aws:ecs:eu-west-1:111122223333:task-definition/nightly:7', NULL, 'eni-0abc')",
        "nightly",
    ),
    body: Body::Scalar(|arguments| {
        let (service, definition) = (arguments.text(0), arguments.text(1));
        let (group, interface) = (arguments.text(2), arguments.text(3));
        arguments.to_text(|row| {
            service
                .at(row)
                .or_else(|| family(definition.at(row)?))
                .map(Cow::Borrowed)
                .or_else(|| group.at(row).map(percent_decode::decode))
                .or_else(|| interface.at(row).map(Cow::Borrowed))
        })
    }),
};

/// The family in the ARN of a task definition.
fn family(arn: &str) -> Option<&str> {
    let resource = arn_part::part(arn, "resource")?;
    let name = resource.strip_prefix("task-definition/")?;
    let family = name.rsplit_once(':').map_or(name, |(family, _)| family);
    (!family.is_empty()).then_some(family)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        assert_eq!(
            family("arn:aws:ecs:r:1:task-definition/nightly:7"),
            Some("nightly")
        );
        assert_eq!(family("arn:aws:ecs:r:1:task-definition/nightly"), Some("nightly"));
        for other in [
            "arn:aws:ecs:r:1:task-definition/:7",
            "arn:aws:ecs:r:1:task/a",
            "nightly:7",
            "",
        ] {
            assert_eq!(family(other), None, "{other}");
        }
    }
}
