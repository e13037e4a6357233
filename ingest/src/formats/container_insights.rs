//! Container Insights of ECS: one performance log event a minute for each
//! container, task, service and cluster.
//!
//! The agent writes them to `/aws/ecs/containerinsights/<cluster>/performance`.
//! They come as they are, one JSON object per line, or in what CloudWatch Logs
//! delivers: subscription envelopes, output of `aws logs filter-log-events`,
//! lines of an export to S3.
//!
//! Which columns a row has depends on its `type`. Usage that Fargate or a later
//! agent adds (ephemeral storage, EBS, errors and drops of the network), and the
//! description of the metrics that the event carries, are in `extra`.

use super::documents::{self, Class, Object, Shape, Spec, columns};
use super::{Format, OptionError, Parser, Setup, Timeline};
use crate::column::Column;
use crate::column::Kind::{Double, Long, Text, Time};

#[rustfmt::skip]
const SPECS: &[Spec] = &[
    Spec::first("event_time", Time, &["Timestamp", "_aws.Timestamp"], "End of the minute that was measured."),
    Spec::at("type", Text, "Type", "What was measured: `Container`, `Task`, `Service`, `Cluster`, `Volume`, or a newer kind."),
    Spec::at("cluster_name", Text, "ClusterName", "Cluster."),
    Spec::at("service_name", Text, "ServiceName", "Service; `daemon:name` for daemons."),
    Spec::at("task_id", Text, "TaskId", "Task, as the end of its ARN and as flow logs and log streams call it."),
    Spec::at("task_definition_family", Text, "TaskDefinitionFamily", "Family of the task definition."),
    Spec::at("task_definition_revision", Text, "TaskDefinitionRevision", "Its revision, which the log has as text."),
    Spec::at("container_name", Text, "ContainerName", "Container in its task definition."),
    Spec::at("image", Text, "Image", "Image that the container runs. What AWS adds to a task has its own."),
    Spec::at("launch_type", Text, "LaunchType", "What the task runs on. Only of type `Task`.").one_of(&["EC2", "FARGATE", "EXTERNAL", "MANAGED_INSTANCES"]),
    Spec::at("container_instance_id", Text, "ContainerInstanceId", "End of the container instance's ARN; on Fargate there is none."),
    Spec::at("ec2_instance_id", Text, "EC2InstanceId", "EC2 instance of the container instance."),
    Spec::at("account_id", Text, "AccountID", "Account. Only tasks name it; of others the subscription's owner, or what the object's path tells."),
    Spec::at("region", Text, "Region", "Region. Only tasks name it; of others what the object's path tells."),
    Spec::at("availability_zone", Text, "AvailabilityZone", "Availability zone of the task."),
    Spec::first("known_status", Text, &["KnownStatus", "ContainerKnownStatus"], "State that the agent knows of the task or container, such as `RUNNING`."),
    Spec::at("cpu_utilized", Double, "CpuUtilized", "CPU used, in units of which a core has 1024."),
    Spec::at("cpu_reserved", Double, "CpuReserved", "CPU units reserved."),
    Spec::at("memory_utilized", Double, "MemoryUtilized", "Memory used, in megabytes."),
    Spec::at("memory_reserved", Double, "MemoryReserved", "Memory reserved, in megabytes."),
    Spec::at("storage_read_bytes", Long, "StorageReadBytes", "Bytes read from storage since the start: a sum, although its unit is given as bytes per second."),
    Spec::at("storage_write_bytes", Long, "StorageWriteBytes", "Bytes written to storage since the start, as above."),
    Spec::at("network_rx_bytes", Double, "NetworkRxBytes", "Bytes received, per second. Not of tasks in host mode."),
    Spec::at("network_tx_bytes", Double, "NetworkTxBytes", "Bytes sent, per second."),
    Spec::at("network_rx_packets", Double, "NetworkRxPackets", "Packets received, per second."),
    Spec::at("network_tx_packets", Double, "NetworkTxPackets", "Packets sent, per second."),
    Spec::at("desired_task_count", Long, "DesiredTaskCount", "Tasks that the service is to have."),
    Spec::at("running_task_count", Long, "RunningTaskCount", "Tasks of the service that run."),
    Spec::at("pending_task_count", Long, "PendingTaskCount", "Tasks of the service that are about to."),
    Spec::at("deployment_count", Long, "DeploymentCount", "Deployments of the service."),
    Spec::at("task_set_count", Long, "TaskSetCount", "Task sets of the service."),
    Spec::at("task_count", Long, "TaskCount", "Tasks that run in the cluster."),
    Spec::at("container_instance_count", Long, "ContainerInstanceCount", "Container instances of the cluster with an agent that is connected."),
    Spec::at("service_count", Long, "ServiceCount", "Services of the cluster."),
    Spec::at("created_at", Time, "CreatedAt", "When the task was asked for."),
    Spec::at("started_at", Time, "StartedAt", "When the task came to `RUNNING`."),
    Spec::extra("All other members, such as `NetworkRxErrors`, `EBSFilesystemUtilized` and `CloudWatchMetrics`; also what its column cannot hold."),
];

