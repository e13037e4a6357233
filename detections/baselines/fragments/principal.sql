-- The principal behind a call: a role and not one of its sessions, else a user.
coalesce(role_arn, principal_arn)
