//! Makes Rust of the contract. `PROTOC` names the compiler where it is not on PATH.

fn main() -> std::io::Result<()> {
    let root = "../../../proto";
    let services = ["job_service", "worker_service"].map(|name| format!("{root}/protojobs/v1/{name}.proto"));
    tonic_prost_build::configure()
        .build_server(false)
        .compile_protos(&services, &[root.to_string()])
}
