/** The page: a header with the tools, the stage, the portrait with the tool's form, the results. */

import { Edit } from "./screens/edit";
import { Live } from "./screens/live";
import { Move } from "./screens/move";
import { Person } from "./screens/person";
import { PortraitCard } from "./screens/portrait";
import { Results } from "./screens/results";
import { Speak } from "./screens/speak";
import { Stage } from "./screens/stage";
import { Verify } from "./screens/verify";
import { reachable } from "./jobs/watch";
import { server } from "./server";
import { open, tool, TOOLS, type Tool } from "./tools";

const FORMS: Record<Tool, () => preact.JSX.Element> = {
  move: Move,
  speak: Speak,
  edit: Edit,
  live: Live,
  person: Person,
  verify: Verify,
};
// These need no portrait.
const ALONE: readonly Tool[] = ["person", "verify"];

export function App() {
  const Form = FORMS[tool.value];
  return (
    <>
      <Header />
      <main>
        <Stage />
        <aside class="panel" aria-label="Tool">
          {!ALONE.includes(tool.value) && <PortraitCard />}
          <div class="card">
            <Form />
          </div>
        </aside>
        <Results />
      </main>
      <footer>
        <p>
          Files stay on the machine that serves this page; results are deleted after {hours()}.{" "}
          <a href="docs">The same for programs</a>
        </p>
      </footer>
    </>
  );
}

const hours = (): string => {
  const seconds = server.value?.keep_seconds ?? 86400;
  return seconds < 5400 ? `${Math.round(seconds / 60)} minutes` : `${Math.round(seconds / 3600)} hours`;
};

function Header() {
  return (
    <header>
      <h1 class="brand">
        <img src="icon.svg" alt="" width="28" height="28" />
        Gioconda
      </h1>
      <nav aria-label="Tools">
        <ul class="tools">
          {TOOLS.map(([word, label]) => (
            <li key={word}>
              <a
                href={`#${word}`}
                id={`tool-${word}`}
                aria-current={tool.value === word ? "page" : undefined}
                onClick={(event) => {
                  event.preventDefault();
                  open(word);
                }}
              >
                {label}
              </a>
            </li>
          ))}
        </ul>
      </nav>
      <span class="version">{reachable.value ? (server.value?.version ?? "") : "no connection"}</span>
    </header>
  );
}
