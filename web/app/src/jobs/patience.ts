/** Waiting that ends early when the network or the page comes back. */

const WAKING = ["online", "pageshow", "focus"] as const;

/** Resolves after a time, or as soon as the browser is online again or the page is looked at. */
export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      for (const name of WAKING) window.removeEventListener(name, done);
      document.removeEventListener("visibilitychange", seen);
      resolve();
    };
    const seen = () => {
      if (!document.hidden) done();
    };
    const timer = window.setTimeout(done, milliseconds);
    for (const name of WAKING) window.addEventListener(name, done);
    document.addEventListener("visibilitychange", seen);
  });
}

const FIRST_MILLISECONDS = 400;
const LONGEST_MILLISECONDS = 5000;

/** Growing pauses between attempts. */
export function pauses(): () => Promise<void> {
  let next = FIRST_MILLISECONDS;
  return () => {
    const now = next;
    next = Math.min(LONGEST_MILLISECONDS, next * 2);
    return pause(now);
  };
}
