//! The reference page of the identity ledger, made from the code.

use std::fmt::Write;

use trailhound_ingest::identity::{
    CLAIM_COLUMNS, Certainty, ENI_HISTORY_COLUMNS, INVENTORY_COLUMNS, METHODS, OWN_ADDRESSES_COLUMNS,
    ROLE_SESSIONS_COLUMNS, TASK_HISTORY_COLUMNS,
};

use super::columns::{CLOUDTRAIL_COLUMNS, CONTAINER_LOGS_COLUMNS, FLOW_COLUMNS};

const INTRODUCTION: &str = "\
# Identity: who was that address

Tasks live for minutes and their addresses are used again. The identity ledger says who had an address, a network \
interface or a role session at a moment, how sure that is, and why.

It is made of *claims*: what single records say. `ecs_events`, `vpc_flow` and `cloudtrail` are read for them, and an \
inventory file if there is one. In the lake `trailhound ingest` writes them to the table `identity_claims`, in the same \
commit as the records; over raw files they are read when a query first asks for identity. A session that does not ask \
pays nothing. `--since` and `--until` limit the records that a query sees, not the claims: a task may have started \
long before. A lake that has no `identity_claims` is read for them like raw files. Tables that `CREATE EXTERNAL TABLE` \
adds later are not.

Claims are a set. In whatever order they come, however often, and however the logs were cut into objects: the ledger \
is the same.

## Rules

- **Slack.** Clocks of logs differ by minutes, and a flow record's window lasts up to 10 minutes. Within 10 minutes of a \
change of hands nothing is `certain`.
- **Beginning.** An interface is known to be a task's from the task's `startedAt`, or from the first record that shows it. \
It can have been from `createdAt` on: in between is `likely`.
- **End.** A task's interface and addresses end when the task stopped; an interface when it was deleted; an address \
when it was released or unassigned. Where no record tells the end, it is when another interface in the same VPC is \
known to have the address, else open. After the last sighting such an answer is `likely`, never `certain`.
- **VPC.** Addresses repeat in other VPCs. `certain` takes that the record's VPC and the holder's are known and the same: \
`vpc_id` of the flow record, or the VPC of its interface by any log. A subnet stands for its VPC if that is not known.
- **Own side.** One side of a flow record is its interface's. `flow_direction` tells which; without it, the address that \
all records of the interface share. That side is answered by interface, which AWS never uses again; the other by address.
- **ECS fields** of a flow record prove the task of its interface.
- **Shared interfaces.** Tasks in bridge and host mode have no interface. While one runs, its instance's interface is \
`ambiguous`: the instance is told, the task is not. Container instance events tell which instance it is.
- **Overlaps.** If several can have had it, the answer is `ambiguous`, and only what all of them share (the service) is told.
- **Contradicting facts** about one task: ECS events are believed before CloudTrail, that before flow records, those \
before the inventory; among equals the value that sorts first.
- **Sessions.** Who opens a session chooses its name, so that the name proves nothing. A session is a task's for certain \
if CloudTrail shows that ECS opened it; an instance's, if EC2 did or if `ec2RoleDelivery` is there. It is likely a task's if \
it is named like a task that was alive and has that task's role, and no record shows who opened it. A session that \
somebody else opened is nobody's, whatever its name.
- **Roles of tasks**: what RunTask set, else what RegisterTaskDefinition set, else the role of the session that ECS opened.
- **Images** are all of a task's; containers without an image, which GuardDuty adds, are left out.

`is_own_address(ip)` is true for addresses that the account has or had at any time by these logs, false for others, and \
NULL where there is no log to tell or the text is no address. It can be used in `SELECT` and `WHERE`.
";

/// The page.
pub fn reference_page() -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut table = |title: &str, about: &str, columns: &[(&str, &str)]| {
        let _ = write!(
            text,
            "\n## {title}\n\n{about}\n\n| column | meaning |\n|---|---|\n"
        );
        for (name, about) in columns {
            let _ = writeln!(text, "| `{name}` | {about} |");
        }
    };
    table(
        "`vpc_flow_identified`",
        "All columns of `vpc_flow`, and these. A table of another name has a view of that name, `NAME_identified`. Addresses \
         are those of `srcaddr` and `dstaddr`: behind a NAT gateway that is the gateway.",
        FLOW_COLUMNS,
    );
    table(
        "`cloudtrail_identified`",
        "All columns of `cloudtrail`, and these. An address is `foreign` if it is public and no log names it as own: \
         public addresses of tasks are in no log.",
        CLOUDTRAIL_COLUMNS,
    );
    table(
        "`container_logs_identified`",
        "All columns of `container_logs`, and these, by the task id in the stream's name.",
        CONTAINER_LOGS_COLUMNS,
    );
    table("`task_history`", "One row a task.", TASK_HISTORY_COLUMNS);
    table(
        "`eni_history`",
        "One row for each interface and each of its addresses.",
        ENI_HISTORY_COLUMNS,
    );
    table(
        "`own_addresses`",
        "One row for each address and each that had it.",
        OWN_ADDRESSES_COLUMNS,
    );
    table("`role_sessions`", "One row a session.", ROLE_SESSIONS_COLUMNS);
    table(
        "`identity_claims`",
        "What records say: one row for each different claim, hour and commit.",
        CLAIM_COLUMNS,
    );
    table(
        "Inventory",
        "`--from inventory=FILE` reads a CSV file with a header line, or a Parquet file (`*.parquet`), as another source of \
         claims. `address` or `interface_id` has to be there; any other column may be left out. Columns of other names are \
         refused, since one that is misspelt would go unnoticed. A time that does not read as one counts as empty.",
        INVENTORY_COLUMNS,
    );
    text.push_str("\n## Certainty\n\n| certainty | meaning |\n|---|---|\n");
    for certainty in Certainty::ALL.iter().rev() {
        let _ = writeln!(text, "| `{}` | {} |", certainty.name(), certainty.about());
    }
    text.push_str("\n## Methods\n\n| method | meaning |\n|---|---|\n");
    for (name, about) in METHODS {
        let _ = writeln!(text, "| `{name}` | {about} |");
    }
    text
}
