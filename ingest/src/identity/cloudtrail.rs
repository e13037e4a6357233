//! Claims of CloudTrail: interfaces and addresses in answers of EC2, tasks in
//! answers of ECS, task definitions, and role sessions.

use arrow::array::RecordBatch;
use serde_json::Value;

use super::claim::{About, Claim, Field, Texts, Times};
use super::claims::{Claims, Origins};
use super::ecs::{self, Context, list, time_of};

/// Columns of `cloudtrail` that are looked at.
pub(super) const COLUMNS: &[&str] = &[
    "event_time",
    "event_name",
    "event_source",
    "error_code",
    "account_id",
    "recipient_account_id",
    "region",
    "principal_type",
    "principal_arn",
    "invoked_by",
    "access_key_id",
    "role_arn",
    "session_name",
    "session_created",
    "ec2_role_delivery",
    "request_parameters",
    "response_elements",
    "_source",
    "_line",
];

/// Calls whose answers name interfaces, wherever in them.
const WITH_INTERFACES: &[&str] = &[
    "CreateNetworkInterface",
    "RunInstances",
    "CreateNatGateway",
    "AssignPrivateIpAddresses",
    "AssignIpv6Addresses",
    "UnassignPrivateIpAddresses",
    "UnassignIpv6Addresses",
];

/// How the names of calls begin that take addresses from an interface.
const UNASSIGN: &str = "Unassign";

/// Adds what records claim.
pub(super) fn see(batch: &RecordBatch, claims: &mut Claims) {
    let text = |name| Texts::new(batch, name);
    let times = Times::new(batch, "event_time");
    let (names, errors) = (text("event_name"), text("error_code"));
    let (accounts, recipients, regions) = (text("account_id"), text("recipient_account_id"), text("region"));
    let (requests, answers) = (text("request_parameters"), text("response_elements"));
    let sessions = Sessions::new(batch);
    let mut origins = Origins::new(batch);
    for row in 0..batch.num_rows() {
        let Some(time) = times.at(row) else { continue };
        let context = Context {
            method: "cloudtrail",
            // What a call makes belongs to the account that received the event.
            account: recipients.at(row).or(accounts.at(row)),
            region: regions.at(row),
            seen: origins.seen(row, time, time),
        };
        sessions.used(row, &context, accounts.at(row), claims);
        let name = names.at(row).unwrap_or_default();
        if errors.at(row).is_some() || !has_claims(name) {
            continue;
        }
        let json = |text: Option<&str>| {
            text.and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or(Value::Null)
        };
        let (request, answer): (Value, Value) = (json(requests.at(row)), json(answers.at(row)));
        let method = format!("cloudtrail:{name}");
        let context = Context {
            method: &method,
            ..context
        };
        call(name, &request, &answer, &context, claims);
        if name.starts_with("AssumeRole") {
            sessions.opened(row, &request, &answer, &context, claims);
        }
    }
}

fn has_claims(name: &str) -> bool {
    WITH_INTERFACES.contains(&name)
        || name.starts_with("AssumeRole")
        || matches!(
            name,
            "RunTask"
                | "StartTask"
                | "StopTask"
                | "RegisterTaskDefinition"
                | "RegisterContainerInstance"
                | "AttachNetworkInterface"
                | "DeleteNetworkInterface"
                | "AllocateAddress"
                | "AssociateAddress"
                | "ReleaseAddress"
                | "CreateVpcEndpoint"
        )
}

fn call(name: &str, request: &Value, answer: &Value, context: &Context<'_>, claims: &mut Claims) {
    let seen = || context.seen.clone();
    let asked = |name: &str| request[name].as_str();
    match name {
        "RunTask" | "StartTask" => {
            for task in list(&answer["tasks"]) {
                ecs::task(task, context, claims);
            }
        }
        "StopTask" => ecs::task(&answer["task"], context, claims),
        "RegisterContainerInstance" => ecs::container_instance(&answer["containerInstance"], context, claims),
        "RegisterTaskDefinition" => {
            let definition = &answer["taskDefinition"];
            let claim = context
                .claim(About::Definition)
                .with(Field::TaskDefinition, definition["taskDefinitionArn"].as_str())
                .with(
                    Field::Role,
                    definition["taskRoleArn"].as_str().or(asked("taskRoleArn")),
                );
            claims.add(claim, seen());
        }
        "AttachNetworkInterface" => {
            let claim = context
                .claim(About::Interface)
                .with(Field::Interface, asked("networkInterfaceId"))
                .with(Field::Instance, asked("instanceId"));
            claims.add(claim, seen());
        }
        "DeleteNetworkInterface" => {
            let mut claim = context
                .claim(About::Interface)
                .with(Field::Interface, asked("networkInterfaceId"));
            claim.valid_to = Some(context.seen.last);
            claims.add(claim, seen());
        }
        "AllocateAddress" | "AssociateAddress" | "ReleaseAddress" => {
            let either = |name: &str| answer[name].as_str().or(asked(name));
            let mut claim = context
                .claim(About::Address)
                .with(Field::PublicAddress, either("publicIp"))
                .with(Field::Allocation, either("allocationId"))
                .with(Field::Interface, asked("networkInterfaceId"))
                .with(Field::Instance, asked("instanceId"));
            match name {
                "AllocateAddress" => claim.valid_from = Some(context.seen.first),
                "ReleaseAddress" => claim.valid_to = Some(context.seen.last),
                _ => {}
            }
            claims.add(claim, seen());
        }
        "CreateVpcEndpoint" => endpoint(answer, context, claims),
        _ => {}
    }
    if WITH_INTERFACES.contains(&name) {
        let mut walk = Walk {
            context,
            claims,
            name,
        };
        // Addresses that an interface gets or loses later are answered, or asked for, beside its id.
        walk.visit(answer, &Above::default());
        if name.starts_with("Assign") || name.starts_with(UNASSIGN) {
            walk.visit(request, &Above::default());
        }
    }
}

