-- The workload that an interface works for: never a bare address. One place says how.
workload(ecs_service_name, ecs_task_definition_arn, asg_tag, interface_id)
