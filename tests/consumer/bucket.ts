// BACKUP_BUCKET over HTTP: what a test looks at, and what the S3 stand-in
// needs to act for R2 on the bucket that the sandbox Worker is bound to.

export async function bucket(
  request: Request,
  url: URL,
  key: string,
  objects: R2Bucket,
): Promise<Response> {
  if (key === "") return Response.json(await list(objects, url.searchParams.get("prefix") ?? ""));
  switch (request.method) {
    case "HEAD":
      return found(await objects.head(key));
    case "GET":
      return found(await objects.get(key, { range: request.headers }));
    case "PUT":
      return put(request, url, key, objects);
    case "DELETE":
      await objects.delete(key);
      return new Response(null, { status: 204 });
    default:
      return new Response(null, { status: 405 });
  }
}

async function list(objects: R2Bucket, prefix: string): Promise<string[]> {
  const keys: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await objects.list({ prefix, cursor });
    keys.push(...page.objects.map((object) => object.key));
    cursor = page.truncated ? page.cursor : undefined;
  } while (cursor);
  return keys;
}

async function put(request: Request, url: URL, key: string, objects: R2Bucket): Promise<Response> {
  const uploadId = url.searchParams.get("uploadId");
  if (uploadId === null) {
    const stored = await objects.put(key, await request.arrayBuffer());
    return Response.json({ etag: stored?.etag });
  }
  const upload = objects.resumeMultipartUpload(key, uploadId);
  const number = Number(url.searchParams.get("partNumber"));
  const { etag } = await upload.uploadPart(number, await request.arrayBuffer());
  return Response.json({ etag });
}

function found(object: R2Object | R2ObjectBody | null): Response {
  if (object === null) return new Response(null, { status: 404 });
  const headers = new Headers({ etag: object.httpEtag, "x-size": String(object.size) });
  const body = "body" in object ? object.body : null;
  const range = object.range as { offset: number; length: number } | undefined;
  if (body === null || range === undefined || range.length === object.size) {
    return new Response(body, { headers });
  }
  const last = range.offset + range.length - 1;
  headers.set("content-range", `bytes ${range.offset}-${last}/${object.size}`);
  return new Response(body, { status: 206, headers });
}