const COLUMNS: [Column; SPECS.len()] = columns(SPECS);

static SHAPE: Shape = Shape {
    noun: "a Container Insights event",
    specs: SPECS,
    class,
    marks: &["ClusterName"],
    lists: &["events"],
    constants: &[("Version", "\"0\"")],
};

/// Performance log events of Container Insights.
#[derive(Debug, Clone, Copy)]
pub struct ContainerInsights;

impl Format for ContainerInsights {
    fn name(&self) -> &'static str {
        "container_insights"
    }

    fn about(&self) -> &'static str {
        "Performance log events of Container Insights for ECS: CPU, memory, storage and network of each container and \
         task, counts of each service and cluster, once a minute. One row per event; `_line` is its number in the \
         object. Only clusters for which it is switched on are there, and what lives for less than a minute may \
         never show."
    }

    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn timeline(&self) -> Timeline {
        Timeline {
            who: "coalesce(container_name, service_name, task_definition_family, cluster_name)",
            what: "type || coalesce(' ' || known_status, '')",
            place: "coalesce(task_id, cluster_name)",
            from: "NULL",
        }
    }

    fn parser(&self, setup: Setup) -> Result<Box<dyn Parser>, OptionError> {
        Ok(documents::parser(&SHAPE, &setup))
    }
}

