// Calls to the server that this page came from.

/** The server said no, and why: `detail`; or nothing: `status` 0. */
export class Refused extends Error {
  constructor(status, detail = "") {
    super(status ? `the server answered ${status}` : "the server does not answer");
    this.status = status;
    this.detail = detail;
  }
}

/** The response of the server; `revision` is of what `content` began from. Raises Refused. */
export async function call(method, path, content, revision) {
  const request = { method, cache: "no-store", headers: { "X-Requested-With": "pmmsynth" } };
  if (content !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(content);
  }
  if (revision) request.headers["If-Match"] = revision;
  let response;
  try {
    response = await fetch(path, request);
  } catch {
    throw new Refused(0);
  }
  if (!response.ok) throw new Refused(response.status, (await response.json().catch(() => ({}))).detail);
  return response;
}

/** All bytes at a path. Raises Refused. */
export async function bytes(path) {
  const response = await call("GET", path);
  return response.arrayBuffer().catch(() => {
    throw new Refused(0); // the connection broke on the way
  });
}

/** Tell the log what the reader did. Reading goes on if the log cannot be reached. */
export function note(action, detail = "") {
  call("POST", "/api/actions", { action, detail }).catch(() => {});
}

/** End the session and show the page to sign in. */
export async function signOut() {
  await call("POST", "/signout").catch(() => {});
  location.assign("/");
}
