//! trailhound: hunts through AWS VPC flow logs, CloudTrail and container logs with SQL.

fn main() -> std::process::ExitCode {
    trailhound::memory::give_large_buffers_back();
    trailhound::cli::main()
}
