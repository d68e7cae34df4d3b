import { render } from "preact";
import { App } from "./app";
import { restore } from "./jobs/entries";
import { followPortrait } from "./live/session";
import { restorePortrait } from "./media/portrait";
import { meet } from "./server";
import "./style/base.css";
import "./style/layout.css";
import "./style/controls.css";
import "./style/stage.css";

render(<App />, document.getElementById("app")!);
void meet();
void restorePortrait();
void restore();
followPortrait();
