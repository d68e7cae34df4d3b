/** The first screen: what Gioconda does, seen; ready pairs at one press; the way to one's own picture. */

import { useEffect, useRef, useState } from "preact/hooks";
import { sentence } from "../api/http";
import { submit } from "../jobs/entries";
import { PAIRS, pictureOf, type Pair } from "../media/pairs";
import { choose, slug } from "../media/portrait";
import { Icon } from "../ui/icon";

export function Start() {
  const [problem, setProblem] = useState("");
  return (
    <div class="start">
      <BeforeAfter />
      <div class="start-words">
        <h2 class="display">Bring a portrait to life</h2>
        <p>
          One picture and a motion make a film, on this machine. Everything that Gioconda makes is signed as synthetic.
        </p>
        <p class="quiet">Press one of these, or choose your own picture.</p>
        <ul class="pairs">
          {PAIRS.map((pair) => (
            <li key={pair.title}>
              <button
                type="button"
                class="pair"
                onClick={() => play(pair).catch((error: unknown) => setProblem(sentence(error)))}
              >
                <img src={pair.picture} alt="" />
                <span>
                  <Icon name="play" />
                  {pair.title}
                </span>
              </button>
            </li>
          ))}
        </ul>
        <p role="status" class="problem">{problem}</p>
      </div>
    </div>
  );
}

async function play(pair: Pair): Promise<void> {
  const file = await pictureOf(pair);
  await submit({ ...pair.request, rights: pair.rights }, { portrait: [file] }, pair.title, slug(pair.title));
  void choose(file, pair.name, pair.rights);
}

// Seconds in which the curtain goes to and fro.
const SWING_SECONDS = 6;

/** A film of the Mona Lisa with the painting over a part of it; the edge swings slowly. */
function BeforeAfter() {
  const frame = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
    let going = 0;
    const swing = (now: number) => {
      const turn = Math.sin((2 * Math.PI * now) / 1000 / SWING_SECONDS);
      frame.current?.style.setProperty("--share", `${50 + 34 * turn}%`);
      going = requestAnimationFrame(swing);
    };
    going = requestAnimationFrame(swing);
    return () => cancelAnimationFrame(going);
  }, []);
  return (
    <div class="before-after" ref={frame}>
      <video
        src="examples/mona-lisa-smiles.webm"
        poster="examples/mona-lisa.webp"
        muted
        loop
        autoplay
        playsInline
        aria-label="The Mona Lisa smiles; made with Gioconda"
      />
      <div class="over">
        <img src="examples/mona-lisa.webp" alt="The painting as it hangs" />
      </div>
      <span class="tag left" aria-hidden="true">painting</span>
      <span class="tag right" aria-hidden="true">film</span>
    </div>
  );
}
