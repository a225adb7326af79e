//! What `honker_claim_batch` answers: the claimed jobs as a JSON array.
//!
//! Put together by hand, since in large batches the answer is what costs most beside the rows themselves: the names, which
//! are the same in each job, are escaped once, and the keys not at all.

use serde_json::{Result, to_writer};

use crate::queue::ClaimedJob;
use crate::queue::options::serialize_metadata;

/// The jobs of one claim, with the keys and in the order that docs/sql.md gives.
pub(super) fn json(jobs: &[ClaimedJob]) -> Result<Vec<u8>> {
    let Some(first) = jobs.first() else { return Ok(b"[]".to_vec()) };
    let names = first.queue.len() + first.worker_id.len();
    let mut json = Vec::with_capacity(jobs.iter().map(|job| job.payload.len() * 3 / 2 + names + 120).sum());
    // Where the first job has its names, for the others to copy.
    let (mut queue, mut worker_id) = (0..0, 0..0);
    for job in jobs {
        json.extend_from_slice(if json.is_empty() { br#"[{"id":"# } else { br#",{"id":"# });
        to_writer(&mut json, &job.id)?;
        if queue.is_empty() {
            let start = json.len();
            json.extend_from_slice(br#","queue":"#);
            to_writer(&mut json, &*job.queue)?;
            json.extend_from_slice(br#","payload":"#);
            queue = start..json.len();
        } else {
            json.extend_from_within(queue.clone());
        }
        to_writer(&mut json, &job.payload)?;
        if worker_id.is_empty() {
            let start = json.len();
            json.extend_from_slice(br#","worker_id":"#);
            to_writer(&mut json, &*job.worker_id)?;
            json.extend_from_slice(br#","attempts":"#);
            worker_id = start..json.len();
        } else {
            json.extend_from_within(worker_id.clone());
        }
        to_writer(&mut json, &job.attempts)?;
        json.extend_from_slice(br#","claim_expires_at":"#);
        to_writer(&mut json, &job.claim_expires_at)?;
        if job.metadata.is_some() {
            json.extend_from_slice(br#","metadata":"#);
            serialize_metadata(&job.metadata, &mut serde_json::Serializer::new(&mut json))?;
        }
        json.push(b'}');
    }
    json.push(b']');
    Ok(json)
}