/// A member of an object. Newer calls of EC2 are logged as they were sent, with names in capitals.
fn member<'v>(value: &'v Value, name: &str) -> &'v Value {
    match &value[name] {
        Value::Null => {
            let (first, rest) = name.split_at(1);
            &value[format!("{}{rest}", first.to_ascii_uppercase())]
        }
        value => value,
    }
}

/// The elements of an EC2 set: a list below `item` or `items`, or a list itself; and one element alone.
fn items(set: &Value) -> impl Iterator<Item = &Value> {
    let single = [set, &set["item"]].into_iter().filter(|set| match set {
        Value::String(_) => true,
        Value::Object(members) => !members.contains_key("item") && !members.contains_key("items"),
        _ => false,
    });
    list(set)
        .iter()
        .chain(list(&set["item"]))
        .chain(list(&set["items"]))
        .chain(single)
}

fn endpoint(answer: &Value, context: &Context<'_>, claims: &mut Claims) {
    let endpoint = match &answer["CreateVpcEndpointResponse"]["vpcEndpoint"] {
        Value::Null => &answer["vpcEndpoint"],
        endpoint => endpoint,
    };
    let interfaces = &endpoint["networkInterfaceIdSet"];
    for interface in items(interfaces) {
        let id = interface
            .as_str()
            .or(interface["content"].as_str())
            .or(interface["networkInterfaceId"].as_str());
        let claim = context
            .claim(About::Interface)
            .with(Field::Interface, id)
            .with(Field::InterfaceType, Some("vpc_endpoint"))
            .with(Field::Resource, endpoint["vpcEndpointId"].as_str())
            .with(Field::Vpc, endpoint["vpcId"].as_str());
        claims.add(claim, context.seen.clone());
    }
}

/// What the objects around tell of an interface.
#[derive(Debug, Default, Clone, Copy)]
struct Above<'a> {
    instance: Option<&'a str>,
    vpc: Option<&'a str>,
    subnet: Option<&'a str>,
    resource: Option<&'a str>,
}

/// Finds interfaces in an answer, however deep: the shapes of these answers differ.
struct Walk<'a, 'b> {
    context: &'a Context<'a>,
    claims: &'b mut Claims,
    name: &'a str,
}

