//! Dispatches one job, leases it, completes it, and reads its result: `protojobs-sample HOST:PORT QUEUE`.

use protojobs::v1::job_service_client::JobServiceClient;
use protojobs::v1::lease_request::Frame;
use protojobs::v1::lease_response::Frame as Answer;
use protojobs::v1::settle_item::Outcome;
use protojobs::v1::worker_service_client::WorkerServiceClient;
use protojobs::v1::{
    Complete, DispatchRequest, Goodbye, Hello, JobSpec, JobState, LeaseRequest, LeasedJob, QueueSubscription, Settle, SettleItem,
    WaitJobRequest, Window,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use uuid::Uuid;

/// The generated code, in modules that are called as its packages are.
mod google {
    pub mod rpc {
        tonic::include_proto!("google.rpc");
    }
}

mod protojobs {
    pub mod v1 {
        tonic::include_proto!("protojobs.v1");
    }
}

type Error = Box<dyn std::error::Error>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(queue)) = (arguments.next(), arguments.next()) else {
        return Err("usage: protojobs-sample HOST:PORT QUEUE".into());
    };
    let channel = Channel::from_shared(format!("http://{address}"))?.connect().await?;
    let mut jobs = JobServiceClient::new(channel.clone());

    let job_id = dispatch(&mut jobs, &queue).await?;
    work(channel, &queue).await?;

    let request = WaitJobRequest { job_id, wait: None };
    let job = jobs.wait_job(request).await?.into_inner().job.ok_or("no job")?;
    println!("{} {}", JobState::try_from(job.state)?.as_str_name(), String::from_utf8(job.result)?);
    Ok(())
}

/// Stores a job under an id of ours, so that a repeated call would not store a second one.
async fn dispatch(jobs: &mut JobServiceClient<Channel>, queue: &str) -> Result<String, Error> {
    let spec = JobSpec {
        id: Uuid::now_v7().to_string(),
        queue: queue.into(),
        kind: "greet".into(),
        payload: b"world".to_vec(),
        content_type: "text/plain".into(),
        ..Default::default()
    };
    let request = DispatchRequest { spec: Some(spec), validate_only: false };
    Ok(jobs.dispatch(request).await?.into_inner().job_id)
}

/// Runs one job of the queue, and leaves once its outcome is stored.
async fn work(channel: Channel, queue: &str) -> Result<(), Error> {
    let (outbox, frames) = mpsc::channel(8);
    let hello = Hello {
        session_id: Uuid::new_v4().into_bytes().to_vec(),
        worker: "rust".into(),
        sdk: "protojobs-sample".into(),
        sdk_version: env!("CARGO_PKG_VERSION").into(),
        queues: vec![QueueSubscription { name: queue.into(), weight: 1 }],
        kinds: vec!["greet".into()],
        window: Some(Window { max_in_flight: 1, max_bytes: 0 }),
        slots: 1,
        stream_no: 1,
        ..Default::default()
    };
    outbox.send(LeaseRequest { seq: 1, frame: Some(Frame::Hello(hello)), ..Default::default() }).await?;
    let mut answers = WorkerServiceClient::new(channel).lease(ReceiverStream::new(frames)).await?.into_inner();

    let mut seq = 1;
    while let Some(answer) = answers.message().await? {
        let frame = match answer.frame {
            Some(Answer::Deliver(deliver)) => Frame::Settle(Settle {
                items: deliver.items.into_iter().map(greet).collect(),
                ..Default::default()
            }),
            Some(Answer::Settled(_)) => Frame::Goodbye(Goodbye::default()),
            _ => continue,
        };
        let done = matches!(frame, Frame::Goodbye(_));
        seq += 1;
        // One job was delivered, and it has begun: the frame is receipt, start and outcome at once.
        let request = LeaseRequest { seq, received_seq: answer.seq, started_seq: 1, frame: Some(frame) };
        outbox.send(request).await?;
        if done {
            return Ok(());
        }
    }
    Err("the server has ended the stream".into())
}

/// The handler.
fn greet(job: LeasedJob) -> SettleItem {
    let name = job.spec.map(|spec| String::from_utf8_lossy(&spec.payload).into_owned()).unwrap_or_default();
    let complete = Complete { result: format!("hello {name}").into_bytes(), ..Default::default() };
    SettleItem { job_id: job.job_id, attempt: job.attempt, outcome: Some(Outcome::Complete(complete)) }
}
