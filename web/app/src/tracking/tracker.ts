// Follow one face from frame to frame.

import { findLandmarks, PRESENT } from "./landmarks";
import type { Run } from "./networks";
import type { Picture } from "./pictures";
import { angleBetween, aroundLandmarks, type Points, type Region } from "./regions";
import { detectFaces } from "./stills";

/**
 * How far a face may move, in sides of the crop, before the crop follows. Rotation in radians and relative growth may
 * be twice as much. Landmarks depend a little on the position of the crop, so that a crop at rest makes them steadier.
 */
const HOLD = 0.04;

/** Tracks the landmarks of one face of a video; cheap while it can follow the face. */
export class FaceTracker {
  #run: Run;
  #crop: Region | null = null;
  #missed = 0;

  constructor(run: Run) {
    this.#run = run;
  }

  /** Landmarks of the tracked face in the next frame; after a loss, of the largest one; null without a face. */
  async process(picture: Picture): Promise<Points | null> {
    const followed = await this.#follow(picture);
    if (followed) return followed;
    this.#missed++;
    // After 1, 2, 4, 8 ... searches without a face, the search is thorough.
    const [largest] = await detectFaces(this.#run, picture, (this.#missed & (this.#missed - 1)) === 0);
    if (!largest) return null;
    this.#missed = 0;
    this.#crop = aroundLandmarks(largest);
    return this.#follow(picture);
  }

  /** The face in the crop of the last frame; moves the crop along, or drops it without a face. */
  async #follow(picture: Picture): Promise<Points | null> {
    if (!this.#crop) return null;
    const { landmarks, presence } = await findLandmarks(this.#run, picture, this.#crop);
    if (presence <= PRESENT) {
      this.#crop = null;
      return null;
    }
    const crop = aroundLandmarks(landmarks);
    if (!near(crop, this.#crop)) this.#crop = crop;
    return landmarks;
  }
}

/** Whether two crops differ by less than HOLD of their side, and by twice that in size and angle. */
function near(a: Region, b: Region): boolean {
  return (
    Math.abs(a.x - b.x) < HOLD * b.width &&
    Math.abs(a.y - b.y) < HOLD * b.width &&
    Math.abs(a.width / b.width - 1) < 2 * HOLD &&
    Math.abs(angleBetween(a.angle, b.angle)) < 2 * HOLD
  );
}
