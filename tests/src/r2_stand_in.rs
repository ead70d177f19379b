//! R2's S3 endpoint, played by an S3 server that verifies signatures, on the
//! very bucket that the Worker under test is bound to.
//!
//! R2 lets an upload that the binding created take its parts through the S3
//! endpoint; so does this one, by passing them to miniflare's bucket through
//! the consumer. It knows what the agent may do, and nothing else.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use futures::TryStreamExt;
use s3s::{
    S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result,
    dto::{
        ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput, StreamingBlob,
        UploadPartInput, UploadPartOutput,
    },
    s3_error,
};

use crate::bucket::Bucket;

/// The name of the bucket in URLs.
pub const BUCKET_NAME: &str = "my-backup-bucket";

/// What the server was asked for with a valid signature.
#[derive(Debug, Default)]
pub struct Requests {
    /// Parts uploaded.
    pub parts: AtomicUsize,
    /// Reads of archives.
    pub reads: AtomicUsize,
}

/// The endpoint.
#[derive(Debug)]
pub struct R2StandIn {
    bucket: Bucket,
    requests: Arc<Requests>,
}

impl R2StandIn {
    /// An endpoint for `bucket` that counts what it is asked for.
    pub fn new(bucket: Bucket, requests: Arc<Requests>) -> Self {
        Self { bucket, requests }
    }

    async fn size(&self, bucket: &str, key: &str) -> S3Result<u64> {
        if bucket != BUCKET_NAME {
            return Err(s3_error!(NoSuchBucket));
        }
        let size = self
            .bucket
            .size(key)
            .await
            .map_err(S3Error::internal_error)?;
        size.ok_or_else(|| s3_error!(NoSuchKey))
    }
}

#[async_trait::async_trait]
impl S3 for R2StandIn {
    async fn upload_part(
        &self,
        request: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let part = request.input;
        if part.bucket != BUCKET_NAME {
            return Err(s3_error!(NoSuchBucket));
        }
        let mut content = Vec::new();
        let mut body = part.body.ok_or_else(|| s3_error!(IncompleteBody))?;
        let broken_off = |error| S3Error::with_source(S3ErrorCode::IncompleteBody, error);
        while let Some(chunk) = body.try_next().await.map_err(broken_off)? {
            content.extend_from_slice(&chunk);
        }
        let etag = self
            .bucket
            .upload_part(&part.key, &part.upload_id, part.part_number, content)
            .await
            .map_err(S3Error::internal_error)?;
        self.requests.parts.fetch_add(1, Ordering::Relaxed);
        Ok(S3Response::new(UploadPartOutput {
            e_tag: Some(ETag::Strong(etag)),
            ..Default::default()
        }))
    }

    async fn head_object(
        &self,
        request: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let size = self.size(&request.input.bucket, &request.input.key).await?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(size as i64),
            ..Default::default()
        }))
    }

    async fn get_object(
        &self,
        request: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let GetObjectInput {
            bucket, key, range, ..
        } = request.input;
        let size = self.size(&bucket, &key).await?;
        let range = range.map(|range| range.check(size)).transpose()?;
        let bounds = range.as_ref().map(|range| (range.start, range.end - 1));
        let response = self
            .bucket
            .read(&key, bounds)
            .await
            .map_err(S3Error::internal_error)?;
        self.requests.reads.fetch_add(1, Ordering::Relaxed);
        let length = range.as_ref().map_or(size, |range| range.end - range.start);
        Ok(S3Response::new(GetObjectOutput {
            body: Some(StreamingBlob::wrap(response.bytes_stream())),
            content_length: Some(length as i64),
            content_range: bounds.map(|(first, last)| format!("bytes {first}-{last}/{size}")),
            ..Default::default()
        }))
    }
}
