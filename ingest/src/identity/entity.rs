//! Who it can be, how sure that is, and why.

use std::net::IpAddr;
use std::sync::Arc;

/// What an address or a session belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An ECS task with an interface of its own.
    Task,
    /// An EC2 instance.
    Instance,
    /// An instance whose interface several tasks share, in bridge or host mode.
    Shared,
    /// A NAT gateway.
    Nat,
    /// A VPC endpoint.
    Endpoint,
    /// A load balancer.
    LoadBalancer,
    /// An interface of the account, of which no log tells whose it is.
    Interface,
    /// A public address that AWS lists as its own.
    AwsService,
    /// A private address that no log names.
    Private,
    /// A public address that no log names as own.
    Public,
}

impl Kind {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Task => "task",
            Kind::Instance => "instance",
            Kind::Shared => "shared",
            Kind::Nat => "nat",
            Kind::Endpoint => "endpoint",
            Kind::LoadBalancer => "load_balancer",
            Kind::Interface => "interface",
            Kind::AwsService => "aws_service",
            Kind::Private => "private",
            Kind::Public => "public",
        }
    }

    /// The kind of an interface by its type as logs name it.
    pub(super) fn of_interface(interface_type: &str) -> Option<Kind> {
        match interface_type {
            "nat_gateway" | "natGateway" | "regional_nat_gateway" => Some(Kind::Nat),
            "vpc_endpoint" | "gateway_load_balancer_endpoint" => Some(Kind::Endpoint),
            "network_load_balancer" | "gateway_load_balancer" | "load_balancer" => Some(Kind::LoadBalancer),
            _ => None,
        }
    }
}

/// How sure an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Certainty {
    /// No log tells.
    Unknown,
    /// Several are possible. What all of them share is told, the rest is NULL.
    Ambiguous,
    /// The logs have one answer, but leave room for another.
    Likely,
    /// The logs prove it, within the slack of clocks.
    Certain,
}

impl Certainty {
    /// All, from least to most.
    pub const ALL: &[Certainty] = &[
        Certainty::Unknown,
        Certainty::Ambiguous,
        Certainty::Likely,
        Certainty::Certain,
    ];

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Certainty::Unknown => "unknown",
            Certainty::Ambiguous => "ambiguous",
            Certainty::Likely => "likely",
            Certainty::Certain => "certain",
        }
    }

    /// What it means.
    pub fn about(self) -> &'static str {
        match self {
            Certainty::Unknown => "No log tells.",
            Certainty::Ambiguous => "Several are possible. What all of them share is told, the rest is NULL.",
            Certainty::Likely => "The logs have one answer, but leave room for another.",
            Certainty::Certain => "The logs prove it.",
        }
    }
}

macro_rules! methods {
    ($($name:ident $text:literal $about:literal,)*) => {
        /// Why an answer is what it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Method {
            $(#[doc = $about] $name,)*
        }

        /// All methods: the name in SQL, and what it means.
        pub const METHODS: &[(&str, &str)] = &[$(($text, $about),)*];
    };
}

