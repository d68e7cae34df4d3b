/** Requests to the server, relative to the page, so that they work under any prefix of a proxy. */

/** The server refuses a request; the message is for people. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly retrySeconds: number,
  ) {
    super(message);
  }

  /** Whether the same request may succeed later. */
  get passing(): boolean {
    return [408, 409, 425, 429, 502, 503, 504].includes(this.status);
  }
}

const ANSWER_MILLISECONDS = 15000;

/** Fetches an address of the API. Throws a Refusal, or a TypeError or DOMException where the server cannot be reached. */
export async function call(path: string, init: RequestInit = {}, milliseconds = ANSWER_MILLISECONDS): Promise<Response> {
  const given = init.signal ? [init.signal] : [];
  const signal = AbortSignal.any([...given, AbortSignal.timeout(milliseconds)]);
  const answer = await fetch(path, { ...init, signal });
  if (!answer.ok) throw await refusalOf(answer);
  return answer;
}

export async function callJson<T>(path: string, body?: unknown, init: RequestInit = {}): Promise<T> {
  const sent =
    body === undefined
      ? init
      : { ...init, method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  return (await call(path, sent)).json() as Promise<T>;
}

async function refusalOf(answer: Response): Promise<Refusal> {
  const problem = (await answer.json().catch(() => ({}))) as { error?: string };
  const retry = Number(answer.headers.get("Retry-After")) || 0;
  return new Refusal(problem.error ?? `the server answers with status ${answer.status}`, answer.status, retry);
}

export interface Upload {
  path: string;
  form: FormData;
  headers: Record<string, string>;
  /** Called with the share that has been sent, 0 to 1. */
  progress: (share: number) => void;
  stalledMilliseconds: number;
}

/** Sends a form and tells how much of it has gone; fetch cannot. Rejects where nothing moves for too long. */
export function upload<T>({ path, form, headers, progress, stalledMilliseconds }: Upload): Promise<T> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let stalled = 0;
    const stir = () => {
      clearTimeout(stalled);
      stalled = window.setTimeout(() => request.abort(), stalledMilliseconds);
    };
    const lost = () => {
      clearTimeout(stalled);
      reject(new TypeError("the server cannot be reached"));
    };
    request.upload.onprogress = (event) => {
      stir();
      if (event.lengthComputable && event.total) progress(event.loaded / event.total);
    };
    request.onerror = request.onabort = request.ontimeout = lost;
    request.onload = () => {
      clearTimeout(stalled);
      const body = parsed(request.responseText) as T & { error?: string };
      const retry = Number(request.getResponseHeader("Retry-After")) || 0;
      if (request.status >= 200 && request.status < 300) resolve(body);
      else reject(new Refusal(body.error ?? `the server answers with status ${request.status}`, request.status, retry));
    };
    request.open("POST", path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    stir();
    request.send(form);
  });
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

/** A sentence about what went wrong: capital letter, one full stop. */
export function sentence(problem: unknown): string {
  const words = problem instanceof Refusal ? problem.message : unreachable(problem);
  const whole = words.charAt(0).toUpperCase() + words.slice(1);
  return /[.!?]$/.test(whole) ? whole : `${whole}.`;
}

function unreachable(problem: unknown): string {
  if (problem instanceof TypeError || problem instanceof DOMException) return "the server does not answer";
  return problem instanceof Error ? problem.message : String(problem);
}