impl Walk<'_, '_> {
    fn visit<'v>(&mut self, value: &'v Value, above: &Above<'v>) {
        match value {
            Value::Array(values) => values.iter().for_each(|value| self.visit(value, above)),
            Value::Object(members) => {
                let text = |name: &str| member(value, name).as_str();
                let here = Above {
                    instance: text("instanceId")
                        .or(value["attachment"]["instanceId"].as_str())
                        .or(above.instance),
                    vpc: text("vpcId").or(above.vpc),
                    subnet: text("subnetId").or(above.subnet),
                    resource: text("natGatewayId").or(above.resource),
                };
                if let Some(id) = text("networkInterfaceId") {
                    self.interface(id, value, &here);
                }
                if let (Some(resource), Some(allocation)) = (here.resource, text("allocationId")) {
                    let claim = self
                        .context
                        .claim(About::Address)
                        .with(Field::Allocation, Some(allocation))
                        .with(Field::PublicAddress, text("publicIp"))
                        .with(Field::Resource, Some(resource));
                    self.claims.add(claim, self.context.seen.clone());
                }
                members.values().for_each(|member| self.visit(member, &here));
            }
            _ => {}
        }
    }

    fn interface(&mut self, id: &str, value: &Value, here: &Above<'_>) {
        let text = |name: &str| member(value, name).as_str();
        let nested = |set: &'static str, name: &'static str| {
            items(member(value, set))
                .filter_map(move |item| member(item, name).as_str().or(item.as_str()))
                .collect::<Vec<_>>()
        };
        let mut addresses: Vec<Option<&str>> =
            [text("privateIpAddress"), text("privateIp"), text("ipv6Address")]
                .into_iter()
                .flatten()
                .chain(nested("privateIpAddressesSet", "privateIpAddress"))
                .chain(nested("assignedPrivateIpAddressesSet", "privateIpAddress"))
                .chain(nested("ipv6AddressesSet", "ipv6Address"))
                .chain(nested("assignedIpv6Addresses", "ipv6Address"))
                .chain(nested("ipv6Addresses", "content"))
                .chain(nested("unassignedIpv6Addresses", "ipv6Address"))
                .map(Some)
                .collect();
        let ends = self.name.starts_with(UNASSIGN);
        if addresses.is_empty() && !ends {
            addresses.push(None);
        }
        addresses.sort_unstable();
        addresses.dedup();
        let nat = here.resource.map(|_| "nat_gateway");
        for address in addresses {
            let mut claim = self
                .context
                .claim(About::Interface)
                .with(Field::Interface, Some(id))
                .with(Field::Address, address)
                .with(Field::Vpc, here.vpc)
                .with(Field::Subnet, here.subnet)
                .with(Field::Instance, here.instance)
                .with(Field::Resource, here.resource)
                .with(Field::InterfaceType, nat.or(text("interfaceType")))
                .with(
                    Field::PublicAddress,
                    text("publicIp").or(value["association"]["publicIp"].as_str()),
                );
            if matches!(self.name, "CreateNetworkInterface" | "RunInstances") {
                claim.valid_from = Some(self.context.seen.first);
            }
            if ends {
                claim.valid_to = Some(self.context.seen.last);
            }
            self.claims.add(claim, self.context.seen.clone());
        }
    }
}

/// Columns about the session that made the call.
struct Sessions<'a> {
    kind: Texts<'a>,
    principal: Texts<'a>,
    invoked_by: Texts<'a>,
    key: Texts<'a>,
    role: Texts<'a>,
    name: Texts<'a>,
    created: Times<'a>,
    delivery: Texts<'a>,
}

impl<'a> Sessions<'a> {
    fn new(batch: &'a RecordBatch) -> Self {
        let text = |name| Texts::new(batch, name);
        Sessions {
            kind: text("principal_type"),
            principal: text("principal_arn"),
            invoked_by: text("invoked_by"),
            key: text("access_key_id"),
            role: text("role_arn"),
            name: text("session_name"),
            created: Times::new(batch, "session_created"),
            delivery: text("ec2_role_delivery"),
        }
    }

    /// The session that made the call was there.
    fn used(&self, row: usize, context: &Context<'_>, account: Option<&str>, claims: &mut Claims) {
        if self.kind.at(row) != Some("AssumedRole") {
            return;
        }
        let Some(name) = self.name.at(row) else { return };
        let mut claim = Claim::new(About::Session, "cloudtrail")
            .with(Field::Account, account)
            .with(Field::AccessKey, self.key.at(row))
            .with(Field::Role, self.role.at(row))
            .with(Field::SessionName, Some(name))
            .with(Field::RoleDelivery, self.delivery.at(row));
        claim.valid_from = self.created.at(row);
        claims.add(claim, context.seen.clone());
    }

    /// A session was opened, by whom and until when.
    fn opened(
        &self,
        row: usize,
        request: &Value,
        answer: &Value,
        context: &Context<'_>,
        claims: &mut Claims,
    ) {
        let credentials = &answer["credentials"];
        let Some(key) = credentials["accessKeyId"].as_str() else {
            return;
        };
        let user = answer["assumedRoleUser"]["arn"].as_str().and_then(ecs::last_part);
        let name = request["roleSessionName"].as_str().or(user);
        let issuer = match self.kind.at(row) {
            Some("AWSService") => self.invoked_by.at(row),
            // A service that acts for a principal opened it for that principal.
            _ => self.principal.at(row),
        };
        let role = request["roleArn"].as_str();
        let mut claim = Claim::new(About::Session, context.method)
            .with(Field::Account, role.and_then(|arn| arn.split(':').nth(4)))
            .with(Field::AccessKey, Some(key))
            .with(Field::Role, role)
            .with(Field::SessionName, name)
            .with(Field::IssuedBy, issuer.or(Some("unknown")));
        claim.valid_from = Some(context.seen.first);
        claim.valid_to = credentials["expiration"].as_str().and_then(time_of);
        claims.add(claim, context.seen.clone());
    }
}
