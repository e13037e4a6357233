-- The workload that an interface works for: never a bare address. One place says how.
coalesce(ecs_service_name, percent_decode(asg_tag), interface_id)
