/** The portrait's card: the chosen picture, its faces, the declaration, and the way to another picture. */

import { useState } from "preact/hooks";
import type { Box } from "../api/types";
import { preparing, session, sessionProblem } from "../live/session";
import { choose, chooseFace, forgetPortrait, isIdentity, isVideo, portrait, wordsOf, type PortraitChoice } from "../media/portrait";
import { Drop } from "../ui/controls";
import { CameraShot } from "./camera";
import { film } from "./film";
import { Declaration } from "./rights";

const ACCEPT = "image/*,video/*,.heic,.avif,.safetensors";

export const takePortrait = (files: File[]): void => {
  const file = files[0];
  if (file) void choose(file, wordsOf(file), null);
};

export function PortraitCard() {
  const choice = portrait.value;
  const [shooting, setShooting] = useState(false);
  if (shooting) return <CameraShot done={(file) => (setShooting(false), file && takePortrait([file]))} />;
  if (!choice) {
    return (
      <section class="card portrait-card" aria-label="Portrait">
        <Drop id="portrait" label="Your picture: drop, paste or choose it" accept={ACCEPT} take={takePortrait} />
        <button type="button" class="link" onClick={() => setShooting(true)}>
          Take a photo with the camera
        </button>
      </section>
    );
  }
  return (
    <section class="card portrait-card" aria-label="Portrait">
      <div class="portrait-row">
        <Thumbnail choice={choice} />
        <div>
          <h2>{choice.name}</h2>
          <Status choice={choice} />
          <p class="portrait-actions">
            <label class="link file-link">
              Change
              <input
                type="file"
                accept={ACCEPT}
                aria-label="Choose another portrait"
                onChange={(event) => takePortrait([...(event.currentTarget.files ?? [])])}
              />
            </label>
            <button type="button" class="link" onClick={() => setShooting(true)}>
              Camera
            </button>
            <button type="button" class="link" onClick={forgetPortrait}>
              Remove
            </button>
          </p>
        </div>
      </div>
      <Declaration choice={choice} />
    </section>
  );
}

function Thumbnail({ choice }: { choice: PortraitChoice }) {
  if (isIdentity(choice)) return <span class="thumb identity">ID</span>;
  if (isVideo(choice)) return <video class="thumb" src={choice.address} muted playsInline aria-label="The chosen video" />;
  return <img class="thumb" src={choice.address} alt="The chosen portrait" />;
}

function Status({ choice }: { choice: PortraitChoice }) {
  if (sessionProblem.value) {
    return (
      <p class="problem" role="status">
        {sessionProblem.value}
      </p>
    );
  }
  const faces = session.value?.faces.length ?? 0;
  if (faces > 1) {
    return (
      <p class="quiet" role="status">
        {faces} faces found; number {choice.face + 1} moves. Press another in the picture.
      </p>
    );
  }
  return (
    <p class="quiet" role="status">
      {preparing.value ? "Getting ready" : faces ? "Ready" : ""}
    </p>
  );
}

/** The portrait on the stage, with its faces as boxes to choose from, and the square that a crop shows. */
export function PortraitView({ choice }: { choice: PortraitChoice }) {
  const facts = session.value;
  if (isIdentity(choice)) return <p class="quiet">An identity file. Here, films are drawn from the one picture in it.</p>;
  if (isVideo(choice)) {
    return <video class="seen" src={choice.address} controls muted loop playsInline aria-label="The chosen video" />;
  }
  return (
    <div class="boxed">
      <img class="seen" src={choice.address} alt={choice.name} />
      {facts && facts.faces.length > 1 && facts.faces.map((box, index) => (
        <button
          type="button"
          key={index}
          class="face-box"
          aria-pressed={index === choice.face}
          aria-label={`Face ${index + 1} of ${facts.faces.length}`}
          style={placed(box)}
          onClick={() => chooseFace(index)}
        />
      ))}
      {facts && film.value.crop && <span class="crop" style={placed(facts.shown)} />}
    </div>
  );
}

const share = (value: number): string => `${100 * value}%`;
const placed = ({ x, y, width, height }: Box) => ({ left: share(x), top: share(y), width: share(width), height: share(height) });
