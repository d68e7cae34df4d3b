/** The stage: the portrait before, progress and the latest frame during, the result after, in one place. */

import { useEffect, useState } from "preact/hooks";
import { call } from "../api/http";
import { cancel, entryOf, finished, remove, running, shown, type Entry } from "../jobs/entries";
import { figuresOf, phaseOf } from "../jobs/words";
import { reachable } from "../jobs/watch";
import { portrait } from "../media/portrait";
import { tool } from "../tools";
import { EditStage } from "./edit";
import { LiveStage } from "./live";
import { PersonStage } from "./person";
import { PortraitView } from "./portrait";
import { Result } from "./result";
import { Start } from "./start";
import { VerifyStage } from "./verify";

export function Stage() {
  const entry = entryOf(shown.value);
  return (
    <section class="stage card" aria-label="Stage">
      {entry ? <EntryView key={entry.key} entry={entry} /> : <ToolStage />}
    </section>
  );
}

function ToolStage() {
  const choice = portrait.value;
  if (tool.value === "verify") return <VerifyStage />;
  if (tool.value === "person") return <PersonStage />;
  if (!choice) return <Start />;
  if (tool.value === "edit") return <EditStage />;
  if (tool.value === "live") return <LiveStage />;
  return (
    <div class="picture">
      <PortraitView choice={choice} />
    </div>
  );
}

function EntryView({ entry }: { entry: Entry }) {
  if (finished(entry)) return <Result entry={entry} />;
  return (
    <>
      <div class="picture">{running(entry) ? <LatestFrame entry={entry} /> : <Still />}</div>
      <ProgressBar entry={entry} />
      <p class="actions">
        {running(entry) ? (
          <button type="button" onClick={() => void cancel(entry.key)}>
            Cancel
          </button>
        ) : (
          <button type="button" onClick={() => void remove(entry.key)}>
            Remove
          </button>
        )}
        <button type="button" class="plain" onClick={() => (shown.value = null)}>
          Back
        </button>
      </p>
    </>
  );
}

function ProgressBar({ entry }: { entry: Entry }) {
  const progress = entry.state?.progress;
  const share = !entry.state ? entry.sent : progress?.total ? progress.done / progress.total : undefined;
  return (
    <div class="progress">
      {running(entry) && <progress aria-label="Progress" value={share} max={1} />}
      <p role="status" class={entry.problem || entry.state?.state === "failed" ? "problem" : "phase"}>
        <strong>{entry.title}.</strong> {phaseOf(entry)}
        {!reachable.value && running(entry) && " The server does not answer; this goes on by itself when it is back."}
      </p>
      <p class="figures">{running(entry) && progress ? figuresOf(progress) : ""}</p>
    </div>
  );
}

const FRAME_MILLISECONDS = 600;

/** The latest finished frame of a job; the portrait until there is one. */
function LatestFrame({ entry }: { entry: Entry }) {
  const [address, setAddress] = useState<string | null>(null);
  const drawing = entry.job !== null && entry.state?.state === "running";
  useEffect(() => {
    if (!drawing) return;
    let last: string | null = null;
    let over = false;
    const fetchFrame = async () => {
      const answer = await call(`v1/jobs/${entry.job}/preview`).catch(() => null);
      if (over || answer?.status !== 200) return;
      const blob = await answer.blob();
      if (over) return;
      if (last) URL.revokeObjectURL(last);
      setAddress((last = URL.createObjectURL(blob)));
    };
    const timer = setInterval(() => void fetchFrame(), FRAME_MILLISECONDS);
    return () => {
      over = true;
      clearInterval(timer);
      if (last) URL.revokeObjectURL(last);
    };
  }, [entry.job, drawing]);
  return address ? <img class="seen" src={address} alt="The latest frame" /> : <Still />;
}

function Still() {
  return portrait.value ? <PortraitView choice={portrait.value} /> : <div class="seen empty" />;
}
