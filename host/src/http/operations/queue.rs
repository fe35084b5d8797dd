//! The queue of a namespace.

use serde_json::json;

use super::super::openapi::{JSON, Operation, TEXT, Tag, text};
use super::super::queue::{Capped, Limit, Paused, Purged, Released, Rezeroed};
use crate::store::QueueStatus;

pub(in crate::http) fn status() -> Operation {
    Operation::new(
        Tag::Queue,
        "getQueue",
        "How the queue stands",
        "The numbers are those of one instant. `posted`, `completed`, `failed` and `cancelled` count since the last rezero.",
    )
    .told::<QueueStatus>(
        200,
        "The numbers.",
        "Posted: 10\nQueued: 5\nScheduled: 0\nRunning: 0\nMoving: 0\nCompleted: 4 (40%)\nFailed: 1 (10%)\nCancelled: 0 (0%)\nPaused: no\n",
        json!({
            "queued": 5, "scheduled": 0, "running": 0, "parked": 0, "moving": 0, "posted": 10, "completed": 4,
            "failed": 1, "cancelled": 0, "paused": false, "concurrency": null,
        }),
    )
}

pub(in crate::http) fn limit() -> Operation {
    let mut operation = Operation::new(
        Tag::Queue,
        "limitQueue",
        "Bounds how many jobs run at once",
        "On all hosts together; `null` for no bound. Jobs that wait for others do not count. To let nothing run, pause the queue.",
    );
    let limit = operation.named::<Limit>();
    operation
        .takes(JSON, limit, Some(json!({"limit": 8})))
        .answer(
            200,
            "The bound that holds now; `none` if there is none.",
            TEXT,
            text(),
            Some("8".into()),
        )
        .json::<Capped>(200, "The bound that holds now.", json!({"concurrency": 8}))
}

pub(in crate::http) fn pause() -> Operation {
    Operation::new(
        Tag::Queue,
        "pauseQueue",
        "Lets jobs wait",
        "Jobs that run go on; what is posted is accepted and waits.",
    )
    .told::<Paused>(200, "It is paused.", "paused", json!({"paused": true}))
}

pub(in crate::http) fn resume() -> Operation {
    Operation::new(Tag::Queue, "resumeQueue", "Lets jobs run again", "").told::<Paused>(
        200,
        "It is not paused.",
        "resumed",
        json!({"paused": false}),
    )
}

pub(in crate::http) fn release() -> Operation {
    Operation::new(
        Tag::Queue,
        "releaseQueue",
        "Takes the running jobs from their hosts",
        "For hosts that are gone: the jobs are run again at once. Those of hosts that live are run twice.",
    )
    .told::<Released>(200, "How many.", "3", json!({"released": 3}))
}

pub(in crate::http) fn rezero() -> Operation {
    Operation::new(Tag::Queue, "rezeroQueue", "Begins the totals again", "").told::<Rezeroed>(
        200,
        "They begin at 0.",
        "rezeroed",
        json!({"rezeroed": true}),
    )
}

pub(in crate::http) fn purge() -> Operation {
    Operation::new(
        Tag::Queue,
        "purgeQueue",
        "Deletes the jobs that wait",
        "For a worker or for their time. There is no way back.",
    )
    .told::<Purged>(200, "How many.", "12", json!({"purged": 12}))
}
