/** The strip of results of this browser, until they expire. */

import { entries, finished, running, shown, type Entry } from "../jobs/entries";
import { phaseOf } from "../jobs/words";
import { Icon } from "../ui/icon";

export function Results() {
  if (!entries.value.length) return null;
  return (
    <nav class="results" aria-label="Results">
      <ul>
        {entries.value.map((entry) => (
          <li key={entry.key}>
            <Card entry={entry} />
          </li>
        ))}
      </ul>
    </nav>
  );
}

function Card({ entry }: { entry: Entry }) {
  const progress = entry.state?.progress;
  return (
    <button
      type="button"
      class="result-card"
      aria-current={shown.value === entry.key}
      title={entry.title}
      onClick={() => (shown.value = entry.key)}
    >
      {entry.thumbnail ? <img src={entry.thumbnail} alt="" /> : <span class="blank">{finished(entry) && <Icon name="file" />}</span>}
      <span class="result-title">{entry.title}</span>
      <span class="unseen">{phaseOf(entry)}</span>
      {running(entry) && <progress aria-hidden="true" value={progress?.total ? progress.done / progress.total : undefined} max={1} />}
    </button>
  );
}
