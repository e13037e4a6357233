//! The columns of `connections`.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use trailhound_ingest::column::Column;
use trailhound_ingest::column::Kind::{Bool, Int, Long, Text, Time};

/// All columns, in order. `from` is the column of `vpc_flow` that it is made of.
#[rustfmt::skip]
pub const COLUMNS: &[Column] = &[
    Column::new("start_time", Time, "start_time", "First packet."),
    Column::new("end_time", Time, "end_time", "Last packet."),
    Column::new("initiator_addr", Text, "pkt_srcaddr, srcaddr", "Address of the side that began; the packets' own, where the log has it."),
    Column::new("initiator_port", Int, "srcport", "Its port; 0 where the log has none."),
    Column::new("responder_addr", Text, "pkt_dstaddr, dstaddr", "Address of the other side."),
    Column::new("responder_port", Int, "dstport", "Its port; 0 where the log has none."),
    Column::new("protocol", Int, "protocol", "IANA protocol number."),
    Column::new("action", Text, "action", "ACCEPT, or REJECT for one that was refused; these are kept apart.").one_of(&["ACCEPT", "REJECT"]),
    Column::new("bytes_out", Long, "bytes", "Bytes from the initiator, as one interface counted them."),
    Column::new("bytes_in", Long, "bytes", "Bytes to the initiator."),
    Column::new("packets_out", Long, "packets", "Packets from the initiator."),
    Column::new("packets_in", Long, "packets", "Packets to the initiator."),
    Column::new("tcp_flags_out", Int, "tcp_flags", "Flags from the initiator, ORed; NULL if no record has them."),
    Column::new("tcp_flags_in", Int, "tcp_flags", "Flags to the initiator, ORed."),
    Column::new("windows", Long, "", "Records of the busier direction at the interface that is counted."),
    Column::new("records", Long, "", "All records, of both directions and of every interface."),
    Column::new("window_seconds", Int, "start_time, end_time", "Longest time between first and last packet of a record: the aggregation window is at least that."),
    Column::new("initiator_by", Text, "", "How the initiator was told: tcp-flags (a SYN without ACK, or its answer), port (the other side's is the lower, a service's), first-record (a guess).").one_of(&["tcp-flags", "port", "first-record"]),
    Column::new("ending", Text, "", "fin, rst, idle (silence), reused (a new SYN), limit (closed early, as too many were open), open (the data ends first).").one_of(&["fin", "rst", "idle", "reused", "limit", "open"]),
    Column::new("complete", Bool, "", "Whether begin and end were seen, by flags or by silence."),
    Column::new("interface_id", Text, "interface_id", "Interface that logged it: at the initiator's side, if flow-direction tells, else the first. A transit gateway's attachment if there is none."),
    Column::new("interfaces", Text, "interface_id", "All interfaces that logged it, separated by spaces."),
    Column::new("initiator_interface_id", Text, "flow_direction", "Interface at the initiator's side; NULL if no flow-direction tells."),
    Column::new("responder_interface_id", Text, "flow_direction", "Interface at the responder's side; NULL if no flow-direction tells."),
    Column::new("account_id", Text, "account_id", "Account of `interface_id`."),
    Column::new("region", Text, "region", "Region of `interface_id`."),
    Column::new("vpc_id", Text, "vpc_id", "VPC of `interface_id`."),
    Column::new("subnet_id", Text, "subnet_id", "Subnet of `interface_id`."),
    Column::new("instance_id", Text, "instance_id", "Instance of `interface_id`."),
    Column::new("ecs_cluster_name", Text, "ecs_cluster_name", "ECS cluster of `interface_id`."),
    Column::new("ecs_service_name", Text, "ecs_service_name", "ECS service of `interface_id`."),
    Column::new("ecs_task_definition_arn", Text, "ecs_task_definition_arn", "Task definition of `interface_id`."),
    Column::new("ecs_task_id", Text, "ecs_task_id", "ECS task of `interface_id`."),
    Column::new("_source", Text, "_source", "Object of its first record."),
    Column::new("_line", Long, "_line", "Line of its first record in that object."),
];

/// The table's schema.
pub fn schema() -> SchemaRef {
    let fields: Vec<Field> = COLUMNS
        .iter()
        .map(|column| Field::new(column.name, column.kind.data_type(), true))
        .collect();
    Arc::new(Schema::new(fields))
}
