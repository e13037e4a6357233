-- Records of traffic from the workload's point of view: `direction`, `own` and `peer` address, the server's
-- `port`, and whether the workload opened the connection (`ours`).
SELECT
    event_time, first_seen, last_seen, entity, interface_id, direction, own, peer, service, protocol, bytes, packets,
    action,
    CASE WHEN sender_opens THEN dstport ELSE srcport END AS port,
    (direction = 'egress') = sender_opens AS ours,
    -- A refused or first packet of a connection, where the logs have flags.
    protocol <> 6 OR coalesce(tcp_flags & 18, 2) = 2 AS opening
FROM (
    SELECT
        *,
        CASE direction WHEN 'egress' THEN srcaddr ELSE dstaddr END AS own,
        -- Who it is in the end, and not the gateway on the way.
        CASE direction WHEN 'egress' THEN coalesce(pkt_dstaddr, dstaddr) ELSE coalesce(pkt_srcaddr, srcaddr) END AS peer,
        CASE direction WHEN 'egress' THEN pkt_dst_aws_service ELSE pkt_src_aws_service END AS service,
        -- SYN without ACK opens, SYN-ACK answers; in the middle of a connection, and without flags,
        -- the lower port is the server's.
        CASE
            WHEN protocol = 6 AND tcp_flags & 18 = 2 THEN true
            WHEN protocol = 6 AND tcp_flags & 18 = 18 THEN false
            WHEN protocol IN (6, 17) THEN dstport < srcport
            ELSE true
        END AS sender_opens
    FROM (
        SELECT
            date_trunc('hour', f.event_time) AS event_time, f.event_time AS first_seen,
            coalesce(f.end_time, f.event_time) AS last_seen,
            coalesce(
                workload(ecs_service_name, ecs_task_definition_arn, NULL, NULL), tasks.name,
                workload(NULL, NULL, asg_tag, interface_id)
            ) AS entity,
            f.interface_id, f.srcaddr, f.dstaddr, f.srcport, f.dstport, f.protocol, f.bytes, f.packets, f.action,
            f.tcp_flags, f.pkt_srcaddr, f.pkt_dstaddr, f.pkt_src_aws_service, f.pkt_dst_aws_service,
            coalesce(
                f.flow_direction,
                CASE own_address.address WHEN f.srcaddr THEN 'egress' WHEN f.dstaddr THEN 'ingress' END
            ) AS direction
        FROM vpc_flow f
        -- Version 2 does not tell the direction: there the address that an interface has in most of its
        -- records is its own.
        LEFT JOIN (
            SELECT its_interface, first_value(address ORDER BY records DESC, address) AS address
            FROM (
                SELECT its_interface, address, count(*) AS records
                FROM (
                    SELECT interface_id AS its_interface, srcaddr AS address FROM vpc_flow
                    WHERE flow_direction IS NULL AND log_status = 'OK'
                    UNION ALL
                    SELECT interface_id AS its_interface, dstaddr AS address FROM vpc_flow
                    WHERE flow_direction IS NULL AND log_status = 'OK'
                )
                GROUP BY its_interface, address
            )
            GROUP BY its_interface
        ) AS own_address ON own_address.its_interface = f.interface_id AND f.flow_direction IS NULL
        -- The records of a task's first seconds, in which its images are pulled, do not name it yet. Those that
        -- its interface has later do; of an interface that several tasks share they tell nothing.
        LEFT JOIN (
            SELECT interface_id AS task_interface, max(task) AS name
            FROM (
                SELECT interface_id, workload(ecs_service_name, ecs_task_definition_arn, NULL, NULL) AS task
                FROM vpc_flow
                WHERE coalesce(ecs_service_name, ecs_task_definition_arn) IS NOT NULL
            )
            GROUP BY interface_id
            HAVING min(task) = max(task)
        ) AS tasks ON tasks.task_interface = f.interface_id
        -- A NAT gateway passes on what others said: packets for the public come in at its own address.
        LEFT JOIN (
            SELECT DISTINCT interface_id AS gateway
            FROM vpc_flow
            WHERE interface_type = 'nat_gateway'
               OR (flow_direction = 'ingress' AND pkt_dstaddr <> dstaddr AND is_private_ip(dstaddr) AND NOT is_private_ip(pkt_dstaddr))
        ) AS gateways ON gateways.gateway = f.interface_id
        WHERE f.log_status = 'OK' AND gateways.gateway IS NULL
    )
)