methods! {
    EcsFields "ecs_fields" "The flow record itself names the task of its interface.",
    Interface "interface" "The record's interface belonged to this one then.",
    InterfaceOutsideLife "interface_outside_life" "Nobody else ever had the record's interface, but the moment is more than the slack outside the time for which that is known.",
    Address "address" "One interface in the VPC had the address then, and no other had it within the slack.",
    NearChange "near_change" "One had it then, but another had it within the slack.",
    Edge "edge" "One had it, and the moment is within the slack before it is known to have had it, or after.",
    NotSeenThen "not_seen_then" "The last known holder: its end is not known, and the moment is after it was last seen.",
    ScopeUnknown "scope_unknown" "One had the address, but the VPC of the record or of the holder is not known, or they differ.",
    SeveralHolders "several_holders" "Several had the interface or the address then.",
    SharedInterface "shared_interface" "Tasks in bridge or host mode shared the interface of this instance.",
    NoOwner "owner_not_in_logs" "An interface of the account, but no log tells whose.",
    NotNamed "not_named" "No log names the address as own.",
    AwsRange "aws_range" "The flow record says that the address lies in a range of AWS.",
    VpcEndpoint "vpc_endpoint_id" "The call came through a VPC endpoint, by the record's own field.",
    ServiceName "service_name" "The record has the name of a service in place of an address.",
    TaskId "task_id" "The task of this id was alive then.",
    TaskOutsideLife "task_outside_life" "The task of this id is known, but not to have been alive then.",
    TaskNotInLogs "task_not_in_logs" "No other log knows the task.",
    IssuedByEcs "issued_by_ecs" "ECS opened the session, for the task that it is named by.",
    IssuedByEc2 "issued_by_ec2" "EC2 opened the session, for the instance that it is named by.",
    RoleDelivery "ec2_role_delivery" "CloudTrail notes that the instance metadata service gave the session out.",
    RoleAndName "role_and_name" "Named like a task that was alive, and with that task's role.",
    RoleDiffers "role_differs" "Named like a task, but with another role than the task's: the name proves nothing.",
    OpenedByAnother "opened_by_another" "Named like a task or an instance, but opened by another principal.",
    NameAlone "name_alone" "Named like a task or an instance, and nothing else agrees.",
    NoWorkload "no_workload" "The session is not named like a task or an instance.",
}

impl Method {
    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        METHODS[self as usize].0
    }
}

/// Something that an address or a session can belong to. What is not known is None.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Entity {
    /// What it is.
    pub kind: Option<Kind>,
    /// ECS task.
    pub task_id: Option<Arc<str>>,
    /// Its service.
    pub service: Option<Arc<str>>,
    /// Its cluster, by name.
    pub cluster: Option<Arc<str>>,
    /// Its task definition, `family:revision`.
    pub task_definition: Option<Arc<str>>,
    /// Its images, separated by `, `.
    pub image: Option<Arc<str>>,
    /// Its role's ARN.
    pub role: Option<Arc<str>>,
    /// EC2 instance.
    pub instance_id: Option<Arc<str>>,
}

/// Text columns of an [`Entity`], in the order of [`Entity::texts`].
pub const ENTITY_COLUMNS: &[&str] = &[
    "task_id",
    "service",
    "cluster",
    "task_definition",
    "image",
    "role",
    "instance_id",
    "kind",
];

impl Entity {
    /// Only a kind.
    pub(super) fn of_kind(kind: Kind) -> Self {
        Entity {
            kind: Some(kind),
            ..Entity::default()
        }
    }

    /// The columns of [`ENTITY_COLUMNS`].
    pub fn texts(&self) -> [Option<&str>; ENTITY_COLUMNS.len()] {
        [
            self.task_id.as_deref(),
            self.service.as_deref(),
            self.cluster.as_deref(),
            self.task_definition.as_deref(),
            self.image.as_deref(),
            self.role.as_deref(),
            self.instance_id.as_deref(),
            self.kind.map(Kind::name),
        ]
    }
}

/// Who it was: a place in the ledger's entities, how sure that is, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Place of the entity; 0 is nobody.
    pub entity: u32,
    /// How sure.
    pub certainty: Certainty,
    /// Why.
    pub method: Method,
}

impl Default for Answer {
    /// No log tells.
    fn default() -> Self {
        Answer {
            entity: 0,
            certainty: Certainty::Unknown,
            method: Method::NotNamed,
        }
    }
}

/// Whether an address is not routed on the internet.
pub(super) fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let octets = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_unspecified()
                || (octets[0] == 100 && octets[1] & 0xc0 == 64)
        }
        IpAddr::V6(v6) => {
            let first = v6.segments()[0];
            first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80 || v6.is_loopback() || v6.is_unspecified()
        }
    }
}
