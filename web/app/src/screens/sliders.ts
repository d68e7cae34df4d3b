/** The sliders of the editor: each moves ARKit names, both sides at once where there are two, or the pose. */

import { GAZE } from "../api/options";

export interface Slider {
  label: string;
  names: readonly string[];
  low: number;
  high: number;
  unit?: string;
}

const one = (label: string, name: string): Slider => ({ label, names: [name], low: 0, high: 1 });
const both = (label: string, stem: string): Slider => ({ label, names: [`${stem}Left`, `${stem}Right`], low: 0, high: 1 });
const degrees = (label: string, name: string, most: number): Slider => ({ label, names: [name], low: -most, high: most, unit: "°" });
const gaze = (label: string, name: string): Slider => ({ label, names: [name], low: GAZE.low, high: GAZE.high });

export const SLIDERS: Record<string, readonly Slider[]> = {
  // Larger turns are softened by the engine.
  Head: [degrees("Turn (yaw)", "yaw", 34), degrees("Look up, down (pitch)", "pitch", 26), degrees("Tilt (roll)", "roll", 30)],
  Gaze: [gaze("Aside", "gaze_x"), gaze("Up, down", "gaze_y")],
  Mouth: [
    one("Open", "jawOpen"),
    both("Smile", "mouthSmile"),
    both("Corners down", "mouthFrown"),
    both("Stretch", "mouthStretch"),
    one("Pucker", "mouthPucker"),
    one("Funnel", "mouthFunnel"),
    both("Upper lip up", "mouthUpperUp"),
    both("Lower lip down", "mouthLowerDown"),
    both("Press", "mouthPress"),
  ],
  Eyes: [both("Shut", "eyeBlink"), both("Squint", "eyeSquint"), both("Wide", "eyeWide")],
  "Brows, cheeks, nose": [
    both("Brows down", "browDown"),
    one("Inner brows up", "browInnerUp"),
    both("Outer brows up", "browOuterUp"),
    both("Cheeks up", "cheekSquint"),
    both("Wrinkle the nose", "noseSneer"),
  ],
};