fn class(object: &Object<'_>) -> Class {
    if object.text("Type").is_some() && object.has("ClusterName") {
        Class::Record
    } else {
        Class::Unknown
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::formats::documents::testing::{
        Way, any_stream, check_documents, check_stream, column_names, read, read_as, refusal, subscription,
    };

    const CONTAINER: &str = r#"{"Version":"0","Type":"Container","ContainerName":"app","TaskId":"0f9de17a6465404e8b1b2356dc13c2f8","TaskDefinitionFamily":"web","TaskDefinitionRevision":"7","ContainerInstanceId":"c1","EC2InstanceId":"i-0a1b","ClusterName":"prod","Image":"nginx","ContainerKnownStatus":"RUNNING","Timestamp":1763622060000,"CpuUtilized":12.5,"CpuReserved":256.0,"MemoryUtilized":40,"MemoryReserved":128,"StorageReadBytes":4096,"StorageWriteBytes":0,"NetworkRxBytes":840,"NetworkRxDropped":0,"NetworkRxPackets":14,"NetworkTxBytes":1.5,"NetworkTxPackets":2}"#;
    const TASK: &str = r#"{"Version":"0","Type":"Task","TaskId":"t","ClusterName":"prod","AccountID":"444455556666","Region":"eu-west-1","AvailabilityZone":"eu-west-1a","KnownStatus":"RUNNING","LaunchType":"FARGATE","CreatedAt":1763622000123,"StartedAt":1763622001000,"Timestamp":1763622060000}"#;
    const SERVICE: &str = r#"{"Version":"0","Type":"Service","ServiceName":"daemon:log","ClusterName":"prod","Timestamp":1763622060000,"DesiredTaskCount":2,"RunningTaskCount":1,"PendingTaskCount":1,"DeploymentCount":1,"TaskSetCount":0,"CloudWatchMetrics":[{"Namespace":"ECS/ContainerInsights","Metrics":[{"Name":"TaskSetCount","Unit":"Count"}],"Dimensions":[["ServiceName","ClusterName"]]}]}"#;
    const CLUSTER: &str = r#"{"Version":"0","Type":"Cluster","ClusterName":"prod","Timestamp":1763622060000,"TaskCount":5,"ContainerInstanceCount":4,"ServiceCount":2}"#;
    const RECORDS: &[&str] = &[CONTAINER, TASK, SERVICE, CLUSTER];

    #[test]
    fn it_reads_like_every_format_of_documents() {
        check_documents(&ContainerInsights, RECORDS);
    }

    #[test]
    fn members_become_columns() {
        let cases: &[(&str, &[&str])] = &[
            (
                CONTAINER,
                &[
                    "cluster_name=prod",
                    "container_instance_id=c1",
                    "container_name=app",
                    "cpu_reserved=256.0",
                    "cpu_utilized=12.5",
                    "ec2_instance_id=i-0a1b",
                    "event_time=2025-11-20T07:01:00Z",
                    r#"extra={"NetworkRxDropped":0}"#,
                    "image=nginx",
                    "known_status=RUNNING",
                    "memory_reserved=128.0",
                    "memory_utilized=40.0",
                    "network_rx_bytes=840.0",
                    "network_rx_packets=14.0",
                    "network_tx_bytes=1.5",
                    "network_tx_packets=2.0",
                    "storage_read_bytes=4096",
                    "storage_write_bytes=0",
                    "task_definition_family=web",
                    "task_definition_revision=7",
                    "task_id=0f9de17a6465404e8b1b2356dc13c2f8",
                    "type=Container",
                ],
            ),
            (
                TASK,
                &[
                    "account_id=444455556666",
                    "availability_zone=eu-west-1a",
                    "cluster_name=prod",
                    "created_at=2025-11-20T07:00:00.123Z",
                    "event_time=2025-11-20T07:01:00Z",
                    "known_status=RUNNING",
                    "launch_type=FARGATE",
                    "region=eu-west-1",
                    "started_at=2025-11-20T07:00:01Z",
                    "task_id=t",
                    "type=Task",
                ],
            ),
            (
                CLUSTER,
                &[
                    "cluster_name=prod",
                    "container_instance_count=4",
                    "event_time=2025-11-20T07:01:00Z",
                    "service_count=2",
                    "task_count=5",
                    "type=Cluster",
                ],
            ),
            // Of two members of one name the first counts, and a value that a column cannot hold is not lost.
            (
                r#"{"Version":"1","Type":"New","ClusterName":"a","ClusterName":"b","Timestamp":"1763622060000","TaskCount":1.5,"ServiceCount":null,"x":null}"#,
                &[
                    "cluster_name=a",
                    "event_time=2025-11-20T07:01:00Z",
                    r#"extra={"Version":"1","ClusterName":"b","TaskCount":1.5,"x":null}"#,
                    "type=New",
                ],
            ),
        ];
        for (record, expected) in cases {
            assert_eq!(read(&ContainerInsights, record).cells(0), *expected, "{record}");
        }
        let service = read(&ContainerInsights, SERVICE);
        assert_eq!(service.column("service_name"), ["daemon:log"]);
        assert!(
            service.column("extra")[0].starts_with(r#"{"CloudWatchMetrics":[{"#),
            "{service:?}"
        );
    }

    #[test]
    fn the_envelope_tells_what_the_event_does_not() {
        let untimed = r#"{"Type":"Cluster","ClusterName":"prod"}"#;
        let outcome = read(&ContainerInsights, &subscription(&[TASK, CLUSTER, untimed]));
        assert_eq!(
            outcome.column("account_id"),
            ["444455556666", "111122223333", "111122223333"]
        );
        assert_eq!(outcome.column("event_time")[2], "2023-11-14T22:13:20Z");
        let way = Way {
            source: "s3://logs/AWSLogs/111122223333/insights/eu-west-1/1.gz",
            ..Way::default()
        };
        let outcome = read_as(&ContainerInsights, CLUSTER.as_bytes(), &way).unwrap();
        assert_eq!(
            (outcome.column("account_id"), outcome.column("region")),
            (vec!["111122223333"], vec!["eu-west-1"])
        );
        assert_eq!(
            read(&ContainerInsights, untimed).reasons(),
            ["Timestamp is missing"]
        );
        assert_eq!(
            read(
                &ContainerInsights,
                r#"{"Type":"Cluster","ClusterName":"prod","Timestamp":"soon"}"#
            )
            .reasons(),
            [r#"Timestamp "soon" is not a time"#]
        );
        assert_eq!(
            read(&ContainerInsights, &subscription(&["starting", "{}", TASK])).reasons(),
            [
                "the message is not JSON: expected a value at byte 0",
                "not a Container Insights event: {}"
            ]
        );
    }

    #[test]
    fn other_files_are_refused() {
        for (text, expected) in [
            (
                r#"{"Records":[{"eventVersion":"1.08"}]}"#,
                "CloudTrail records (read them as cloudtrail), not a Container Insights event",
            ),
            (
                r#"{"a":1}"#,
                r#"not a Container Insights event: it has the keys "a""#,
            ),
            (
                "2 111122223333 eni-0a1b 10.0.0.1 10.0.0.2 1 2 6 1 40 1 2 ACCEPT OK",
                "not JSON with a Container Insights event in it but a VPC flow log: read it as vpc_flow",
            ),
        ] {
            assert_eq!(refusal(&ContainerInsights, text), expected, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn neither_blocks_nor_projection_make_a_difference(
            stream in any_stream(RECORDS),
            sizes in prop::collection::vec(1usize..300, 1..4),
            batch_rows in 1usize..4,
            columns in prop::sample::subsequence(column_names(&ContainerInsights), 0..6),
        ) {
            check_stream(&ContainerInsights, &stream, &sizes, batch_rows, &columns);
        }
    }
}
