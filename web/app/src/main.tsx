import { render } from "preact";

render(<main>Gioconda</main>, document.getElementById("app")!);
